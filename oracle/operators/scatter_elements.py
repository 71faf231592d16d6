"""ScatterElements (ONNX 18): data, of which entries that indices name are replaced, or added to.

    output[indices[i, j], j] = updates[i, j] along axis 0
    dupdates[i, j] = doutput[indices[i, j], j]
    ddata = doutput, 0 where an entry was replaced

Where an index comes several times, the last of its updates counts, and the others have no gradient;
with reduction "add" all count, and data keeps its gradient. Other reductions are not served.

Shapes: indices and updates have one shape, as many axes as data, and are no longer along the
others.

Reference: the ONNX operator specification.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.attributes import require_one_of
from oracle.operators.gathering import flat_places, require_indices, require_within
from oracle.operators.operator import Case, Shape, Signature, Slip, axis_of, constant
from oracle.values import Array, InvalidInput

SIGNATURE = Signature(
    "ScatterElements",
    inputs=("data", constant("indices"), "updates"),
    outputs=("output",),
    attributes={"axis": 0, "reduction": "none"},
    version=18,
)


def shapes(
    data: Shape, indices: Array, updates: Shape, *, axis: int, reduction: str
) -> Sequence[Shape]:
    """Return the shape of data."""
    place = axis_of("axis", axis, len(data))
    require_indices(indices, data[place])
    require_within(indices, data, place)
    require_one_of("reduction", reduction, ("none", "add"))
    if updates != indices.shape:
        raise InvalidInput("updates", f"have the shape of indices {indices.shape}", f"{updates}")
    return (data,)


def _last(places: Array, length: int) -> Array:
    """Return for each entry of data which update counts, -1 if none does."""
    found = np.full(length, -1)
    found[places] = np.arange(places.size)
    return found


def value(
    xp: Numbers, data: Number, indices: Array, updates: Number, *, axis: int, reduction: str
) -> Number:
    """Return the output."""
    length = math.prod(data.shape)
    places = flat_places(indices, data.shape, axis % data.ndim)
    flat, new = xp.reshape(data, (length,)), xp.reshape(updates, (places.size,))
    if reduction == "add":
        return xp.reshape(flat + xp.scatter_add(new, places, length), data.shape)
    if not places.size:
        return data
    last = _last(places, length)
    found = xp.where(last >= 0, xp.take(new, np.maximum(last, 0), 0), flat)
    return xp.reshape(found, data.shape)


def vjp(
    xp: Numbers,
    doutput: Number,
    data: Number,
    indices: Array,
    updates: Number,
    *,
    axis: int,
    reduction: str,
) -> dict[str, Number]:
    """Return ddata and dupdates."""
    length = math.prod(data.shape)
    places = flat_places(indices, data.shape, axis % data.ndim)
    flat = xp.reshape(doutput, (length,))
    taken = xp.take(flat, places, 0)
    if reduction == "add":
        return {"data": doutput, "updates": xp.reshape(taken, indices.shape)}
    last = _last(places, length)
    counts = last[places] == np.arange(places.size)
    return {
        "data": xp.reshape(xp.where(last >= 0, 0.0, flat), data.shape),
        "updates": xp.reshape(xp.where(counts, taken, 0.0), indices.shape),
    }


def _everywhere(
    xp: Numbers, doutput: Any, data: Any, indices: Array, updates: Any, *, axis: int, reduction: str
) -> dict[str, Number]:
    """Return dupdates in which updates that were overwritten have a gradient too."""
    places = flat_places(indices, data.shape, axis % data.ndim)
    return {"updates": np.ravel(doutput)[places].reshape(indices.shape)}


def _kept(
    xp: Numbers, doutput: Any, data: Any, indices: Array, updates: Any, *, axis: int, reduction: str
) -> dict[str, Number]:
    return {"data": doutput}


def _replaced(
    xp: Numbers, doutput: Any, data: Any, indices: Array, updates: Any, *, axis: int, reduction: str
) -> dict[str, Number]:
    found = vjp(xp, doutput, data, indices, updates, axis=axis, reduction="none")
    return {"data": found["data"]} if reduction == "add" else {}


def _at_own_place(
    xp: Numbers, doutput: Any, data: Any, indices: Array, updates: Any, *, axis: int, reduction: str
) -> dict[str, Number]:
    part = tuple(slice(0, n) for n in indices.shape)
    own = np.zeros(indices.shape)
    held = np.asarray(doutput)[part]
    own[tuple(slice(0, n) for n in held.shape)] = held
    return {"updates": own}


SLIPS = (
    Slip(
        "duplicates_kept",
        "updates that were overwritten have a gradient",
        _everywhere,
        "Give dupdates only to the update that counts.",
    ),
    Slip(
        "replaced_entries_kept",
        "entries of data that were replaced have a gradient",
        _kept,
        "Set ddata to zero where an entry was replaced.",
    ),
    Slip(
        "added_entries_lost",
        "entries of data that were added to have no gradient",
        _replaced,
        "With reduction add, ddata is doutput.",
    ),
    Slip(
        "indices_ignored",
        "dupdates is taken at the place of the update, not of its index",
        _at_own_place,
        "Gather dupdates from doutput at the indices.",
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return indices of which several are the same, and some count from the end."""
    inputs = {
        "data": rng.normal(size=(6, 3, 4)),
        "indices": rng.integers(-6, 6, (5, 3, 4)),
        "updates": rng.normal(size=(5, 3, 4)),
    }
    return Case(inputs, {"reduction": str(rng.choice(["none", "add"]))})
