"""Concat (ONNX 13): the inputs one after the other along an axis.

    d input_k = the part of d concat_result where input_k is

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import (
    REQUIRED,
    Case,
    Shape,
    Signature,
    Slip,
    axis_of,
    variadic,
)
from oracle.values import Float64, InvalidInput

SIGNATURE = Signature(
    "Concat",
    inputs=(variadic("inputs"),),
    outputs=("concat_result",),
    attributes={"axis": REQUIRED},
    version=13,
)


def shapes(*inputs: Shape, axis: int) -> Sequence[Shape]:
    """Return the shape of all parts together."""
    first = inputs[0]
    place = axis_of("axis", axis, len(first))
    for k, shape in enumerate(inputs):
        others = [n for j, n in enumerate(shape) if j != place]
        if len(shape) != len(first) or others != [n for j, n in enumerate(first) if j != place]:
            requirement = f"have the shape of the first, {first}, except along axis {place}"
            raise InvalidInput("inputs", requirement, f"{shape} in place {k}")
    length = sum(shape[place] for shape in inputs)
    return (tuple(length if j == place else n for j, n in enumerate(first)),)


def value(xp: Numbers, *inputs: Number, axis: int) -> Number:
    """Return the inputs one after the other."""
    return xp.concat(inputs, axis % inputs[0].ndim)


def cut(xp: Numbers, dY: Number, lengths: Sequence[int], axis: int) -> list[Number]:
    """Return parts of these lengths, one after the other."""
    ends = np.cumsum([0, *lengths])
    return [
        xp.part(dY, [slice(a, b) if k == axis % dY.ndim else slice(None) for k in range(dY.ndim)])
        for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    ]


def vjp(xp: Numbers, dY: Number, *inputs: Number, axis: int) -> dict[str, list[Number]]:
    """Return the parts of dY."""
    return {"inputs": cut(xp, dY, [x.shape[axis] for x in inputs], axis)}


def _from_the_first(
    xp: Numbers, dY: Float64, *inputs: Float64, axis: int
) -> dict[str, list[Number]]:
    return {"inputs": [cut(xp, dY, [x.shape[axis]], axis)[0] for x in inputs]}


def _in_reverse(xp: Numbers, dY: Float64, *inputs: Float64, axis: int) -> dict[str, list[Number]]:
    lengths = [x.shape[axis] for x in inputs]
    return {"inputs": cut(xp, dY, lengths[::-1], axis)[::-1]}


def _by_memory(xp: Numbers, dY: Float64, *inputs: Float64, axis: int) -> dict[str, list[Number]]:
    flat = np.split(dY.ravel(), np.cumsum([x.size for x in inputs])[:-1])
    return {"inputs": [part.reshape(x.shape) for part, x in zip(flat, inputs, strict=True)]}


_REMEDY = "Cut dY along the axis, each part where its input was put."

SLIPS = (
    Slip(
        "wrong_part", "the part of every input begins at the first entry", _from_the_first, _REMEDY
    ),
    Slip("wrong_part", "the parts are taken in reverse order", _in_reverse, _REMEDY),
    Slip(
        "wrong_part", "the parts are cut in memory order, not along the axis", _by_memory, _REMEDY
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return three tensors that differ in their length along an axis."""
    axis = int(rng.choice([0, 1, -1]))
    sizes = [[4, 3, 5] for _ in range(3)]
    for size, length in zip(sizes, (2, 4, 3), strict=True):
        size[axis] = length
    return Case({"inputs": [rng.normal(size=size) for size in sizes]}, {"axis": axis})
