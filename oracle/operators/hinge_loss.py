"""HingeLoss: how far an entry is from the margin on its side, averaged over all entries.

    loss = max(0, margin - t x),   x = input, t = target, -1 or 1
    dinput = -doutput t / N where t x < margin, 0 elsewhere

Shapes: target has the shape of the input; the output is a scalar, or has it if reduction is "none".

Reference: Cortes and Vapnik, Support-Vector Networks, 1995.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.losses import chained, common, held, reduced, require_same, wrong
from oracle.operators.operator import Case, Shape, Signature, constant
from oracle.values import Array, InvalidInput

SIGNATURE = Signature(
    "HingeLoss",
    inputs=("input", constant("target")),
    outputs=("output",),
    attributes={"margin": 1.0, "reduction": "mean"},
)


def shapes(input: Shape, target: Array, *, margin: float, reduction: str) -> Sequence[Shape]:
    """Return the shape of the loss."""
    found = require_same(reduction, input, target=target)
    if not (np.abs(target.astype(np.float64)) == 1.0).all():
        raise InvalidInput("target", "hold -1 and 1", "other numbers")
    return (found,)


def _inside(xp: Numbers, input: Number, target: Array, margin: float) -> Number:
    return margin - held(xp, target) * input


def value(xp: Numbers, input: Number, target: Array, *, margin: float, reduction: str) -> Number:
    """Return the loss."""
    inside = _inside(xp, input, target, margin)
    return reduced(xp, xp.maximum(inside, xp.full(inside, 0.0)), reduction)


def slope(xp: Numbers, input: Number, target: Array, *, margin: float) -> Number:
    """Return -t where t x < margin."""
    return -(held(xp, target) * xp.step(_inside(xp, input, target, margin)))


vjp = chained("input", slope)


def _slip(code: str, says: str, of: Any) -> Any:
    """Return the slip of another slope, a function of x, t and the margin."""
    return wrong(
        "input",
        code,
        says,
        lambda xp, input, target, *, margin: of(input, target * 1.0, margin),
        "Write -t where t x < margin, 0 elsewhere.",
    )


SLIPS = (
    *common(vjp),
    _slip("wrong_region", "entries beyond the margin have a gradient", lambda x, t, m: -t),
    _slip("wrong_region", "the margin is 0", lambda x, t, m: -t * (t * x < 0)),
    _slip(
        "wrong_region", "the entries are those beyond the margin", lambda x, t, m: -t * (t * x > m)
    ),
    _slip("wrong_targets", "the target is missing", lambda x, t, m: -1.0 * (t * x < m)),
    _slip("wrong_forward", "it is multiplied by the input", lambda x, t, m: -t * x * (t * x < m)),
    _slip(
        "wrong_forward",
        "it is that of a squared hinge",
        lambda x, t, m: -2.0 * t * (m - t * x) * (t * x < m),
    ),
    _slip(
        "wrong_forward",
        "it is multiplied by the loss",
        lambda x, t, m: -t * (m - t * x) * (t * x < m),
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return entries on both sides of the margin."""
    inputs = {"input": 1.5 * rng.normal(size=(7, 5)), "target": rng.choice([-1.0, 1.0], (7, 5))}
    return Case(inputs, {"margin": 0.8})
