"""Mish (ONNX 22): Y = X tanh(s), s = log(1 + e^X).

    dX = dY (tanh s + X (1 - tanh² s) / (1 + e^-X))

Reference: Misra, Mish: a self regularized non-monotonic activation function, 2019.
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
)
from oracle.operators.operator import Signature

SIGNATURE = Signature("Mish", inputs=("X",), outputs=("Y",), version=22, activation=True)

shapes = same_shape


def value(xp: Numbers, X: Number) -> Number:
    """Return X tanh(log(1 + e^X))."""
    return X * xp.tanh(xp.softplus(X))


def slope(xp: Numbers, X: Number) -> Number:
    """Return tanh s + X (1 - tanh² s) / (1 + e^-X)."""
    s = xp.softplus(X)
    return xp.tanh(s) + X * xp.tanh_slope(s) * xp.sigmoid(X)


vjp = chained(slope)

SLIPS = wrong_slopes(
    "Write dX = dY * (t + X * (1 - t * t) * sigmoid(X)), where t = tanh(softplus(X)).",
    (MISSING, "the derivative of the Mish is missing", ones),
    (
        WRONG,
        "the second term is missing in the derivative of the Mish",
        lambda xp, X: xp.tanh(xp.softplus(X)),
    ),
    (
        WRONG,
        "the derivative of the softplus is missing in the second term",
        lambda xp, X: xp.tanh(xp.softplus(X)) + X * xp.tanh_slope(xp.softplus(X)),
    ),
    (
        WRONG,
        "the derivative of the tanh is missing in the second term",
        lambda xp, X: xp.tanh(xp.softplus(X)) + X * xp.sigmoid(X),
    ),
    (
        WRONG,
        "the square is missing in 1 - tanh²",
        lambda xp, X: xp.tanh(xp.softplus(X)) + X * (1.0 - xp.tanh(xp.softplus(X))) * xp.sigmoid(X),
    ),
    (
        WRONG,
        "the factor X is missing in the second term",
        lambda xp, X: xp.tanh(xp.softplus(X)) + xp.tanh_slope(xp.softplus(X)) * xp.sigmoid(X),
    ),
    (
        WRONG,
        "only the second term is left of the derivative",
        lambda xp, X: X * xp.tanh_slope(xp.softplus(X)) * xp.sigmoid(X),
    ),
    (
        WRONG,
        "the second term is subtracted",
        lambda xp, X: 2.0 * xp.tanh(xp.softplus(X)) - slope(xp, X),
    ),
    (
        "other_variant",
        "the derivative is that of the Swish",
        lambda xp, X: xp.sigmoid(X) + X * xp.sigmoid_slope(X),
    ),
    (
        WRONG,
        "the derivative of the Mish is taken at its output",
        lambda xp, X: slope(xp, value(xp, X)),
    ),
)

FAMILIES = (mixed_slopes("Mish", value),)

draw = spread
