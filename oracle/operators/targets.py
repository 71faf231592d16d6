"""Targets of a loss: labels, or rows of weights."""

from __future__ import annotations

import numpy as np

from oracle.operators.operator import Shape
from oracle.values import Array, Float64, InvalidInput


def distribution(t: Array, scores: Shape) -> Float64:
    """Return targets as rows of class weights, (N, K); labels become rows with a single 1.

    `scores` is the shape (K,) or (N, K) of what they are targets for. Whole numbers of that shape
    are rows already, as in the document.
    """
    if tuple(t.shape) == tuple(scores):
        return np.atleast_2d(np.asarray(t, dtype=np.float64))
    labels = np.atleast_1d(t)
    rows = np.zeros((labels.size, scores[-1]))
    rows[np.arange(labels.size), labels] = 1.0
    return rows


def require_targets(scores: Shape, t: Array) -> None:
    """Raise unless targets fit scores of shape (K,) or (N, K).

    Raises
    ------
    InvalidInput
        If they are not labels of shape (N,), or of the shape of the scores.
    """
    classes = scores[-1]
    samples = scores[:-1]
    whole = np.issubdtype(t.dtype, np.integer)
    if tuple(t.shape) == tuple(scores):
        if whole and not _is_one_hot(np.atleast_2d(t)):
            raise InvalidInput("t", "have rows of zeros and a single 1", "other whole numbers")
        if not whole and not (np.isfinite(t).all() and (t >= 0).all()):
            raise InvalidInput("t", "be finite and not negative", "other numbers")
        return
    if not whole or tuple(t.shape) not in {samples, samples or (1,)}:
        raise InvalidInput(
            "t", f"hold labels of shape {samples} or be of shape {scores}", f"shape {t.shape}"
        )
    if t.size and not (t.min() >= 0 and t.max() < classes):
        raise InvalidInput("t", f"hold labels from 0 to {classes - 1}", f"{t.min()} to {t.max()}")


def _is_one_hot(t: Array) -> bool:
    return bool(((t == 0) | (t == 1)).all() and (np.sum(t, axis=-1) == 1).all())
