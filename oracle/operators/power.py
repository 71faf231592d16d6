"""Pow (ONNX 15): Z = X^Y, entry by entry; X and Y broadcast.

    dX = dZ Y X^(Y - 1), dY = dZ Z log X, each summed over what was broadcast

X is positive, or Y a whole number; Z then has no derivative by Y where X is negative.

Reference: the ONNX operator specification.
"""

from __future__ import annotations

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.broadcasting import not_summed, pairs, summed_back, wrong_partials
from oracle.operators.operator import Case, Shape, Signature, broadcast

SIGNATURE = Signature("Pow", inputs=("X", "Y"), outputs=("Z",), version=15)

NAMES = ("X", "Y")


def shapes(X: Shape, Y: Shape) -> tuple[Shape]:
    """Return the shape to which X and Y broadcast."""
    return (broadcast(X=X, Y=Y),)


def value(xp: Numbers, X: Number, Y: Number) -> Number:
    """Return X^Y."""
    return xp.power(X, Y)


def _by_x(xp: Numbers, dZ: Number, X: Number, Y: Number) -> Number:
    return dZ * (Y * xp.power(X, Y - 1.0))


def _by_y(xp: Numbers, dZ: Number, X: Number, Y: Number) -> Number:
    return dZ * (xp.power(X, Y) * xp.log(X))


vjp = summed_back(_by_x, _by_y, NAMES)

WAYS = (summed_back(lambda xp, dZ, X, Y: dZ * (Y * xp.power(X, Y) / X), _by_y, NAMES),)
"""By way of the output, which some keep."""

SLIPS = (
    *wrong_partials(
        "X",
        "Write dX = dZ * Y * X ** (Y - 1).",
        (
            "wrong_factor",
            "the exponent is not lowered by 1 in dX",
            lambda xp, dZ, X, Y: dZ * Y * xp.power(X, Y),
        ),
        (
            "wrong_factor",
            "the factor Y is missing in dX",
            lambda xp, dZ, X, Y: dZ * xp.power(X, Y - 1.0),
        ),
        (
            "wrong_factor",
            "the exponent is raised by 1 in dX",
            lambda xp, dZ, X, Y: dZ * Y * xp.power(X, Y + 1.0),
        ),
        ("wrong_factor", "dX is 2 X, whatever the exponent", lambda xp, dZ, X, Y: dZ * 2.0 * X),
        ("wrong_factor", "dX is Y X, whatever the exponent", lambda xp, dZ, X, Y: dZ * Y * X),
        (
            "wrong_factor",
            "dX has the factor Y - 1 instead of Y",
            lambda xp, dZ, X, Y: dZ * (Y - 1.0) * xp.power(X, Y - 1.0),
        ),
        ("wrong_factor", "dX has the formula of dY", _by_y),
        ("wrong_factor", "the derivative is missing in dX", lambda xp, dZ, X, Y: dZ),
    ),
    *wrong_partials(
        "Y",
        "Write dY = dZ * Z * np.log(X).",
        (
            "wrong_factor",
            "the logarithm is missing in dY",
            lambda xp, dZ, X, Y: dZ * xp.power(X, Y),
        ),
        (
            "wrong_factor",
            "the logarithm in dY is that of Y",
            lambda xp, dZ, X, Y: dZ * xp.power(X, Y) * xp.log(Y),
        ),
        ("wrong_factor", "the power is missing in dY", lambda xp, dZ, X, Y: dZ * xp.log(X)),
        ("wrong_factor", "dY has the formula of dX", _by_x),
        place=1,
    ),
    *not_summed("X", _by_x, 0, "dX"),
    *not_summed("Y", _by_y, 1, "dY"),
)


def draw(rng: np.random.Generator) -> Case:
    """Return positive bases and exponents."""
    return pairs(rng, NAMES, positive=True)
