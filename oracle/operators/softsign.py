"""Softsign (ONNX 22): output = input / (1 + |input|), entry by entry.

    d input = d output / (1 + |input|)²

Reference: Turian, Bergstra and Bengio, Quadratic features and deep architectures, 2009.
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
    "Softsign", inputs=("input",), outputs=("output",), version=22, activation=True
)

shapes = same_shape


def value(xp: Numbers, X: Number) -> Number:
    """Return X / (1 + |X|)."""
    return X / (1.0 + xp.absolute(X))


def slope(xp: Numbers, X: Number) -> Number:
    """Return 1 / (1 + |X|)²."""
    base = 1.0 + xp.absolute(X)
    return 1.0 / (base * base)


def _from_output(xp: Numbers, dY: Number, X: Number) -> dict[str, Number]:
    """Return the derivative of those who keep the output: dY (1 - |Y|)²."""
    rest = 1.0 - xp.absolute(value(xp, X))
    return {"input": dY * rest * rest}


vjp = chained(slope, "input")

WAYS = (_from_output,)

SLIPS = wrong_slopes(
    "Write dX = dY / (1 + np.abs(X)) ** 2.",
    (MISSING, "the derivative of the softsign is missing", ones),
    (
        WRONG,
        "the square is missing in 1 / (1 + |X|)²",
        lambda xp, X: 1.0 / (1.0 + xp.absolute(X)),
    ),
    (
        WRONG,
        "the absolute value is missing in 1 / (1 + |X|)²",
        lambda xp, X: 1.0 / ((1.0 + X) * (1.0 + X)),
    ),
    (WRONG, "the derivative is 1 / (1 + X²)", lambda xp, X: 1.0 / (1.0 + X * X)),
    (
        WRONG,
        "the derivative of the softsign is taken at its output",
        lambda xp, X: slope(xp, value(xp, X)),
    ),
    (
        WRONG,
        "the derivative is 1 - Y², as of a tanh's output",
        lambda xp, X: 1.0 - value(xp, X) * value(xp, X),
    ),
    (
        WRONG,
        "the derivative has the sign of X",
        lambda xp, X: xp.sign(X) * slope(xp, X),
    ),
    name="input",
)

FAMILIES = (mixed_slopes("Softsign", value, "input"),)


def draw(rng: np.random.Generator) -> Case:
    """Return inputs on both sides of 0 and in the tails."""
    return spread(rng, "input")
