"""Max (ONNX 13): max = the largest of the inputs, entry by entry; they broadcast.

    d data_k = d max where data_k is the largest, summed over what was broadcast

Where several are the largest, the first, the last, or all in equal shares are right.

Reference: the ONNX operator specification.
"""

from __future__ import annotations

import functools

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators import extremes
from oracle.operators.operator import Signature, variadic

SIGNATURE = Signature("Max", inputs=(variadic("data_0"),), outputs=("max",), version=13)

shapes = extremes.shapes


def value(xp: Numbers, *data: Number) -> Number:
    """Return the largest."""
    return functools.reduce(xp.maximum, data)


vjp = extremes.vjp_of(1.0)

SLIPS = extremes.slips_of(1.0, "largest")

draw = extremes.draw
