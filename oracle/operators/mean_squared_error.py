"""MeanSquaredError (the document): E = ½ Σ (y - t)², half the sum, for a batch too.

    dy = dE (y - t),   dt = -dy

Shapes: y and t have one shape; E is a scalar.

Reference: the document, "loss functions".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Case, Family, Shape, Signature, Slip
from oracle.values import InvalidInput

SIGNATURE = Signature("MeanSquaredError", inputs=("y", "t"), outputs=("E",))


def shapes(y: Shape, t: Shape) -> Sequence[Shape]:
    """Return the shape of a scalar."""
    if y != t:
        raise InvalidInput("t", f"have the shape of `y` {y}", f"shape {t}")
    return ((),)


def value(xp: Numbers, y: Number, t: Number) -> Number:
    """Return ½ Σ (y - t)²."""
    difference = y - t
    return xp.sum(difference * difference) * 0.5


def vjp(xp: Numbers, dE: Number, y: Number, t: Number) -> dict[str, Number]:
    """Return dy and dt."""
    slope = dE * (y - t)
    return {"y": slope, "t": -slope}


_REMEDY = "Write dy = y - t: the loss is half the sum of squares."

SLIPS = (
    Slip(
        "wrong_forward",
        "dy is |y - t|",
        lambda xp, dE, y, t: {"y": dE * xp.absolute(y - t)},
        _REMEDY,
    ),
    Slip(
        "wrong_forward",
        "dy is (y - t)²",
        lambda xp, dE, y, t: {"y": dE * (y - t) * (y - t)},
        _REMEDY,
    ),
    Slip(
        "wrong_forward",
        "dy is the sign of y - t",
        lambda xp, dE, y, t: {"y": dE * xp.sign(y - t)},
        _REMEDY,
    ),
    Slip(
        "softmax_jacobian",
        "dy went through the derivative of a sigmoid, y (1 - y)",
        lambda xp, dE, y, t: {"y": dE * (y - t) * y * (1.0 - y)},
        _REMEDY,
    ),
    Slip(
        "wrong_targets",
        "dy is y: the targets are missing",
        lambda xp, dE, y, t: {"y": dE * y},
        _REMEDY,
    ),
)


FAMILIES = (
    Family(
        "wrong_targets",
        "dy is {0} y - {1} t + {2}, not y - t",
        lambda xp, dE, y, t: [{"y": dE * y}, {"y": -dE * t}, {"y": dE * np.ones_like(y)}],
        _REMEDY,
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return predictions and targets of seven samples."""
    return Case({"y": rng.normal(size=(7, 5)), "t": rng.normal(size=(7, 5))})
