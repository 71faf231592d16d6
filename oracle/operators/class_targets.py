"""Targets of a loss over classes: labels or rows of weights, some ignored, some smoothed.

    loss_n = Σ_k q_nk c_nk;   q_nk = w_k ((1 - s) t_nk + s / K), 0 in a row that is ignored

c is the cost of each class, -log y of a softmax, and s the label smoothing. The mean divides by the
weights of the labels that count, Σ_n w_labels_n; rows of targets have no label, and it divides by
their number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.attributes import require_one_of, require_whole
from oracle.operators.operator import Shape
from oracle.values import Array, Float64, InvalidInput

REDUCTIONS = ("mean", "sum", "none")


@dataclass(frozen=True)
class Targets:
    """Targets of M rows of K classes. `labels` is 0 where a row is ignored; `soft` are rows (M, K).

    `places` is the shape of the losses, one for each row; `count` is what the mean divides by.
    """

    labels: Array
    seen: Array
    soft: Float64 | None
    weights: Float64
    smoothing: float
    count: float
    places: Shape

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.weights)

    @property
    def single(self) -> bool:
        """Whether each row has but one class."""
        return self.soft is None and self.smoothing == 0.0

    @property
    def factors(self) -> Float64:
        """Weights of the labels, 0 where a row is ignored; for rows of targets 1."""
        if self.soft is not None:
            return np.ones(len(self.seen))
        return np.where(self.seen, self.weights[self.labels], 0.0)

    def at(self, block: slice = slice(None)) -> Array:
        """Return where the classes of rows are, (m, K)."""
        return np.arange(self.classes) == self.labels[block, np.newaxis]

    def rows(self, block: slice = slice(None)) -> Float64:
        """Return q."""
        t = self.at(block) * 1.0 if self.soft is None else self.soft[block]
        smoothed = (1.0 - self.smoothing) * t + self.smoothing / self.classes
        return np.asarray(self.weights * smoothed * self.seen[block, np.newaxis])

    def otherwise(self, **changes: Any) -> Targets:
        """Return targets of which something is otherwise."""
        return replace(self, **changes)


def targets_of(
    scores: Shape,
    labels: Array,
    weights: Array | None,
    ignore_index: int | None,
    smoothing: float = 0.0,
) -> Targets:
    """Return the targets of scores of shape (N, K, ...)."""
    K, places = scores[1], (*scores[:1], *scores[2:])
    w = np.ones(K) if weights is None else np.asarray(weights, dtype=np.float64)
    if labels.dtype.kind not in "iu":
        soft = np.moveaxis(np.asarray(labels, dtype=np.float64), 1, -1).reshape(-1, K)
        M = len(soft)
        everything, none = np.ones(M, dtype=bool), np.zeros(M, dtype=np.int64)
        return Targets(none, everything, soft, w, smoothing, float(M), places)
    flat = np.asarray(labels).ravel()
    seen = np.ones(flat.shape, dtype=bool) if ignore_index is None else flat != ignore_index
    known = np.where(seen, flat, 0)
    count = float(np.where(seen, w[known], 0.0).sum())
    return Targets(known, seen, None, w, smoothing, count, places)


def require(
    names: tuple[str, str, str],
    scores: Shape,
    labels: Array,
    weights: Array | None,
    *,
    reduction: str,
    ignore_index: int | None,
    soft: bool = False,
) -> None:
    """Raise unless labels and weights fit scores; `names` are those of the three.

    Raises
    ------
    InvalidInput
        If they do not, or the mean would be of nothing.
    """
    s, t, w = names
    if len(scores) < 2:
        raise InvalidInput(s, "have shape (N, K), or (N, K, ...)", f"shape {scores}")
    places, K = (*scores[:1], *scores[2:]), scores[1]
    require_one_of("reduction", reduction, REDUCTIONS)
    require_whole("ignore_index", ignore_index)
    if weights is not None:
        if weights.shape != (K,) or weights.dtype.kind in "biuc":
            requirement = f"hold a floating number for each of {K} classes"
            raise InvalidInput(w, requirement, f"{weights.dtype} of shape {weights.shape}")
        wide = weights.astype(np.float64)
        if not (np.isfinite(wide).all() and (wide >= 0).all()):
            raise InvalidInput(w, "be finite and not negative", "other numbers")
    if labels.dtype.kind not in "iu":
        _require_rows(t, scores, places, labels, ignore_index, soft)
        return
    if labels.shape != places:
        was = f"shape {labels.shape}"
        raise InvalidInput(t, f"hold whole numbers of shape {places}", was)
    seen = labels[labels != ignore_index] if ignore_index is not None else labels.ravel()
    if seen.size and not (seen.min() >= 0 and seen.max() < K):
        was = f"{seen.min()} to {seen.max()}"
        ignored = "" if ignore_index is None else f", or {ignore_index}"
        raise InvalidInput(t, f"be from 0 to {K - 1}{ignored}", was)
    if reduction == "mean" and targets_of(scores, labels, weights, ignore_index).count == 0.0:
        raise InvalidInput(t, "hold one that counts: the mean divides by their weights", "none")


def _require_rows(
    name: str, scores: Shape, places: Shape, rows: Array, ignore_index: int | None, soft: bool
) -> None:
    was = f"{rows.dtype} of shape {rows.shape}"
    if not soft or rows.dtype.kind in "bc":
        raise InvalidInput(name, f"hold whole numbers of shape {places}", was)
    if rows.shape != scores:
        requirement = f"hold whole numbers of shape {places}, or weights of shape {scores}"
        raise InvalidInput(name, requirement, was)
    wide = rows.astype(np.float64)
    if not (np.isfinite(wide).all() and (wide >= 0).all()):
        raise InvalidInput(name, "be finite and not negative", "other numbers")
    if ignore_index is not None:
        raise InvalidInput("ignore_index", "be left out: weights are no labels", str(ignore_index))


def rows_of(xp: Numbers, x: Number) -> Number:
    """Return (N, K, ...) as rows (M, K)."""
    order = (0, *range(2, x.ndim), 1)
    return xp.reshape(xp.transpose(x, order) if x.ndim > 2 else x, (-1, x.shape[1]))


def back(xp: Numbers, rows: Number, shape: Shape) -> Number:
    """Return rows (M, K) in the shape (N, K, ...) from which they came."""
    if len(shape) == 2:
        return rows
    split = xp.reshape(rows, (shape[0], *shape[2:], shape[1]))
    return xp.transpose(split, (0, len(shape) - 1, *range(1, len(shape) - 1)))


def reduced(xp: Numbers, losses: Number, targets: Targets, reduction: str) -> Number:
    """Return the mean or the sum of losses (M,), or them in their places."""
    if reduction == "none":
        return xp.reshape(losses, targets.places)
    total = xp.sum(losses)
    return total / targets.count if reduction == "mean" else total


def spread(xp: Numbers, cotangent: Number, targets: Targets, reduction: str) -> Number:
    """Return the cotangent of each loss, as a column (M, 1)."""
    if reduction == "none":
        return xp.reshape(cotangent, (-1, 1))
    each = cotangent / targets.count if reduction == "mean" else cotangent
    return xp.broadcast_to(xp.reshape(each, (1, 1)), (len(targets.seen), 1))


WRONG: tuple[tuple[str, str, str, Any], ...] = (
    (
        "ignored_rows_counted",
        "the mean counts the rows that are ignored",
        "Divide by the weights of the labels that count, not by the number of all rows.",
        lambda t: t.otherwise(count=float(len(t.seen))),
    ),
    (
        "class_weights_in_mean",
        "the mean divides by the number of rows, not by their class weights",
        "Divide by the sum of the weights of the labels that count.",
        lambda t: t.otherwise(count=float(t.seen.sum())),
    ),
    (
        "missing_batch_mean",
        "the mean is not divided by what it counts",
        "Divide by the sum of the weights of the labels that count.",
        lambda t: t.otherwise(count=1.0),
    ),
    (
        "class_weights_missing",
        "the class weights are missing",
        "Multiply each row by the weight of its label.",
        lambda t: t.otherwise(weights=np.ones(t.classes), count=float(t.seen.sum())),
    ),
    (
        "class_weights_missing",
        "the class weights are in the mean alone",
        "Multiply each row by the weight of its label.",
        lambda t: t.otherwise(weights=np.ones(t.classes)),
    ),
    (
        "ignored_rows_kept",
        "rows that are ignored have a gradient",
        "Set the gradient of an ignored row to zero.",
        lambda t: t.otherwise(seen=np.ones(t.seen.shape, dtype=bool)),
    ),
)
"""What people write instead of the targets: code, what it is, what fixes it, and the targets."""
