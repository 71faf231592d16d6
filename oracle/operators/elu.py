"""Elu (ONNX 22): Y = X where X > 0, alpha (e^X - 1) elsewhere.

    dX = dY where X > 0, alpha e^X dY where X < 0

At X = 0 every slope between 1 and alpha is right if it is the same everywhere.

Reference: Clevert, Unterthiner and Hochreiter, Exponential linear units, 2015.
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
    zeros,
)
from oracle.operators.operator import Case, Signature

SIGNATURE = Signature(
    "Elu",
    inputs=("X",),
    outputs=("Y",),
    attributes={"alpha": 1.0},
    version=22,
    activation=True,
)

shapes = same_shape


def value(xp: Numbers, X: Number, *, alpha: float) -> Number:
    """Return X where it is positive, alpha (e^X - 1) elsewhere."""
    return xp.choose(X, X, xp.expm1(_negative(xp, X)) * alpha, smooth=True)


def slope(xp: Numbers, X: Number, *, alpha: float) -> Number:
    """Return 1 where X > 0, alpha e^X where X < 0."""
    return _below(xp, X, xp.exp(_negative(xp, X)) * alpha, smooth=alpha == 1.0)


def _negative(xp: Numbers, X: Number) -> Number:
    return xp.minimum(X, zeros(xp, X))


def _below(xp: Numbers, X: Number, of: Number, *, smooth: bool = False) -> Number:
    return xp.choose(X, ones(xp, X), of, smooth=smooth)


def _from_output(xp: Numbers, dY: Number, X: Number, *, alpha: float) -> dict[str, Number]:
    """Return the derivative of those who keep the output: dY (Y + alpha) where X < 0."""
    Y = value(xp, X, alpha=alpha)
    return {"X": dY * _below(xp, X, Y + alpha, smooth=alpha == 1.0)}


vjp = chained(slope)

WAYS = (_from_output,)

SLIPS = wrong_slopes(
    "Write dX = dY * np.where(X > 0, 1, alpha * np.exp(X)).",
    (MISSING, "the derivative of the ELU is missing", ones),
    (WRONG, "the derivative is that of a ReLU, 0 below 0", lambda xp, X, alpha: xp.step(X)),
    (
        WRONG,
        "alpha is missing in the derivative",
        lambda xp, X, alpha: _below(xp, X, xp.exp(_negative(xp, X))),
    ),
    (
        WRONG,
        "the derivative below 0 is the output, to which alpha is not added",
        lambda xp, X, alpha: _below(xp, X, value(xp, X, alpha=alpha)),
    ),
    (
        WRONG,
        "1 is added to the output instead of alpha",
        lambda xp, X, alpha: _below(xp, X, value(xp, X, alpha=alpha) + 1.0),
    ),
    (
        WRONG,
        "the derivative is alpha e^X on both sides of 0",
        lambda xp, X, alpha: xp.exp(X) * alpha,
    ),
    (
        WRONG,
        "the derivative is taken at the output of the ELU",
        lambda xp, X, alpha: slope(xp, value(xp, X, alpha=alpha), alpha=alpha),
    ),
    (
        WRONG,
        "the derivative is that of a leaky ReLU, alpha below 0",
        lambda xp, X, alpha: _below(xp, X, ones(xp, X) * alpha),
    ),
)

FAMILIES = (mixed_slopes("Elu", value),)


def draw(rng: np.random.Generator) -> Case:
    """Return inputs on both sides of 0, and an alpha that is seen."""
    return spread(rng, alpha=float(rng.choice([0.5, 0.7, 1.5])))
