"""A conversation in a thread of its own, so that nobody has to wait for an f that hangs."""

from __future__ import annotations

import contextvars
import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from gradient_oracle import journal
from gradient_oracle.channel import positive
from gradient_oracle.errors import Cancelled, DeadlineExceeded
from gradient_oracle.journal import Journal
from oracle.values import Array

T = TypeVar("T")


class Departure:
    """Undoes changes to the caller's arrays once the call has timed out, and blocks more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = False
        self._undo: list[Callable[[], None]] = []

    def leave(self) -> None:
        """Undo what is changed at this moment; nothing is changed from now on."""
        with self._lock:
            self._left = True
            for undo in reversed(self._undo):
                undo()

    def require_waiting(self) -> None:
        """Raise if nobody waits."""
        if self._left:
            raise Cancelled("nobody waits for this conversation any more")

    @contextmanager
    def undoing(self, undo: Callable[[], None]) -> Iterator[None]:
        """Undo at the end of the block, or at the departure if it comes before."""
        with self._lock:
            self.require_waiting()
            self._undo.append(undo)
        try:
            yield
        finally:
            with self._lock:
                self._undo.remove(undo)
                if not self._left:
                    undo()

    def write(self, entries: Array, where: int | slice, values: Any) -> None:
        """Write entries, as long as somebody waits."""
        with self._lock:
            self.require_waiting()
            entries[where] = values


_DEPARTURE: contextvars.ContextVar[Departure] = contextvars.ContextVar("departure")


def departure() -> Departure:
    """Return the departure of the conversation in this thread; a caller in it does not depart."""
    return _DEPARTURE.get(None) or Departure()


def remembering(arguments: inspect.BoundArguments) -> Journal:
    """Give a conversation a journal that its caller keeps when it leaves."""
    kept = journal.of(arguments.arguments.get("journal"))
    arguments.arguments["journal"] = kept
    return kept


def in_daemon(
    departure: Departure, work: Callable[[], T], tell: Callable[[Callable[[], T]], None]
) -> None:
    """Work in a thread; `tell` is given there what returns the result or raises the error."""
    context = contextvars.copy_context()
    context.run(_DEPARTURE.set, departure)

    def fail(error: BaseException) -> T:
        raise error

    def run() -> None:
        try:
            result = context.run(work)
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            tell(functools.partial(fail, error))
        else:
            tell(lambda: result)

    threading.Thread(target=run, name="gradient-oracle", daemon=True).start()


def too_late(seconds: float) -> DeadlineExceeded:
    """Return the error of a conversation that has not ended in time."""
    return DeadlineExceeded(f"no result within {seconds:.3g} s: f takes too long, or hangs")


def within(seconds: Any, converse: Callable[..., T], arguments: inspect.BoundArguments) -> T:
    """Hold a conversation and wait for it, but no longer than so many seconds.

    Raises
    ------
    DeadlineExceeded
        If there is no result by then; f is left behind in its thread.
    """
    limit = positive("timeout", seconds)
    departure, done = Departure(), threading.Event()
    outcomes: list[Callable[[], T]] = []
    kept = remembering(arguments)

    def tell(outcome: Callable[[], T]) -> None:
        outcomes.append(outcome)
        done.set()

    in_daemon(departure, functools.partial(converse, *arguments.args, **arguments.kwargs), tell)
    try:
        if not done.wait(min(limit, threading.TIMEOUT_MAX)):
            raise journal.told(too_late(limit), kept)
    finally:
        departure.leave()
    return outcomes[0]()
