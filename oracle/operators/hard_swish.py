"""HardSwish (ONNX 22): Y = X max(0, min(1, X/6 + 1/2)).

    dX = 0 where X < -3, (2 X + 3) / 6 dY where -3 < X < 3, dY where X > 3

At X = -3 and X = 3 every slope between the two is right if it is the same everywhere.

Reference: Howard et al., Searching for MobileNetV3, 2019.
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
from oracle.operators.pieces import inside

SIGNATURE = Signature("HardSwish", inputs=("X",), outputs=("Y",), version=22, activation=True)

shapes = same_shape


def value(xp: Numbers, X: Number) -> Number:
    """Return X times X/6 + 1/2, which is from 0 to 1."""
    return X * _share(xp, X)


def _share(xp: Numbers, X: Number) -> Number:
    return xp.maximum(xp.minimum((X + 3.0) / 6.0, ones(xp, X)), zeros(xp, X))


def slope(xp: Numbers, X: Number) -> Number:
    """Return 0, (2 X + 3) / 6, or 1."""
    return _between(xp, X, (2.0 * X + 3.0) / 6.0)


def _between(xp: Numbers, X: Number, within: Number) -> Number:
    end = ones(xp, X) * 3.0
    return inside(xp, X, -end, end, within, zeros(xp, X), ones(xp, X))


def _in_thirds(xp: Numbers, dY: Number, X: Number) -> dict[str, Number]:
    return {"X": dY * _between(xp, X, X / 3.0 + 0.5)}


vjp = chained(slope)

WAYS = (_in_thirds,)

SLIPS = wrong_slopes(
    "Write dX = dY * np.where(X < -3, 0, np.where(X > 3, 1, (2 * X + 3) / 6)).",
    (MISSING, "the derivative of the hard Swish is missing", ones),
    (WRONG, "the derivative of the factor X/6 + 1/2 is missing", _share),
    (
        WRONG,
        "only the derivative of the factor X/6 + 1/2 is taken",
        lambda xp, X: xp.choose(xp.absolute(X) - 3.0, zeros(xp, X), ones(xp, X) / 6.0),
    ),
    (
        WRONG,
        "the derivative has 2 X / 6 instead of (2 X + 3) / 6",
        lambda xp, X: _between(xp, X, X / 3.0),
    ),
    (
        WRONG,
        "the derivative is 0 above 3, not 1",
        lambda xp, X: slope(xp, X) - xp.step(X - 3.0),
    ),
    (
        WRONG,
        "the derivative is (2 X + 3) / 6 outside of the interval, too",
        lambda xp, X: (2.0 * X + 3.0) / 6.0,
    ),
    (
        "other_variant",
        "the derivative is that of the Swish",
        lambda xp, X: xp.sigmoid(X) + X * xp.sigmoid_slope(X),
    ),
    (
        WRONG,
        "the derivative of the hard Swish is taken at its output",
        lambda xp, X: slope(xp, value(xp, X)),
    ),
)

FAMILIES = (mixed_slopes("HardSwish", value),)

draw = spread
