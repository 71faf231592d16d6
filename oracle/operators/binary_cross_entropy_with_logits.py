"""BinaryCrossEntropyWithLogits: the cross-entropy of a sigmoid, entry by entry, averaged.

    loss = w (p t log(1 + e^-x) + (1 - t) log(1 + e^x)),   x = input, t = target
    dinput = doutput w ((1 - t) y - p t (1 - y)) / N,   y = 1 / (1 + e^-x)

w is weight and p is pos_weight, 1 where they are left out. Without p, dinput is w (y - t) / N.

Shapes: target has the shape of the input and holds numbers from 0 to 1; weight and pos_weight
broadcast to it. The output is a scalar, or has that shape if reduction is "none".

Reference: PyTorch, binary_cross_entropy_with_logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.arithmetic.special import sigmoid
from oracle.operators.losses import (
    chained,
    common,
    held,
    reduced,
    require_numbers,
    require_same,
    wrong,
)
from oracle.operators.operator import Case, Shape, Signature, constant, optional_constant
from oracle.values import Array, InvalidInput

SIGNATURE = Signature(
    "BinaryCrossEntropyWithLogits",
    inputs=(
        "input",
        constant("target"),
        optional_constant("weight"),
        optional_constant("pos_weight"),
    ),
    outputs=("output",),
    attributes={"reduction": "mean"},
)


def shapes(
    input: Shape,
    target: Array,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    *,
    reduction: str,
) -> Sequence[Shape]:
    """Return the shape of the loss."""
    found = require_same(reduction, input, target=target)
    if target.size and not (target.min() >= 0 and target.max() <= 1):
        raise InvalidInput("target", "be from 0 to 1", f"{target.min()} to {target.max()}")
    for name, one in (("weight", weight), ("pos_weight", pos_weight)):
        if one is None:
            continue
        try:
            spread = np.broadcast_shapes(one.shape, input)
        except ValueError:
            spread = ()
        if spread != input:
            raise InvalidInput(name, f"broadcast to {input}", f"shape {one.shape}")
        require_numbers(name, one)
    return (found,)


def value(
    xp: Numbers,
    input: Number,
    target: Array,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    *,
    reduction: str,
) -> Number:
    """Return the loss."""
    t = held(xp, target)
    seen = t if pos_weight is None else t * held(xp, pos_weight)
    losses = seen * xp.softplus(-input) + (1.0 - t) * xp.softplus(input)
    return reduced(xp, losses if weight is None else losses * held(xp, weight), reduction)


def slope(
    xp: Numbers,
    input: Number,
    target: Array,
    weight: Array | None = None,
    pos_weight: Array | None = None,
) -> Number:
    """Return w ((1 - t) y - p t (1 - y))."""
    t = held(xp, target)
    seen = t if pos_weight is None else t * held(xp, pos_weight)
    found = (1.0 - t) * xp.sigmoid(input) - seen * xp.sigmoid(-input)
    return found if weight is None else found * held(xp, weight)


def _by_difference(
    xp: Numbers,
    input: Number,
    target: Array,
    weight: Array | None = None,
    pos_weight: Array | None = None,
) -> Number:
    """Return w (y (1 - t + p t) - p t), which is w (y - t) without p."""
    t = held(xp, target)
    seen = t if pos_weight is None else t * held(xp, pos_weight)
    y = xp.sigmoid(input)
    found = y - t if pos_weight is None else y * (1.0 - t + seen) - seen
    return found if weight is None else found * held(xp, weight)


vjp = chained("input", slope)
WAYS = (chained("input", _by_difference),)

_REMEDY = "Write w * (y - t) / N, or w * ((1 - t) y - p t (1 - y)) / N with pos_weight p."


def _slip(code: str, says: str, of: Any) -> Any:
    """Return the slip of another slope: `of` takes x, y, t, w, p and returns it."""

    def other(
        xp: Numbers, input: Any, target: Array, weight: Any = None, pos_weight: Any = None
    ) -> Number:
        w, p = (1.0 if one is None else one for one in (weight, pos_weight))
        return of(input, sigmoid(np.asarray(input)), target, w, p)

    return wrong("input", code, says, other, _REMEDY)


SLIPS = (
    *common(vjp),
    _slip("class_weights_missing", "pos_weight is missing", lambda x, y, t, w, p: w * (y - t)),
    _slip(
        "class_weights_missing",
        "weight is missing",
        lambda x, y, t, w, p: (1 - t) * y - p * t * (1 - y),
    ),
    _slip(
        "class_weights",
        "pos_weight multiplies the whole difference",
        lambda x, y, t, w, p: w * p * (y - t),
    ),
    _slip(
        "class_weights",
        "pos_weight multiplies t alone: y - p t",
        lambda x, y, t, w, p: w * (y - p * t),
    ),
    _slip(
        "softmax_jacobian",
        "y - t is multiplied by y (1 - y), the slope of the sigmoid",
        lambda x, y, t, w, p: w * ((1 - t) * y - p * t * (1 - y)) * y * (1 - y),
    ),
    _slip(
        "softmax_jacobian",
        "it is divided by y (1 - y): the sigmoid is not differentiated",
        lambda x, y, t, w, p: w * ((1 - t) / (1 - y) - p * t / y),
    ),
    _slip(
        "wrong_forward",
        "there is no sigmoid",
        lambda x, y, t, w, p: w * ((1 - t) * x - p * t * (1 - x)),
    ),
    _slip(
        "wrong_forward",
        "the sigmoid is applied twice",
        lambda x, y, t, w, p: w * ((1 - t) * sigmoid(y) - p * t * (1 - sigmoid(y))),
    ),
    _slip(
        "wrong_targets",
        "the entries of target 0 have no gradient",
        lambda x, y, t, w, p: w * -p * t * (1 - y),
    ),
    _slip(
        "wrong_targets",
        "the entries of target 1 have no gradient",
        lambda x, y, t, w, p: w * (1 - t) * y,
    ),
    _slip("wrong_targets", "the targets are -1 and 1", lambda x, y, t, w, p: w * (y - (2 * t - 1))),
    _slip(
        "wrong_targets",
        "the targets are exchanged: 1 - t",
        lambda x, y, t, w, p: w * (t * y - p * (1 - t) * (1 - y)),
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return logits of both signs, labels and soft targets, and weights."""
    soft = rng.uniform(size=(7, 5))
    inputs = {
        "input": 1.5 * rng.normal(size=(7, 5)),
        "target": np.where(rng.uniform(size=(7, 5)) < 0.6, np.round(soft), soft),
        "weight": rng.uniform(0.5, 2.0, (7, 1)),
        "pos_weight": rng.uniform(0.5, 3.0, 5),
    }
    return Case(inputs)
