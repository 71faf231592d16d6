"""AveragePool (ONNX 22): the mean of each window of a channel.

    Y[n, c, o] = Σ_k X[n, c, o stride + k dilation - pad] / N_o
    dX[n, c, i] = Σ_o dY[n, c, o] / N_o over the windows that hold i

N_o counts the entries of the window that are not padding, or all with count_include_pad.

Shapes: X (N, C, D1, ...) of one to three axes of places.

Reference: Dumoulin and Visin, A guide to convolution arithmetic, 2016; the ONNX specification.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Case, Shape, Signature, Slip, flag_of
from oracle.operators.pooling import ATTRIBUTES, back_under, in_windows, rows_of, windows_of
from oracle.operators.windows import Windows
from oracle.values import Float64

SIGNATURE = Signature(
    "AveragePool",
    inputs=("X",),
    outputs=("Y",),
    attributes={**ATTRIBUTES, "count_include_pad": 0},
    version=22,
)


def shapes(X: Shape, **attributes: Any) -> Sequence[Shape]:
    """Return the shape of Y."""
    flag_of("count_include_pad", attributes["count_include_pad"])
    return ((*X[:2], *windows_of(X, **attributes).output),)


def _counts(X: Shape, made: Windows, attributes: Any) -> Float64:
    """Return N_o; a window that hangs over the padding, as ceil_mode allows, is cut there."""
    inside = (made.forth < made.places).sum(axis=1)
    if not attributes["count_include_pad"]:
        return inside * 1.0
    if not attributes["ceil_mode"]:
        return np.full(inside.shape, float(math.prod(made.kernel)))
    ends, counts = _reach(X, made, attributes), np.ones(made.output)
    for k, along in enumerate(ends):
        shape = [1] * len(made.output)
        shape[k] = -1
        counts = counts * along.reshape(shape)
    return counts.ravel()


def _reach(X: Shape, made: Windows, attributes: Any) -> list[Float64]:
    """Return for each axis how many entries of a window lie in the input and its padding."""
    d = len(made.output)
    strides = attributes["strides"] or [1] * d
    dilations = attributes["dilations"] or [1] * d
    pads = attributes["pads"] or [0] * (2 * d)
    found = []
    for k in range(d):
        at = np.arange(made.output[k])[:, np.newaxis] * strides[k]
        places = at + np.arange(made.kernel[k]) * dilations[k]
        found.append((places < X[2 + k] + pads[k] + pads[d + k]).sum(axis=1) * 1.0)
    return found


def value(xp: Numbers, X: Number, **attributes: Any) -> Number:
    """Return Y."""
    made = windows_of(X.shape, **attributes)
    total = xp.sum(in_windows(xp, rows_of(xp, X), made.forth), 2)
    counts = xp.exact(_counts(X.shape, made, attributes))
    return xp.reshape(total / counts, (*X.shape[:2], *made.output))


def vjp(xp: Numbers, dY: Number, X: Number, **attributes: Any) -> dict[str, Number]:
    """Return dX."""
    made = windows_of(X.shape, **attributes)
    return _back(xp, dY, X, made, _counts(X.shape, made, attributes))


def _back(xp: Numbers, dY: Number, X: Number, made: Windows, counts: Float64) -> dict[str, Number]:
    each = xp.expand_dims(rows_of(xp, dY) / xp.exact(counts), 2)
    spread = xp.broadcast_to(each, (*each.shape[:2], math.prod(made.kernel)))
    return {"X": back_under(xp, spread, made, X.shape)}


def _slip(code: str, says: str, counts: Callable[..., Float64], remedy: str) -> Slip:
    """Return the slip of other counts."""

    def wrong(xp: Numbers, dY: Any, X: Any, **attributes: Any) -> dict[str, Number]:
        made = windows_of(X.shape, **attributes)
        return _back(xp, dY, X, made, counts(X.shape, made, attributes))

    return Slip(code, says, wrong, remedy)


def _other_padding(X: Shape, made: Windows, attributes: Any) -> Float64:
    other = {**attributes, "count_include_pad": 1 - attributes["count_include_pad"]}
    return _counts(X, made, other)


def _first_only(xp: Numbers, dY: Any, X: Any, **attributes: Any) -> dict[str, Number]:
    made = windows_of(X.shape, **attributes)
    each = rows_of(xp, dY) / _counts(X.shape, made, attributes)
    spread = np.zeros((*each.shape, math.prod(made.kernel)))
    spread[..., 0] = each
    return {"X": back_under(xp, spread, made, X.shape)}


def _last_window(xp: Numbers, dY: Any, X: Any, **attributes: Any) -> dict[str, Number]:
    """Return dX in which a place has but what flows back from one window."""
    made = windows_of(X.shape, **attributes)
    each = rows_of(xp, dY) / _counts(X.shape, made, attributes)
    beyond = np.concatenate([each, np.zeros((len(each), 1))], axis=1)
    last = np.where(made.back < made.positions, made.back, -1).max(axis=1)
    return {"X": beyond[:, np.where(last < 0, made.positions, last)].reshape(X.shape)}


_COUNT = "Divide by what the window of the forward pass divides by."

SLIPS = (
    _slip("padding_counted", "the padding is counted the other way", _other_padding, _COUNT),
    _slip(
        "count_missing",
        "it is not divided by the size of the window",
        lambda X, made, a: np.ones(made.positions),
        _COUNT,
    ),
    Slip(
        "window_first",
        "only the first entry of each window has a gradient",
        _first_only,
        "Spread the gradient over the whole window.",
    ),
    Slip(
        "windows_not_summed",
        "where windows overlap, one overwrites the others",
        _last_window,
        "Add what flows back from all windows that hold an entry.",
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return windows that overlap, and pads that differ at both ends."""
    attributes = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}
    return Case({"X": rng.normal(size=(2, 3, 6, 5))}, attributes)
