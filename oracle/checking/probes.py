"""Small cases that tell bugs apart better than arbitrary inputs do."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from oracle import splitmix
from oracle.values import Array, InvalidInput, TwoLayerNetParameters

SIZES = (5, 11, 7, 3)
"""N, D, H and K: different primes, N <= H and N <= D, so that a gradient can be inverted."""

VARIANTS = ("standard", "saturated", "single")
DTYPES = ("float64", "float32", "float16", "bfloat16")


def probe(
    variant: str = "standard", dtype: str = "float64", seed: int = 0
) -> tuple[TwoLayerNetParameters, Array, Array]:
    """Return the parameters, inputs and labels of a probe.

    Values have both signs, biases are not zero, labels repeat. All numbers are multiples of 1/64
    with at most 8 significant bits, the same in every dtype.

    Parameters
    ----------
    variant : str
        "standard"; "saturated": W2 64 times larger; "single": a batch of one.
    dtype : str
        "float64", "float32", "float16" or "bfloat16".
    seed : int
        Seed of SplitMix64.

    Returns
    -------
    parameters, x, labels : TwoLayerNetParameters, (N, D) array, (N,) int64 array
        The case.

    Raises
    ------
    InvalidInput
        If the variant or the dtype is unknown.
    """
    if variant not in VARIANTS:
        raise InvalidInput("variant", f"be one of {', '.join(VARIANTS)}", repr(variant))
    if dtype not in DTYPES:
        raise InvalidInput("dtype", f"be one of {', '.join(DTYPES)}", repr(dtype))
    N, D, H, K = SIZES
    shapes = [(D, H), (H,), (H, K), (K,), (N, D)]
    counts = [int(np.prod(shape)) for shape in shapes]
    words = splitmix.outputs(seed, 0, sum(counts))
    steps = (words >> np.uint64(57)).astype(np.int64) - 64
    values = np.where(steps >= 0, steps + 1, steps) / 64
    parts = np.split(values, np.cumsum(counts)[:-1])
    W1, b1, W2, b2, x = (part.reshape(s) for part, s in zip(parts, shapes, strict=True))
    labels = np.array([2, 0, 1, 2, 2], dtype=np.int64)
    if variant == "saturated":
        W2 = 64 * W2
    if variant == "single":
        x, labels = x[:1], labels[:1]
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    W1, b1, W2, b2, x = (a.astype(kind) for a in (W1, b1, W2, b2, x))
    return TwoLayerNetParameters(W1, b1, W2, b2), x, labels
