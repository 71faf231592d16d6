"""Labels and distributions as one float64 matrix of targets."""

from __future__ import annotations

import numpy as np

from oracle.slices import SLICE, entrywise, parts
from oracle.values import Array, Checkpoint, Float64, never_stop


def distribution(t: Array, classes: int, checkpoint: Checkpoint = never_stop) -> Float64:
    """Return targets as rows of class weights, (N, K) float64.

    Parameters
    ----------
    t : array
        Integer labels, (N,) or (); or floating one-hot or soft targets, (N, K) or (K,).
    classes : int
        K.
    checkpoint : callable
        Called between slices of what is large; raises to stop.

    Returns
    -------
    (N, K) float64
        Rows.

    Examples
    --------
    >>> distribution(np.array([1, 0]), 2)
    array([[0., 1.],
           [1., 0.]])
    """
    if not np.issubdtype(t.dtype, np.integer):
        return np.atleast_2d(entrywise(lambda a: a.astype(np.float64), t, checkpoint=checkpoint))
    labels = np.atleast_1d(t)
    targets = np.zeros((labels.size, classes))
    for part in parts(labels.size, checkpoint, SLICE // classes):
        targets[np.arange(part.start, part.stop), labels[part]] = 1.0
    return targets
