"""Tanh (ONNX 13): output = tanh(input), entry by entry.

    d input = d output (1 - output²)

Reference: the ONNX operator specification.
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

SIGNATURE = Signature("Tanh", inputs=("input",), outputs=("output",), version=13, activation=True)

shapes = same_shape


def value(xp: Numbers, X: Number) -> Number:
    """Return tanh(X)."""
    return xp.tanh(X)


def slope(xp: Numbers, X: Number) -> Number:
    """Return 1 - tanh(X)²."""
    return xp.tanh_slope(X)


vjp = chained(slope, "input")

SLIPS = wrong_slopes(
    "Write dX = dY * (1 - Y * Y), where Y is the output.",
    (MISSING, "the derivative of the tanh is missing", ones),
    (WRONG, "the square is missing in 1 - Y²", lambda xp, X: 1.0 - xp.tanh(X)),
    (
        WRONG,
        "1 - Y² is formed with the input instead of the output",
        lambda xp, X: 1.0 - X * X,
    ),
    (
        WRONG,
        "the derivative of the tanh is taken at its output",
        lambda xp, X: slope(xp, xp.tanh(X)),
    ),
    (WRONG, "the derivative is 1 + Y², not 1 - Y²", lambda xp, X: 2.0 - slope(xp, X)),
    (WRONG, "the derivative is Y², not 1 - Y²", lambda xp, X: 1.0 - slope(xp, X)),
    (WRONG, "the derivative is Y, not 1 - Y²", value),
    (
        WRONG,
        "the derivative is Y (1 - Y), as of a sigmoid's output",
        lambda xp, X: xp.tanh(X) * (1.0 - xp.tanh(X)),
    ),
    (WRONG, "the derivative is Y (1 - Y²), not 1 - Y²", lambda xp, X: xp.tanh(X) * slope(xp, X)),
    (
        WRONG,
        "the square is missing in 1 / cosh(X)²",
        lambda xp, X: 2.0 / (xp.exp(X) + xp.exp(-X)),
    ),
    (WRONG, "the derivative is that of the sigmoid", lambda xp, X: xp.sigmoid_slope(X)),
    name="input",
)

FAMILIES = (mixed_slopes("Tanh", value, "input"),)


def draw(rng: np.random.Generator) -> Case:
    """Return inputs in the curved part and in the tails."""
    return spread(rng, "input")
