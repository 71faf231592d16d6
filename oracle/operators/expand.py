"""Expand (ONNX 13): the input repeated to the shape to which it and `shape` broadcast.

    d input = d output, summed over what was repeated

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.broadcasting import not_summed
from oracle.operators.operator import (
    Case,
    Shape,
    Signature,
    broadcast,
    constant,
    whole_numbers,
)
from oracle.values import Array, Float64, InvalidInput

SIGNATURE = Signature(
    "Expand", inputs=("input", constant("shape")), outputs=("output",), version=13
)


def shapes(X: Shape, shape: Array) -> Sequence[Shape]:
    """Return the shape to which both broadcast."""
    wanted = whole_numbers("shape", shape)
    if min(wanted, default=0) < 0:
        raise InvalidInput("shape", "hold lengths, none below 0", str(list(wanted)))
    return (broadcast(input=X, shape=wanted),)


def value(xp: Numbers, X: Number, shape: Array) -> Number:
    """Return the input repeated."""
    return xp.broadcast_to(X, shapes(X.shape, shape)[0])


def vjp(xp: Numbers, dY: Number, X: Number, shape: Array) -> dict[str, Number]:
    """Return dY summed to the shape of the input."""
    return {"input": xp.unbroadcast(dY, X.shape)}


def _same(xp: Numbers, dY: Float64, X: Float64, shape: Array) -> Float64:
    return dY


SLIPS = not_summed("input", _same, 0, "dX")


def draw(rng: np.random.Generator) -> Case:
    """Return a tensor that is repeated along one axis, a new one, or both."""
    X, shape = (((5, 1), [5, 4]), ((5,), [3, 5]), ((5, 1), [3, 1, 4]))[int(rng.integers(3))]
    return Case({"input": rng.normal(size=X), "shape": np.array(shape, dtype=np.int64)})
