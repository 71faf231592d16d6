"""SoftmaxCrossEntropyLoss (ONNX 13): the cross-entropy of a softmax over labels or soft targets.

    log_prob = scores - log Σ_k e^scores_k;   loss_n = -Σ_k q_nk log_prob_nk
    dscores_nj = dloss_n (y_nj Σ_k q_nk - q_nj),   y = softmax(scores)

q is 1 at the label. With class weights it is the label's weight; with label_smoothing = s it is
weights_k ((1 - s) t_k + s / K); it is 0 in rows whose label is ignore_index. The mean divides by
the weights of the labels that count, or by the number of rows of soft targets.

Shapes: scores (N, K, ...), labels (N, ...) from 0 to K - 1, or soft targets of the shape of scores;
weights (K,). The output is a scalar, or has the shape of the labels if reduction is "none".

Reference: the ONNX operator specification; label_smoothing and soft targets as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.errors import one_sign
from oracle.arithmetic.float64 import Float64Numbers
from oracle.arithmetic.numbers import Number, Numbers
from oracle.arithmetic.rounded import Rounded, RoundedNumbers
from oracle.operators import softmax_loss, softmax_slips
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
from oracle.values import Array, Float64, InvalidInput

SIGNATURE = Signature(
    "SoftmaxCrossEntropyLoss",
    inputs=("scores", constant("labels"), optional_constant("weights")),
    outputs=("output", "log_prob"),
    attributes={"ignore_index": None, "label_smoothing": 0.0, "reduction": "mean"},
    version=13,
    optional_outputs=1,
    ours=("label_smoothing",),
)


def shapes(
    scores: Shape,
    labels: Array,
    weights: Array | None = None,
    *,
    ignore_index: int | None,
    label_smoothing: float,
    reduction: str,
) -> Sequence[Shape]:
    """Return the shapes of the loss and of log_prob."""
    require(
        ("scores", "labels", "weights"),
        scores,
        labels,
        weights,
        reduction=reduction,
        ignore_index=ignore_index,
        soft=True,
    )
    if not 0.0 <= label_smoothing <= 1.0:
        raise InvalidInput("label_smoothing", "be from 0 to 1", str(label_smoothing))
    return ((*scores[:1], *scores[2:]) if reduction == "none" else (), scores)


def _targets(
    scores: Number,
    labels: Array,
    weights: Array | None,
    *,
    ignore_index: int | None,
    label_smoothing: float,
    reduction: str,
) -> Targets:
    return targets_of(scores.shape, labels, weights, ignore_index, label_smoothing)


def value(
    xp: Numbers, scores: Number, labels: Array, weights: Array | None = None, **attributes: Any
) -> tuple[Number, Callable[[], Number]]:
    """Return the loss, and the logarithms of the softmax."""
    targets = _targets(scores, labels, weights, **attributes)
    a = rows_of(xp, scores)

    def of(a: Number, places: Array) -> Number:
        block = slice(places[0], places[-1] + 1)
        lse = xp.logsumexp(a, keepdims=True)
        if targets.single:
            at = targets.labels[block, np.newaxis]
            cost = lse - xp.take_along(a, at, 1)
            return xp.held(targets.factors[block]) * xp.reshape(cost, (-1,))
        return xp.sum(xp.held(targets.rows(block)) * (lse - a), 1)

    losses = xp.rowwise(of, a, np.arange(a.shape[0])) if a.shape[0] else xp.sum(a, 1)

    def log_prob() -> Number:
        rows = xp.rowwise(lambda a: a - xp.logsumexp(a, keepdims=True), a)
        return back(xp, rows, scores.shape)

    return reduced(xp, losses, targets, attributes["reduction"]), log_prob


def vjp(
    xp: Numbers,
    doutput: Number | None,
    dlog_prob: Number | None,
    scores: Number,
    labels: Array,
    weights: Array | None = None,
    **attributes: Any,
) -> dict[str, Number]:
    """Return dscores."""
    targets = _targets(scores, labels, weights, **attributes)
    return _differentiated(xp, doutput, dlog_prob, scores, targets, attributes["reduction"])


def _differentiated(
    xp: Numbers,
    doutput: Number | None,
    dlog_prob: Number | None,
    scores: Number,
    targets: Targets,
    reduction: str,
) -> dict[str, Number]:
    """Return dscores; in rounded numbers with the bound of `softmax_loss`."""
    a = rows_of(xp, scores)
    parts = []
    if doutput is not None and a.shape[0]:
        factors = xp.reshape(xp.held(targets.factors), (-1, 1))
        scale = spread(xp, doutput, targets, reduction)
        scale = scale * factors if targets.single else scale

        def of(a: Number, scale: Number, places: Array) -> Number:
            block = slice(places[0], places[-1] + 1)
            return _slope(xp, a, targets, block) * scale

        parts.append(xp.rowwise(of, a, scale, np.arange(a.shape[0])))
    if dlog_prob is not None:

        def through(a: Number, d: Number) -> Number:
            return d - xp.softmax(a) * xp.sum(d, 1, keepdims=True)

        parts.append(xp.rowwise(through, a, rows_of(xp, dlog_prob)))
    if not parts:
        return {"scores": xp.full(scores, 0.0)}
    total = parts[0] + parts[1] if len(parts) > 1 else parts[0]
    return {"scores": back(xp, total, scores.shape)}


def _slope(xp: Numbers, a: Number, targets: Targets, block: slice) -> Number:
    """Return y Σ_k q_k - q_j of rows, without the weight of its label where there is one class.

    q is formed in three operations, of numbers that are rounded once each.
    """
    if targets.single:
        at = targets.at(block)
        if isinstance(xp, RoundedNumbers):
            return softmax_loss.rounded_labelled(xp, a, at)
        return softmax_loss.labelled(xp, a, at)
    rows = targets.rows(block)
    if not isinstance(xp, RoundedNumbers):
        return softmax_loss.derivative(xp, a, rows, 0.0, 1.0)
    found = softmax_loss.rounded_derivative(xp, a, rows, 0.0, 1.0)
    y = np.exp(a.value - a.value.max(axis=1, keepdims=True))
    y /= y.sum(axis=1, keepdims=True)
    formed = 6.0 * xp.how.u * (rows + y * rows.sum(axis=1, keepdims=True))
    return Rounded(found.value, found.error.plus(one_sign(formed)), xp.how)


def _given(
    doutput: Any,
    dlog_prob: Any,
    scores: Any,
    labels: Array,
    weights: Array | None = None,
    **attributes: Any,
) -> softmax_slips.Given:
    xp, a = Float64Numbers(), np.asarray(scores)
    targets = _targets(a, labels, weights, **attributes)
    rows = targets.rows()
    mass = rows.sum(axis=1, keepdims=True)
    t = rows / np.where(mass > 0, mass, 1.0)
    scale: Float64 = np.zeros((len(rows), 1))
    if doutput is not None:
        scale = mass * spread(xp, np.asarray(doutput), targets, attributes["reduction"])
    of_log = _differentiated(xp, None, dlog_prob, a, targets, attributes["reduction"])["scores"]

    def brought(g: Float64) -> Float64:
        return np.asarray(back(xp, np.where(mass > 0, g, 0.0), a.shape) + of_log)

    return softmax_slips.Given("scores", np.asarray(rows_of(xp, a)), t, scale, brought)


def _with(change: Callable[[Targets], Targets]) -> Callable[..., dict[str, Number]]:
    """Return a vjp of other targets."""

    def wrong(
        xp: Numbers,
        doutput: Any,
        dlog_prob: Any,
        scores: Any,
        labels: Array,
        weights: Array | None = None,
        **attributes: Any,
    ) -> dict[str, Number]:
        targets = change(_targets(scores, labels, weights, **attributes))
        return _differentiated(xp, doutput, dlog_prob, scores, targets, attributes["reduction"])

    return wrong


def _ones(
    xp: Numbers, doutput: Any, dlog_prob: Any, *given: Any, **attributes: Any
) -> dict[str, Number]:
    ones = None if doutput is None else np.ones_like(doutput)
    return dict(vjp(xp, ones, dlog_prob, *given, **attributes))


def _smoothed(share: Callable[[float, int], tuple[float, float]]) -> Any:
    """Return a change of targets: what of the smoothing the label's class gets, and another."""

    def change(targets: Targets) -> Targets:
        if targets.smoothing == 0.0 or targets.soft is not None:
            return targets
        at, off = share(targets.smoothing, targets.classes)
        rows = np.where(targets.at(), at, off) * targets.seen[:, np.newaxis]
        return targets.otherwise(soft=rows, smoothing=0.0)

    return change


