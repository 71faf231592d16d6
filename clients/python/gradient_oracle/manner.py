"""How a conversation is held: by which transport, for how long, with which workers and journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gradient_oracle import journal as journals
from gradient_oracle import workers as pools
from gradient_oracle.conversation import Progress, Transport, converse
from gradient_oracle.evaluation import Evaluator
from gradient_oracle.points import Point
from gradient_oracle.transport import Connection
from oracle.gradcheck.v1 import black_box_pb2 as pb


@dataclass(frozen=True)
class Manner:
    """The options that every method about a function of the caller's takes."""

    timeout: float | None = None
    progress: Progress | None = None
    transport: Transport = "auto"
    workers: Any = 1
    vectorized: bool = False
    journal: Any = None

    @contextmanager
    def evaluator(self, point: Point, question: bytes = b"") -> Iterator[Evaluator]:
        """Return what evaluates f at a point; `question` tells functions of the same x apart."""
        journal = journals.of(self.journal)
        with pools.pool(self.workers) as pool:
            evaluator = Evaluator(point, journal, pool, vectorized=self.vectorized)
            with journals.saved(journal):
                journal.begin(point.arrays, question)
                yield evaluator

    def converse(
        self, client: Connection, start: pb.Start, answer: Callable[[pb.Ask], pb.Answer]
    ) -> pb.Result:
        """Answer what the oracle asks until it has a result."""
        return converse(
            client,
            start,
            answer,
            transport=self.transport,
            timeout=self.timeout,
            progress=self.progress,
        )


def arguments(args: Any) -> tuple[Any, ...]:
    """Return what f takes beside x, as SciPy does: a tuple, or the one that is none."""
    return args if isinstance(args, tuple) else (args,)


def name_of(f: Any) -> str:
    """Return what a function is called in a report."""
    return str(getattr(f, "__name__", "f"))


def bytes_of(tensors: Sequence[Any]) -> bytes:
    """Return the bytes of arrays, which tell two questions about one x apart."""
    return b"".join(tensor.tobytes() for tensor in tensors)
