"""Functions in float64 that NumPy lacks, or that overflow or cancel there as they are written."""

from __future__ import annotations

import math

import numpy as np

from oracle.values import Array, Float64


def sigmoid(a: Float64) -> Float64:
    """Return 1 / (1 + e^-a)."""
    decay = np.exp(-np.abs(a))
    return np.where(a >= 0, 1.0, decay) / (1.0 + decay)


def sigmoid_slope(a: Float64) -> Float64:
    """Return z (1 - z) as e^-|a| / (1 + e^-|a|)²."""
    decay = np.exp(-np.abs(a))
    return np.asarray(decay / (1.0 + decay) ** 2)


def tanh_slope(a: Float64) -> Float64:
    """Return 1 - tanh² as 4 e^-2|a| / (1 + e^-2|a|)²."""
    return np.asarray(4.0 * sigmoid_slope(2.0 * a))


_erf = np.frompyfunc(math.erf, 1, 1)


def erf(a: Float64) -> Float64:
    """Return the error function, as the C library computes it."""
    return np.asarray(_erf(a), dtype=np.float64)


def softmax(a: Float64, axis: int = -1, mask: Array | None = None) -> Float64:
    """Return e^a over its sum along an axis, 0 where a mask is false."""
    if mask is None:
        weights = np.exp(a - a.max(axis=axis, keepdims=True))
        return np.asarray(weights / weights.sum(axis=axis, keepdims=True))
    seen = np.where(mask, a, -np.inf)
    largest = seen.max(axis=axis, keepdims=True)
    weights = np.exp(seen - np.where(np.isfinite(largest), largest, 0.0))
    total = weights.sum(axis=axis, keepdims=True)
    return np.asarray(weights / np.where(total > 0, total, 1.0))


def logsumexp(a: Float64, axis: int = -1) -> Float64:
    """Return log Σ e^a along an axis, which is kept."""
    largest = a.max(axis=axis, keepdims=True)
    return np.asarray(largest + np.log(np.exp(a - largest).sum(axis=axis, keepdims=True)))


def others(a: Array, axis: int = -1) -> Array:
    """Return for each entry the sum of the other ones along an axis, as two running sums."""
    line = np.moveaxis(a, axis, -1)
    before, after = line * 0.0, line * 0.0
    if line.shape[-1] > 1:
        before[..., 1:] = np.cumsum(line[..., :-1], axis=-1)
        after[..., :-1] = np.cumsum(line[..., :0:-1], axis=-1)[..., ::-1]
    return np.moveaxis(before + after, -1, axis)


def winners(a: Float64, axis: int, kink: float) -> tuple[Float64, int]:
    """Return whose the largest along an axis is, and in how many lines several are the largest.

    Of these, the first has all if `kink` is 1, the last if it is 0; else they have equal shares.
    """
    top = a == a.max(axis=axis, keepdims=True)
    count = top.sum(axis=axis, keepdims=True)
    tied = int(np.count_nonzero(count > 1))
    if tied and kink == 1.0:
        top &= np.cumsum(top, axis=axis) == 1
    elif tied and kink == 0.0:
        top &= np.flip(np.cumsum(np.flip(top, axis), axis=axis), axis) == 1
    shares = top / top.sum(axis=axis, keepdims=True)
    return shares.astype(a.dtype), tied
