"""What is wrong with a derivative of a loss by its predictions y."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from oracle.checking.backward import sigmoid, softmax
from oracle.checking.diagnosis.hypotheses import (
    Hypothesis,
    closest,
    entry_by_entry,
    factor_of_any,
)
from oracle.diagnosis.comparison import Comparison
from oracle.diagnosis.linear import least_squares
from oracle.diagnosis.tensors import (
    explain_each,
    explain_tensors,
    low_precision,
    unexplained,
)
from oracle.findings import FindingKind as Kind
from oracle.values import DELTA, Array, Finding, Float64

MOST_ENTRIES = 2**18
"""Larger losses are explained from their numbers alone."""

CROSS_ENTROPY = "Write dy = -t / (y + delta) / N, with one row of t for each sample."
SQUARED_ERROR = "Write dy = y - t: the loss is ½ Σ (y - t)², a sum over samples and classes."

Sizes = Mapping[str, int]


def explain_cross_entropy_error(
    y: Array, t: Array, comparison: Comparison, sizes: Sizes, *, delta: float
) -> tuple[Finding, ...]:
    """Name what is wrong with -t / (y + delta) / N that failed its check.

    Parameters
    ----------
    y, t : (N, K) or (K,) arrays
        The predictions, and the targets as a distribution.
    comparison : Comparison
        The candidate, tensor "y", beside the reference.
    sizes : mapping of str to int
        Sizes that factors may equal.
    delta : float
        The constant inside the logarithm.

    Returns
    -------
    tuple of Finding
        At least one; `UNEXPLAINED` where no known cause fits.
    """
    if y.size > MOST_ENTRIES:
        return explain_tensors(comparison, sizes)
    found = low_precision(comparison)
    if found:
        return found
    rows, targets = np.atleast_2d(y.astype(np.float64)), np.atleast_2d(t.astype(np.float64))
    with np.errstate(all="ignore"):
        deltas = dict.fromkeys((delta, 0.0, DELTA))
        right = {d: np.where(targets == 0, 0, -targets / (rows + d) / len(rows)) for d in deltas}
        found = factor_of_any(comparison, "y", (g.reshape(y.shape) for g in right.values()), sizes)
        if found:
            return found
        sent = _sent(comparison, rows)
        others = [(other_delta(delta, d), g) for d, g in right.items() if d != delta]
        guesses = [_recovered_delta(rows, targets, delta, sent / s) for s in _scales(len(rows))]
        guesses += [_cross_entropy(rows, targets, d, sent) for d in deltas]
        hypotheses = [
            (finding, np.broadcast_to(g, rows.shape).reshape(y.shape))
            for finding, g in itertools.chain(others, *guesses)
        ]
    return _chosen(comparison, hypotheses, sizes)


def explain_mean_squared_error(
    y: Array, t: Array, comparison: Comparison, sizes: Sizes
) -> tuple[Finding, ...]:
    """Name what is wrong with y - t that failed its check; see `explain_cross_entropy_error`."""
    if not 0 < y.size <= MOST_ENTRIES or y.ndim == 0:
        return explain_tensors(comparison, sizes)
    found = low_precision(comparison)
    if found:
        return found
    shape = (len(y) if y.ndim > 1 else 1, -1)
    rows, targets = (a.astype(np.float64).reshape(shape) for a in (y, t))
    found = factor_of_any(comparison, "y", [(rows - targets).reshape(y.shape)], sizes)
    if found:
        return found
    with np.errstate(all="ignore"):
        hypotheses = [
            (finding, np.broadcast_to(g, rows.shape).reshape(y.shape))
            for finding, g in _squared_error(rows, targets, _sent(comparison, rows))
        ]
    return _chosen(comparison, hypotheses, sizes)


def _sent(comparison: Comparison, like: Array) -> Float64:
    return comparison.candidate["y"].astype(np.float64).reshape(like.shape)


def _chosen(
    comparison: Comparison, hypotheses: list[Hypothesis], sizes: Sizes
) -> tuple[Finding, ...]:
    equations = int(np.count_nonzero(comparison.candidate["y"]))
    found = closest(comparison, "y", hypotheses, sizes, equations=equations, view_of=entry_by_entry)
    if found or equations != 1:
        return found or explain_each(comparison, sizes)
    return (unexplained(comparison, "y"),)


def _said(kind: Kind, message: str, remedy: str) -> Finding:
    return Finding(kind, "y", f"{message}.", remedy)


def _cross_entropy(y: Float64, t: Float64, delta: float, g: Float64) -> Iterator[Hypothesis]:
    """Yield what people write in place of -t / (y + delta) / N; `g` is what was sent."""
    N = len(y)
    guarded = y + delta

    def by(used: Array) -> Float64:
        return np.where(used == 0, 0, -used / guarded / N)

    def error(kind: Kind, message: str, values: Array) -> Hypothesis:
        return _said(kind, message, CROSS_ENTROPY), np.asarray(values) / N

    jacobian, forward = Kind.SOFTMAX_JACOBIAN, Kind.WRONG_FORWARD
    scores = "y - t is the derivative by the scores behind a softmax, or of the squared error; "
    yield error(jacobian, f"{scores}by y it is -t / (y + delta)", y - t)
    weight = (t * y / guarded).sum(axis=1, keepdims=True)
    through = "dy went through the derivative of the softmax: it is the derivative by the scores"
    yield error(jacobian, through, weight * y - t * y / guarded)
    twice = "dy is that of a loss that applies a softmax of its own to y"
    yield error(Kind.SOFTMAX_TWICE, twice, softmax(y) - t)
    again = "The softmax is applied to y again"
    yield error(Kind.SOFTMAX_TWICE, again, -t / (softmax(y) + delta))
    binary = "dy is (y - t) / (y (1 - y)), that of the binary cross-entropy"
    yield error(forward, binary, (y - t) / (y * (1 - y)))
    yield error(forward, binary, (1 - t) / (1 - y + delta) - t / guarded)
    yield error(forward, "dy is -t: the loss has no logarithm", -t)
    yield error(forward, "dy is -t / y²: 1 / y is taken twice", -t / guarded**2)
    multiplied = "dy is -t (y + delta)" if delta else "dy is -t y"
    yield error(forward, f"{multiplied}: y is multiplied where it divides", -t * guarded)
    yield error(
        forward, "dy holds the terms of the loss, not their derivative", -t * np.log(guarded)
    )
    yield error(forward, "dy holds t log(y): no derivative was taken", t * np.log(guarded))
    yield error(forward, "dy is -log(y + delta)", -np.log(guarded))
    yield error(
        forward, "dy is -(log(y) + 1) / N: y log(y) was differentiated", -np.log(guarded) - 1
    )
    clipped = "log(y) is cut off at the smallest y, and has no slope below"
    if delta:
        yield error(forward, "delta is added to 1 / y, outside the logarithm", -t / y + delta * t)
        for lowest in (delta, 1e-7, 1e-8, 1e-12, 1e-15):
            inside = (y >= lowest) & (y <= 1 - lowest)
            yield error(Kind.CLIPPED, clipped, np.where(inside & (t > 0), -t / y, 0))
            yield error(Kind.CLIPPED, "y is cut off at delta", -t / np.clip(y, lowest, 1 - lowest))
    yield error(Kind.WRONG_TARGETS, "y and t stand in each other's place", -y / (t + delta))
    for message, used in _other_targets(t):
        yield _said(Kind.WRONG_TARGETS, message, CROSS_ENTROPY), by(used)
    for scale in _scales(N):
        yield from _read_targets(t, -g / scale * N * guarded, by)
    yield from _dropped(by(t), g)


def _other_targets(t: Float64) -> Iterator[tuple[str, Float64]]:
    """Yield targets that people use in place of the right ones."""
    of = "The derivative is that of other targets"
    labels = t.argmax(axis=1)
    yield f"{of}: labels one too high", np.roll(t, 1, axis=1)
    yield f"{of}: labels one too low", np.roll(t, -1, axis=1)
    yield f"{of}: those of the sample before", np.roll(t, 1, axis=0)
    yield f"{of}: those of the sample after", np.roll(t, -1, axis=0)
    yield f"{of}: in reverse order", t[::-1]
    yield f"{of}: in sorted order", t[np.argsort(labels, kind="stable")]
    yield f"{of}: their mean over the batch", np.broadcast_to(t.mean(axis=0), t.shape)
    yield f"{of}: every class is a label", np.ones_like(t)
    yield f"{of}: 1 - t", 1 - t
    yield (
        f"{of}: the label of any sample counts in each",
        np.broadcast_to((t.sum(axis=0) > 0) * 1.0, t.shape),
    )
    yield f"{of}: the label itself, as a number", np.broadcast_to(labels[:, None] * 1.0, t.shape)
    first = np.zeros_like(t)
    first[0] = t.sum(axis=0) > 0
    yield f"{of}: all labels are written into the first row", first
    yield f"{of}: t is divided by its sum over the batch", t / np.maximum(t.sum(axis=0), 1)


def _scales(count: int) -> dict[float, None]:
    """Return the factors that come with other mistakes: a mean that is missing or extra, a sign."""
    return dict.fromkeys((1.0, float(count), 1.0 / count, -1.0))


def _read_targets(
    t: Float64, used: Float64, gradient: Callable[[Array], Float64]
) -> Iterator[Hypothesis]:
    """Read the targets off the derivative: whole numbers, or the right ones and a constant."""
    if not np.all(np.isfinite(used)):
        return
    remedy = "Keep y and t in the same order, and t one-hot or a distribution."
    whole = np.rint(used)
    near = np.all(np.abs(used - whole) <= 1e-3)
    if near and np.array_equal(t, np.rint(t)) and np.all(whole.sum(axis=-1) == t.sum(axis=-1)):
        labels = ", ".join(str(int(k)) for k in whole.argmax(axis=1)[:8])
        message = f"The derivative is that of other labels: {labels}"
        yield _said(Kind.WRONG_TARGETS, message, remedy), gradient(whole)
    if t.size >= 6 and np.ptp(t) > 0:
        columns = np.column_stack([t.ravel(), np.ones(t.size)])
        b, c = least_squares(columns, used.ravel())
        if b > 1e-6 and abs(c) > 1e-6 and b + c < 1.01:
            message = f"The derivative is that of {b:.4g} t {c:+.4g} in place of t"
            yield _said(Kind.WRONG_TARGETS, message, remedy), gradient(b * t + c)


def other_delta(delta: float, used: float) -> Finding:
    """Say which constant stands in place of delta."""
    message = f"The constant inside the logarithm is {used:.3g}"
    kind = Kind.WRONG_FORWARD if used else Kind.DELTA_IGNORED
    return _said(kind, message, f"Use delta={delta:g}, or ask for delta={used:g}.")


def _recovered_delta(y: Float64, t: Float64, delta: float, g: Float64) -> Iterator[Hypothesis]:
    """Find another delta, one that three labels agree upon."""
    at = (t > 0) & (g < 0)
    if np.count_nonzero(at) < 3:
        return
    used = float(f"{np.median(-t[at] / g[at] / len(y) - y[at]):.3g}")
    if used > 0 and used != delta:
        yield other_delta(delta, used), np.where(t > 0, -t / (y + used) / len(y), 0)


def _dropped(right: Float64, g: Float64) -> Iterator[Hypothesis]:
    """Find samples, or classes, that have no part in the derivative."""
    for axis, what in ((1, "samples"), (0, "classes")):
        lost = ~np.any(g, axis=axis) & np.any(right, axis=axis)
        if lost.any() and not np.all(lost | ~np.any(right, axis=axis)):
            which = ", ".join(str(k) for k in np.flatnonzero(lost)[:8])
            message = f"{lost.sum()} of {len(lost)} {what} have no part in the derivative: {which}"
            kept = np.where(np.expand_dims(lost, axis), 0, right)
            kind = Kind.DROPPED_SAMPLES if axis else Kind.SINGLE_ENTRIES
            yield _said(kind, message, "Let the loop, or the slice, reach every one."), kept


def _squared_error(y: Float64, t: Float64, g: Float64) -> Iterator[Hypothesis]:
    """Yield what people write in place of y - t; `g` is what was sent."""

    def error(kind: Kind, message: str, values: Array) -> Hypothesis:
        return _said(kind, message, SQUARED_ERROR), np.asarray(values)

    forward, targets, jacobian = Kind.WRONG_FORWARD, Kind.WRONG_TARGETS, Kind.SOFTMAX_JACOBIAN
    gap = y - t
    yield error(targets, "dy is y: nothing is subtracted", y)
    yield error(forward, "dy is -t: y is missing", -t)
    yield error(targets, "t is added where it is subtracted", y + t)
    yield error(forward, "dy is the sign of y - t, that of the absolute error", np.sign(gap))
    yield error(forward, "dy is (y - t)²: no derivative was taken", gap**2)
    yield error(forward, "dy is |y - t|", np.abs(gap))
    yield error(forward, "dy is (y - t)³", gap**3)
    yield error(forward, "dy is tanh(y - t), that of log cosh", np.tanh(gap))
    yield error(jacobian, "dy is (y - t) y (1 - y): it went through a sigmoid", gap * y * (1 - y))
    slope = sigmoid(y) * (1 - sigmoid(y))
    yield error(jacobian, "dy went through the derivative of a sigmoid of y", gap * slope)
    yield error(
        jacobian,
        "dy went through the derivative of the softmax",
        y * (gap - (gap * y).sum(axis=1, keepdims=True)),
    )
    yield error(forward, "The softmax is applied to y first", softmax(y) - t)
    yield error(forward, "The sigmoid is applied to y first", sigmoid(y) - t)
    if np.all(y > 0):
        yield error(forward, "dy is -t / y, that of the cross-entropy", -t / y)
    yield error(forward, "dy is (y - t) / t², that of the relative error", gap / t**2)
    for axis, what in ((0, "samples"), (1, "classes"), (None, "all entries")):
        mean = t.mean(axis=axis, keepdims=True)
        message = f"Each y meets the targets of all {what}: shapes were broadcast"
        yield error(targets, message, y - mean)
        yield error(
            forward,
            f"The mean over {what} is taken off y - t",
            gap - gap.mean(axis=axis, keepdims=True),
        )
    for message, used in _other_targets(t):
        yield error(targets, message, y - used)
    for scale in _scales(len(y)):
        yield from _read_targets(t, y - g / scale, lambda used: y - used)
    yield from _bounded(gap, g)
    yield from _dropped(gap, g)
    yield from _weighted(gap, g)


def _bounded(right: Float64, g: Float64) -> Iterator[Hypothesis]:
    """Find y - t between two bounds, as the Huber loss has it."""
    low, high = float(g.min()), float(g.max())
    reached = np.count_nonzero((g == low) | (g == high))
    if reached >= 3 and low < high:
        message = f"y - t is cut off at {low:.6g} and {high:.6g}, as by clipping or a Huber loss"
        remedy = "Use the squared error without a bound for the check."
        yield _said(Kind.CLIPPED, message, remedy), np.clip(right, low, high)


def _weighted(right: Float64, g: Float64) -> Iterator[Hypothesis]:
    """Find one weight for each sample, or for each class, where each has three entries."""
    for axis, what in ((1, "samples"), (0, "classes")):
        squares = (right**2).sum(axis=axis, keepdims=True)
        if right.shape[axis] < 3 or right.shape[1 - axis] < 2 or not np.all(squares > 0):
            continue
        weights = (g * right).sum(axis=axis, keepdims=True) / squares
        message = f"The {what} do not count equally: their weights are from {weights.min():.4g} to "
        remedy = f"Give all {what} the weight 1, if none is meant."
        kind = Kind.SAMPLE_WEIGHTS if axis else Kind.WRONG_FORWARD
        yield _said(kind, f"{message}{weights.max():.4g}", remedy), weights * right
