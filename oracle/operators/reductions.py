"""What the operators that reduce axes have in common: which axes, and the way back."""

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
    flag_of,
    optional_constant,
)
from oracle.values import Array, Float64

ATTRIBUTES = {"keepdims": 1, "noop_with_empty_axes": 0}

Reduce = Callable[[Numbers, Number, tuple[int, ...]], Number]
"""(xp, data, axes) to what is left, in which the axes have length 1."""

Factor = Callable[[Numbers, Number, tuple[int, ...]], Number]
"""(xp, data, axes) to the derivative of what is left by each entry."""


def signature(name: str, version: int) -> Signature:
    """Return the signature that all of them have."""
    inputs = ("data", optional_constant("axes"))
    return Signature(
        name, inputs=inputs, outputs=("reduced",), attributes=ATTRIBUTES, version=version
    )


def over(axes: Array | None, ndim: int, noop: int = 0) -> tuple[int, ...]:
    """Return the axes that are reduced: all if none are named, or none if that is asked for."""
    if axes is None or np.size(axes) == 0:
        return () if noop else tuple(range(ndim))
    return axes_from("axes", axes, ndim)


def shapes(
    data: Shape, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> Sequence[Shape]:
    """Return the shape that is left."""
    kept = flag_of("keepdims", keepdims)
    gone = over(axes, len(data), flag_of("noop_with_empty_axes", noop_with_empty_axes))
    if kept:
        return (tuple(1 if k in gone else n for k, n in enumerate(data)),)
    return (tuple(n for k, n in enumerate(data) if k not in gone),)


def reduction(reduce: Reduce) -> Callable[..., Number]:
    """Return the value of an operator that reduces so."""

    def value(
        xp: Numbers,
        data: Number,
        axes: Array | None = None,
        *,
        keepdims: int,
        noop_with_empty_axes: int,
    ) -> Number:
        gone = over(axes, data.ndim, noop_with_empty_axes)
        kept = reduce(xp, data, gone)
        if keepdims:
            return kept
        return xp.reshape(kept, [n for k, n in enumerate(kept.shape) if k not in gone])

    return value


def spread_back(factor: Factor | None = None) -> Callable[..., Any]:
    """Return the vjp whose cotangent is spread over the axes, and multiplied by a factor."""

    def vjp(
        xp: Numbers,
        dR: Number,
        data: Number,
        axes: Array | None = None,
        *,
        keepdims: int,
        noop_with_empty_axes: int,
    ) -> dict[str, Number]:
        gone = over(axes, data.ndim, noop_with_empty_axes)
        wide = xp.broadcast_to(xp.reshape(dR, kept_shape(data.shape, gone)), data.shape)
        return {"data": wide if factor is None else wide * factor(xp, data, gone)}

    return vjp


def kept_shape(shape: Shape, gone: Sequence[int]) -> Shape:
    """Return a shape in which some axes have length 1."""
    return tuple(1 if k in gone else n for k, n in enumerate(shape))


def count(shape: Shape, gone: Sequence[int]) -> float:
    """Return how many entries are reduced to one."""
    return float(np.prod([shape[k] for k in gone]))


def wrong_factors(remedy: str, *wrong: tuple[str, str, Factor]) -> tuple[Slip, ...]:
    """Return the slips of people who multiply by another factor: code, what it is, and how."""
    return tuple(Slip(code, says, spread_back(factor), remedy) for code, says, factor in wrong)


def along(factor: Factor | None = None) -> tuple[Slip, ...]:
    """Return the slips of people who lay the cotangent out along the wrong axes."""

    def laid(order: Callable[[Float64, Shape], Float64]) -> Callable[..., dict[str, Number]]:
        def vjp(
            xp: Numbers,
            dR: Float64,
            data: Float64,
            axes: Array | None = None,
            *,
            noop_with_empty_axes: int,
            **_: Any,
        ) -> dict[str, Number]:
            gone = over(axes, data.ndim, noop_with_empty_axes)
            wide = order(dR.reshape(kept_shape(data.shape, gone)), data.shape)
            return {"data": wide if factor is None else wide * factor(xp, data, gone)}

        return vjp

    remedy = "Put the reduced axes back with length 1, then broadcast dY to the shape of data."
    return (
        Slip(
            "wrong_axis",
            "the gradient is repeated in row-major order, not along the axes that were reduced",
            laid(np.resize),
            remedy,
        ),
        Slip(
            "broadcast_not_summed",
            "the gradient reaches only the first entry along the axes that were reduced",
            laid(_first),
            remedy,
        ),
    )


def _first(dR: Float64, shape: Shape) -> Float64:
    found = np.zeros(shape)
    found[tuple(slice(0, n) for n in dR.shape)] = dR
    return found


def draw(rng: np.random.Generator) -> Case:
    """Return a tensor of three axes, of which one, two or all are reduced."""
    axes = [np.array([1]), np.array([-1, 0]), None, np.array([2])][int(rng.integers(4))]
    inputs = {"data": rng.normal(size=(4, 5, 3)), "axes": axes}
    return Case(inputs, {"keepdims": int(rng.integers(2))})


def lines(xp: Numbers, data: Number, gone: Sequence[int]) -> Number:
    """Return the entries of each reduction along the last axis, the kept axes before it."""
    kept = [k for k in range(data.ndim) if k not in gone]
    length = int(count(data.shape, gone))
    turned = xp.transpose(data, (*kept, *gone))
    return xp.reshape(turned, (*[data.shape[k] for k in kept], length))


def unlined(xp: Numbers, line: Number, shape: Shape, gone: Sequence[int]) -> Number:
    """Return lines in the shape that they were taken from."""
    order = [*(k for k in range(len(shape)) if k not in gone), *gone]
    turned = xp.reshape(line, [shape[k] for k in order])
    return xp.transpose(turned, [order.index(k) for k in range(len(shape))])
