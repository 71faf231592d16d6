"""Min (ONNX 13): min = the smallest of the inputs, entry by entry; they broadcast.

    d data_k = d min where data_k is the smallest, summed over what was broadcast

Where several are the smallest, the first, the last, or all in equal shares are right.

Reference: the ONNX operator specification.
"""

from __future__ import annotations

import functools

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators import extremes
from oracle.operators.operator import Signature, variadic

SIGNATURE = Signature("Min", inputs=(variadic("data_0"),), outputs=("min",), version=13)

shapes = extremes.shapes


def value(xp: Numbers, *data: Number) -> Number:
    """Return the smallest."""
    return functools.reduce(xp.minimum, data)


vjp = extremes.vjp_of(-1.0)

SLIPS = extremes.slips_of(-1.0, "smallest")

draw = extremes.draw
