"""Where calls wait for a core, and how they learn that nobody waits for them any more."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from oracle.service.alarms import alarms
from oracle.service.estimates import NOTHING, Need
from oracle.service.line import Line
from oracle.service.machine import UNLIMITED
from oracle.service.pools import Threads
from oracle.service.shares import Overloaded, Shares, caller_of

T = TypeVar("T")
R = TypeVar("R")

PATIENCE = 0.02
"""Seconds between two looks at the caller while a call waits for a slot."""


GLANCE = 0.1
"""Seconds between two looks of a server that stops at whether it is to hurry."""


SOON = 0.05
"""Seconds that a call may compute before others start beside it, though there is a free slot.

A call as short as that is mostly Python and exact arithmetic, which have one core of a process for
all their threads: two at a time hand it to and fro. Sixteen clients got 353 numerical gradients a
second (64-50-10) without this and 474 with it, and the slowest came three times as fast.
"""


TURN = 1.0
"""Seconds that a call computes before it lets one of another caller go first, who has had less."""


LAST_WORD = 0.5
"""Seconds after the end of its time in which a stream that computes ends with a status of ours."""


class Stopped(Exception):
    """A computation whose answer nobody waits for; the subclass says why."""


class CallerLeft(Stopped):
    """The caller cancelled the call or closed the connection."""


class TimeOver(Stopped):
    """The deadline of the caller, or the longest time that the server allows, has passed."""


class ServerStops(Stopped):
    """The server shuts down."""


class Calls:
    """The calls under way, each of which enters it; after `close` it raises `ServerStops`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._closed = False

    def __enter__(self) -> None:
        with self._changed:
            if self._closed:
                raise ServerStops
            self._count += 1

    def __exit__(self, *exception: object) -> None:
        with self._changed:
            self._count -= 1
            if self._closed:
                self._changed.notify_all()

    def close(self, seconds: float, hurried: Callable[[], bool] = lambda: False) -> bool:
        """Refuse new calls, wait for those under way, and tell whether there were any.

        The wait has an end when `hurried()` is true, too.
        """
        end = time.monotonic() + seconds
        with self._changed:
            self._closed = True
            found = self._count > 0
            while self._count and not hurried() and (left := end - time.monotonic()) > 0:
                self._changed.wait(min(left, GLANCE))
            return found


class SingleThreadedBlas:
    """While it is entered, BLAS computes with one thread.

    BLAS keeps one setting for the whole process, so the first to enter sets it and the last to
    leave restores it. Calls run beside each other instead: that is faster for many small products,
    and no result depends on the number of cores. threadpoolctl lets only the thread that set a
    limit lift it, so one thread does both; if the process holds a limit of its own, that one stays.
    """

    def __init__(self) -> None:
        self._controller = ThreadpoolController()
        self._owner = futures.ThreadPoolExecutor(1, "blas")
        self._lock = threading.Lock()
        self._inside = 0
        self._limit = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._owner.submit(self._set).result()

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            # When the interpreter ends, the owner takes no orders, and nothing needs restoring.
            with suppress(RuntimeError):
                if self._inside == 0:
                    self._owner.submit(self._limit.close).result()

    def _set(self) -> None:
        self._limit.enter_context(self._controller.limit(limits=1, user_api="blas"))

    def threads(self) -> int:
        """Return the threads of NumPy's BLAS while this is entered, or 0 if it is unknown."""
        with self:
            found = self._controller.select(user_api="blas").info()
        numpys = [item for item in found if "numpy" in item["filepath"]] or found
        return int(numpys[0]["num_threads"]) if numpys else 0


@functools.cache
def single_threaded_blas() -> SingleThreadedBlas:
    """Return the one of this process: two servers in it share its BLAS."""
    return SingleThreadedBlas()


def blas_name() -> str:
    """Return the name and version of the library behind NumPy, or ""."""
    config: Any = np.show_config(mode="dicts")
    blas = config.get("Build Dependencies", {}).get("blas", {})
    return f"{blas.get('name', '')} {blas.get('version', '')}".strip()


class Watchdog:
    """Cancels a call that is still inside after so many seconds."""

    def __init__(self, context: Any, seconds: float) -> None:
        self._context, self._seconds = context, seconds

    def __enter__(self) -> None:
        self._alarm = alarms().after(self._seconds, self._context.cancel)

    def __exit__(self, *exception: object) -> None:
        self._alarm.cancel()


