"""Attributes that may be left out, and so have no default whose type they would have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from oracle.values import InvalidInput


def require_whole(argument: str, given: Any, least: int | None = None) -> None:
    """Raise unless an attribute is a whole number, or left out.

    Raises
    ------
    InvalidInput
        If it is not, or is below `least`.
    """
    if given is None:
        return
    if isinstance(given, bool) or not isinstance(given, int):
        raise InvalidInput(argument, "be a whole number", repr(given))
    if least is not None and given < least:
        raise InvalidInput(argument, f"be at least {least}", str(given))


def require_number(argument: str, given: Any) -> None:
    """Raise unless an attribute is a finite number, or left out.

    Raises
    ------
    InvalidInput
        If it is not.
    """
    if given is None:
        return
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise InvalidInput(argument, "be a number", repr(given))
    if not math.isfinite(given):
        raise InvalidInput(argument, "be finite", repr(given))


def wholes(
    argument: str, given: Any, default: Sequence[int], least: int, most: int = 2**31
) -> tuple[int, ...]:
    """Return a list of so many whole numbers as its default has, which stands where none is given.

    Raises
    ------
    InvalidInput
        If it is not one, or a number is below `least` or above `most`.
    """
    if given is None:
        return tuple(default)
    requirement = f"hold {len(default)} whole numbers"
    if isinstance(given, str) or not isinstance(given, Sequence) or len(given) != len(default):
        raise InvalidInput(argument, requirement, repr(given))
    for one in given:
        if isinstance(one, bool) or not isinstance(one, int):
            raise InvalidInput(argument, requirement, repr(given))
        if not least <= one <= most:
            raise InvalidInput(argument, f"hold numbers from {least} to {most}", str(one))
    return tuple(given)


def require_one_of(argument: str, given: str, known: Sequence[str]) -> None:
    """Raise unless a text is one of those that are known.

    Raises
    ------
    InvalidInput
        If it is not.
    """
    if given not in known:
        names = [f'"{one}"' for one in known]
        raise InvalidInput(argument, f"be {', '.join(names[:-1])} or {names[-1]}", repr(given))
