"""Add (ONNX 14): C = A + B, which broadcast.

    dA = dC, dB = dC, each summed over what was broadcast

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.broadcasting import not_summed, pairs, summed_back, two_shapes
from oracle.operators.operator import Signature
from oracle.values import Float64

SIGNATURE = Signature("Add", inputs=("A", "B"), outputs=("C",), version=14)

shapes = two_shapes


def value(xp: Numbers, A: Number, B: Number) -> Number:
    """Return A + B."""
    return A + B


def _same(xp: Numbers, dC: Float64, A: Number, B: Number) -> Float64:
    return dC


vjp = summed_back(_same, _same)

SLIPS = (*not_summed("A", _same, 0, "dA"), *not_summed("B", _same, 1, "dB"))

draw = pairs
