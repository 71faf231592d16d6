"""Div (ONNX 14): C = A / B, entry by entry; A and B broadcast.

    dA = dC / B, dB = -dC A / B², each summed over what was broadcast

Reference: the ONNX operator specification.
"""

from __future__ import annotations

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.broadcasting import (
    not_summed,
    pairs,
    summed_back,
    two_shapes,
    wrong_partials,
)
from oracle.operators.operator import Case, Signature

SIGNATURE = Signature("Div", inputs=("A", "B"), outputs=("C",), version=14)

shapes = two_shapes


def value(xp: Numbers, A: Number, B: Number) -> Number:
    """Return A / B."""
    return A / B


def _by_a(xp: Numbers, dC: Number, A: Number, B: Number) -> Number:
    return dC / B


def _by_b(xp: Numbers, dC: Number, A: Number, B: Number) -> Number:
    return -(dC * (A / B) / B)


vjp = summed_back(_by_a, _by_b)

WAYS = (
    summed_back(
        lambda xp, dC, A, B: dC * (1.0 / B), lambda xp, dC, A, B: -(dC * A * (1.0 / (B * B)))
    ),
)
"""By way of the reciprocal, and of the square of B."""

SLIPS = (
    *wrong_partials(
        "A",
        "Write dA = dC / B.",
        ("wrong_factor", "dA is multiplied by B instead of divided", lambda xp, dC, A, B: dC * B),
        ("wrong_factor", "the quotient by B is missing in dA", lambda xp, dC, A, B: dC),
        ("wrong_factor", "dA is divided by A instead of B", lambda xp, dC, A, B: dC / A),
        ("wrong_factor", "dA is divided by B²", lambda xp, dC, A, B: dC / (B * B)),
    ),
    *wrong_partials(
        "B",
        "Write dB = -dC * A / B ** 2.",
        ("sign_flipped", "the sign of dB is missing", lambda xp, dC, A, B: -_by_b(xp, dC, A, B)),
        ("wrong_factor", "the square is missing in dB", lambda xp, dC, A, B: -(dC * (A / B))),
        ("wrong_factor", "the factor A is missing in dB", lambda xp, dC, A, B: -(dC / (B * B))),
        ("wrong_factor", "dB is dC A, as of a product", lambda xp, dC, A, B: dC * A),
        ("wrong_factor", "dB is dC / B, as dA is", _by_a),
        ("wrong_factor", "dB is -dC / B", lambda xp, dC, A, B: -(dC / B)),
        ("wrong_factor", "dB is divided by A², not by B²", lambda xp, dC, A, B: -(dC * B / A / A)),
        place=1,
    ),
    *not_summed("A", _by_a, 0, "dA"),
    *not_summed("B", _by_b, 1, "dB"),
)


def draw(rng: np.random.Generator) -> Case:
    """Return tensors that are not near zero."""
    return pairs(rng, positive=True)
