"""Pad (ONNX 25): data with entries before and after each axis, or without some of its own.

    mode constant: d data = the part of d output where data is,
                   d constant_value = Σ d output elsewhere
    mode reflect, edge, wrap: d data = Σ d output over the copies of each entry

`pads` holds how many come before each axis, then how many after; a negative one takes away.

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import (
    Case,
    Shape,
    Signature,
    Slip,
    axes_from,
    constant,
    optional,
    optional_constant,
    whole_numbers,
)
from oracle.values import Array, Float64, InvalidInput

SIGNATURE = Signature(
    "Pad",
    inputs=("data", constant("pads"), optional("constant_value"), optional_constant("axes")),
    outputs=("output",),
    attributes={"mode": "constant"},
    version=25,
)

Widths = list[tuple[int, int]]

LEAST = {"constant": 0, "reflect": 2, "edge": 1, "wrap": 1}
"""Modes, and how many entries an axis has at least that is made longer."""


def _widths(ndim: int, pads: Array, axes: Array | None) -> Widths:
    """Return for each axis how many entries come before and after."""
    over = axes_from("axes", axes, ndim)
    given = whole_numbers("pads", pads)
    if len(given) != 2 * len(over):
        requirement = f"hold {2 * len(over)} numbers, two for each axis"
        raise InvalidInput("pads", requirement, str(list(given)))
    found = [(0, 0)] * ndim
    for k, axis in enumerate(over):
        found[axis] = (given[k], given[k + len(over)])
    return found


def shapes(
    data: Shape,
    pads: Array,
    fill: Shape | None = None,
    axes: Array | None = None,
    *,
    mode: str,
) -> Sequence[Shape]:
    """Return the longer, or shorter, lengths."""
    if mode not in LEAST:
        raise InvalidInput("mode", f"be one of {', '.join(LEAST)}", repr(mode))
    if fill not in (None, (), (1,)):
        raise InvalidInput("constant_value", "be one number", f"shape {fill}")
    found = []
    for n, (before, after) in zip(data, _widths(len(data), pads, axes), strict=True):
        left = n + min(before, 0) + min(after, 0)
        if left < 0:
            raise InvalidInput("pads", f"take no more than the {n} entries", str((before, after)))
        if max(before, after) > 0 and left < LEAST[mode]:
            requirement = f"add to axes of {LEAST[mode]} entries at least in mode {mode}"
            raise InvalidInput("pads", requirement, f"{left} entries")
        found.append(n + before + after)
    return (tuple(found),)


def _copied(n: int, width: tuple[int, int], mode: str) -> Array:
    """Return which entry of an axis each entry of the output is."""
    before, after = width
    kept = np.arange(n)[max(-before, 0) : n - max(-after, 0)]
    added: Any = (max(before, 0), max(after, 0))
    return np.pad(kept, added, mode=mode)  # type: ignore[call-overload]


def _parts(data: Shape, widths: Widths) -> tuple[list[slice], list[slice]]:
    """Return which part of data is in the output, and where it is there."""
    taken = [slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(data, widths, strict=True)]
    there = [
        slice(max(a, 0), max(a, 0) + one.stop - one.start)
        for one, (a, _) in zip(taken, widths, strict=True)
    ]
    return taken, there


def _border(shape: Shape, there: Sequence[slice]) -> Array:
    """Tell where an entry is not one of data."""
    border = np.ones(shape, dtype=bool)
    border[tuple(there)] = False
    return border


def value(
    xp: Numbers,
    data: Number,
    pads: Array,
    fill: Number | None = None,
    axes: Array | None = None,
    *,
    mode: str,
) -> Number:
    """Return data with its borders."""
    widths = _widths(data.ndim, pads, axes)
    if mode != "constant":
        for axis, width in enumerate(widths):
            data = xp.take(data, _copied(data.shape[axis], width, mode), axis)
        return data
    shape = shapes(data.shape, pads, None, axes, mode=mode)[0]
    taken, there = _parts(data.shape, widths)
    inner = xp.placed(xp.part(data, taken), shape, there)
    if fill is None:
        return inner
    outer = xp.broadcast_to(xp.reshape(fill, ()), shape)
    return xp.where(_border(shape, there), outer, inner)


def _by_data(xp: Numbers, dY: Number, data: Number, widths: Widths, mode: str) -> Number:
    """Return the part of dY where data is, or the sums over the copies of its entries."""
    if mode == "constant":
        taken, there = _parts(data.shape, widths)
        return xp.placed(xp.part(dY, there), data.shape, taken)
    for axis, width in enumerate(widths):
        n = data.shape[axis]
        order = (axis, *(k for k in range(dY.ndim) if k != axis))
        summed = xp.scatter_add(xp.transpose(dY, order), _copied(n, width, mode), n)
        dY = xp.transpose(summed, [order.index(k) for k in range(dY.ndim)])
    return dY


def _by_fill(xp: Numbers, dY: Number, data: Number, widths: Widths, mode: str) -> Number:
    _, there = _parts(data.shape, widths)
    border = _border(dY.shape, there) & (mode == "constant")
    return xp.sum(xp.where(border, dY, 0.0))


def vjp(
    xp: Numbers,
    dY: Number,
    data: Number,
    pads: Array,
    fill: Number | None = None,
    axes: Array | None = None,
    *,
    mode: str,
) -> dict[str, Callable[[], Number]]:
    """Return the derivatives by data and by the constant."""
    widths = _widths(data.ndim, pads, axes)
    found = {"data": lambda: _by_data(xp, dY, data, widths, mode)}
    if fill is not None:
        shape = fill.shape
        found["constant_value"] = lambda: xp.reshape(_by_fill(xp, dY, data, widths, mode), shape)
    return found


Wrong = Callable[[Numbers, Float64, Float64, Widths, str], Float64]


def _slip(name: str, code: str, says: str, of: Wrong, remedy: str) -> Slip:
    def wrong(
        xp: Numbers,
        dY: Float64,
        data: Float64,
        pads: Array,
        fill: Float64 | None = None,
        axes: Array | None = None,
        *,
        mode: str,
    ) -> dict[str, Number]:
        if name == "constant_value" and fill is None:
            return {}
        found = of(xp, dY, data, _widths(data.ndim, pads, axes), mode)
        return {
            name: found.reshape(() if fill is None else fill.shape) if name != "data" else found
        }

    return Slip(code, says, wrong, remedy)


def _beside(xp: Numbers, dY: Float64, data: Float64, widths: Widths, mode: str) -> Float64:
    """Return the part of dY at its first entries, repeated where it is too small."""
    return np.resize(dY[tuple(slice(n) for n in data.shape)], data.shape)


_PART = "Take the part of dY where data is; where entries are copied, add what their copies get."

SLIPS = (
    _slip("data", "wrong_part", "the part of dY is taken at its first entries", _beside, _PART),
    _slip(
        "data",
        "wrong_part",
        "the widths before and after are exchanged where the gradient is cut",
        lambda xp, dY, data, widths, mode: _by_data(
            xp, dY, data, [(b, a) for a, b in widths], mode
        ),
        _PART,
    ),
    _slip(
        "data",
        "wrong_part",
        "what the copies of an entry get is lost",
        lambda xp, dY, data, widths, mode: _by_data(xp, dY, data, widths, "constant"),
        _PART,
    ),
    _slip(
        "constant_value",
        "wrong_part",
        "the gradient of the constant counts all entries, not the border alone",
        lambda xp, dY, data, widths, mode: dY.sum(),
        "Sum dY over the border.",
    ),
    _slip(
        "constant_value",
        "wrong_part",
        "the gradient of the constant counts the entries of data, not the border",
        lambda xp, dY, data, widths, mode: dY.sum() - _by_fill(xp, dY, data, widths, mode),
        "Sum dY over the border.",
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return a matrix with borders in one of the modes."""
    mode = "constant" if rng.random() < 0.5 else str(rng.choice(["reflect", "edge", "wrap"]))
    pads, axes = (([1, 2, 3, 1], None), ([2, 1], [1]), ([1, 0, 0, 2], [1, 0]))[int(rng.integers(3))]
    inputs = {
        "data": rng.normal(size=(4, 5)),
        "pads": np.array(pads, dtype=np.int64),
        "constant_value": np.asarray(0.7) if mode == "constant" else None,
        "axes": None if axes is None else np.array(axes, dtype=np.int64),
    }
    return Case(inputs, {"mode": mode})
