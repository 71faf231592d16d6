"""Reciprocal (ONNX 13): Y = 1 / X, entry by entry.

    dX = -dY / X²

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.elementwise import MISSING, WRONG, ones, positive, same_shape, wrong_slopes
from oracle.operators.operator import Signature

SIGNATURE = Signature("Reciprocal", inputs=("X",), outputs=("Y",), version=13)

shapes = same_shape


def value(xp: Numbers, X: Number) -> Number:
    """Return 1 / X."""
    return 1.0 / X


def vjp(xp: Numbers, dY: Number, X: Number) -> dict[str, Number]:
    """Return -dY / X²."""
    return {"X": -(dY / (X * X))}


def _from_output(xp: Numbers, dY: Number, X: Number) -> dict[str, Number]:
    Y = 1.0 / X
    return {"X": -(dY * Y * Y)}


WAYS = (_from_output,)

SLIPS = wrong_slopes(
    "Write dX = -dY / X ** 2.",
    (MISSING, "the derivative of the reciprocal is missing", ones),
    ("sign_flipped", "the sign of -1 / X² is missing", lambda xp, X: 1.0 / (X * X)),
    (WRONG, "the square is missing in -1 / X²", lambda xp, X: -1.0 / X),
    (WRONG, "the derivative is -X², not -1 / X²", lambda xp, X: -(X * X)),
    (WRONG, "the derivative is log(X)", lambda xp, X: xp.log(X)),
)

draw = positive
