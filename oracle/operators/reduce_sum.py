"""ReduceSum (ONNX 13): reduced = Σ data over axes; all if none are named.

    d data = d reduced, spread over the axes

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from oracle.operators import reductions
from oracle.operators.reductions import along, count, reduction, spread_back, wrong_factors

SIGNATURE = reductions.signature("ReduceSum", 13)

shapes = reductions.shapes
value = reduction(lambda xp, data, gone: xp.sum(data, gone, keepdims=True))
vjp = spread_back()

SLIPS = (
    *wrong_factors(
        "Spread dY over the axes that were summed, without a quotient.",
        (
            "mean_or_sum",
            "the gradient is that of a mean, not of a sum",
            lambda xp, data, gone: 1.0 / count(data.shape, gone),
        ),
        (
            "mean_or_sum",
            "the gradient is multiplied by the number of terms",
            lambda xp, data, gone: count(data.shape, gone),
        ),
        ("wrong_factor", "the gradient is multiplied by the terms", lambda xp, data, gone: data),
    ),
    *along(),
)

draw = reductions.draw
