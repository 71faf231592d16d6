"""What a call needs of memory, as far as its sizes tell, before any of it is taken.

Measured by tests/service/test_estimates.py as what a process holds at most, in bytes a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

VALUE = 24
"""Bytes for each number of a forward pass: float64, what it came from, and one result of it."""

EXACT = 256
"""Bytes for each number of an exact derivative, and of a check: values with bounds, in balls."""

TILES = 2**27
"""Bytes of a numerical gradient beside those of its parameters: its tiles."""


class TooMuchMemory(Exception):
    """A call that needs more memory than there is for one caller."""

    def __init__(self, field: str, requirement: str, was: str) -> None:
        super().__init__(f"`{field}` must {requirement}, got {was}")
        self.field = field


@dataclass(frozen=True)
class Need:
    """How many bytes a call needs, and the field of its request that most of them come from."""

    field: str = ""
    size: int = 0

    def require_at_most(self, most: int) -> None:
        """Raise if it is more than one caller gets."""
        if self.size > most:
            requirement = f"lead to at most {most:,} bytes of memory (max_memory_bytes)"
            raise TooMuchMemory(self.field, requirement, f"{self.size:,} bytes")


NOTHING = Need()
"""What a short call needs: no more than its message."""


def need(each: int, numbers: Mapping[str, int], more: int = 0) -> Need:
    """Return what so many numbers need, at so many bytes each.

    Parameters
    ----------
    each : int
        `VALUE` or `EXACT`.
    numbers : mapping of str to int
        How many numbers each field leads to.
    more : int
        Bytes beside those.
    """
    largest = max(numbers, key=numbers.__getitem__)
    return Need(largest, each * sum(numbers.values()) + more)
