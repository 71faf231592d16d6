"""SoftmaxCrossEntropyError (the document): the cross-entropy error of a softmax, E.

    E = -1/N Σ t log(softmax(a) + delta);   da as in `softmax_loss`, (y - t) / N for delta = 0

Shapes: a (K,) or (N, K); t labels (N,), or rows of the shape of a; E is a scalar.

Reference: the document, "neural network gradients".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.arithmetic.rounded import Rounded, RoundedNumbers
from oracle.operators import softmax_loss, softmax_slips
from oracle.operators.operator import Case, Shape, Signature, constant
from oracle.operators.targets import distribution, require_targets
from oracle.values import DELTA, Array, InvalidInput

SIGNATURE = Signature(
    "SoftmaxCrossEntropyError",
    inputs=("a", constant("t")),
    outputs=("E",),
    attributes={"delta": DELTA},
)


def shapes(a: Shape, t: Array, *, delta: float) -> Sequence[Shape]:
    """Return the shape of a scalar."""
    if len(a) not in (1, 2):
        raise InvalidInput("a", "have shape (N, K) or (K,)", f"shape {a}")
    require_targets(a, t)
    return ((),)


def value(xp: Numbers, a: Number, t: Array, *, delta: float) -> Number:
    """Return E."""
    rows = distribution(t, a.shape)
    return softmax_loss.loss(xp, xp.reshape(a, rows.shape), rows, delta)


def vjp(xp: Numbers, dE: Number, a: Number, t: Array, *, delta: float) -> dict[str, Number]:
    """Return da."""
    rows = distribution(t, a.shape)
    slope = softmax_loss.derivative(xp, xp.reshape(a, rows.shape), rows, delta)
    return {"a": dE * xp.reshape(slope, a.shape)}


def rounded_vjp(
    xp: RoundedNumbers, dE: Rounded, a: Rounded, t: Array, *, delta: float
) -> dict[str, Rounded]:
    """Return da with the bound of `softmax_loss`."""
    rows = distribution(t, a.shape)
    slope = softmax_loss.rounded_derivative(xp, xp.reshape(a, rows.shape), rows, delta)
    return {"a": dE * xp.reshape(slope, a.shape)}


def _given(dE: Any, a: Any, t: Array, *, delta: float) -> softmax_slips.Given:
    rows = distribution(t, a.shape)
    scale, shape = float(dE) / len(rows), a.shape
    return softmax_slips.Given("a", a.reshape(rows.shape), rows, scale, lambda g: g.reshape(shape))


SLIPS = softmax_slips.slips(_given)
FAMILIES = softmax_slips.families(_given)
CURVES = softmax_slips.curves(_given)


def read(error: Any, a: Any, t: Array, *, delta: float) -> softmax_slips.Read:
    """Read off a wrong derivative how it was made."""
    rows = distribution(t, a.shape)
    return softmax_slips.read(error.reshape(rows.shape), a.reshape(rows.shape), rows, delta)


def draw(rng: np.random.Generator) -> Case:
    """Return scores of eleven samples, and labels that repeat."""
    inputs = {"a": rng.normal(size=(11, 5)), "t": rng.integers(0, 5, 11)}
    return Case(inputs, {"delta": float(rng.choice([DELTA, 0.0]))})
