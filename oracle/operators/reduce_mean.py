"""ReduceMean (ONNX 18): reduced = Σ data / n over axes, of n entries; all if none are named.

    d data = d reduced / n, spread over the axes

Reference: the ONNX operator specification.
"""

from __future__ import annotations

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators import reductions
from oracle.operators.reductions import along, count, reduction, spread_back, wrong_factors

SIGNATURE = reductions.signature("ReduceMean", 18)


def _share(xp: Numbers, data: Number, gone: tuple[int, ...]) -> Number:
    return xp.exact(np.asarray(1.0)) / count(data.shape, gone)


shapes = reductions.shapes
value = reduction(lambda xp, data, gone: xp.mean(data, gone, keepdims=True))
vjp = spread_back(_share)

SLIPS = (
    *wrong_factors(
        "Divide dY by the number of entries of each mean, and spread it over the axes.",
        ("mean_or_sum", "the mean is not divided: it is the gradient of a sum", lambda *_: 1.0),
        (
            "mean_or_sum",
            "the mean is divided by one less than the number of entries",
            lambda xp, data, gone: 1.0 / max(count(data.shape, gone) - 1.0, 0.5),
        ),
        (
            "mean_or_sum",
            "the mean is divided twice by the number of entries",
            lambda xp, data, gone: 1.0 / count(data.shape, gone) ** 2,
        ),
        (
            "mean_or_sum",
            "the mean is divided by the number of all entries of the tensor",
            lambda xp, data, gone: 1.0 / data.size,
        ),
        (
            "mean_or_sum",
            "the mean is divided by the number of means",
            lambda xp, data, gone: count(data.shape, gone) / data.size,
        ),
    ),
    *along(_share),
)

draw = reductions.draw
