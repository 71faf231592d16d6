"""Exp (ONNX 13): output = e^input, entry by entry.

    d input = d output · output

Reference: the ONNX operator specification.
"""

from __future__ import annotations

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.elementwise import MISSING, WRONG, chained, ones, same_shape, wrong_slopes
from oracle.operators.operator import Case, Signature

SIGNATURE = Signature("Exp", inputs=("input",), outputs=("output",), version=13)

shapes = same_shape


def value(xp: Numbers, X: Number) -> Number:
    """Return e^X."""
    return xp.exp(X)


vjp = chained(value, "input")

SLIPS = wrong_slopes(
    "Write dX = dY * np.exp(X).",
    (MISSING, "the derivative of the exponential is missing", ones),
    (WRONG, "the exponential is taken twice", lambda xp, X: xp.exp(xp.exp(X))),
    (WRONG, "the derivative is X, not e^X", lambda xp, X: X),
    (WRONG, "the derivative is X e^(X - 1), as of a power", lambda xp, X: X * xp.exp(X - 1.0)),
    (WRONG, "the derivative is e^-X, not e^X", lambda xp, X: xp.exp(-X)),
    (WRONG, "the derivative is X e^X, not e^X", lambda xp, X: X * xp.exp(X)),
    (WRONG, "the derivative is e^X - 1, not e^X", lambda xp, X: xp.expm1(X)),
    name="input",
)


def draw(rng: np.random.Generator) -> Case:
    """Return inputs of both signs."""
    return Case({"input": rng.normal(size=(6, 7))})
