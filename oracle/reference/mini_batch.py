"""The document's choice of a mini-batch, seeded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oracle.reference.requirements import require_count
from oracle.splitmix import outputs


def draw(train_size: int, batch_size: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Draw indices uniformly and with replacement: index i is (o_i * train_size) >> 64.

    Parameters
    ----------
    train_size, batch_size : int
        Number of samples to choose from and number to choose, at least 1.
    seed : int
        Seed of SplitMix64, whose output i is o_i.

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
    words = outputs(seed, 0, batch_size)
    return np.array([int(word) * train_size >> 64 for word in words], dtype=np.int64)
