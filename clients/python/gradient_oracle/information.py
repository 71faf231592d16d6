"""What a server says about itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from gradient_oracle.served import Served
from oracle.gradcheck.v1 import server_pb2


@dataclass(frozen=True)
class Limits:
    """What a server allows; 0 where it does not say."""

    max_message_bytes: int
    max_call_seconds: float
    compute_slots: int
    max_waiting_calls: int
    max_rank: int
    max_numbers: int
    max_trainings: int
    max_conversations: int
    max_idle_seconds: float
    max_entries: int


@dataclass(frozen=True)
class ServerInfo:
    """The version of a server, its limits, its methods, the libraries that compute, operators."""

    version: str
    limits: Limits
    functions: tuple[str, ...]
    numpy_version: str
    flint_version: str
    python_version: str
    blas: str
    blas_threads: int
    operators: Served = field(default_factory=lambda: Served(()), repr=False)

    @classmethod
    def of(cls, message: server_pb2.GetServerInfoResponse) -> ServerInfo:
        """Read the message."""
        limits = message.limits
        return cls(
            version=message.version,
            limits=Limits(
                max_message_bytes=limits.max_message_bytes,
                max_call_seconds=limits.max_call_seconds,
                compute_slots=limits.compute_slots,
                max_waiting_calls=limits.max_waiting_calls,
                max_rank=limits.max_rank,
                max_numbers=limits.max_numbers,
                max_trainings=limits.max_trainings,
                max_conversations=limits.max_conversations,
                max_idle_seconds=limits.max_idle_seconds,
                max_entries=limits.max_entries,
            ),
            functions=tuple(message.functions),
            numpy_version=message.numpy_version,
            flint_version=message.flint_version,
            python_version=message.python_version,
            blas=message.blas,
            blas_threads=message.blas_threads,
            operators=Served(message.operators),
        )

    def __str__(self) -> str:
        limits = self.limits
        lines = [
            f"gradient-oracle {self.version}",
            f"messages up to {limits.max_message_bytes / 2**20:.3g} MiB, "
            f"calls up to {limits.max_call_seconds:.3g} s, "
            f"{limits.compute_slots} at a time and {limits.max_waiting_calls} waiting",
            f"Python {self.python_version}, NumPy {self.numpy_version}, "
            f"python-flint {self.flint_version}",
        ]
        if self.blas:
            lines.append(f"{self.blas}, {self.blas_threads} threads")
        return "\n".join([*lines, *self.functions])
