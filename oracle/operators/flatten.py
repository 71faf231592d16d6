"""Flatten (ONNX 25): a matrix whose rows are the axes before `axis`, and columns the others.

    d input = d output, in the shape of the input

Reference: the ONNX operator specification.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from oracle.operators import reshaping
from oracle.operators.operator import Case, Shape, Signature
from oracle.values import InvalidInput

SIGNATURE = Signature(
    "Flatten", inputs=("input",), outputs=("output",), attributes={"axis": 1}, version=25
)


def shapes(X: Shape, *, axis: int) -> Sequence[Shape]:
    """Return (rows, columns)."""
    if not -len(X) <= axis <= len(X):
        raise InvalidInput("axis", f"be from {-len(X)} to {len(X)}", str(axis))
    split = axis + len(X) if axis < 0 else axis
    return ((math.prod(X[:split]), math.prod(X[split:])),)


value = reshaping.reshaped(shapes)
vjp = reshaping.put_back("input")

SLIPS = reshaping.slips("input", merged=True)


def draw(rng: np.random.Generator) -> Case:
    """Return a tensor of three axes, of which some are merged."""
    return Case({"input": rng.normal(size=(5, 4, 3))}, {"axis": int(rng.choice([0, 1, 2, -1]))})
