"""The document's choice of a mini-batch, seeded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oracle.reference.requirements import require_count
from oracle.splitmix import outputs
from oracle.values import Checkpoint, never_stop

CHUNK = 2**16
"""Indices between two checkpoints: about 10 ms."""


def draw(
    train_size: int, batch_size: int, *, seed: int = 0, checkpoint: Checkpoint = never_stop
) -> NDArray[np.int64]:
    """Draw indices uniformly and with replacement: index i is (o_i * train_size) >> 64.

    Parameters
    ----------
    train_size, batch_size : int
        Number of samples to choose from and number to choose, at least 1.
    seed : int
        Seed of SplitMix64, whose output i is o_i.
    checkpoint : callable
        Called between chunks of indices; raises to stop.

    Returns
    -------
    (batch_size,) int64
        Indices, each at least 0 and less than `train_size`.

    Raises
    ------
    InvalidInput
        If a size is less than 1.

    Examples
    --------
    >>> draw(60000, 3, seed=1234567)
    array([21004, 10418, 31932])
    """
    require_count("train_size", train_size)
    require_count("batch_size", batch_size)
    chosen = np.empty(batch_size, dtype=np.int64)
    for begin in range(0, batch_size, CHUNK):
        checkpoint()
        words = outputs(seed, begin, min(begin + CHUNK, batch_size)).tolist()
        chosen[begin : begin + CHUNK] = [word * train_size >> 64 for word in words]
    return chosen
