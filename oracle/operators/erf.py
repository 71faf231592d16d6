"""Erf (ONNX 13): output = erf(input), entry by entry.

    d input = d output 2 / √π e^(-input²)

Reference: the ONNX operator specification.
"""

from __future__ import annotations

import numpy as np

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
from oracle.operators.operator import Case, Signature

SIGNATURE = Signature("Erf", inputs=("input",), outputs=("output",), version=13)

shapes = same_shape


def value(xp: Numbers, X: Number) -> Number:
    """Return erf(X)."""
    return xp.erf(X)


def slope(xp: Numbers, X: Number) -> Number:
    """Return 2 / √π e^(-X²)."""
    return xp.exp(-(X * X)) * 2.0 / xp.sqrt(xp.pi)


vjp = chained(slope, "input")

SLIPS = wrong_slopes(
    "Write dX = dY * 2 / np.sqrt(np.pi) * np.exp(-X * X).",
    (MISSING, "the derivative of the error function is missing", ones),
    (WRONG, "the factor 2 / √π is missing", lambda xp, X: xp.exp(-(X * X))),
    (WRONG, "the 2 is missing in 2 / √π", lambda xp, X: slope(xp, X) * 0.5),
    (
        WRONG,
        "the factor is that of the normal distribution, 1 / √(2π)",
        lambda xp, X: slope(xp, X) / 8.0**0.5,
    ),
    (
        WRONG,
        "the exponent is -X² / 2, not -X²",
        lambda xp, X: xp.exp(-(X * X) * 0.5) * 2.0 / xp.sqrt(xp.pi),
    ),
    (
        WRONG,
        "the square is missing in e^(-X²)",
        lambda xp, X: xp.exp(-xp.absolute(X)) * 2.0 / xp.sqrt(xp.pi),
    ),
    (
        WRONG,
        "the derivative of the error function is taken at its output",
        lambda xp, X: slope(xp, xp.erf(X)),
    ),
    (WRONG, "the derivative is 1 - Y², as of a tanh", lambda xp, X: 1.0 - xp.erf(X) * xp.erf(X)),
    name="input",
)


def draw(rng: np.random.Generator) -> Case:
    """Return inputs of both signs."""
    return spread(rng, "input")
