"""Sin (ONNX 22): output = sin(input), entry by entry.

    d input = d output cos(input)

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

SIGNATURE = Signature("Sin", inputs=("input",), outputs=("output",), version=22)

shapes = same_shape


def value(xp: Numbers, X: Number) -> Number:
    """Return sin(X)."""
    return xp.sin(X)


def slope(xp: Numbers, X: Number) -> Number:
    """Return cos(X)."""
    return xp.cos(X)


vjp = chained(slope, "input")

SLIPS = wrong_slopes(
    "Write dX = dY * np.cos(X).",
    (MISSING, "the derivative of the sine is missing", ones),
    ("sign_flipped", "the derivative of the sine has the wrong sign", lambda xp, X: -xp.cos(X)),
    (WRONG, "the derivative is the sine itself", value),
    (WRONG, "the derivative of the sine is taken at its output", lambda xp, X: xp.cos(xp.sin(X))),
    (WRONG, "the derivative is X cos(X)", lambda xp, X: X * xp.cos(X)),
    (WRONG, "the angle is taken in degrees", lambda xp, X: xp.cos(X * (np.pi / 180.0))),
    name="input",
)


def draw(rng: np.random.Generator) -> Case:
    """Return inputs of both signs."""
    return spread(rng, "input")
