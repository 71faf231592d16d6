"""Sub (ONNX 14): C = A - B, which broadcast.

    dA = dC, dB = -dC, each summed over what was broadcast

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.broadcasting import (
    not_summed,
    pairs,
    summed_back,
    two_shapes,
    wrong_partials,
)
from oracle.operators.operator import Signature
from oracle.values import Float64

SIGNATURE = Signature("Sub", inputs=("A", "B"), outputs=("C",), version=14)

shapes = two_shapes


def value(xp: Numbers, A: Number, B: Number) -> Number:
    """Return A - B."""
    return A - B


def _by_a(xp: Numbers, dC: Float64, A: Number, B: Number) -> Float64:
    return dC


def _by_b(xp: Numbers, dC: Float64, A: Number, B: Number) -> Float64:
    return -dC


vjp = summed_back(_by_a, _by_b)

SLIPS = (
    *wrong_partials(
        "B",
        "Write dB = -dC.",
        ("sign_flipped", "the sign of the gradient of what is subtracted is missing", _by_a),
        place=1,
    ),
    *wrong_partials(
        "A",
        "Write dA = dC.",
        ("sign_flipped", "the gradient of A has the sign of that of B", _by_b),
    ),
    *not_summed("A", _by_a, 0, "dA"),
    *not_summed("B", _by_b, 1, "dB"),
)

draw = pairs
