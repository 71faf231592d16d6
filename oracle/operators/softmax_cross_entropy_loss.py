"""SoftmaxCrossEntropyLoss (ONNX 13): the mean cross-entropy of a softmax over labels.

    output = mean_n (log Σ_k e^scores_nk - scores_n,labels_n);   dscores = (softmax - onehot) / N

Shapes: scores (N, K), labels (N,) from 0 to K - 1; the output is a scalar.

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.arithmetic.rounded import Rounded, RoundedNumbers
from oracle.operators import softmax_loss
from oracle.operators.operator import Case, Shape, Signature, constant
from oracle.operators.targets import distribution
from oracle.values import Array, InvalidInput

SIGNATURE = Signature(
    "SoftmaxCrossEntropyLoss",
    inputs=("scores", constant("labels")),
    outputs=("output",),
    attributes={"reduction": "mean"},
    version=13,
)


def shapes(scores: Shape, labels: Array, *, reduction: str) -> Sequence[Shape]:
    """Return the shape of a scalar."""
    if len(scores) != 2:
        raise InvalidInput("scores", "have shape (N, K)", f"shape {scores}")
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != scores[:1]:
        was = f"{labels.dtype} of shape {labels.shape}"
        raise InvalidInput("labels", f"hold whole numbers of shape {scores[:1]}", was)
    if labels.size and not (labels.min() >= 0 and labels.max() < scores[1]):
        was = f"{labels.min()} to {labels.max()}"
        raise InvalidInput("labels", f"be from 0 to {scores[1] - 1}", was)
    if reduction != "mean":
        raise InvalidInput("reduction", 'be "mean"', repr(reduction))
    return ((),)


def value(xp: Numbers, scores: Number, labels: Array, *, reduction: str) -> Number:
    """Return the mean loss."""
    return softmax_loss.loss(xp, scores, distribution(labels, scores.shape), 0.0)


def vjp(
    xp: Numbers,
    doutput: Number,
    scores: Number,
    labels: Array,
    *,
    reduction: str,
) -> dict[str, Number]:
    """Return dscores."""
    rows = distribution(labels, scores.shape)
    return {"scores": doutput * softmax_loss.derivative(xp, scores, rows, 0.0)}


def rounded_vjp(
    xp: RoundedNumbers,
    doutput: Rounded,
    scores: Rounded,
    labels: Array,
    *,
    reduction: str,
) -> dict[str, Rounded]:
    """Return dscores with the bound of `softmax_loss`."""
    rows = distribution(labels, scores.shape)
    return {"scores": doutput * softmax_loss.rounded_derivative(xp, scores, rows, 0.0)}


def _given(
    doutput: Any, scores: Any, labels: Array, *, reduction: str
) -> tuple[str, Any, Any, float]:
    return "scores", scores, distribution(labels, scores.shape), float(doutput)


SLIPS = softmax_loss.slips(_given)
FAMILIES = softmax_loss.families(_given)
CURVES = softmax_loss.curves(_given)


def read(error: Any, scores: Any, labels: Array, *, reduction: str) -> softmax_loss.Read:
    """Read off a wrong derivative how it was made."""
    return softmax_loss.read(error, scores, distribution(labels, scores.shape), 0.0)


def draw(rng: np.random.Generator) -> Case:
    """Return scores of eleven samples, and labels that repeat."""
    return Case({"scores": rng.normal(size=(11, 5)), "labels": rng.integers(0, 5, 11)})
