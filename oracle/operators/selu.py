"""Selu (ONNX 22): Y = gamma X where X > 0, gamma alpha (e^X - 1) elsewhere.

    dX = gamma dY where X > 0, gamma alpha e^X dY where X < 0

At X = 0 every slope between the two is right if it is the same everywhere.

Reference: Klambauer et al., Self-normalizing neural networks, 2017.
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

SIGNATURE = Signature(
    "Selu",
    inputs=("X",),
    outputs=("Y",),
    attributes={"alpha": 1.6732632423543772, "gamma": 1.0507009873554805},
    version=22,
    activation=True,
)

shapes = same_shape


def value(xp: Numbers, X: Number, *, alpha: float, gamma: float) -> Number:
    """Return gamma X, or gamma alpha (e^X - 1)."""
    below = xp.expm1(xp.minimum(X, zeros(xp, X))) * alpha
    return xp.choose(X, X, below, smooth=True) * gamma


def slope(xp: Numbers, X: Number, *, alpha: float, gamma: float) -> Number:
    """Return gamma, or gamma alpha e^X."""
    return xp.choose(X, ones(xp, X), _below(xp, X) * alpha) * gamma


def _below(xp: Numbers, X: Number) -> Number:
    return xp.exp(xp.minimum(X, zeros(xp, X)))


def _from_output(
    xp: Numbers, dY: Number, X: Number, *, alpha: float, gamma: float
) -> dict[str, Number]:
    """Return the derivative of those who keep the output: dY (Y + gamma alpha) where X < 0."""
    Y = value(xp, X, alpha=alpha, gamma=gamma)
    return {"X": dY * xp.choose(X, ones(xp, X) * gamma, Y + alpha * gamma)}


vjp = chained(slope)

WAYS = (_from_output,)

SLIPS = wrong_slopes(
    "Write dX = dY * gamma * np.where(X > 0, 1, alpha * np.exp(X)).",
    (MISSING, "the derivative of the SELU is missing", ones),
    (
        WRONG,
        "gamma is missing in the derivative",
        lambda xp, X, alpha, gamma: slope(xp, X, alpha=alpha, gamma=1.0),
    ),
    (
        WRONG,
        "gamma is missing in the derivative below 0",
        lambda xp, X, alpha, gamma: xp.choose(X, ones(xp, X) * gamma, _below(xp, X) * alpha),
    ),
    (
        WRONG,
        "gamma is missing in the derivative above 0",
        lambda xp, X, alpha, gamma: xp.choose(X, ones(xp, X), _below(xp, X) * alpha * gamma),
    ),
    (
        WRONG,
        "alpha is missing in the derivative",
        lambda xp, X, alpha, gamma: slope(xp, X, alpha=1.0, gamma=gamma),
    ),
    (
        WRONG,
        "the derivative below 0 is the output, to which gamma alpha is not added",
        lambda xp, X, alpha, gamma: xp.choose(
            X, ones(xp, X) * gamma, value(xp, X, alpha=alpha, gamma=gamma)
        ),
    ),
    (
        WRONG,
        "alpha is added to the output instead of gamma alpha",
        lambda xp, X, alpha, gamma: xp.choose(
            X, ones(xp, X) * gamma, value(xp, X, alpha=alpha, gamma=gamma) + alpha
        ),
    ),
    (
        WRONG,
        "the derivative is taken at the output of the SELU",
        lambda xp, X, alpha, gamma: slope(
            xp, value(xp, X, alpha=alpha, gamma=gamma), alpha=alpha, gamma=gamma
        ),
    ),
    (
        "other_variant",
        "the derivative is that of the ELU",
        lambda xp, X, alpha, gamma: slope(xp, X, alpha=1.0, gamma=1.0),
    ),
    (WRONG, "the derivative is that of a ReLU", lambda xp, X, alpha, gamma: xp.step(X)),
)

FAMILIES = (mixed_slopes("Selu", value),)

draw = spread
