"""Neg (ONNX 13): Y = -X, entry by entry.

    dX = -dY

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.elementwise import ones, same_shape, spread, wrong_slopes
from oracle.operators.operator import Signature

SIGNATURE = Signature("Neg", inputs=("X",), outputs=("Y",), version=13)

shapes = same_shape


def value(xp: Numbers, X: Number) -> Number:
    """Return -X."""
    return -X


def vjp(xp: Numbers, dY: Number, X: Number) -> dict[str, Number]:
    """Return -dY."""
    return {"X": -dY}


SLIPS = wrong_slopes(
    "Write dX = -dY.",
    ("sign_flipped", "the sign of the negation is missing", ones),
)

draw = spread
