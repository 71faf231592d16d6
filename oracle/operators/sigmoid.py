"""Sigmoid (ONNX 13): Y = 1 / (1 + e^-X), entry by entry.

    dX = dY Y (1 - Y)

Reference: the document, "activation functions".
"""

from __future__ import annotations

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.elementwise import chained, mixed_slopes, same_shape, spread, wrong_slope
from oracle.operators.operator import Signature

SIGNATURE = Signature("Sigmoid", inputs=("X",), outputs=("Y",), version=13)

shapes = same_shape


def value(xp: Numbers, X: Number) -> Number:
    """Return 1 / (1 + e^-X)."""
    return xp.sigmoid(X)


def slope(xp: Numbers, X: Number) -> Number:
    """Return Y (1 - Y)."""
    return xp.sigmoid_slope(X)


vjp = chained(slope)

_REMEDY = "Write dX = dY * Y * (1 - Y)."
_WRONG = "wrong_activation_derivative"


def _of_mean(Y: Number) -> Number:
    mean = Y.mean(axis=0, keepdims=True) if Y.ndim else Y
    return mean * (1.0 - mean)


SLIPS = (
    wrong_slope(
        "the derivative of the sigmoid is missing",
        lambda xp, X: xp.full(X, 1.0),
        "missing_activation_derivative",
        _REMEDY,
    ),
    wrong_slope(
        "the derivative of the sigmoid is taken at its output",
        lambda xp, X: slope(xp, value(xp, X)),
        _WRONG,
        _REMEDY,
    ),
    wrong_slope(
        "Y (1 - Y) is formed with the input in place of the output",
        lambda xp, X: X * (1.0 - X),
        _WRONG,
        _REMEDY,
    ),
    wrong_slope("the derivative is Y, not Y (1 - Y)", value, _WRONG, _REMEDY),
    wrong_slope(
        "the derivative is 1 - Y, not Y (1 - Y)", lambda xp, X: 1.0 - value(xp, X), _WRONG, _REMEDY
    ),
    wrong_slope(
        "the derivative is Y (1 - X), with the input for the output",
        lambda xp, X: value(xp, X) * (1.0 - X),
        _WRONG,
        _REMEDY,
    ),
    wrong_slope(
        "the square of the denominator is missing in the derivative, 1 / (2 cosh X)",
        lambda xp, X: 0.5 / np.cosh(X),
        _WRONG,
        _REMEDY,
    ),
    wrong_slope(
        "the derivative is that of the mean output over the batch",
        lambda xp, X: np.broadcast_to(_of_mean(value(xp, X)), X.shape),
        _WRONG,
        _REMEDY,
    ),
    wrong_slope("the derivative is that of tanh", lambda xp, X: xp.tanh_slope(X), _WRONG, _REMEDY),
)

FAMILIES = (mixed_slopes("Sigmoid", value),)

draw = spread
