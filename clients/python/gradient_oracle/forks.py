"""What a fork leaves of gRPC in the child: nothing that was open, and no server ever again."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from gradient_oracle.errors import OracleError

_REMEDY = 'start the process with multiprocessing.get_context("spawn")'


class Process:
    """What this process has done with gRPC.

    gRPC prepares its channels for a fork, but neither servers nor the channels of asyncio: what
    they leave in the child makes new channels hang and the end of the process crash.
    """

    def __init__(self) -> None:
        self.unfit_to_fork = ""
        self.unfit = ""
        self.calling: Counter[int] = Counter()
        """Calls under way by the threads that wait for them."""
        self._called = ""
        os.register_at_fork(before=self._before_fork, after_in_child=self._after_fork)

    def _before_fork(self) -> None:
        others = [thread for thread in list(self.calling) if thread != threading.get_ident()]
        self._called = "one in which another thread called an oracle meanwhile" if others else ""

    def _after_fork(self) -> None:
        self.unfit = self.unfit or self.unfit_to_fork or self._called
        self.calling.clear()


_THIS = Process()


@contextmanager
def calling() -> Iterator[None]:
    """Note that this thread waits for a call: what a fork by another leaves of it hangs."""
    thread = threading.get_ident()
    _THIS.calling[thread] += 1
    try:
        yield
    finally:
        _THIS.calling[thread] -= 1
        if not _THIS.calling[thread]:
            del _THIS.calling[thread]


def make_unfit() -> None:
    """Note that a child that is forked from now on cannot use gRPC."""
    _THIS.unfit_to_fork = "one that has used an embedded server or the asyncio client"


def require_grpc() -> None:
    """Raise if this process was forked from one whose gRPC does not survive that."""
    if _THIS.unfit:
        raise OracleError(
            f"this process was forked from {_THIS.unfit}, so that gRPC does not work in it; "
            f"{_REMEDY}"
        )


def require_process(process: int, address: str) -> None:
    """Raise unless this is the process that made a client."""
    if os.getpid() != process:
        require_grpc()
        raise OracleError(
            f"this client of {address} was made before the process forked and works in the parent "
            "only; connect again in this process"
        )
