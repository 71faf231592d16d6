"""GatherElements (ONNX 13): along an axis, for each entry that of data which an index names.

    output[i, j] = data[indices[i, j], j] along axis 0;   ddata[k, j] = Σ_i doutput[i, j] over
    indices[i, j] = k

Shapes: indices have as many axes as data, and are no longer along the others; the output has their
shape. Negative indices count from the end.

Reference: the ONNX operator specification.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.gathering import (
    ADD,
    REPEATED,
    flat_places,
    require_indices,
    require_within,
)
from oracle.operators.operator import Case, Shape, Signature, Slip, axis_of, constant
from oracle.values import Array

SIGNATURE = Signature(
    "GatherElements",
    inputs=("data", constant("indices")),
    outputs=("output",),
    attributes={"axis": 0},
    version=13,
)


def shapes(data: Shape, indices: Array, *, axis: int) -> Sequence[Shape]:
    """Return the shape of the indices."""
    place = axis_of("axis", axis, len(data))
    require_indices(indices, data[place])
    require_within(indices, data, place)
    return (indices.shape,)


def value(xp: Numbers, data: Number, indices: Array, *, axis: int) -> Number:
    """Return the output."""
    places = flat_places(indices, data.shape, axis % data.ndim)
    taken = xp.take(xp.reshape(data, (math.prod(data.shape),)), places, 0)
    return xp.reshape(taken, indices.shape)


def _back(scatter: Any, xp: Numbers, d: Number, data: Number, indices: Array, axis: int) -> Number:
    places = flat_places(indices, data.shape, axis % data.ndim)
    found = scatter(xp.reshape(d, (places.size,)), places, math.prod(data.shape))
    return xp.reshape(found, data.shape)


def vjp(
    xp: Numbers, doutput: Number, data: Number, indices: Array, *, axis: int
) -> dict[str, Number]:
    """Return ddata."""
    return {"data": _back(xp.scatter_add, xp, doutput, data, indices, axis)}


def _slip(code: str, says: str, scatter: Any) -> Slip:
    def wrong(xp: Numbers, doutput: Any, data: Any, indices: Array, *, axis: int) -> Any:
        return {"data": _back(scatter, xp, doutput, data, indices, axis)}

    return Slip(code, says, wrong, ADD)


SLIPS = tuple(_slip(*one) for one in REPEATED)


def draw(rng: np.random.Generator) -> Case:
    """Return indices of which several are the same, and some count from the end."""
    inputs = {"data": rng.normal(size=(4, 3, 5)), "indices": rng.integers(-3, 3, (4, 7, 5))}
    return Case(inputs, {"axis": 1})
