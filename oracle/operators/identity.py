"""Identity (ONNX 25): output = input.

    d input = d output

Reference: the ONNX operator specification.
"""

from __future__ import annotations

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.elementwise import chained, ones, same_shape, spread
from oracle.operators.operator import Case, Signature

SIGNATURE = Signature("Identity", inputs=("input",), outputs=("output",), version=25)

shapes = same_shape


def value(xp: Numbers, X: Number) -> Number:
    """Return X."""
    return X


vjp = chained(ones, "input")


def draw(rng: np.random.Generator) -> Case:
    """Return any numbers."""
    return spread(rng, "input")
