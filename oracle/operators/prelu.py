"""PRelu (ONNX 16): Y = X where X > 0, slope X elsewhere; the slope broadcasts to X.

    dX = dY where X > 0, slope dY where X < 0
    d slope = X dY where X < 0, summed over what was broadcast

At X = 0 every derivative by X between the two is right if it is the same everywhere.

Reference: He et al., Delving deep into rectifiers, 2015.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.broadcasting import not_summed, wrong_partials
from oracle.operators.elementwise import MISSING, WRONG, zeros
from oracle.operators.operator import Case, Shape, Signature, broadcast
from oracle.values import InvalidInput

SIGNATURE = Signature("PRelu", inputs=("X", "slope"), outputs=("Y",), version=16)


def shapes(X: Shape, slope: Shape) -> Sequence[Shape]:
    """Return the shape of X."""
    if broadcast(X=X, slope=slope) != X:
        raise InvalidInput("slope", f"broadcast to the shape of `X` {X}", f"shape {slope}")
    return (X,)


def value(xp: Numbers, X: Number, slope: Number) -> Number:
    """Return X, or slope X."""
    return xp.choose(X, X, X * slope, smooth=True)


def _by_x(xp: Numbers, dY: Number, X: Number, slope: Number) -> Number:
    return xp.choose(X, dY, dY * slope)


def _by_slope(xp: Numbers, dY: Number, X: Number, slope: Number) -> Number:
    return dY * xp.minimum(X, zeros(xp, X))


def vjp(xp: Numbers, dY: Number, X: Number, slope: Number) -> dict[str, Callable[[], Number]]:
    """Return dX, and d slope summed to its shape."""
    return {
        "X": lambda: _by_x(xp, dY, X, slope),
        "slope": lambda: xp.unbroadcast(_by_slope(xp, dY, X, slope), slope.shape),
    }


SLIPS = (
    *wrong_partials(
        "X",
        "Write dX = dY * np.where(X > 0, 1, slope).",
        (MISSING, "the derivative of the PReLU is missing", lambda xp, dY, X, slope: dY),
        (
            WRONG,
            "the derivative is that of a ReLU, 0 below 0",
            lambda xp, dY, X, slope: dY * xp.step(X),
        ),
        (
            WRONG,
            "the two slopes are exchanged",
            lambda xp, dY, X, slope: xp.choose(X, dY * slope, dY),
        ),
        (WRONG, "the slope is taken on both sides of 0", lambda xp, dY, X, slope: dY * slope),
    ),
    *wrong_partials(
        "slope",
        "Write dslope = (dY * X * (X < 0)), summed to the shape of the slope.",
        (
            WRONG,
            "the gradient of the slope counts positive inputs, too",
            lambda xp, dY, X, slope: dY * X,
        ),
        (
            WRONG,
            "the gradient of the slope counts positive inputs only",
            lambda xp, dY, X, slope: dY * xp.maximum(X, zeros(xp, X)),
        ),
        (
            WRONG,
            "the factor X is missing in the gradient of the slope",
            lambda xp, dY, X, slope: dY * xp.step(-X),
        ),
        (
            WRONG,
            "the gradient of the slope is multiplied by the slope",
            lambda xp, dY, X, slope: dY * xp.minimum(X, zeros(xp, X)) * slope,
        ),
        (
            "sign_flipped",
            "the gradient of the slope has |X| instead of X",
            lambda xp, dY, X, slope: -_by_slope(xp, dY, X, slope),
        ),
        place=1,
    ),
    *not_summed("slope", _by_slope, 1, "the gradient of the slope"),
)


def draw(rng: np.random.Generator) -> Case:
    """Return inputs of both signs, and a slope for each channel, or one for all."""
    shape = ((5, 1), (1,), (3, 5, 4))[int(rng.integers(3))]
    slope = 0.1 + 0.3 * rng.random(size=shape)
    return Case({"X": rng.normal(size=(3, 5, 4)), "slope": slope})
