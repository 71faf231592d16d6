"""The document's loss functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from oracle.reference.requirements import (
    require_delta,
    require_rank,
    require_shape,
    require_targets,
    widen,
    widen_targets,
)
from oracle.values import DELTA, InvalidInput


def mean_squared_error(y: ArrayLike, t: ArrayLike) -> float:
    """Compute 1/2 sum (y - t)^2 over all entries; for a batch too, nothing is divided by N.

    Parameters
    ----------
    y, t : array
        Of one shape, finite, not empty; `y` of a floating type, `t` of one or integers.

    Returns
    -------
    float
        The error; infinite if it exceeds float64.

    Raises
    ------
    InvalidInput
        If `y` or `t` is anything else.
    """
    scores, targets = widen("y", y), widen_targets("t", t)
    require_shape("t", targets, scores.shape, "of y")
    with np.errstate(over="ignore", under="ignore"):
        return float(0.5 * np.sum((scores - targets) ** 2))


def cross_entropy_error(y: ArrayLike, t: ArrayLike, *, delta: float = DELTA) -> float:
    """Compute -1/N sum_n sum_k t_nk log(y_nk + delta).

    Parameters
    ----------
    y : array
        (N, K), or (K,) for one sample; floating type, finite, no entry negative.
    t : array
        Integer labels (N,), or floating one-hot or soft targets of the shape of `y`.
    delta : float
        The constant inside the logarithm, at least 0.

    Returns
    -------
    float
        The error; infinite if delta is 0 and a probability that counts is 0.

    Raises
    ------
    InvalidInput
        If an argument is anything else.
    """
    scores = widen("y", y)
    require_rank("y", scores, (1, 2), "(N, K) or (K,)")
    if (scores < 0).any():
        raise InvalidInput("y", "have no negative entry", str(scores.min()))
    require_delta(delta)
    targets = require_targets(scores.shape, t)
    rows = np.atleast_2d(scores)
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        if targets.dtype.kind == "i":
            picked = rows[np.arange(len(rows)), np.atleast_1d(targets)]
            total = np.sum(np.log(picked + delta))
        else:
            weights = np.atleast_2d(targets)
            counted = weights > 0
            total = np.sum(weights[counted] * np.log(rows[counted] + delta))
        return float(-total / len(rows))
