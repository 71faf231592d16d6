"""ReduceL2 (ONNX 18): reduced = √Σ data² over axes; over all if none are named.

    d data = d reduced · data / reduced, 0 where the norm is 0

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators import reductions
from oracle.operators.reductions import along, count, reduction, spread_back, wrong_factors

SIGNATURE = reductions.signature("ReduceL2", 18)


def _norm(xp: Numbers, data: Number, gone: tuple[int, ...]) -> Number:
    return xp.sqrt(xp.sum(data * data, gone, keepdims=True))


def _direction(xp: Numbers, data: Number, gone: tuple[int, ...]) -> Number:
    norm = _norm(xp, data, gone)
    return data / xp.where(xp.is_zero(norm), 1.0, norm)


shapes = reductions.shapes
value = reduction(_norm)
vjp = spread_back(_direction)

SLIPS = (
    *wrong_factors(
        "Write dX = dY * X / Y, spread over the axes.",
        ("wrong_factor", "the quotient by the norm is missing", lambda xp, data, gone: data),
        (
            "wrong_factor",
            "the root is not differentiated: it is the gradient of the sum of squares",
            lambda xp, data, gone: 2.0 * data,
        ),
        (
            "wrong_factor",
            "the 2 of the squares is kept, but not that of the root",
            lambda xp, data, gone: 2.0 * _direction(xp, data, gone),
        ),
        (
            "wrong_factor",
            "the factor data is missing",
            lambda xp, data, gone: 1.0 / _norm(xp, data, gone),
        ),
        (
            "wrong_factor",
            "the half of the root is kept, but not the 2 of the squares",
            lambda xp, data, gone: 0.5 * _direction(xp, data, gone),
        ),
        (
            "wrong_factor",
            "the quotient is by the sum of squares, not by its root",
            lambda xp, data, gone: _direction(xp, data, gone) / _norm(xp, data, gone),
        ),
        (
            "wrong_factor",
            "the gradient is that of the root of the mean square",
            lambda xp, data, gone: _direction(xp, data, gone) / count(data.shape, gone) ** 0.5,
        ),
        (
            "wrong_axis",
            "the norm is that of all entries",
            lambda xp, data, gone: _direction(xp, data, tuple(range(data.ndim))),
        ),
    ),
    *along(_direction),
)

draw = reductions.draw
