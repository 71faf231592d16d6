"""Shares: what is there for all callers, of which one caller gets three quarters at most."""

from __future__ import annotations

import ipaddress
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from oracle.service.calls import CURRENT


class Overloaded(Exception):
    """One call more than the server takes; the message says of what."""


class Shares:
    """A number of places, or of bytes, of which each call takes some.

    Parameters
    ----------
    total : int
        How many there are.
    what : str
        What they are, "threads" say; a refusal names it.
    """

    def __init__(self, total: int, what: str) -> None:
        self.total = total
        self.each = total - total // 4
        self.what = what
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()
        self._sum = 0

    def take(self, caller: str, count: int = 1) -> None:
        """Take some for a caller.

        Raises
        ------
        Overloaded
            If there are not as many left, or the caller would hold more than its share.
        """
        with self._lock:
            if self._sum + count > self.total:
                asked = f"{count:,} more than the {self._sum:,} of {self.total:,} that are taken"
                raise Overloaded(f"too many {self.what}: {asked}; try again later")
            if self._taken[caller] + count > self.each:
                asked = f"{self._taken[caller] + count:,}, and one caller has {self.each:,} at most"
                raise Overloaded(f"too many {self.what}: {asked}; try again later")
            self._taken[caller] += count
            self._sum += count

    def give(self, caller: str, count: int = 1) -> None:
        """Give some back."""
        with self._lock:
            self._sum -= count
            self._taken[caller] -= count
            if not self._taken[caller]:
                del self._taken[caller]

    @property
    def left(self) -> int:
        """How many are left."""
        return self.total - self._sum

    @contextmanager
    def growing(self, caller: str) -> Iterator[Callable[[int], None]]:
        """Yield what takes more and more for a caller, until the end of the block."""
        taken = 0

        def hold(count: int) -> None:
            nonlocal taken
            self.take(caller, count)
            taken += count

        try:
            yield hold
        finally:
            self.give(caller, taken)

    @contextmanager
    def held(self, caller: str, count: int = 1) -> Iterator[None]:
        """Hold some for a while."""
        self.take(caller, count)
        try:
            yield
        finally:
            self.give(caller, count)


def caller_of(context: Any) -> str:
    """Return who calls: the name of its token, or its host, or a connection of this machine.

    All callers of this machine have one host, and so have those behind one that forwards them.
    """
    call = CURRENT.get(None)
    if call and call.token:
        return f"token:{call.token}"
    peer = str(context.peer())
    host = unquote(peer.partition(":")[2].rpartition(":")[0]).strip("[]")
    try:
        near = ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        near = True
    return peer if near else host
