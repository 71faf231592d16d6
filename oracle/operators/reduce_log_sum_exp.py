"""ReduceLogSumExp (ONNX 18): reduced = log Σ e^data over axes; over all if none are named.

    d data = d reduced e^(data - reduced), the softmax of data

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators import reductions
from oracle.operators.reductions import (
    along,
    count,
    kept_shape,
    lines,
    reduction,
    spread_back,
    unlined,
    wrong_factors,
)

SIGNATURE = reductions.signature("ReduceLogSumExp", 18)


def _logarithm(xp: Numbers, data: Number, gone: tuple[int, ...]) -> Number:
    return xp.reshape(xp.logsumexp(lines(xp, data, gone), -1), kept_shape(data.shape, gone))


def _softmax(xp: Numbers, data: Number, gone: tuple[int, ...]) -> Number:
    return unlined(xp, xp.softmax(lines(xp, data, gone), -1), data.shape, gone)


shapes = reductions.shapes
value = reduction(_logarithm)
vjp = spread_back(_softmax)

SLIPS = (
    *wrong_factors(
        "Write dX = dY * np.exp(X - Y), spread over the axes.",
        ("softmax_jacobian", "the softmax is missing", lambda xp, data, gone: 1.0),
        (
            "softmax_jacobian",
            "the exponentials are not divided by their sum",
            lambda xp, data, gone: xp.exp(data),
        ),
        (
            "softmax_jacobian",
            "the logarithm is used instead of the softmax",
            lambda xp, data, gone: data - _logarithm(xp, data, gone),
        ),
        (
            "softmax_jacobian",
            "the exponentials are missing: it is 1 / Σ e^data",
            lambda xp, data, gone: xp.exp(-_logarithm(xp, data, gone)),
        ),
        (
            "softmax_axis",
            "the softmax runs over all entries",
            lambda xp, data, gone: _softmax(xp, data, tuple(range(data.ndim))),
        ),
        (
            "mean_or_sum",
            "the gradient is divided by the number of terms",
            lambda xp, data, gone: _softmax(xp, data, gone) / count(data.shape, gone),
        ),
        (
            "softmax_jacobian",
            "the softmax is multiplied by 1 less itself",
            lambda xp, data, gone: _softmax(xp, data, gone) * (1.0 - _softmax(xp, data, gone)),
        ),
    ),
    *along(_softmax),
)

draw = reductions.draw
