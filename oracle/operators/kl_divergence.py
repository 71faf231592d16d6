"""KLDivergence: the divergence of a distribution from one whose logarithms are the input.

    loss = t (log t - input), 0 where t = 0; summed and divided by N
    dinput = -doutput t / N

t is the target, or e^target if log_target is 1. N is the number of entries for reduction "mean",
that of samples for "batchmean", and 1 for "sum".

Shapes: input and target have one shape; the output is a scalar, or has it if reduction is "none".

Reference: Kullback and Leibler, On Information and Sufficiency, 1951; as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.losses import REDUCTIONS, chained, common, reduced, require_same, wrong
from oracle.operators.operator import Case, Shape, Signature, constant, flag_of
from oracle.values import Array, InvalidInput

SIGNATURE = Signature(
    "KLDivergence",
    inputs=("input", constant("target")),
    outputs=("output",),
    attributes={"log_target": 0, "reduction": "mean"},
)


def shapes(input: Shape, target: Array, *, log_target: int, reduction: str) -> Sequence[Shape]:
    """Return the shape of the loss."""
    flag_of("log_target", log_target)
    found = require_same(reduction, input, (*REDUCTIONS, "batchmean"), target=target)
    if not log_target and target.size and target.min() < 0:
        raise InvalidInput("target", "not be negative", str(target.min()))
    return (found,)


def _weights(xp: Numbers, target: Array, log_target: int) -> Number:
    held = xp.held(np.asarray(target, dtype=None))
    return xp.exp(held) if log_target else held


def value(xp: Numbers, input: Number, target: Array, *, log_target: int, reduction: str) -> Number:
    """Return the loss."""
    t = _weights(xp, target, log_target)
    if log_target:
        return reduced(xp, t * (xp.held(target) - input), reduction)
    there = target > 0
    logarithm = xp.log(xp.held(np.where(there, target, np.ones_like(target))))
    return reduced(xp, xp.where(there, t * (logarithm - input), 0.0), reduction)


def slope(xp: Numbers, input: Number, target: Array, *, log_target: int) -> Number:
    """Return -t."""
    return -_weights(xp, target, log_target)


vjp = chained("input", slope)

_REMEDY = "Write dinput = -t / N: the input holds logarithms already."


def _slip(code: str, says: str, of: Any) -> Any:
    """Return the slip of another slope, a function of the input, the target, and t."""

    def other(xp: Numbers, input: Any, target: Any, *, log_target: int) -> Number:
        return of(input, target, np.exp(target) if log_target else target)

    return wrong("input", code, says, other, _REMEDY)


SLIPS = (
    *common(vjp),
    _slip(
        "wrong_targets",
        "the logarithm of the target stands in its place",
        lambda x, target, t: np.where(t > 0, -np.log(np.where(t > 0, t, 1.0)), 0.0),
    ),
    _slip(
        "wrong_forward",
        "it is that of the divergence in the other direction",
        lambda x, target, t: np.where(
            t > 0, np.exp(x) * (x + 1 - np.log(np.maximum(t, 1e-300))), 0.0
        ),
    ),
    _slip(
        "wrong_forward",
        "the target is divided by e^input, as if the input were probabilities",
        lambda x, target, t: -t / np.exp(x),
    ),
    _slip(
        "wrong_forward",
        "it went through a softmax: e^input - t",
        lambda x, target, t: np.exp(x) - t,
    ),
    _slip(
        "wrong_targets",
        "the target is missing: dinput is -1 / N",
        lambda x, target, t: -np.ones_like(x),
    ),
    _slip(
        "wrong_targets",
        "dinput is -e^input / N: the two distributions are exchanged",
        lambda x, target, t: -np.exp(x),
    ),
)


def _distribution(rng: np.random.Generator) -> Array:
    e = np.exp(rng.normal(size=(7, 5)))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def draw(rng: np.random.Generator) -> Case:
    """Return logarithms of distributions."""
    log_target = int(rng.integers(2))
    target = _distribution(rng)
    inputs = {
        "input": np.log(_distribution(rng)),
        "target": np.log(target) if log_target else target,
    }
    return Case(inputs, {"log_target": log_target})
