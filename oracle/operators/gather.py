"""Gather (ONNX 13): the slices of data along an axis that indices name, as an embedding does.

    output[..., i, ...] = data[..., indices_i, ...];   ddata_k = Σ of doutput_i over indices_i = k

An index may come several times. With padding_index, the slices that it names are zero, and data has
no gradient there.

Shapes: data (D0, ..., D_axis, ...), indices of any shape, from -D_axis to D_axis - 1; the output
has the shape of the indices in place of the axis.

Reference: the ONNX operator specification; padding_index as in PyTorch's embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.attributes import require_whole
from oracle.operators.gathering import ADD, REPEATED, require_indices
from oracle.operators.operator import Case, Shape, Signature, Slip, axis_of, constant
from oracle.values import Array

SIGNATURE = Signature(
    "Gather",
    inputs=("data", constant("indices")),
    outputs=("output",),
    attributes={"axis": 0, "padding_index": None},
    version=13,
    ours=("padding_index",),
)


def shapes(data: Shape, indices: Array, *, axis: int, padding_index: int | None) -> Sequence[Shape]:
    """Return the shape of the output."""
    place = axis_of("axis", axis, len(data))
    require_indices(indices, data[place])
    require_whole("padding_index", padding_index)
    return ((*data[:place], *indices.shape, *data[place + 1 :]),)


def _seen(indices: Array, length: int, padding_index: int | None) -> Array | None:
    """Return which indices are not padding, None if all are."""
    if padding_index is None or not length:
        return None
    return indices % length != padding_index % length


def _beside(seen: Array, data: Shape, place: int) -> Array:
    """Return a mask of indices in the shape in which it broadcasts to the output."""
    return seen.reshape((*seen.shape, *[1] * (len(data) - place - 1)))


def value(
    xp: Numbers, data: Number, indices: Array, *, axis: int, padding_index: int | None
) -> Number:
    """Return the output."""
    place = axis % data.ndim
    taken = xp.take(data, indices % max(data.shape[place], 1), place)
    seen = _seen(indices, data.shape[place], padding_index)
    return taken if seen is None else xp.where(_beside(seen, data.shape, place), taken, 0.0)


def _rows(xp: Numbers, d: Number, data: Shape, indices: Array, place: int) -> Number:
    """Return what flows back as rows, one for each index."""
    lead, count = tuple(range(place)), indices.ndim
    middle = tuple(range(place, place + count))
    rest = tuple(range(place + count, d.ndim))
    turned = xp.transpose(d, (*middle, *lead, *rest))
    return xp.reshape(turned, (indices.size, *data[:place], *data[place + 1 :]))


def _back(xp: Numbers, rows: Number, place: int) -> Number:
    return xp.transpose(rows, (*range(1, place + 1), 0, *range(place + 1, rows.ndim)))


def vjp(
    xp: Numbers,
    doutput: Number,
    data: Number,
    indices: Array,
    *,
    axis: int,
    padding_index: int | None,
) -> dict[str, Number]:
    """Return ddata."""
    place = axis % data.ndim
    length = data.shape[place]
    seen = _seen(indices, length, padding_index)
    if seen is not None:
        doutput = xp.where(_beside(seen, data.shape, place), doutput, 0.0)
    rows = _rows(xp, doutput, data.shape, indices, place)
    found = xp.scatter_add(rows, (indices % max(length, 1)).ravel(), length)
    return {"data": _back(xp, found, place)}


def _slip(code: str, says: str, scatter: Any) -> Slip:
    def wrong(
        xp: Numbers, doutput: Any, data: Any, indices: Array, *, axis: int, padding_index: Any
    ) -> dict[str, Number]:
        place = axis % data.ndim
        length = data.shape[place]
        seen = _seen(indices, length, padding_index)
        if seen is not None:
            doutput = np.where(_beside(seen, data.shape, place), doutput, 0.0)
        rows = _rows(xp, doutput, data.shape, indices, place)
        found = scatter(rows, (indices % max(length, 1)).ravel(), length)
        return {"data": _back(xp, found, place)}

    return Slip(code, says, wrong, ADD)


SLIPS = (
    *(_slip(*one) for one in REPEATED),
    Slip(
        "padding_row_kept",
        "the slice of padding_index has a gradient",
        lambda xp, doutput, data, indices, *, axis, padding_index: vjp(
            xp, doutput, data, indices, axis=axis, padding_index=None
        ),
        "Set the gradient of the slice of padding_index to zero.",
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return indices that repeat, of which some are padding, and some count from the end."""
    indices = rng.integers(-6, 6, (4, 5))
    indices.ravel()[rng.permutation(20)[:4]] = 2
    inputs = {"data": rng.normal(size=(3, 6, 2)), "indices": indices}
    return Case(inputs, {"axis": 1, "padding_index": 2})
