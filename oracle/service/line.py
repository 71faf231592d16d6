"""Who computes next: of those who wait, the caller who computes least, and has waited longest."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Line:
    """The calls that wait for a slot, and those that have one, by their callers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._standing: Counter[str] = Counter()
        self._computing: Counter[str] = Counter()
        self._served: dict[str, float] = {}
        """When each of those who stand or compute was last given a slot."""

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        with self._lock:
            return self._standing.total()

    @contextmanager
    def stand(self, caller: str) -> Iterator[None]:
        """Wait until the end of the block."""
        with self._lock:
            self._standing[caller] += 1
        try:
            yield
        finally:
            with self._lock:
                self._leave(self._standing, caller)

    def is_next(self, caller: str) -> bool:
        """Tell whether no other who waits is to compute before a caller does."""
        with self._lock:
            return self._rank(caller) <= min(map(self._rank, self._standing))

    def has_before(self, caller: str) -> bool:
        """Tell whether somebody waits who computes less than a caller who has a slot."""
        with self._lock:
            mine = self._computing[caller]
            others = (other for other in self._standing if other != caller)
            return any(self._computing[other] < mine for other in others)

    def began(self, caller: str) -> None:
        """Note that a call of a caller has a slot."""
        with self._lock:
            self._computing[caller] += 1
            self._served[caller] = time.monotonic()

    def ended(self, caller: str) -> None:
        """Note that it has none any more."""
        with self._lock:
            self._leave(self._computing, caller)

    def wait(self, seconds: float) -> None:
        """Let others go first for a moment."""
        if self.waiting > 1:
            time.sleep(seconds / 4)

    def _rank(self, caller: str) -> tuple[int, float]:
        return self._computing[caller], self._served.get(caller, 0.0)

    def _leave(self, where: Counter[str], caller: str) -> None:
        where[caller] -= 1
        if not where[caller]:
            del where[caller]
        if not (self._standing[caller] or self._computing[caller]):
            self._served.pop(caller, None)
