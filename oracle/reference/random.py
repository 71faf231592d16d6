"""Gaussian numbers that can be made again in any language."""

from __future__ import annotations

import numpy as np

from oracle.slices import parts
from oracle.splitmix import outputs
from oracle.values import Checkpoint, Float64, never_stop


def gaussian(seed: int, count: int, checkpoint: Checkpoint = never_stop) -> Float64:
    """Return the first `count` standard Gaussian numbers of a seed, by Box and Muller.

    With u_i = (output i of SplitMix64(seed) >> 11) / 2^53: z_(2j) = r cos(p), z_(2j+1) = r sin(p),
    r = sqrt(-2 log(1 - u_(2j))), p = 2 pi u_(2j+1).

    Parameters
    ----------
    seed : int
        Seed of SplitMix64.
    count : int
        How many numbers.
    checkpoint : callable
        Called between slices of what is large; raises to stop.

    Returns
    -------
    (count,) float64
        The numbers.
    """
    pairs = np.empty((-(-count // 2), 2))
    for part in parts(len(pairs), checkpoint):
        words = outputs(seed, 2 * part.start, 2 * part.stop)
        uniform = (words >> np.uint64(11)).astype(np.float64) / 2.0**53
        radius = np.sqrt(-2.0 * np.log1p(-uniform[::2]))
        angle = 2.0 * np.pi * uniform[1::2]
        pairs[part] = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return pairs.ravel()[:count]
