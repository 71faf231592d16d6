"""Sign (ONNX 13): output = 1, 0 or -1, the sign of the input.

    d input = 0

Reference: the ONNX operator specification.
"""

from __future__ import annotations

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.elementwise import chained, ones, same_shape, spread, wrong_slopes, zeros
from oracle.operators.operator import Case, Signature

SIGNATURE = Signature("Sign", inputs=("input",), outputs=("output",), version=13)

shapes = same_shape


def value(xp: Numbers, X: Number) -> Number:
    """Return the sign of X."""
    return xp.signum(X)


vjp = chained(zeros, "input")

SLIPS = wrong_slopes(
    "The sign is constant on both sides of 0: write dX = 0 * dY.",
    ("straight_through", "the gradient passes through the sign unchanged", ones),
    (
        "straight_through",
        "the gradient passes through the sign where |X| < 1",
        lambda xp, X: xp.step(1.0 - xp.absolute(X)),
    ),
    (
        "wrong_activation_derivative",
        "the derivative is the sign itself, as of the absolute value",
        value,
    ),
    name="input",
)


def draw(rng: np.random.Generator) -> Case:
    """Return inputs of both signs."""
    return spread(rng, "input")