class Slots(threading.BoundedSemaphore):
    """The slots of a gate, and how many of them are taken."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count

    @property
    def taken(self) -> int:
        """How many calls compute at this moment."""
        return self.count - self._value


class Turn:
    """One call at the gate. Calling it is the checkpoint of the computation."""

    def __init__(self, gate: Gate, context: Any, end: float) -> None:
        self.gate, self.context, self.end = gate, context, end
        self._caller = caller_of(context)
        self._computing: int | None = None
        """The thread that holds a slot, from `_since` on."""
        self._since = 0.0

    def __call__(self) -> None:
        """Raise if nobody waits for the answer any more; let others compute after a while."""
        if self.gate.stopping.is_set():
            raise ServerStops
        remaining = self.context.time_remaining()
        if time.monotonic() > self.end or (remaining is not None and remaining <= 0):
            raise TimeOver
        if not self.context.is_active():
            raise CallerLeft
        if self._computing == threading.get_ident() and time.monotonic() > self._since + TURN:
            self._since = time.monotonic()
            if self.gate.line.has_before(self._caller):
                self._give()
                self._take()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a slot, waiting for one first."""
        with self._alone():
            try:
                self._take()
                with single_threaded_blas():
                    self()
                    yield
            finally:
                self._give()

    def _take(self) -> None:
        line, slots = self.gate.line, self.gate.slots
        if line.waiting or not slots.acquire(blocking=False):
            with line.stand(self._caller):
                while not (line.is_next(self._caller) and slots.acquire(timeout=PATIENCE)):
                    self()
                    line.wait(PATIENCE)
        line.began(self._caller)
        self._computing, self._since = threading.get_ident(), time.monotonic()

    def _give(self) -> None:
        if self._computing is not None:
            self._computing = None
            self.gate.line.ended(self._caller)
            self.gate.slots.release()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let the call before end first, unless it already takes long."""
        while not (alone := self.gate.alone.acquire(timeout=PATIENCE)):
            self()
            if time.monotonic() > self.gate.alone_since + SOON:
                break
        if alone:
            self.gate.alone_since = time.monotonic()
        try:
            yield
        finally:
            if alone:
                self.gate.alone.release()

    def spread(self, compute: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return `compute` of every item, in order; whoever finds a free slot helps.

        A helper holds the slot for one item at a time, and ends when a call waits or no slot is
        free: a call that comes meanwhile waits no longer than for one item. Hold a slot to use it.
        """
        results: list[Any] = [None] * len(items)
        left = list(enumerate(items))[::-1]

        def compute_next() -> bool:
            try:
                index, item = left.pop()  # is atomic, so each is computed once
            except IndexError:
                return False
            try:
                results[index] = compute(item)
            except BaseException:
                left.clear()
                raise
            return True

        def help_out() -> None:
            # A helper that only gave its slot back would have it again before a waiting call wakes.
            while left and not self.gate.waiting and self.gate.slots.acquire(blocking=False):
                try:
                    compute_next()
                finally:
                    self.gate.slots.release()

        wanted = min(len(items) - 1, self.gate.helpers_at_most)
        helpers = [self.gate.helpers.submit(help_out) for _ in range(wanted)]
        try:
            while compute_next():
                pass
        finally:
            futures.wait(helpers)
        for helper in helpers:
            helper.result()
        return results


class Gate:
    """Lets as many calls compute as there are slots; a bounded number waits for one.

    Parameters
    ----------
    slots : int
        Calls that may compute at the same time.
    waiting : int
        Unary calls that may wait for a slot.
    streams : int
        Streams that may be open. They wait beside the unary calls, not among them, and give their
        slot away while they send.
    seconds : float
        The longest time for one call.
    memory : int
        Bytes that all calls may take together, as far as they are known before.
    """

    def __init__(
        self, slots: int, waiting: int, streams: int, seconds: float, memory: int = UNLIMITED
    ) -> None:
        self.memory = Shares(memory, "bytes of memory")
        self.slots = Slots(slots)
        self.places = threading.BoundedSemaphore(slots + waiting)
        self.streams = threading.BoundedSemaphore(streams)
        self.seconds = seconds
        self.stopping = threading.Event()
        self.alone = threading.Lock()
        self.alone_since = 0.0
        self.line = Line()
        self._places_of_each = Shares(slots + waiting, "calls that compute or wait for a core")
        self._streams_of_each = Shares(streams, "trainings")
        self.helpers_at_most = slots - 1
        self.helpers = Threads(max(1, slots - 1), "helper")

    @contextmanager
    def enter(self, context: Any, need: Need = NOTHING) -> Iterator[Turn]:
        """Hold a slot and memory for a unary call; yield its checkpoint."""
        refusal = "too many calls wait for a core; try again later"
        with (
            self._place(self.places, refusal),
            self._places_of_each.held(caller_of(context)),
            self.holding(context, need),
        ):
            turn = self.turn(context)
            with turn.slot():
                yield turn

    def holding(self, context: Any, need: Need) -> AbstractContextManager[None]:
        """Hold memory, of which one caller has a share."""
        need.require_at_most(self.memory.each)
        return self.memory.held(caller_of(context), need.size)

    @property
    def waiting(self) -> int:
        """How many calls wait for a slot."""
        return self.line.waiting

    @contextmanager
    def stream(self, context: Any, need: Need = NOTHING) -> Iterator[Turn]:
        """Hold the place of a stream; it takes `Turn.slot` whenever it computes.

        One that has to send when its time is over is cancelled: a caller that does not read would
        hold the place for ever.
        """
        refusal = "too many trainings run; try again later"
        with (
            self._place(self.streams, refusal),
            self._streams_of_each.held(caller_of(context)),
            self.holding(context, need),
            Watchdog(context, self.seconds + LAST_WORD),
        ):
            yield self.turn(context)

    def turn(self, context: Any) -> Turn:
        """Return the checkpoint of a call that holds neither a slot nor a place yet."""
        return Turn(self, context, time.monotonic() + self.seconds)

    @contextmanager
    def _place(self, places: threading.BoundedSemaphore, refusal: str) -> Iterator[None]:
        if not places.acquire(blocking=False):
            raise Overloaded(refusal)
        try:
            yield
        finally:
            places.release()
