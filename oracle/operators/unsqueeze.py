"""Unsqueeze (ONNX 25): data with new axes of length 1, at the places where the output has them.

    d data = d expanded, in the shape of data

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from oracle.operators import reshaping
from oracle.operators.operator import (
    Case,
    Shape,
    Signature,
    axes_from,
    constant,
    whole_numbers,
)
from oracle.values import Array

SIGNATURE = Signature(
    "Unsqueeze", inputs=("data", constant("axes")), outputs=("expanded",), version=25
)


def shapes(data: Shape, axes: Array) -> Sequence[Shape]:
    """Return the shape with the new axes."""
    ndim = len(data) + len(whole_numbers("axes", axes))
    new = axes_from("axes", axes, ndim)
    old = iter(data)
    return (tuple(1 if k in new else next(old) for k in range(ndim)),)


value = reshaping.reshaped(shapes)
vjp = reshaping.put_back("data")

SLIPS = reshaping.slips("data")


def draw(rng: np.random.Generator) -> Case:
    """Return a tensor that gets one or two axes."""
    axes = (np.array([0]), np.array([1, -1]), np.array([4, 0]))[int(rng.integers(3))]
    return Case({"data": rng.normal(size=(5, 4, 3)), "axes": axes})
