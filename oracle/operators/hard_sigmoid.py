"""HardSigmoid (ONNX 22): Y = max(0, min(1, alpha X + beta)).

    dX = alpha dY where 0 < alpha X + beta < 1, 0 elsewhere

Where alpha X + beta is 0 or 1 every slope from 0 to alpha is right if it is the same everywhere.

Reference: Courbariaux, Bengio and David, BinaryConnect, 2015.
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
from oracle.operators.pieces import inside

SIGNATURE = Signature(
    "HardSigmoid",
    inputs=("X",),
    outputs=("Y",),
    attributes={"alpha": 0.2, "beta": 0.5},
    version=22,
    activation=True,
)

shapes = same_shape


def value(xp: Numbers, X: Number, *, alpha: float, beta: float) -> Number:
    """Return alpha X + beta, from 0 to 1."""
    return xp.maximum(xp.minimum(X * alpha + beta, ones(xp, X)), zeros(xp, X))


def slope(xp: Numbers, X: Number, *, alpha: float, beta: float) -> Number:
    """Return alpha where the output is between 0 and 1."""
    return _within(xp, X, alpha=alpha, beta=beta) * alpha


def _within(xp: Numbers, X: Number, *, alpha: float, beta: float) -> Number:
    none, one = zeros(xp, X), ones(xp, X)
    return inside(xp, X * alpha + beta, none, one, one, none, none)


vjp = chained(slope)

SLIPS = wrong_slopes(
    "Write dX = dY * alpha * ((Y > 0) & (Y < 1)).",
    (MISSING, "the derivative of the hard sigmoid is missing", ones),
    (
        WRONG,
        "alpha is missing in the derivative",
        _within,
    ),
    (
        WRONG,
        "the derivative is alpha outside of the interval, too",
        lambda xp, X, alpha, beta: ones(xp, X) * alpha,
    ),
    (
        WRONG,
        "the mask of the hard sigmoid is turned round",
        lambda xp, X, alpha, beta: ones(xp, X) * alpha - slope(xp, X, alpha=alpha, beta=beta),
    ),
    (
        WRONG,
        "the derivative is 0 below, but not above the interval",
        lambda xp, X, alpha, beta: xp.step(X * alpha + beta) * alpha,
    ),
    (
        "other_variant",
        "the derivative is that with slope 1/6, of others",
        lambda xp, X, alpha, beta: slope(xp, X, alpha=1.0 / 6.0, beta=0.5),
    ),
    (
        WRONG,
        "the interval is 0 < X < 1, of the input instead of the output",
        lambda xp, X, alpha, beta: _within(xp, X, alpha=1.0, beta=0.0) * alpha,
    ),
    (
        WRONG,
        "the derivative is Y (1 - Y), as of the sigmoid",
        lambda xp, X, alpha, beta: (
            value(xp, X, alpha=alpha, beta=beta) * (1.0 - value(xp, X, alpha=alpha, beta=beta))
        ),
    ),
)

FAMILIES = (mixed_slopes("HardSigmoid", value),)


def draw(rng: np.random.Generator) -> Case:
    """Return inputs inside and outside of the interval."""
    return spread(rng, alpha=float(rng.choice([0.2, 0.3])))
