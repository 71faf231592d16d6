"""The document's activation functions, without overflow for any finite input."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from oracle.reference.requirements import require_floating, require_rank
from oracle.slices import SLICE, entrywise, parts
from oracle.values import Array, Checkpoint, Float64, never_stop


def sigmoid(a: ArrayLike, *, checkpoint: Checkpoint = never_stop) -> Float64:
    """Compute 1 / (1 + exp(-a)), for any shape.

    Parameters
    ----------
    a : array
        Floating type, finite, not empty.
    checkpoint : callable
        Called between slices of what is large; raises to stop.

    Returns
    -------
    float64
        Numbers between 0 and 1, of the shape of `a`.

    Raises
    ------
    InvalidInput
        If `a` is anything else.
    """
    scores = require_floating("a", a, checkpoint)
    with np.errstate(under="ignore"):
        return entrywise(_sigmoid, scores, checkpoint=checkpoint)


def _sigmoid(a: Array) -> Float64:
    x = a.astype(np.float64, copy=False)
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, small) / (1.0 + small))


def softmax(a: ArrayLike, *, checkpoint: Checkpoint = never_stop) -> Float64:
    """Compute exp(a_k) / sum_j exp(a_j) over the last axis, shifted by the largest entry.

    Parameters
    ----------
    a : array
        (..., K), floating type, finite, not empty.
    checkpoint : callable
        Called between slices of what is large; raises to stop.

    Returns
    -------
    float64
        Rows that sum to 1, of the shape of `a`.

    Raises
    ------
    InvalidInput
        If `a` is anything else.
    """
    scores = require_floating("a", a, checkpoint)
    require_rank("a", scores, tuple(range(1, 65)), "(..., K)")
    classes = scores.shape[-1]
    with np.errstate(under="ignore", over="ignore"):
        if scores.size <= SLICE:
            return _softmax(scores)
        rows = scores.reshape(-1, classes)
        out = np.empty(rows.shape)
        if classes > SLICE:
            for row, result in zip(rows, out, strict=True):
                _softmax_of_long_row(row, result, checkpoint)
        else:
            for part in parts(len(rows), checkpoint, SLICE // classes):
                out[part] = _softmax(rows[part])
        return out.reshape(scores.shape)


def _softmax(a: Array) -> Float64:
    x = a.astype(np.float64, copy=False)
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _softmax_of_long_row(row: Array, out: Float64, checkpoint: Checkpoint) -> None:
    slices = list(parts(row.size, checkpoint))
    largest = np.float64(max(row[part].max() for part in parts(row.size, checkpoint)))
    total = 0.0
    for part in slices:
        checkpoint()
        out[part] = np.exp(row[part].astype(np.float64) - largest)
        total += out[part].sum()
    for part in slices:
        checkpoint()
        out[part] /= total
