"""Relu (ONNX 14): Y = max(X, 0), entry by entry.

    dX = dY [X > 0]

At X = 0 every slope from 0 to 1 is right if it is the same everywhere.

Reference: Nair and Hinton, Rectified linear units, 2010.
"""

from __future__ import annotations

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.elementwise import (
    MISSING,
    WRONG,
    chained,
    mixed_slopes,
    ones,
    same_shape,
    spread,
    wrong_slopes,
    zeros,
)
from oracle.operators.operator import Signature

SIGNATURE = Signature("Relu", inputs=("X",), outputs=("Y",), version=14, activation=True)

shapes = same_shape


def value(xp: Numbers, X: Number) -> Number:
    """Return max(X, 0)."""
    return xp.maximum(X, zeros(xp, X))


def slope(xp: Numbers, X: Number) -> Number:
    """Return 1 where X > 0, 0 where X < 0."""
    return xp.step(X)


vjp = chained(slope)

SLIPS = wrong_slopes(
    "Write dX = dY * (X > 0).",
    (MISSING, "the derivative of the ReLU is missing", ones),
    (WRONG, "the derivative of the ReLU is its output", value),
    (WRONG, "the mask of the ReLU is turned round", lambda xp, X: 1.0 - xp.step(X)),
    (WRONG, "the derivative of the ReLU is the sign of X", lambda xp, X: xp.sign(X)),
)

FAMILIES = (mixed_slopes("Relu", value),)

draw = spread
