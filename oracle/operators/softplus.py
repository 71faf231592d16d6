"""Softplus (ONNX 22): Y = log(1 + e^X), entry by entry.

    dX = dY / (1 + e^-X)

Reference: Dugas et al., Incorporating second-order functional knowledge, 2000.
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

SIGNATURE = Signature("Softplus", inputs=("X",), outputs=("Y",), version=22, activation=True)

shapes = same_shape


def value(xp: Numbers, X: Number) -> Number:
    """Return log(1 + e^X)."""
    return xp.softplus(X)


def slope(xp: Numbers, X: Number) -> Number:
    """Return the sigmoid of X."""
    return xp.sigmoid(X)


vjp = chained(slope)

SLIPS = wrong_slopes(
    "Write dX = dY / (1 + np.exp(-X)).",
    (MISSING, "the derivative of the softplus is missing", ones),
    (
        WRONG,
        "the derivative of the softplus is taken at its output",
        lambda xp, X: slope(xp, value(xp, X)),
    ),
    (WRONG, "the derivative has e^X instead of e^-X", lambda xp, X: xp.sigmoid(-X)),
    (WRONG, "the derivative is that of the sigmoid", lambda xp, X: xp.sigmoid_slope(X)),
    (WRONG, "the derivative is that of a ReLU", lambda xp, X: xp.step(X)),
    (WRONG, "the derivative is e^X, without the quotient", lambda xp, X: xp.exp(X)),
    (WRONG, "the derivative of the softplus is its output", value),
    (WRONG, "the derivative is the tanh of X", lambda xp, X: xp.tanh(X)),
)

FAMILIES = (mixed_slopes("Softplus", value),)

draw = spread
