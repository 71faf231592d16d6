"""CrossEntropyError (the document): E = -1/N Σ t log(y + delta).

    dy = -dE t / (y + delta) / N

Shapes: y (K,) or (N, K); t labels (N,), or rows of the shape of y; E is a scalar.

Reference: the document, "loss functions".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Case, Shape, Signature, Slip, constant
from oracle.operators.targets import distribution, require_targets
from oracle.values import DELTA, Array, InvalidInput

SIGNATURE = Signature(
    "CrossEntropyError", inputs=("y", constant("t")), outputs=("E",), attributes={"delta": DELTA}
)


def shapes(y: Shape, t: Array, *, delta: float) -> Sequence[Shape]:
    """Return the shape of a scalar."""
    if len(y) not in (1, 2):
        raise InvalidInput("y", "have shape (N, K) or (K,)", f"shape {y}")
    require_targets(y, t)
    return ((),)


def value(xp: Numbers, y: Number, t: Array, *, delta: float) -> Number:
    """Return -1/N Σ t log(y + delta)."""
    rows = distribution(t, y.shape)
    # A class whose target is 0 counts nothing, however small its y is.
    seen = np.reshape(rows > 0, y.shape)
    logarithm = xp.log(xp.where(seen, y + delta, xp.full(y, 1.0)))
    return -(xp.sum(xp.held(rows.reshape(y.shape)) * logarithm) / float(len(rows)))


def vjp(xp: Numbers, dE: Number, y: Number, t: Array, *, delta: float) -> dict[str, Number]:
    """Return dy."""
    rows = distribution(t, y.shape)
    seen = np.reshape(rows > 0, y.shape)
    guarded = xp.where(seen, y + delta, xp.full(y, 1.0))
    return {"y": -(dE * (xp.held(rows.reshape(y.shape)) / guarded / float(len(rows))))}


def _summed(xp: Numbers, dE: Number, y: Number, t: Array, *, delta: float) -> dict[str, Number]:
    right: Any = vjp(xp, dE, y, t, delta=delta)["y"]
    return {"y": right * float(len(distribution(t, y.shape)))}


SLIPS = (
    Slip(
        "missing_batch_mean",
        "the mean over the batch is missing",
        _summed,
        "Divide by the number of samples.",
    ),
    Slip(
        "softmax_jacobian",
        "dy is y - t, which is the derivative by the scores of a softmax before this loss",
        lambda xp, dE, y, t, delta: {
            "y": dE * (y - distribution(t, y.shape).reshape(y.shape)) / len(np.atleast_2d(y))
        },
        "Write dy = -t / (y + delta) / N.",
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return probabilities of seven samples, and labels that repeat."""
    weights = np.exp(rng.normal(size=(7, 5)))
    y = weights / weights.sum(axis=1, keepdims=True)
    return Case({"y": y, "t": rng.integers(0, 5, 7)}, {"delta": float(rng.choice([DELTA, 0.01]))})
