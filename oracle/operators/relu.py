"""Relu (ONNX 14): Y = max(X, 0), entry by entry.

    dX = dY [X > 0]

At X = 0 every slope from 0 to 1 is right if it is the same everywhere.

Reference: Nair and Hinton, Rectified linear units, 2010.
"""

from __future__ import annotations

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.elementwise import chained, mixed_slopes, same_shape, spread, wrong_slope
from oracle.operators.operator import Signature

SIGNATURE = Signature("Relu", inputs=("X",), outputs=("Y",), version=14)

shapes = same_shape


def value(xp: Numbers, X: Number) -> Number:
    """Return max(X, 0)."""
    return xp.choose(X, X, xp.full(X, 0.0), smooth=True)


def slope(xp: Numbers, X: Number) -> Number:
    """Return 1 where X > 0, 0 where X < 0."""
    return xp.step(X)


vjp = chained(slope)

_REMEDY = "Write dX = dY * (X > 0)."

SLIPS = (
    wrong_slope(
        "the derivative of the ReLU is missing",
        lambda xp, X: xp.full(X, 1.0),
        "missing_activation_derivative",
        _REMEDY,
    ),
    wrong_slope(
        "the derivative of the ReLU is its output",
        value,
        "wrong_activation_derivative",
        _REMEDY,
    ),
    wrong_slope(
        "the mask of the ReLU is turned round",
        lambda xp, X: 1.0 - xp.step(X),
        "wrong_activation_derivative",
        _REMEDY,
    ),
)

FAMILIES = (mixed_slopes("Relu", value),)

draw = spread
