"""Fixed codes to the numbers of enums and back; a number that has no name here stays a number."""

from __future__ import annotations

from typing import Any


def number(enum: Any, code: str) -> Any:
    """Return the number of a code in an enum of the contract."""
    text = str(code)
    return int(text) if text.isdecimal() else enum.Value(_prefix(enum.DESCRIPTOR) + text.upper())


def number_if_named(enum: Any, code: str) -> Any:
    """Return the number of a code, or None if it is one that the enum does not hold."""
    named = _prefix(enum.DESCRIPTOR) + str(code).upper() in enum.DESCRIPTOR.values_by_name
    return number(enum, code) if named or str(code).isdecimal() else None


def name(enum: Any, number: int) -> str:
    """Return the code of a number in an enum of the contract, or else its digits."""
    return of_descriptor(enum.DESCRIPTOR, number)


def of_descriptor(enum: Any, number: int) -> str:
    """Return the code of a number: its digits if it is 0, or if only a newer contract names it.

    Examples
    --------
    >>> from oracle.gradcheck.v1 import report_pb2
    >>> name(report_pb2.Verdict, 2), name(report_pb2.Verdict, 99)
    ('fail', '99')
    """
    value = enum.values_by_number.get(number) if number else None
    return str(value.name).removeprefix(_prefix(enum)).lower() if value else str(number)


def _prefix(enum: Any) -> str:
    return str(enum.values[0].name).removesuffix("UNSPECIFIED")
