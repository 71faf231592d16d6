"""Transpose (ONNX 25): the axes in another order; reversed if `perm` is not given.

    transposed axis k is axis perm[k] of data;   d data has the axes of d transposed put back

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Case, Shape, Signature, Slip, axes_from
from oracle.values import Float64, InvalidInput

SIGNATURE = Signature(
    "Transpose",
    inputs=("data",),
    outputs=("transposed",),
    attributes={"perm": None},
    version=25,
)

Perm = Sequence[int] | None


def _order(perm: Perm, ndim: int) -> tuple[int, ...]:
    if perm is None:
        return tuple(reversed(range(ndim)))
    order = axes_from("perm", perm, ndim)
    if len(order) != ndim:
        raise InvalidInput("perm", f"name each of the {ndim} axes", str(list(order)))
    return order


def shapes(data: Shape, *, perm: Perm) -> Sequence[Shape]:
    """Return the lengths in the other order."""
    return (tuple(data[k] for k in _order(perm, len(data))),)


def value(xp: Numbers, data: Number, *, perm: Perm) -> Number:
    """Return the axes in another order."""
    return xp.transpose(data, _order(perm, data.ndim))


def vjp(xp: Numbers, dY: Number, data: Number, *, perm: Perm) -> dict[str, Number]:
    """Return the axes put back."""
    order = _order(perm, data.ndim)
    return {"data": xp.transpose(dY, [order.index(k) for k in range(data.ndim)])}


def _put_back(
    how: Callable[[Float64, tuple[int, ...]], Float64],
) -> Callable[..., dict[str, Number]]:
    def wrong(xp: Numbers, dY: Float64, data: Float64, *, perm: Perm) -> dict[str, Number]:
        return {"data": how(dY, _order(perm, data.ndim)).reshape(data.shape)}

    return wrong


SLIPS = (
    Slip(
        "transposed",
        "the gradient is reshaped where its axes must be put back",
        _put_back(lambda dY, order: dY),
        "Transpose dY by the inverse of perm, np.argsort(perm).",
    ),
    Slip(
        "transposed",
        "the gradient is transposed by perm itself, not by its inverse",
        _put_back(lambda dY, order: dY.transpose(order)),
        "Transpose dY by the inverse of perm, np.argsort(perm).",
    ),
    Slip(
        "transposed",
        "the axes of the gradient are reversed, not put back in their order",
        _put_back(lambda dY, order: dY.T),
        "Transpose dY by the inverse of perm, np.argsort(perm).",
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return a tensor of three axes that are turned round."""
    orders: Sequence[dict[str, list[int]]] = (
        {},
        {"perm": [1, 2, 0]},
        {"perm": [2, 0, 1]},
        {"perm": [0, 2, 1]},
    )
    return Case({"data": rng.normal(size=(4, 5, 3))}, orders[int(rng.integers(4))])
