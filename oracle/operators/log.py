"""Log (ONNX 13): output = log(input), the natural logarithm, entry by entry.

    d input = d output / input

Reference: the ONNX operator specification.
"""

from __future__ import annotations

import math

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.elementwise import (
    MISSING,
    WRONG,
    ones,
    positive,
    same_shape,
    wrong_slopes,
)
from oracle.operators.operator import Case, Signature

SIGNATURE = Signature("Log", inputs=("input",), outputs=("output",), version=13)

shapes = same_shape


def value(xp: Numbers, X: Number) -> Number:
    """Return log(X)."""
    return xp.log(X)


def vjp(xp: Numbers, dY: Number, X: Number) -> dict[str, Number]:
    """Return dY / X."""
    return {"input": dY / X}


def _by_reciprocal(xp: Numbers, dY: Number, X: Number) -> dict[str, Number]:
    return {"input": dY * (1.0 / X)}


WAYS = (_by_reciprocal,)

SLIPS = wrong_slopes(
    "Write dX = dY / X.",
    (MISSING, "the derivative of the logarithm is missing", ones),
    (WRONG, "the derivative is 1 / log(X), not 1 / X", lambda xp, X: 1.0 / xp.log(X)),
    (WRONG, "the derivative is X, not 1 / X", lambda xp, X: X),
    (WRONG, "the derivative is log(X), not 1 / X", value),
    (WRONG, "the derivative is 1 / (1 + X), not 1 / X", lambda xp, X: 1.0 / (1.0 + X)),
    (WRONG, "the derivative is 1 / X², not 1 / X", lambda xp, X: 1.0 / (X * X)),
    (
        "wrong_forward",
        "the logarithm is that to base 10",
        lambda xp, X: 1.0 / (X * math.log(10.0)),
    ),
    (
        "wrong_forward",
        "the logarithm is that to base 2",
        lambda xp, X: 1.0 / (X * math.log(2.0)),
    ),
    name="input",
)


def draw(rng: np.random.Generator) -> Case:
    """Return positive inputs."""
    return positive(rng, "input")
