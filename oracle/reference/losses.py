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
from oracle.slices import holds_anywhere, parts
from oracle.values import DELTA, Checkpoint, InvalidInput, never_stop


def mean_squared_error(y: ArrayLike, t: ArrayLike, *, checkpoint: Checkpoint = never_stop) -> float:
    """Compute 1/2 sum (y - t)^2 over all entries; for a batch too, nothing is divided by N.

    Parameters
    ----------
    y, t : array
        Of one shape, finite, not empty; `y` of a floating type, `t` of one or integers.
    checkpoint : callable
        Called between slices of what is large; raises to stop.

    Returns
    -------
    float
        The error; infinite if it exceeds float64.

    Raises
    ------
    InvalidInput
        If `y` or `t` is anything else.
    """
    scores, targets = widen("y", y, checkpoint), widen_targets("t", t, checkpoint)
    require_shape("t", targets, scores.shape, "of y")
    left, right = scores.reshape(-1), targets.reshape(-1)
    with np.errstate(over="ignore", under="ignore"):
        squares = (np.sum((left[p] - right[p]) ** 2) for p in parts(left.size, checkpoint))
        return float(0.5 * sum(squares))


def cross_entropy_error(
    y: ArrayLike,
    t: ArrayLike,
    *,
    delta: float = DELTA,
    checkpoint: Checkpoint = never_stop,
) -> float:
    """Compute -1/N sum_n sum_k t_nk log(y_nk + delta).

    Parameters
    ----------
    y : array
        (N, K), or (K,) for one sample; floating type, finite, no entry negative.
    t : array
        Integer labels (N,), or floating one-hot or soft targets of the shape of `y`.
    delta : float
        The constant inside the logarithm, at least 0.
    checkpoint : callable
        Called between slices of what is large; raises to stop.

    Returns
    -------
    float
        The error; infinite if delta is 0 and a probability that counts is 0.

    Raises
    ------
    InvalidInput
        If an argument is anything else.
    """
    scores = widen("y", y, checkpoint)
    require_rank("y", scores, (1, 2), "(N, K) or (K,)")
    if holds_anywhere(lambda a: a < 0, scores, checkpoint=checkpoint):
        raise InvalidInput("y", "have no negative entry", str(scores.min()))
    require_delta(delta)
    targets = require_targets(scores.shape, t, checkpoint)
    rows = np.atleast_2d(scores)
    flat = targets.reshape(-1)

    def of_labels(part: slice) -> float:
        picked = rows[np.arange(part.start, part.stop), flat[part]]
        return float(np.sum(np.log(picked + delta)))

    def of_weights(part: slice) -> float:
        counted = flat[part] > 0
        logarithms = np.log(rows.reshape(-1)[part][counted] + delta)
        return float(np.sum(flat[part][counted] * logarithms))

    share = of_labels if targets.dtype.kind == "i" else of_weights
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        return float(-sum(share(part) for part in parts(flat.size, checkpoint)) / len(rows))