def _over_ignored(targets: Targets) -> Targets:
    if targets.soft is not None:
        return targets
    s, K = targets.smoothing, targets.classes
    rows = (1.0 - s) * targets.at() * targets.seen[:, np.newaxis] + s / K
    return targets.otherwise(soft=rows, smoothing=0.0, seen=np.ones(targets.seen.shape, dtype=bool))


_MIX = "Mix the targets: (1 - label_smoothing) t + label_smoothing / K."

SLIPS = (
    *softmax_slips.slips(_given),
    *(Slip(code, says, _with(change), remedy) for code, says, remedy, change in WRONG),
    Slip(
        "upstream_gradient_ignored",
        "the gradient of the loss that comes from above is ignored",
        _ones,
        "Multiply by the cotangent of the loss.",
    ),
    Slip(
        "label_smoothing",
        "the labels are not smoothed",
        _with(lambda t: t.otherwise(smoothing=0.0)),
        _MIX,
    ),
    Slip(
        "label_smoothing",
        "the smoothing is shared among the K - 1 other classes",
        _with(_smoothed(lambda s, K: (1.0 - s, s / max(K - 1, 1)))),
        _MIX,
    ),
    Slip(
        "label_smoothing",
        "the smoothing is added and not taken from the label",
        _with(_smoothed(lambda s, K: (1.0 + s / K, s / K))),
        _MIX,
    ),
    Slip(
        "label_smoothing",
        "the smoothing is not divided by the number of classes",
        _with(_smoothed(lambda s, K: (1.0, s))),
        _MIX,
    ),
    Slip(
        "smoothing_over_ignored_rows",
        "rows that are ignored get the gradient of the smoothing",
        _with(_over_ignored),
        "Set the whole gradient of an ignored row to zero.",
    ),
)
FAMILIES = softmax_slips.families(_given)
CURVES = softmax_slips.curves(_given)


def read(
    error: Any, scores: Any, labels: Array, weights: Array | None = None, **attributes: Any
) -> softmax_slips.Read:
    """Read off a wrong derivative how it was made, where every row counts alike."""
    targets = _targets(scores, labels, weights, **attributes)
    alike = targets.single and weights is None and targets.seen.all() and scores.ndim == 2
    if not alike or attributes["reduction"] != "mean":
        return ()
    return softmax_slips.read(error, scores, targets.rows(), 0.0)


def draw(rng: np.random.Generator) -> Case:
    """Return scores of eleven samples, labels of which some are ignored, weights and smoothing."""
    labels = rng.integers(0, 5, 11)
    labels[rng.permutation(11)[:3]] = -1
    weights = rng.uniform(0.5, 2.0, 5)
    attributes = {"ignore_index": -1, "label_smoothing": 0.15}
    inputs = {"scores": rng.normal(size=(11, 5)), "labels": labels, "weights": weights}
    return Case(inputs, attributes)
