"""NegativeLogLikelihoodLoss (ONNX 22): the loss of labels whose log-probabilities are known.

    loss_n = -weight_target_n input_n,target_n;   dinput_n,target_n = -weight_target_n dloss_n

Every other entry of dinput is zero, as are rows whose target is ignore_index. The mean divides by
the weights of the targets that count.

Shapes: input (N, C, ...), target (N, ...) from 0 to C - 1, weight (C,). The loss is a scalar, or
has the shape of the target if reduction is "none".

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.class_targets import (
    WRONG,
    Targets,
    back,
    reduced,
    require,
    rows_of,
    spread,
    targets_of,
)
from oracle.operators.operator import Case, Shape, Signature, Slip, constant, optional_constant
from oracle.values import Array

SIGNATURE = Signature(
    "NegativeLogLikelihoodLoss",
    inputs=("input", constant("target"), optional_constant("weight")),
    outputs=("loss",),
    attributes={"ignore_index": None, "reduction": "mean"},
    version=22,
)


def shapes(
    input: Shape,
    target: Array,
    weight: Array | None = None,
    *,
    ignore_index: int | None,
    reduction: str,
) -> Sequence[Shape]:
    """Return the shape of the loss."""
    names = ("input", "target", "weight")
    require(names, input, target, weight, reduction=reduction, ignore_index=ignore_index)
    return ((*input[:1], *input[2:]) if reduction == "none" else (),)


def value(
    xp: Numbers,
    input: Number,
    target: Array,
    weight: Array | None = None,
    *,
    ignore_index: int | None,
    reduction: str,
) -> Number:
    """Return the loss."""
    targets = targets_of(input.shape, target, weight, ignore_index)
    picked = xp.take_along(rows_of(xp, input), targets.labels[:, np.newaxis], 1)
    losses = -(xp.held(targets.factors) * xp.reshape(picked, (-1,)))
    return reduced(xp, losses, targets, reduction)


def vjp(
    xp: Numbers,
    dloss: Number,
    input: Number,
    target: Array,
    weight: Array | None = None,
    *,
    ignore_index: int | None,
    reduction: str,
) -> dict[str, Number]:
    """Return dinput."""
    targets = targets_of(input.shape, target, weight, ignore_index)
    return _differentiated(xp, dloss, input.shape, targets, reduction)


def _differentiated(
    xp: Numbers, dloss: Number, shape: Shape, targets: Targets, reduction: str
) -> dict[str, Number]:
    scale = spread(xp, dloss, targets, reduction)
    slope = -(scale * xp.reshape(xp.held(targets.factors), (-1, 1)))
    return {"input": back(xp, xp.where(targets.at(), slope, 0.0), shape)}


def _with(change: Callable[[Targets], Targets]) -> Callable[..., dict[str, Number]]:
    """Return a vjp of other targets."""

    def wrong(
        xp: Numbers,
        dloss: Any,
        input: Any,
        target: Array,
        weight: Array | None = None,
        *,
        ignore_index: int | None,
        reduction: str,
    ) -> dict[str, Number]:
        targets = change(targets_of(input.shape, target, weight, ignore_index))
        return _differentiated(xp, dloss, input.shape, targets, reduction)

    return wrong


def _softmax(
    xp: Numbers,
    dloss: Any,
    input: Any,
    target: Array,
    weight: Array | None = None,
    **attributes: Any,
) -> dict[str, Number]:
    right = rows_of(xp, vjp(xp, dloss, input, target, weight, **attributes)["input"])
    rows = right - xp.softmax(rows_of(xp, input)) * right.sum(axis=1, keepdims=True)
    return {"input": back(xp, rows, input.shape)}


def _probabilities(
    xp: Numbers,
    dloss: Any,
    input: Any,
    *given: Any,
    **attributes: Any,
) -> dict[str, Number]:
    right = vjp(xp, dloss, input, *given, **attributes)["input"]
    return {"input": right / np.exp(input)}


SLIPS = (
    *(Slip(code, says, _with(change), remedy) for code, says, remedy, change in WRONG),
    Slip(
        "upstream_gradient_ignored",
        "the gradient of the loss that comes from above is ignored",
        lambda xp, dloss, *given, **a: vjp(xp, np.ones_like(dloss), *given, **a),
        "Multiply by the cotangent of the loss.",
    ),
    Slip(
        "softmax_twice",
        "it went back through a softmax that is not there",
        _softmax,
        "The input holds log-probabilities: write -1 at the target, zero elsewhere.",
    ),
    Slip(
        "wrong_forward",
        "it is divided by the probability, as if the logarithm were part of the loss",
        _probabilities,
        "The input holds log-probabilities: write -1 at the target, zero elsewhere.",
    ),
    Slip(
        "wrong_targets",
        "the classes that are not the target have a gradient",
        lambda xp, dloss, input, target, *given, **a: {
            "input": vjp(xp, dloss, input, target, *given, **a)["input"]
            + np.mean(dloss) / input.size
        },
        "Write zero at every class but the target.",
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return log-probabilities at places of two axes, of which some are ignored, and weights."""
    a = rng.normal(size=(5, 4, 3))
    target = rng.integers(0, 4, (5, 3))
    target.ravel()[rng.permutation(15)[:4]] = -1
    inputs = {
        "input": a - np.log(np.exp(a).sum(axis=1, keepdims=True)),
        "target": target,
        "weight": rng.uniform(0.5, 2.0, 4),
    }
    return Case(inputs, {"ignore_index": -1})
