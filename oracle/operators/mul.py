"""Mul (ONNX 14): C = A B, entry by entry; A and B broadcast.

    dA = dC B, dB = dC A, each summed over what was broadcast

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.broadcasting import (
    not_summed,
    pairs,
    summed_back,
    two_shapes,
    wrong_partials,
)
from oracle.operators.operator import Signature

SIGNATURE = Signature("Mul", inputs=("A", "B"), outputs=("C",), version=14)

shapes = two_shapes


def value(xp: Numbers, A: Number, B: Number) -> Number:
    """Return A B."""
    return A * B


def _by_a(xp: Numbers, dC: Number, A: Number, B: Number) -> Number:
    return dC * B


def _by_b(xp: Numbers, dC: Number, A: Number, B: Number) -> Number:
    return dC * A


vjp = summed_back(_by_a, _by_b)

_OF_A, _OF_B = "Write dA = dC * B.", "Write dB = dC * A."

SLIPS = (
    *wrong_partials(
        "A",
        _OF_A,
        ("wrong_factor", "dA is formed with A instead of B", _by_b),
        ("wrong_factor", "the factor B is missing in dA", lambda xp, dC, A, B: dC),
        ("wrong_factor", "dA is formed with the product A B", lambda xp, dC, A, B: dC * A * B),
        ("wrong_factor", "dA is divided by B", lambda xp, dC, A, B: dC / B),
    ),
    *wrong_partials(
        "B",
        _OF_B,
        ("wrong_factor", "dB is formed with B instead of A", _by_a),
        ("wrong_factor", "the factor A is missing in dB", lambda xp, dC, A, B: dC),
        ("wrong_factor", "dB is formed with the product A B", lambda xp, dC, A, B: dC * A * B),
        ("wrong_factor", "dB is divided by A", lambda xp, dC, A, B: dC / A),
        place=1,
    ),
    *not_summed("A", _by_a, 0, "dA"),
    *not_summed("B", _by_b, 1, "dB"),
)

draw = pairs
