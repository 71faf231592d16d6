"""Cos (ONNX 22): output = cos(input), entry by entry.

    d input = d output (-sin(input))

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

SIGNATURE = Signature("Cos", inputs=("input",), outputs=("output",), version=22)

shapes = same_shape


def value(xp: Numbers, X: Number) -> Number:
    """Return cos(X)."""
    return xp.cos(X)


def slope(xp: Numbers, X: Number) -> Number:
    """Return -sin(X)."""
    return -xp.sin(X)


vjp = chained(slope, "input")

SLIPS = wrong_slopes(
    "Write dX = -dY * np.sin(X).",
    (MISSING, "the derivative of the cosine is missing", ones),
    ("sign_flipped", "the sign of -sin(X) is missing", lambda xp, X: xp.sin(X)),
    (WRONG, "the derivative is the cosine itself", value),
    (
        WRONG,
        "the derivative of the cosine is taken at its output",
        lambda xp, X: -xp.sin(xp.cos(X)),
    ),
    (WRONG, "the derivative is -X sin(X)", lambda xp, X: -(X * xp.sin(X))),
    (WRONG, "the angle is taken in degrees", lambda xp, X: -xp.sin(X * (np.pi / 180.0))),
    name="input",
)


def draw(rng: np.random.Generator) -> Case:
    """Return inputs of both signs."""
    return spread(rng, "input")
