"""Sqrt (ONNX 13): Y = √X, entry by entry.

    dX = dY / (2 Y)

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.elementwise import (
    MISSING,
    WRONG,
    ones,
    positive,
    same_shape,
    wrong_slopes,
)
from oracle.operators.operator import Signature

SIGNATURE = Signature("Sqrt", inputs=("X",), outputs=("Y",), version=13)

shapes = same_shape


def value(xp: Numbers, X: Number) -> Number:
    """Return √X."""
    return xp.sqrt(X)


def vjp(xp: Numbers, dY: Number, X: Number) -> dict[str, Number]:
    """Return dY / (2 Y)."""
    return {"X": dY / (2.0 * xp.sqrt(X))}


def _by_power(xp: Numbers, dY: Number, X: Number) -> dict[str, Number]:
    return {"X": dY * (0.5 * xp.power(X, -0.5))}


WAYS = (_by_power,)

SLIPS = wrong_slopes(
    "Write dX = dY / (2 * np.sqrt(X)).",
    (MISSING, "the derivative of the square root is missing", ones),
    (WRONG, "the 2 is missing in 1 / (2 Y)", lambda xp, X: 1.0 / xp.sqrt(X)),
    (WRONG, "1 / (2 Y) is formed with the input instead of the output", lambda xp, X: 0.5 / X),
    (WRONG, "the derivative is Y / 2, not 1 / (2 Y)", lambda xp, X: 0.5 * xp.sqrt(X)),
    (
        WRONG,
        "the square root is taken twice in 1 / (2 Y)",
        lambda xp, X: 0.5 / xp.sqrt(xp.sqrt(X)),
    ),
    (WRONG, "the derivative is 2 Y, not 1 / (2 Y)", lambda xp, X: 2.0 * xp.sqrt(X)),
    (WRONG, "the derivative is 2 X, as of a square", lambda xp, X: 2.0 * X),
    (WRONG, "the derivative is X^(-3/2) / 2", lambda xp, X: 0.5 / (X * xp.sqrt(X))),
)

draw = positive
