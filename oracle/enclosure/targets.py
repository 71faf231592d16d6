"""Labels and distributions as one float64 matrix of targets."""

from __future__ import annotations

import numpy as np

from oracle.values import Array, Float64


def distribution(t: Array, classes: int) -> Float64:
    """Return targets as rows of class weights, (N, K) float64.

    Integer `t` holds labels, (N,) or (); floating `t` one-hot or soft targets, (N, K) or (K,).
    """
    if not np.issubdtype(t.dtype, np.integer):
        return np.atleast_2d(t.astype(np.float64))
    labels = np.atleast_1d(t)
    targets = np.zeros((labels.size, classes))
    targets[np.arange(labels.size), labels] = 1.0
    return targets
