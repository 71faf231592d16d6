"""What happens after some seconds unless something else comes first: one thread for all of it."""

from __future__ import annotations

import functools
import heapq
import itertools
import threading
import time
from collections.abc import Callable

DEAD = 1024
"""Alarms that were called off and may lie among the others, beside as many that were not."""


class Alarm:
    """One alarm."""

    __slots__ = ("_alarms", "at", "ring")

    def __init__(self, alarms: Alarms, at: float, ring: Callable[[], object]) -> None:
        self._alarms = alarms
        self.at = at
        self.ring: Callable[[], object] | None = ring

    def cancel(self) -> None:
        """Call it off, and keep nothing of what it would have done."""
        self.ring = None
        self._alarms.called_off()


class Alarms:
    """Alarms, and the thread in which they ring, one after another: each must be short."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int, Alarm]] = []
        self._numbers = itertools.count()
        self._off = 0
        threading.Thread(target=self._run, name="alarms", daemon=True).start()

    def after(self, seconds: float, ring: Callable[[], object]) -> Alarm:
        """Return an alarm that rings after so many seconds."""
        alarm = Alarm(self, time.monotonic() + seconds, ring)
        with self._changed:
            heapq.heappush(self._waiting, (alarm.at, next(self._numbers), alarm))
            if self._waiting[0][2] is alarm:
                self._changed.notify()
        return alarm

    def called_off(self) -> None:
        """Note that one of them will not ring."""
        with self._changed:
            self._off += 1
            if self._off > DEAD + len(self._waiting) // 2:
                self._waiting = [item for item in self._waiting if item[2].ring]
                heapq.heapify(self._waiting)
                self._off = 0

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting or self._waiting[0][0] > time.monotonic():
                    left = self._waiting[0][0] - time.monotonic() if self._waiting else None
                    self._changed.wait(left and min(left, threading.TIMEOUT_MAX))
                ring = heapq.heappop(self._waiting)[2].ring
            if ring is not None:
                ring()


@functools.cache
def alarms() -> Alarms:
    """Return those of this process."""
    return Alarms()
