"""Abs (ONNX 13): Y = |X|, entry by entry.

    dX = dY sign(X)

At X = 0 every slope from -1 to 1 is right if it is the same everywhere.

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.elementwise import (
    MISSING,
    WRONG,
    chained,
    ones,
    same_shape,
    spread,
    wrong_slopes,
)
from oracle.operators.operator import Signature

SIGNATURE = Signature("Abs", inputs=("X",), outputs=("Y",), version=13)

shapes = same_shape


def value(xp: Numbers, X: Number) -> Number:
    """Return |X|."""
    return xp.absolute(X)


def slope(xp: Numbers, X: Number) -> Number:
    """Return 1 where X > 0, -1 where X < 0."""
    return xp.sign(X)


vjp = chained(slope)

SLIPS = wrong_slopes(
    "Write dX = dY * np.sign(X).",
    (MISSING, "the derivative of the absolute value is missing", ones),
    (
        "sign_flipped",
        "the derivative of the absolute value has the wrong sign",
        lambda xp, X: -xp.sign(X),
    ),
    (WRONG, "the derivative is 0, not -1, below 0", lambda xp, X: xp.step(X)),
    (WRONG, "the derivative is X, not its sign", lambda xp, X: X),
    (WRONG, "the derivative is |X|", value),
)

draw = spread
