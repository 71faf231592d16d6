"""Where (ONNX 16): output = X where the condition is true, Y elsewhere; all broadcast.

    dX = d output where the condition is true, dY = d output elsewhere, each summed back

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.broadcasting import not_summed, wrong_partials
from oracle.operators.operator import Case, Shape, Signature, broadcast, constant
from oracle.values import Array, InvalidInput

SIGNATURE = Signature(
    "Where", inputs=(constant("condition"), "X", "Y"), outputs=("output",), version=16
)


def shapes(condition: Array, X: Shape, Y: Shape) -> Sequence[Shape]:
    """Return the shape to which all broadcast."""
    if condition.dtype != bool:
        raise InvalidInput("condition", "hold truth values", str(condition.dtype))
    return (broadcast(condition=condition.shape, X=X, Y=Y),)


def value(xp: Numbers, condition: Array, X: Number, Y: Number) -> Number:
    """Return X or Y."""
    return xp.where(condition, X, Y)


def _by_x(xp: Numbers, dZ: Number, condition: Array, X: Number, Y: Number) -> Number:
    return xp.where(condition, dZ, 0.0)


def _by_y(xp: Numbers, dZ: Number, condition: Array, X: Number, Y: Number) -> Number:
    return xp.where(condition, 0.0, dZ)


def vjp(
    xp: Numbers, dZ: Number, condition: Array, X: Number, Y: Number
) -> dict[str, Callable[[], Number]]:
    """Return dX and dY."""
    return {
        "X": lambda: xp.unbroadcast(_by_x(xp, dZ, condition, X, Y), X.shape),
        "Y": lambda: xp.unbroadcast(_by_y(xp, dZ, condition, X, Y), Y.shape),
    }


_REMEDY = "Write dX = np.where(condition, dZ, 0) and dY = np.where(condition, 0, dZ)."

SLIPS = (
    *wrong_partials(
        "X",
        _REMEDY,
        ("wrong_mask", "the condition is missing in the gradient of X", lambda xp, dZ, c, X, Y: dZ),
        ("wrong_mask", "the gradient of X has the mask of Y", _by_y),
        place=1,
    ),
    *wrong_partials(
        "Y",
        _REMEDY,
        ("wrong_mask", "the condition is missing in the gradient of Y", lambda xp, dZ, c, X, Y: dZ),
        ("wrong_mask", "the gradient of Y has the mask of X", _by_x),
        place=2,
    ),
    *not_summed("X", _by_x, 1, "dX"),
    *not_summed("Y", _by_y, 2, "dY"),
)


def draw(rng: np.random.Generator) -> Case:
    """Return tensors of which some broadcast."""
    X, Y = (((7, 5), (5,)), ((1, 5), (7, 1)), ((7, 5), (7, 5)))[int(rng.integers(3))]
    condition = rng.random(size=(7, 5)) < 0.5
    return Case({"condition": condition, "X": rng.normal(size=X), "Y": rng.normal(size=Y)})
