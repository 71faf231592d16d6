"""Small cases that tell bugs apart better than arbitrary inputs do.

A case is the first draw of `_draw` that keeps what its variant promises, `_tells`. A draw is near
enough to a bound for rounding to decide in one case of 10^12.
"""

from __future__ import annotations

import itertools

import ml_dtypes
import numpy as np

from oracle import splitmix
from oracle.checking.backward import Pass, forward
from oracle.values import DELTA, Array, InvalidInput, TwoLayerNetParameters

SIZES = (5, 11, 7, 3)
"""N, D, H and K: different primes, N <= H and N <= D, so that a gradient can be inverted."""

VARIANTS = ("standard", "saturated", "single")
DTYPES = ("float64", "float32", "float16", "bfloat16")

SATURATION = 16
"""Times that W2 is larger where outputs are near 0 and 1: two scores differ by 19 (rms), and
exp(-19) is below delta.
"""

LEAST_SUM = 2.0**-4
"""Share of Σ |terms| that every entry of b1 and b2 keeps: what cancels more loses digits."""

LEAST_ENTRY = 2.0**-5
"""Share of the largest entry of b1, or b2, that every other has: each unit and class is seen."""

LEAST_SAMPLE = 2.0**-10
"""Share of the largest output error that the largest of every other sample has."""


def probe(
    variant: str = "standard", dtype: str = "float64", seed: int = 0
) -> tuple[TwoLayerNetParameters, Array, Array]:
    """Return the parameters, inputs and labels of a probe.

    Values have both signs, biases are not zero, labels repeat, every unit and class is seen. All
    numbers are multiples of 1/64 with at most 8 significant bits, the same in every dtype.

    Parameters
    ----------
    variant : str
        "standard"; "saturated": W2 16 times larger; "single": a batch of one.
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
    draws = (_draw(variant, seed, number) for number in itertools.count())
    parameters, x, labels = next(case for case in draws if _tells(variant, *case))
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    typed = TwoLayerNetParameters(*(a.astype(kind) for a in parameters.tensors().values()))
    return typed, x.astype(kind), labels


def _draw(variant: str, seed: int, number: int) -> tuple[TwoLayerNetParameters, Array, Array]:
    """Return a draw: outputs 163 `number` and after fill W1, b1, W2, b2 and x, row by row.

    The seven highest bits of an output less 64, plus 1 if that is not negative, are divided by 64.
    """
    N, D, H, K = SIZES
    shapes = [(D, H), (H,), (H, K), (K,), (N, D)]
    counts = [int(np.prod(shape)) for shape in shapes]
    words = splitmix.outputs(seed, number * sum(counts), (number + 1) * sum(counts))
    steps = (words >> np.uint64(57)).astype(np.int64) - 64
    values = np.where(steps >= 0, steps + 1, steps) / 64
    parts = np.split(values, np.cumsum(counts)[:-1])
    W1, b1, W2, b2, x = (part.reshape(s) for part, s in zip(parts, shapes, strict=True))
    labels = np.array([2, 0, 1, 2, 2], dtype=np.int64)
    if variant == "saturated":
        W2 = SATURATION * W2
    if variant == "single":
        x, labels = x[:1], labels[:1]
    return TwoLayerNetParameters(W1, b1, W2, b2), x, labels


def _tells(variant: str, parameters: TwoLayerNetParameters, x: Array, labels: Array) -> bool:
    """Tell whether a draw keeps the promises of its variant, with the document's delta.

    All: the biases of a layer have both signs; no entry of the gradients of b1 and b2 cancels to
    less than `LEAST_SUM` of the sum of its terms' sizes, or is below `LEAST_ENTRY` of the tensor's
    largest; some sample is classified wrongly. Several samples: one is classified rightly, and each
    has an output error of `LEAST_SAMPLE` of the largest. Saturated: see `_saturated`.
    """
    p = forward(parameters, x, labels, delta=DELTA)
    dY = p.output_error
    dA1 = dY @ p.W2.T * p.z1 * (1 - p.z1)
    right = p.y.argmax(axis=1) == labels
    sizes = np.abs(dY).max(axis=1)
    return (
        all(b.min() < 0 < b.max() for b in (p.b1, p.b2))
        and all(_is_visible(error) for error in (dY, dA1))
        and not right.all()
        and (variant == "single" or bool(right.any()))
        and bool(np.all(sizes >= LEAST_SAMPLE * sizes.max()))
        and (variant != "saturated" or _is_saturated(p, labels, right))
    )


def _is_visible(error: Array) -> bool:
    sums = np.abs(error.sum(axis=0))
    kept = np.all(sums >= LEAST_SUM * np.abs(error).sum(axis=0))
    return bool(kept and np.all(sums >= LEAST_ENTRY * sums.max()))


def _is_saturated(p: Pass, labels: Array, right: Array) -> bool:
    """Tell whether delta matters, and where it does not, the outputs are still visible.

    The probability y of its label is from 1e-9 to 1e-7 for some sample, above 1e-5 for some that is
    classified wrongly, and 1 - y from 1e-3 to 0.1 for some that is classified rightly.
    """
    y = p.y[np.arange(p.N), labels]
    return bool(
        np.any((y > 1e-9) & (y < 1e-7))
        and np.any(~right & (y > 1e-5))
        and np.any(right & (y > 0.9) & (y < 0.999))
    )
