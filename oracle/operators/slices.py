"""Slice (ONNX 13): output = data[starts:ends:steps] along axes; all axes if none are named.

    d data = d output where it was taken from, 0 elsewhere

Negative starts and ends count from the end; steps may be negative.

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import (
    Case,
    Shape,
    Signature,
    Slip,
    axes_from,
    constant,
    optional_constant,
    whole_numbers,
)
from oracle.values import Array, Float64, InvalidInput

SIGNATURE = Signature(
    "Slice",
    inputs=(
        "data",
        constant("starts"),
        constant("ends"),
        optional_constant("axes"),
        optional_constant("steps"),
    ),
    outputs=("output",),
    version=13,
)


def _slices(
    shape: Shape, starts: Array, ends: Array, axes: Array | None, steps: Array | None
) -> list[slice]:
    """Return one slice for each axis."""
    first, last = whole_numbers("starts", starts), whole_numbers("ends", ends)
    by = [1] * len(first) if steps is None else whole_numbers("steps", steps)
    over = axes_from("axes", np.arange(len(first)) if axes is None else axes, len(shape))
    for name, given in (("ends", last), ("axes", over), ("steps", by)):
        if len(given) != len(first):
            requirement = f"hold {len(first)} numbers, as `starts` does"
            raise InvalidInput(name, requirement, str(len(given)))
    if 0 in by:
        raise InvalidInput("steps", "not be 0", str(list(by)))
    found = [slice(0, n, 1) for n in shape]
    for axis, start, end, step in zip(over, first, last, by, strict=True):
        found[axis] = _within(shape[axis], start, end, step)
    return found


def _within(length: int, start: int, end: int, step: int) -> slice:
    """Return a slice whose ends are inside of the axis, or None before its first entry."""
    begin, stop, by = slice(start, end, step).indices(length)
    return slice(begin, None if stop < 0 else stop, by)


def shapes(
    data: Shape,
    starts: Array,
    ends: Array,
    axes: Array | None = None,
    steps: Array | None = None,
) -> Sequence[Shape]:
    """Return the lengths of the slices."""
    pairs = zip(_slices(data, starts, ends, axes, steps), data, strict=True)
    return (tuple(len(range(*one.indices(n))) for one, n in pairs),)


def value(
    xp: Numbers,
    data: Number,
    starts: Array,
    ends: Array,
    axes: Array | None = None,
    steps: Array | None = None,
) -> Number:
    """Return the part."""
    return xp.part(data, _slices(data.shape, starts, ends, axes, steps))


def vjp(
    xp: Numbers,
    dY: Number,
    data: Number,
    starts: Array,
    ends: Array,
    axes: Array | None = None,
    steps: Array | None = None,
) -> dict[str, Number]:
    """Return zeros, but for dY in the part."""
    return {"data": xp.placed(dY, data.shape, _slices(data.shape, starts, ends, axes, steps))}


def _slip(code: str, says: str, change: Callable[[slice, int, int], slice]) -> Slip:
    """Return the slip of somebody who puts dY elsewhere; the length of a slice comes second."""

    def wrong(
        xp: Numbers,
        dY: Float64,
        data: Float64,
        starts: Array,
        ends: Array,
        axes: Array | None = None,
        steps: Array | None = None,
    ) -> dict[str, Number]:
        own = _slices(data.shape, starts, ends, axes, steps)
        pairs = zip(own, dY.shape, data.shape, strict=True)
        there = [change(one, n, length) for one, n, length in pairs]
        return {"data": xp.placed(dY, data.shape, there)}

    return Slip(code, says, wrong, "Put dY where it was taken: dX[starts:ends:steps] = dY.")


def _moved(one: slice, n: int, length: int) -> slice:
    """Return a slice one entry further, or one entry before where there is none."""
    places = np.arange(one.start, one.start + n * one.step, one.step)
    by = 1 if places.max(initial=0) + 1 < length else -1
    if not n or places.min() + by < 0:
        return one
    end = one.start + by + n * one.step
    return slice(one.start + by, None if end < 0 else end, one.step)


SLIPS = (
    _slip(
        "wrong_part", "the gradient is put at the first entries", lambda one, n, length: slice(n)
    ),
    _slip(
        "wrong_part",
        "the gradient is put at the last entries",
        lambda one, n, length: slice(length - n, length),
    ),
    _slip("off_by_one", "the gradient is put one entry beside its place", _moved),
    _slip(
        "wrong_part",
        "the step is missing where the gradient is put back",
        lambda one, n, length: slice(min(one.start, length - n), min(one.start, length - n) + n),
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return a part of a matrix, whose steps are 1, more, or negative."""
    cases = (
        ([1, -6], [4, -1], None, None),
        ([1], [8], [1], [2]),
        ([-3, 1], [-9, 6], [1, 0], [-2, 2]),
    )
    named = dict(zip(("starts", "ends", "axes", "steps"), cases[int(rng.integers(3))], strict=True))
    given = {n: None if v is None else np.array(v, dtype=np.int64) for n, v in named.items()}
    return Case({"data": rng.normal(size=(6, 9)), **given})
