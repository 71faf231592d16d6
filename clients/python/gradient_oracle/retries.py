"""Waiting for a server that has no room at the moment, as long as it says and the caller waits."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from gradient_oracle.errors import OracleError, Overloaded

LONGEST = 10.0
"""Seconds between two tries at most."""


@dataclass
class Patience:
    """How long a caller still waits.

    Parameters
    ----------
    seconds : float
        For all tries together.
    """

    seconds: float
    _tries: int = 0
    _began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._began + self.seconds - time.monotonic()

    def pause(self, error: OracleError) -> float | None:
        """Return how long to wait before the next try, or None if there is none.

        A server that has no room says when it may have some. Each further time is half as long
        again, and a part of it is drawn, so that those who were refused together do not all come
        back together.
        """
        if not isinstance(error, Overloaded) or error.retry_after is None:
            return None
        seconds = min(error.retry_after * 1.5**self._tries, max(LONGEST, error.retry_after))
        self._tries += 1
        drawn = seconds * random.uniform(0.5, 1.0)  # noqa: S311 - it hides nothing
        return drawn if drawn < self.left else None
