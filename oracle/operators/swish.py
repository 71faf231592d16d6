"""Swish (ONNX 24): Y = X / (1 + e^(-alpha X)), also called SiLU where alpha is 1.

    dX = dY (z + alpha X z (1 - z)),   z = 1 / (1 + e^(-alpha X))

Reference: Ramachandran, Zoph and Le, Searching for activation functions, 2017.
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
from oracle.operators.operator import Case, Signature

SIGNATURE = Signature(
    "Swish",
    inputs=("X",),
    outputs=("Y",),
    attributes={"alpha": 1.0},
    version=24,
    activation=True,
)

shapes = same_shape


def value(xp: Numbers, X: Number, *, alpha: float) -> Number:
    """Return X times the sigmoid of alpha X."""
    return X * xp.sigmoid(X * alpha)


def slope(xp: Numbers, X: Number, *, alpha: float) -> Number:
    """Return z + alpha X z (1 - z)."""
    scaled = X * alpha
    return xp.sigmoid(scaled) + scaled * xp.sigmoid_slope(scaled)


def _from_output(xp: Numbers, dY: Number, X: Number, *, alpha: float) -> dict[str, Number]:
    """Return the derivative of those who keep the output: dY (alpha Y + z (1 - alpha Y))."""
    z = xp.sigmoid(X * alpha)
    scaled = X * z * alpha
    return {"X": dY * (scaled + z * (1.0 - scaled))}


def _as_a_product(xp: Numbers, dY: Number, X: Number, *, alpha: float) -> dict[str, Number]:
    """Return dY z (1 + alpha X (1 - z))."""
    scaled = X * alpha
    z = xp.sigmoid(scaled)
    return {"X": dY * (z * (1.0 + scaled * (1.0 - z)))}


vjp = chained(slope)

WAYS = (_from_output, _as_a_product)

SLIPS = wrong_slopes(
    "Write dX = dY * (z + alpha * X * z * (1 - z)), where z is the sigmoid of alpha * X.",
    (MISSING, "the derivative of the Swish is missing", ones),
    (
        WRONG,
        "the term alpha X z (1 - z) is missing in the derivative of the Swish",
        lambda xp, X, alpha: xp.sigmoid(X * alpha),
    ),
    (
        WRONG,
        "only the derivative of the sigmoid is taken, z (1 - z)",
        lambda xp, X, alpha: xp.sigmoid_slope(X * alpha),
    ),
    (
        WRONG,
        "only the term alpha X z (1 - z) is left of the derivative",
        lambda xp, X, alpha: X * alpha * xp.sigmoid_slope(X * alpha),
    ),
    (
        WRONG,
        "the factor X is missing in the term X z (1 - z)",
        lambda xp, X, alpha: xp.sigmoid(X * alpha) + xp.sigmoid_slope(X * alpha) * alpha,
    ),
    (
        WRONG,
        "alpha is missing in the term alpha X z (1 - z)",
        lambda xp, X, alpha: xp.sigmoid(X * alpha) + X * xp.sigmoid_slope(X * alpha),
    ),
    (
        "other_variant",
        "alpha is taken to be 1",
        lambda xp, X, alpha: slope(xp, X, alpha=1.0),
    ),
    (
        WRONG,
        "the term alpha X z (1 - z) is subtracted",
        lambda xp, X, alpha: xp.sigmoid(X * alpha) - X * alpha * xp.sigmoid_slope(X * alpha),
    ),
    (
        WRONG,
        "the derivative has z (1 + X z) instead of z (1 + X (1 - z))",
        lambda xp, X, alpha: xp.sigmoid(X * alpha) * (1.0 + alpha * value(xp, X, alpha=alpha)),
    ),
    (
        WRONG,
        "the derivative of the Swish is taken at its output",
        lambda xp, X, alpha: slope(xp, value(xp, X, alpha=alpha), alpha=alpha),
    ),
)

FAMILIES = (mixed_slopes("Swish", value),)


def draw(rng: np.random.Generator) -> Case:
    """Return inputs in the curved part and in the tails."""
    return spread(rng, alpha=float(rng.choice([0.7, 1.702])))
