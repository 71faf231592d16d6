"""Squeeze (ONNX 25): data without axes of length 1; without all of them if none are named.

    d data = d squeezed, in the shape of data

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from oracle.operators import reshaping
from oracle.operators.operator import Case, Shape, Signature, axes_from, optional_constant
from oracle.values import Array, InvalidInput

SIGNATURE = Signature(
    "Squeeze", inputs=("data", optional_constant("axes")), outputs=("squeezed",), version=25
)


def shapes(data: Shape, axes: Array | None = None) -> Sequence[Shape]:
    """Return the shape without axes of length 1."""
    if axes is None:
        return (tuple(n for n in data if n != 1),)
    gone = axes_from("axes", axes, len(data))
    if any(data[k] != 1 for k in gone):
        raise InvalidInput("axes", f"name axes of length 1 of data {data}", str(list(gone)))
    return (tuple(n for k, n in enumerate(data) if k not in gone),)


value = reshaping.reshaped(shapes)
vjp = reshaping.put_back("data")

SLIPS = reshaping.slips("data")


def draw(rng: np.random.Generator) -> Case:
    """Return a tensor with two axes of length 1, of which one or both go."""
    axes = (None, np.array([1]), np.array([-2, 1]))[int(rng.integers(3))]
    return Case({"data": rng.normal(size=(5, 1, 4, 1, 3)), "axes": axes})
