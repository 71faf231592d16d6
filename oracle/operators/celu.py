"""Celu (ONNX 12): Y = X where X > 0, alpha (e^(X / alpha) - 1) elsewhere.

    dX = dY where X > 0, e^(X / alpha) dY where X < 0

Reference: Barron, Continuously differentiable exponential linear units, 2017.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.elementwise import (
    MISSING,
    WRONG,
    chained,
    ones,
    same_shape,
    spread,
    wrong_slopes,
    zeros,
)
from oracle.operators.operator import Case, Shape, Signature
from oracle.values import InvalidInput

SIGNATURE = Signature("Celu", inputs=("X",), outputs=("Y",), attributes={"alpha": 1.0}, version=12)


def shapes(X: Shape, *, alpha: float) -> Sequence[Shape]:
    """Return the shape of the input."""
    if not alpha:
        raise InvalidInput("alpha", "not be 0", str(alpha))
    return same_shape(X)


def value(xp: Numbers, X: Number, *, alpha: float) -> Number:
    """Return X, or alpha (e^(X / alpha) - 1)."""
    below = xp.expm1(_negative(xp, X) / alpha) * alpha
    return xp.choose(X, X, below, smooth=True)


def slope(xp: Numbers, X: Number, *, alpha: float) -> Number:
    """Return 1, or e^(X / alpha)."""
    return _below(xp, X, xp.exp(_negative(xp, X) / alpha))


def _negative(xp: Numbers, X: Number) -> Number:
    return xp.minimum(X, zeros(xp, X))


def _below(xp: Numbers, X: Number, of: Number) -> Number:
    return xp.choose(X, ones(xp, X), of, smooth=True)


def _from_output(xp: Numbers, dY: Number, X: Number, *, alpha: float) -> dict[str, Number]:
    """Return the derivative of those who keep the output: dY (Y / alpha + 1) where X < 0."""
    return {"X": dY * _below(xp, X, value(xp, X, alpha=alpha) / alpha + 1.0)}


vjp = chained(slope)

WAYS = (_from_output,)

SLIPS = wrong_slopes(
    "Write dX = dY * np.where(X > 0, 1, np.exp(X / alpha)).",
    (MISSING, "the derivative of the CELU is missing", ones),
    (
        "other_variant",
        "the derivative is that of the ELU, alpha e^X below 0",
        lambda xp, X, alpha: _below(xp, X, xp.exp(_negative(xp, X)) * alpha),
    ),
    (
        WRONG,
        "alpha is missing in the derivative",
        lambda xp, X, alpha: _below(xp, X, xp.exp(_negative(xp, X))),
    ),
    (
        WRONG,
        "the derivative of the exponential is multiplied by alpha",
        lambda xp, X, alpha: _below(xp, X, xp.exp(_negative(xp, X) / alpha) * alpha),
    ),
    (
        WRONG,
        "the derivative of the exponential is divided by alpha",
        lambda xp, X, alpha: _below(xp, X, xp.exp(_negative(xp, X) / alpha) / alpha),
    ),
    (
        WRONG,
        "the derivative below 0 is the output",
        lambda xp, X, alpha: _below(xp, X, value(xp, X, alpha=alpha)),
    ),
    (WRONG, "the derivative is that of a ReLU", lambda xp, X, alpha: xp.step(X)),
)


def draw(rng: np.random.Generator) -> Case:
    """Return inputs on both sides of 0, and an alpha that is seen."""
    return spread(rng, alpha=float(rng.choice([0.5, 0.7, 1.5])))
