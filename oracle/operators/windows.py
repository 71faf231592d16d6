"""Windows that slide over places of one to three axes: which places each of them holds.

A place is a number, that of an entry in row-major order; what lies in the padding has the number
behind the last. The table of a window has a row for each of its positions, and a column for each
place of the kernel; that of the reverse has a row for each place, and the position in which it is
under each place of the kernel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.attributes import require_one_of, wholes
from oracle.operators.operator import Shape
from oracle.values import Array, InvalidInput

LOWEST = -(2.0**120)
"""What the padding holds for a maximum."""


@dataclass(frozen=True)
class Windows:
    """A kernel that slides: places of the input and the output, and both tables."""

    input: Shape
    output: Shape
    kernel: Shape
    forth: Array
    back: Array

    @property
    def places(self) -> int:
        """Number of places of the input, and that of the padding."""
        return math.prod(self.input)

    @property
    def positions(self) -> int:
        """Number of places of the output."""
        return math.prod(self.output)

    @classmethod
    def of(
        cls,
        input: Shape,
        output: Shape,
        kernel: Shape,
        *,
        strides: Shape,
        dilations: Shape,
        pads: Shape,
    ) -> Windows:
        """Return the windows of a kernel; `pads` are those before each axis."""
        forth: Array = np.zeros((1, 1), dtype=np.int64)
        back: Array = np.zeros((1, 1), dtype=np.int64)
        inside: Array = np.ones((1, 1), dtype=bool)
        covered: Array = np.ones((1, 1), dtype=bool)
        for n, m, k, stride, dilation, before in zip(
            input, output, kernel, strides, dilations, pads, strict=True
        ):
            steps = np.arange(k) * dilation - before
            at = np.arange(m)[:, np.newaxis] * stride + steps
            forth, inside = _joined(forth, at, n), _both(inside, (at >= 0) & (at < n))
            ahead = np.arange(n)[:, np.newaxis] - steps
            to, whole = ahead // stride, ahead % stride == 0
            back, covered = _joined(back, to, m), _both(covered, whole & (to >= 0) & (to < m))
        places, positions = math.prod(input), math.prod(output)
        return cls(
            input,
            output,
            kernel,
            np.where(inside, forth, places),
            np.where(covered, back, positions),
        )


def _joined(table: Array, at: Array, length: int) -> Array:
    """Return the places of one axis more."""
    joined = table[:, np.newaxis, :, np.newaxis] * length + at[np.newaxis, :, np.newaxis, :]
    return joined.reshape(table.shape[0] * at.shape[0], -1)


def _both(mask: Array, other: Array) -> Array:
    joined = mask[:, np.newaxis, :, np.newaxis] & other[np.newaxis, :, np.newaxis, :]
    return joined.reshape(mask.shape[0] * other.shape[0], -1)


def gathered(xp: Numbers, x: Number, table: Array, groups: int) -> Number:
    """Return x (N, C, places) as (groups, C / groups · kernel, N · positions); padding is zero."""
    N, C, _ = x.shape
    zero = xp.exact(np.zeros((N, C, 1)))
    cols = xp.take(xp.concat([x, zero], 2), table, 2)
    cols = xp.reshape(cols, (N, groups, C // groups, *table.shape))
    rows, kernel = table.shape
    turned = xp.transpose(cols, (1, 2, 4, 0, 3))
    return xp.reshape(turned, (groups, C // groups * kernel, N * rows))


def by_group(xp: Numbers, x: Number, groups: int) -> Number:
    """Return x (N, C, places) as (groups, C / groups, N · places)."""
    N, C, L = x.shape
    turned = xp.transpose(xp.reshape(x, (N, groups, C // groups, L)), (1, 2, 0, 3))
    return xp.reshape(turned, (groups, C // groups, N * L))


def from_groups(xp: Numbers, y: Number, N: int, shape: Shape) -> Number:
    """Return (groups, C / groups, N · places) as (N, C, *shape)."""
    groups, each, _ = y.shape
    split = xp.transpose(xp.reshape(y, (groups, each, N, -1)), (2, 0, 1, 3))
    return xp.reshape(split, (N, groups * each, *shape))


def flat(xp: Numbers, x: Number) -> Number:
    """Return x (N, C, D1, ...) as (N, C, places)."""
    return xp.reshape(x, (*x.shape[:2], math.prod(x.shape[2:])))


@dataclass(frozen=True)
class Geometry:
    """Strides, dilations and pads of the axes: those before all of them, then those behind."""

    strides: Shape
    dilations: Shape
    pads: Shape


def geometry(
    spatial: Shape,
    kernel: Shape,
    auto_pad: str,
    dilations: Any,
    pads: Any,
    strides: Any,
) -> Geometry:
    """Return the geometry that attributes give for an input of this shape.

    Raises
    ------
    InvalidInput
        If one is no list of as many whole numbers, or pads are given twice.
    """
    d = len(spatial)
    require_one_of("auto_pad", auto_pad, ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"))
    stride = wholes("strides", strides, (1,) * d, 1)
    dilation = wholes("dilations", dilations, (1,) * d, 1)
    pad = wholes("pads", pads, (0,) * (2 * d), 0)
    if auto_pad != "NOTSET" and any(pad):
        raise InvalidInput("pads", "be left out where auto_pad is set", str(list(pad)))
    if auto_pad.startswith("SAME"):
        before, behind = [], []
        for n, k, s, g in zip(spatial, kernel, stride, dilation, strict=True):
            total = max(0, (-(-n // s) - 1) * s + (k - 1) * g + 1 - n)
            less, more = total // 2, total - total // 2
            before.append(less if auto_pad == "SAME_UPPER" else more)
            behind.append(more if auto_pad == "SAME_UPPER" else less)
        pad = (*before, *behind)
    return Geometry(stride, dilation, pad)


def slid(spatial: Shape, kernel: Shape, found: Geometry, ceil: bool = False) -> Shape:
    """Return the shape of the positions of a kernel.

    Raises
    ------
    InvalidInput
        If the kernel is larger than the padded input.
    """
    d = len(spatial)
    shape = []
    for k in range(d):
        before, behind = found.pads[k], found.pads[d + k]
        free = spatial[k] + before + behind - found.dilations[k] * (kernel[k] - 1) - 1
        if free < 0:
            was = f"axis {k + 2} of {spatial[k]}"
            raise InvalidInput("pads", "make the input no smaller than the kernel", was)
        count = (-(-free // found.strides[k]) if ceil else free // found.strides[k]) + 1
        if ceil and (count - 1) * found.strides[k] >= spatial[k] + before:
            count -= 1
        shape.append(count)
    return tuple(shape)


def windows(spatial: Shape, output: Shape, kernel: Shape, found: Geometry) -> Windows:
    """Return the windows of a kernel over an input of this shape."""
    return Windows.of(
        spatial,
        output,
        kernel,
        strides=found.strides,
        dilations=found.dilations,
        pads=found.pads[: len(spatial)],
    )


def require_places(name: str, X: Shape) -> None:
    """Raise unless an input has one to three axes of places.

    Raises
    ------
    InvalidInput
        If it has not, or one of them is empty.
    """
    if not 3 <= len(X) <= 5:
        raise InvalidInput(name, "have shape (N, C, D1), (N, C, D1, D2) or with D3", f"shape {X}")
    if 0 in X[1:]:
        raise InvalidInput(name, "have channels and places", f"shape {X}")
