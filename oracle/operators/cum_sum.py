"""CumSum (ONNX 14): y_k = Σ x_j for j <= k along an axis.

    dx_j = Σ dy_k for k >= j

With `exclusive` the entry itself does not count; with `reverse` the sum runs from the end.

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
    axis_of,
    constant,
    flag_of,
    whole_numbers,
)
from oracle.values import Array, InvalidInput

SIGNATURE = Signature(
    "CumSum",
    inputs=("x", constant("axis")),
    outputs=("y",),
    attributes={"exclusive": 0, "reverse": 0},
    version=14,
)


def shapes(x: Shape, axis: Array, *, exclusive: int, reverse: int) -> Sequence[Shape]:
    """Return the shape of x."""
    flag_of("exclusive", exclusive)
    flag_of("reverse", reverse)
    _place(axis, len(x))
    return (x,)


def _place(axis: Array, ndim: int) -> int:
    named = whole_numbers("axis", axis)
    if len(named) != 1:
        raise InvalidInput("axis", "be one whole number", str(list(named)))
    return axis_of("axis", named[0], ndim)


def _summed(xp: Numbers, x: Number, axis: Array, exclusive: int, reverse: int) -> Number:
    """Return the running sums, as a product with a triangle of ones."""
    place = _place(axis, x.ndim)
    order = [*(k for k in range(x.ndim) if k != place), place]
    rows = np.arange(x.shape[place])
    counted = rows[:, np.newaxis] <= rows - exclusive
    line = xp.reshape(xp.transpose(x, order), (-1, x.shape[place]))
    total = xp.matmul(line, xp.exact((counted.T if reverse else counted) * 1.0))
    turned = xp.reshape(total, [x.shape[k] for k in order])
    return xp.transpose(turned, [order.index(k) for k in range(x.ndim)])


def value(xp: Numbers, x: Number, axis: Array, *, exclusive: int, reverse: int) -> Number:
    """Return the running sums."""
    return _summed(xp, x, axis, exclusive, reverse)


def vjp(
    xp: Numbers, dY: Number, x: Number, axis: Array, *, exclusive: int, reverse: int
) -> dict[str, Number]:
    """Return the running sums of dY from the other end."""
    return {"x": _summed(xp, dY, axis, exclusive, 1 - reverse)}


def _slip(code: str, says: str, of: Callable[..., Number]) -> Slip:
    def wrong(
        xp: Numbers, dY: Number, x: Number, axis: Array, *, exclusive: int, reverse: int
    ) -> dict[str, Number]:
        return {"x": of(xp, dY, axis, exclusive, reverse)}

    return Slip(code, says, wrong, "Sum dY from the other end: np.cumsum(dY[::-1])[::-1].")


SLIPS = (
    _slip(
        "wrong_direction",
        "the gradient is summed in the direction of the forward pass",
        _summed,
    ),
    _slip(
        "wrong_direction",
        "the gradient is not summed",
        lambda xp, dY, axis, exclusive, reverse: dY,
    ),
    _slip(
        "off_by_one",
        "the sum leaves out the entry itself where it counts, or counts it where it does not",
        lambda xp, dY, axis, exclusive, reverse: _summed(xp, dY, axis, 1 - exclusive, 1 - reverse),
    ),
    _slip(
        "wrong_direction",
        "every entry gets the sum of the whole line",
        lambda xp, dY, axis, exclusive, reverse: xp.broadcast_to(
            xp.sum(dY, _place(axis, dY.ndim), keepdims=True), dY.shape
        ),
    ),
    _slip(
        "wrong_axis",
        "the sum runs along another axis",
        lambda xp, dY, axis, exclusive, reverse: _summed(
            xp, dY, np.asarray((_place(axis, dY.ndim) + 1) % dY.ndim), exclusive, 1 - reverse
        ),
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return a matrix, along one axis or the other, in one direction or the other."""
    inputs = {"x": rng.normal(size=(5, 7)), "axis": np.asarray(int(rng.integers(2)))}
    switches = {name: int(rng.integers(2)) for name in ("exclusive", "reverse")}
    return Case(inputs, switches)
