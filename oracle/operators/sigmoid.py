"""Sigmoid (ONNX 13): Y = 1 / (1 + e^-X), entry by entry.

    dX = dY Y (1 - Y)

Reference: the document, "activation functions".
"""

from __future__ import annotations

import numpy as np

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
)
from oracle.operators.operator import Signature

SIGNATURE = Signature("Sigmoid", inputs=("X",), outputs=("Y",), version=13, activation=True)

shapes = same_shape


def value(xp: Numbers, X: Number) -> Number:
    """Return 1 / (1 + e^-X)."""
    return xp.sigmoid(X)


def slope(xp: Numbers, X: Number) -> Number:
    """Return Y (1 - Y)."""
    return xp.sigmoid_slope(X)


vjp = chained(slope)


def _of_mean(xp: Numbers, X: Number) -> Number:
    Y = value(xp, X)
    mean = Y.mean(axis=0, keepdims=True) if Y.ndim else Y
    return np.broadcast_to(mean * (1.0 - mean), X.shape)


SLIPS = wrong_slopes(
    "Write dX = dY * Y * (1 - Y).",
    (MISSING, "the derivative of the sigmoid is missing", ones),
    (
        WRONG,
        "the derivative of the sigmoid is taken at its output",
        lambda xp, X: slope(xp, value(xp, X)),
    ),
    (
        WRONG,
        "Y (1 - Y) is formed with the input instead of the output",
        lambda xp, X: X * (1.0 - X),
    ),
    (WRONG, "the derivative is Y, not Y (1 - Y)", value),
    (WRONG, "the derivative is 1 - Y, not Y (1 - Y)", lambda xp, X: 1.0 - value(xp, X)),
    (WRONG, "the derivative is that of tanh", lambda xp, X: xp.tanh_slope(X)),
    (
        WRONG,
        "the derivative is Y (1 + Y), not Y (1 - Y)",
        lambda xp, X: value(xp, X) * (1.0 + value(xp, X)),
    ),
    (
        WRONG,
        "the derivative is Y² (1 - Y), not Y (1 - Y)",
        lambda xp, X: value(xp, X) * slope(xp, X),
    ),
    (
        WRONG,
        "the derivative is Y (1 - X), with the input for the output",
        lambda xp, X: value(xp, X) * (1.0 - X),
    ),
    (
        WRONG,
        "the square of the denominator is missing in the derivative, 1 / (2 cosh X)",
        lambda xp, X: 0.5 / np.cosh(X),
    ),
    (WRONG, "the derivative is that of the mean output over the batch", _of_mean),
)

FAMILIES = (mixed_slopes("Sigmoid", value),)

draw = spread
