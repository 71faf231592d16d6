"""What a fork leaves of gRPC in the child: nothing that was open, and no server ever again."""

from __future__ import annotations

import os

from gradient_oracle.errors import OracleError

_REMEDY = 'start the process with multiprocessing.get_context("spawn")'


class Process:
    """What this process has done with gRPC.

    gRPC prepares its channels for a fork, but neither servers nor the channels of asyncio: what
    they leave in the child makes new channels hang and the end of the process crash.
    """

    def __init__(self) -> None:
        self.unfit_to_fork = False
        self.unfit = False
        os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        self.unfit = self.unfit_to_fork


_THIS = Process()


def make_unfit() -> None:
    """Note that a child that is forked from now on cannot use gRPC."""
    _THIS.unfit_to_fork = True


def require_grpc() -> None:
    """Raise if this process was forked from one whose gRPC does not survive that."""
    if _THIS.unfit:
        raise OracleError(
            "this process was forked from one that has used an embedded server or the asyncio "
            f"client, so that gRPC does not work in it; {_REMEDY}"
        )


def require_process(process: int, address: str) -> None:
    """Raise unless this is the process that made a client."""
    if os.getpid() != process:
        require_grpc()
        raise OracleError(
            f"this client of {address} was made before the process forked and works in the parent "
            "only; connect again in this process"
        )
