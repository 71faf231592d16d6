"""LeakyRelu (ONNX 16): Y = X where X > 0, alpha X elsewhere.

    dX = dY where X > 0, alpha dY where X < 0

At X = 0 every slope between the two is right if it is the same everywhere.

Reference: Maas, Hannun and Ng, Rectifier nonlinearities improve acoustic models, 2013.
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
    "LeakyRelu",
    inputs=("X",),
    outputs=("Y",),
    attributes={"alpha": 0.01},
    version=16,
    activation=True,
)

shapes = same_shape


def value(xp: Numbers, X: Number, *, alpha: float) -> Number:
    """Return X where it is positive, alpha X elsewhere."""
    return xp.choose(X, X, X * alpha, smooth=True)


def slope(xp: Numbers, X: Number, *, alpha: float) -> Number:
    """Return 1 where X > 0, alpha where X < 0."""
    return _either(xp, X, 1.0, alpha)


def _either(xp: Numbers, X: Number, above: float, below: float) -> Number:
    one = xp.full(X, 1.0)
    return xp.choose(X, one * above, one * below)


vjp = chained(slope)

SLIPS = wrong_slopes(
    "Write dX = dY * np.where(X > 0, 1, alpha).",
    (MISSING, "the derivative of the leaky ReLU is missing", ones),
    (WRONG, "the derivative is that of a ReLU, 0 below 0", lambda xp, X, alpha: xp.step(X)),
    (WRONG, "the two slopes are exchanged", lambda xp, X, alpha: _either(xp, X, alpha, 1.0)),
    (WRONG, "the slope below 0 is -alpha", lambda xp, X, alpha: _either(xp, X, 1.0, -alpha)),
    (WRONG, "the slope is alpha on both sides of 0", lambda xp, X, alpha: ones(xp, X) * alpha),
    (WRONG, "the slope below 0 is -1", lambda xp, X, alpha: _either(xp, X, 1.0, -1.0)),
    (
        WRONG,
        "the slope below 0 is alpha X",
        lambda xp, X, alpha: xp.choose(X, ones(xp, X), X * alpha),
    ),
    (
        WRONG,
        "the slope below 0 is 1 - alpha",
        lambda xp, X, alpha: _either(xp, X, 1.0, 1.0 - alpha),
    ),
    (WRONG, "the derivative of the leaky ReLU is its output", value),
)

FAMILIES = (mixed_slopes("LeakyRelu", value),)


def draw(rng: np.random.Generator) -> Case:
    """Return inputs on both sides of 0, and a slope that is seen."""
    return spread(rng, alpha=float(rng.choice([0.01, 0.2, 0.3])))
