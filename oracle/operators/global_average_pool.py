"""GlobalAveragePool (ONNX 22): the mean of each channel over all places.

    Y[n, c] = Σ_i X[n, c, i] / N;   dX[n, c, i] = dY[n, c] / N

Shapes: X (N, C, D1, ...); Y (N, C, 1, ...).

Reference: Lin, Chen and Yan, Network In Network, 2013; the ONNX operator specification.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Case, Shape, Signature, Slip
from oracle.values import InvalidInput

SIGNATURE = Signature("GlobalAveragePool", inputs=("X",), outputs=("Y",), version=22)


def shapes(X: Shape) -> Sequence[Shape]:
    """Return the shape of Y."""
    if len(X) < 3 or 0 in X[2:]:
        raise InvalidInput("X", "have shape (N, C, D1, ...), and places", f"shape {X}")
    return ((*X[:2], *[1] * (len(X) - 2)),)


def value(xp: Numbers, X: Number) -> Number:
    """Return Y."""
    return xp.mean(X, tuple(range(2, X.ndim)), keepdims=True)


def vjp(xp: Numbers, dY: Number, X: Number) -> dict[str, Number]:
    """Return dX."""
    return {"X": xp.broadcast_to(dY / float(math.prod(X.shape[2:])), X.shape)}


def _slip(code: str, says: str, of: Any) -> Slip:
    """Return the slip of another dX, a function of dY and X."""
    remedy = "Write dX = dY / N at every place, N the number of places."
    return Slip(code, says, lambda xp, dY, X: {"X": of(dY, X)}, remedy)


def _at(X: Any, place: int) -> Any:
    mask = np.zeros(math.prod(X.shape[2:]))
    mask[place] = 1.0
    return mask.reshape(X.shape[2:])


SLIPS = (
    _slip(
        "count_missing",
        "it is not divided by the number of places",
        lambda dY, X: np.broadcast_to(dY, X.shape),
    ),
    _slip(
        "wrong_count",
        "it is divided by the length of the last axis alone",
        lambda dY, X: np.broadcast_to(dY / X.shape[-1], X.shape),
    ),
    _slip(
        "wrong_count",
        "it is divided by places times samples",
        lambda dY, X: np.broadcast_to(dY / math.prod(X.shape[2:]) / len(X), X.shape),
    ),
    _slip("window_first", "only the first place has a gradient", lambda dY, X: dY * _at(X, 0)),
    _slip(
        "wrong_axis",
        "it is the mean over the channels",
        lambda dY, X: (
            np.broadcast_to(dY.mean(axis=1, keepdims=True), X.shape) / math.prod(X.shape[2:])
        ),
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return channels of places along two axes."""
    return Case({"X": rng.normal(size=(2, 3, 4, 5))})
