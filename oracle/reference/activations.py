"""The document's activation functions, without overflow for any finite input."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from oracle.reference.requirements import require_rank, widen
from oracle.values import Float64


def sigmoid(a: ArrayLike) -> Float64:
    """Compute 1 / (1 + exp(-a)), for any shape.

    Parameters
    ----------
    a : array
        Floating type, finite, not empty.

    Returns
    -------
    float64
        Numbers between 0 and 1, of the shape of `a`.

    Raises
    ------
    InvalidInput
        If `a` is anything else.
    """
    x = widen("a", a)
    with np.errstate(under="ignore"):
        small = np.exp(-np.abs(x))
        return np.asarray(np.where(x >= 0, 1.0, small) / (1.0 + small))


def softmax(a: ArrayLike) -> Float64:
    """Compute exp(a_k) / sum_j exp(a_j) over the last axis, shifted by the largest entry.

    Parameters
    ----------
    a : array
        (..., K), floating type, finite, not empty.

    Returns
    -------
    float64
        Rows that sum to 1, of the shape of `a`.

    Raises
    ------
    InvalidInput
        If `a` is anything else.
    """
    x = widen("a", a)
    require_rank("a", x, tuple(range(1, 65)), "(..., K)")
    with np.errstate(under="ignore", over="ignore"):
        powers = np.exp(x - x.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
