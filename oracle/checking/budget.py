"""What rounding may do to a correct gradient: running error bounds.

Every bound is derived for *any* reasonable evaluation in a type of unit roundoff u that accumulates
sums in a type of unit roundoff v <= u, with underflow to `tiny` at worst. An error has two parts
(`Error`): one that may have the same sign everywhere, which adds up by magnitude, and one that is
independent of its neighbours', which adds up by squares.

- A sum of n products t_i makes n roundings of its partial sums s_i, in any order and with or
  without fused multiply-add. They are independent and of either sign: |error| <= λ v √n rms(s_i),
  and never more than n v Σ|t_i| (Higham, Accuracy and Stability, section 3.1). Each is within
  v |s_i| and nearly uniform there, so that their sum exceeds λ v √n rms(s_i) with a probability
  below 2 exp(-3/2 λ²) (Hoeffding; Higham and Mary, 2019). With λ = 4 times `SAFETY` this is 1e-23
  for an entry, 1e-14 for all entries of ten thousand checks of a network of 40,000 parameters.
- Terms that are alike err alike. With n equal terms every addition within a binade errs by the
  same amount, together n/3 v S. This is charged in proportion to (Σ t_i)² / (n Σ t_i²), which is 1
  if all terms are equal and 1/n if their signs are random; and to the number of samples whose
  factor is the same, as all are where the weights are zero.
- Equal terms err alike where their signs are mixed too: within a binade, what is lost of a term
  depends on the term alone. Values that come m times each add up to λ v √(Σ m²) rms(s_i), and all
  samples lose the same: of this, what goes beyond one of each, Σ m (m - 1), has one sign
  everywhere. Terms are equal no more often than either of their factors, signs aside; where both
  come often, the terms themselves are counted.
- Copies of a sample or of a hidden unit err alike too: what is independent adds up over groups of
  copies, not over single ones. Sums over classes are charged by magnitude.
- exp, tanh, log and a quotient cost f units in the last place and |argument error|; such errors of
  functions may have one sign everywhere. f = 4 in float64 and float32, where the libraries in use
  claim 1 to 2. f = 1 in float16 and bfloat16: there is no library that evaluates them in half
  precision, all do so in float32 and round once. Every other operation may be rounded to the
  storage type, as it is where each is a kernel of its own.
- Sigmoid: E[z] = z (1 - z) E[a] + r u, where 1 / (1 + exp(-a)) has r = z (f (1 - z) + 2) and
  ½ (1 + tanh(½ a)) has r = f |z - ½| + z; the larger is charged. z (1 - z) then errs by |1 - 2 z|
  as much and 2 u of its own size, and exp(-a) / (1 + exp(-a))² by (f |1 - 2 z| + f + 3) u of its
  own size; the larger is charged. Where exp(-a) may overflow, as it does in float16 from a = -11
  on, z may be zero.
- Softmax: shifting a whole row changes nothing, so the relative error of y_k is
  (1 - y_k) d_k + Σ_{j != k} y_j d_j with d = E[score] + u (|score - max| + f); the term with
  |score - max| covers the shift. Sum and quotient add (f + 1) u. As exp(score - max - l), with
  l = log Σ exp(score - max), sum, logarithm, difference and exp add
  u (1 + f l + l + |score - max| + f y_k) instead.
- The derivative by the scores is g = (y_j Σ_k w_k - w_j) / N with w_k = t_k y_k / (y_k + delta).
  Its size without cancellation is h = y_j Σ_{k != j} w_k + w_j Σ_{k != j} y_k, which is |g| N for
  one label per row. y - t and the division by N round 2 u h. Backpropagation through
  log(y + delta) rounds the mean, y + delta, the quotient, a difference and a product, (f + 4) u h,
  as does y_t / (y_t + delta) (y - t) / N. The former is charged with the softmax by the logarithm,
  the latter with that by the quotient: whoever has the logarithm of y divides by no y. The larger
  counts. The rounding of Σ_k w_k and of the products in it, which is an absolute error 2 u where y
  is near t, comes to both. w_k is as uncertain as delta / (y_k + delta) times the relative error
  of y_k.
- Inputs that the candidate's type cannot hold were rounded by the caller first: u |input| each, of
  the same sign wherever that input is used.

What has one sign is multiplied by `MARGIN`, what is independent by `SAFETY`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from oracle.checking.arithmetic import Arithmetic, Error, Uncertain, common
from oracle.reference.targets import distribution
from oracle.slices import entrywise, stacked
from oracle.values import (
    Array,
    Checkpoint,
    Float64,
    TwoLayerNetParameters,
    never_stop,
)

MARGIN = 1.1
"""Second-order terms, and the rounding of the bound's own evaluation.

Some 30 roundings of 2^-8, the coarsest, follow each other: (1 + 2^-8)^30 is 6 % above 1 + 30 2^-8.
"""

SAFETY = 1.5
"""The same for independent roundings, and long odds."""

SIGMAS = 4.0
"""λ of the module's docstring: how far independent roundings are followed."""

SLICE = 2**20
"""Entries of a factor between two checkpoints; eight times as many multiply-adds, and a quarter as
many entries of the product, of which a dozen arrays are made.
"""

COUNTED = 2**27
"""Terms of a block of sums of which equal ones are counted: some seconds."""

_NORMAL = float(np.finfo(np.float64).tiny)

_LEAST_SQUARE = 1e-290
"""Sums of squares below this have lost terms to underflow; those above 1e308 are infinite, or NaN
as 0 times infinity. Errors are added by magnitude then.
"""


def sum_growth(n: int) -> float:
    """Return how many roundings of a sum of n terms of one sign may add up: min(n, λ √n + n/3)."""
    return min(float(n), SIGMAS * np.sqrt(n) + n / 3.0)


def mean_squared_error(
    y: Array, t: Array, how: Arithmetic, checkpoint: Checkpoint = never_stop
) -> dict[str, Float64]:
    """Bound the error of y - t."""

    def bound(y: Array, t: Array) -> Float64:
        difference = np.abs(y.astype(np.float64) - t.astype(np.float64))
        error = how.u * difference + how.input_error(y) + how.input_error(t) + how.tiny
        return np.asarray(MARGIN * error)

    return {"y": entrywise(bound, y, t, checkpoint=checkpoint)}


def cross_entropy_error(
    y: Array, t: Array, how: Arithmetic, *, delta: float, checkpoint: Checkpoint = never_stop
) -> dict[str, Float64]:
    """Bound the error of -t / (y + delta) / N."""
    targets = distribution(t, y.shape[-1], checkpoint).reshape(y.shape)
    samples = 1 if y.ndim == 1 else len(y)

    def bound(y: Array, targets: Float64) -> Float64:
        exact = y.astype(np.float64)
        # One over a smaller number overflows.
        guarded = np.maximum(exact + delta, _NORMAL)
        size = targets / guarded / samples
        moved = (how.input_error(exact) + how.delta_error(delta)) / guarded
        error = size * (4 * how.u + _expm1(moved))
        # t / N may have become zero, or some of its digits, before it is divided.
        error += (how.input_error(targets) / samples + np.where(targets > 0, how.tiny, 0)) / guarded
        return MARGIN * (error + how.tiny)

    return {"y": entrywise(bound, y, targets, checkpoint=checkpoint)}


def _score_derivative(
    scores: Uncertain, targets: Float64, how: Arithmetic, delta: float, checkpoint: Checkpoint
) -> Uncertain:
    """Return the derivative of -1/N Σ t log(softmax(scores) + delta) by the scores (N, K)."""
    N, K = scores.value.shape
    return _stacked(
        [
            _rows_derivative(scores.rows(r), targets[r], how, delta, checkpoint, N=N)
            for r in _slices(N, K)
        ],
        checkpoint,
    )


def _rows_derivative(
    scores: Uncertain,
    targets: Float64,
    how: Arithmetic,
    delta: float,
    checkpoint: Checkpoint,
    *,
    N: int,
) -> Uncertain:
    """Return the derivative for some of the `N` samples."""
    checkpoint()
    K = scores.value.shape[1]
    u = how.u
    depth = scores.value.max(axis=1, keepdims=True) - scores.value
    weights = np.exp(-depth)
    y = weights / weights.sum(axis=1, keepdims=True)
    checkpoint()
    d = scores.error.plus(common(u * (depth + how.f)))
    shifted = Error(_shifted(y, d.common), _shifted(y, d.independent))
    checkpoint()
    sums = how.v * sum_growth(K)
    by_quotient = shifted.plus(_constant(sums + (how.f + 1.0) * u, y))
    checkpoint()
    lse = np.log(weights.sum(axis=1, keepdims=True))
    by_logarithm = shifted.plus(common(sums + u * (1.0 + (how.f + 1.0) * lse + depth + how.f * y)))

    checkpoint()
    guarded = _positive(y + delta)
    w = np.where(targets > 0, targets * y / guarded, 0.0) if delta else targets
    total = w.sum(axis=1, keepdims=True)
    checkpoint()
    size = y * _sums_of_others(w) + w * _sums_of_others(y)
    checkpoint()
    e_y, e_soft = (
        r.times(y * _growth(r.total)).at_most(1.0).plus(_constant(how.tiny, y))
        for r in (by_logarithm, by_quotient)
    )
    checkpoint()
    direct = e_y.times(total).plus(common(2.0 * u * size))
    checkpoint()
    through = e_soft.times(total).plus(common((how.f + 4.0) * u * size))
    error = Error(
        np.maximum(direct.common, through.common),
        np.maximum(direct.independent, through.independent),
    )
    e_w = common(how.input_error(targets))
    if delta:
        # A product of two outputs may have become zero before it is divided by y + delta.
        lost = how.tiny * (targets / guarded).sum(axis=1, keepdims=True)
        error = error.plus(common(np.broadcast_to(lost, y.shape)))
        # An entry of y below `tiny` may have become zero; w never exceeds t.
        least = np.maximum(guarded - e_y.total, 0.5 * guarded)
        checkpoint()
        moved = e_y.times(delta * targets / guarded / least)
        checkpoint()
        moved = moved.plus(common(targets * y * how.delta_error(delta) / guarded / least))
        e_w = e_w.plus(
            Error(np.minimum(moved.common, targets), np.minimum(moved.independent, targets))
        )
    checkpoint()
    rows = Error(e_w.common.sum(axis=1, keepdims=True), e_w.independent.sum(axis=1, keepdims=True))
    error = error.plus(rows.times(y)).plus(e_w)
    checkpoint()
    error = error.plus(common((sums + 2.0 * u) * y * total + how.tiny))
    error = Error(error.common / N + how.tiny, error.independent / N)
    return Uncertain(_centred(y, w) / N, error)


def _stacked(parts: Sequence[Uncertain], checkpoint: Checkpoint) -> Uncertain:
    """Return the matrix whose rows these are."""
    if len(parts) == 1:
        return parts[0]
    value = stacked([part.value for part in parts], checkpoint)
    one_sign = stacked([part.error.common for part in parts], checkpoint)
    independent = stacked([part.error.independent for part in parts], checkpoint)
    return Uncertain(value, Error(one_sign, independent))


def _slices(rows: int, columns: int) -> list[slice]:
    """Return slices of rows of which each operation takes some milliseconds at most."""
    height = max(1, SLICE // (8 * columns))
    return [slice(top, top + height) for top in range(0, rows, height)]


def _shifted(y: Float64, d: Float64) -> Float64:
    """Return (1 - y_k) d_k + Σ_{j != k} y_j d_j."""
    mixed = y * d
    return np.maximum(d - mixed + (mixed.sum(axis=1, keepdims=True) - mixed), 0.0)


def _centred(y: Float64, w: Float64) -> Float64:
    """Return y_j Σ_{k != j} w_k - w_j Σ_{k != j} y_k, which does not cancel for one-hot targets."""
    return y * _sums_of_others(w) - w * _sums_of_others(y)


def _sums_of_others(a: Float64) -> Float64:
    before = np.zeros_like(a)
    after = np.zeros_like(a)
    np.cumsum(a[:, :-1], axis=1, out=before[:, 1:])
    after[:, :-1] = np.cumsum(a[:, :0:-1], axis=1)[:, ::-1]
    return before + after


def _sigmoid(a: Uncertain, how: Arithmetic, checkpoint: Checkpoint) -> tuple[Uncertain, Uncertain]:
    """Return z = 1 / (1 + exp(-a)) and its slope z (1 - z)."""
    pairs = [_rows_sigmoid(a.rows(r), how, checkpoint) for r in _slices(*a.value.shape)]
    z = _stacked([z for z, _ in pairs], checkpoint)
    return z, _stacked([slope for _, slope in pairs], checkpoint)


def _rows_sigmoid(
    a: Uncertain, how: Arithmetic, checkpoint: Checkpoint
) -> tuple[Uncertain, Uncertain]:
    """Return the sigmoid and its slope for some of the rows."""
    checkpoint()
    decay = np.exp(-np.abs(a.value))
    slope = decay / (1.0 + decay) ** 2
    z = np.where(a.value >= 0, 1.0, decay) / (1.0 + decay)
    checkpoint()
    e_a = a.error.total
    tilt = np.abs(1.0 - 2.0 * z)
    own = how.u * np.maximum(z * (how.f * (1.0 - z) + 2.0), 0.5 * how.f * tilt + z)
    own += np.where(z * np.exp(-e_a) < how.lost, how.lost, how.tiny)
    e_z = a.error.times(slope * _growth(e_a)).at_most(1.0).plus(common(own))
    checkpoint()
    bend = slope * (tilt + e_a) * np.exp(np.minimum(e_a, 50.0))
    rounding = np.maximum(
        tilt * own + 2.0 * how.u * slope, how.u * (how.f * tilt + how.f + 3.0) * slope
    )
    rounding += how.tiny
    e_slope = a.error.times(bend).at_most(0.25).plus(common(rounding))
    return Uncertain(z, e_z), Uncertain(slope, e_slope)


def _rows_chained(
    back: Uncertain, slope: Uncertain, how: Arithmetic, checkpoint: Checkpoint
) -> Uncertain:
    """Return some rows of the derivative by the hidden sums: back * slope."""
    checkpoint()
    size = np.abs(back.value)
    error = slope.error.times(size).plus(back.error.times(slope.value + slope.error.total))
    rounding = common(how.u * size * slope.value + how.tiny)
    return Uncertain(back.value * slope.value, error.plus(rounding))


def _product(
    a: Uncertain,
    b: Uncertain,
    how: Arithmetic,
    checkpoint: Checkpoint,
    *,
    offset: Uncertain | None = None,
    copies: int,
    last: bool = False,
) -> Uncertain:
    """Return a @ b + offset, whose n terms hold at most `copies` that err alike.

    `last` tells that this is a gradient: values of b that come again and again in one column are
    looked for, and the error is the whole budget, in one array.
    """
    n, columns = b.value.shape
    equal = _most_equal(b.value, n * how.v / 8.0, checkpoint) if last else np.zeros(columns)
    again = _repeats(b.value, checkpoint)
    again_across = _repeats(a.value.T, checkpoint) if again.any() else np.zeros(a.value.shape[0])
    rows = a.value.shape[0]
    value, one_sign = np.empty((rows, columns)), np.empty((rows, columns))
    independent = np.broadcast_to(0.0, value.shape) if last else np.empty((rows, columns))
    width = min(columns, max(1, SLICE // n))
    height = max(1, min(8 * SLICE // n, SLICE // 4) // width)
    for left in range(0, columns, width):
        c = slice(left, left + width)
        b_value, b_common, b_independent = (
            m[:, c] for m in (b.value, b.error.common, b.error.independent)
        )
        shift = 0.0 if offset is None else offset.value[:, c]
        b_size, b_square = np.abs(b_value), b_value * b_value
        for top in range(0, rows, height):
            checkpoint()
            r = slice(top, top + height)
            a_value, a_common, a_independent = (
                m[r] for m in (a.value, a.error.common, a.error.independent)
            )
            a_size, a_square = np.abs(a_value), a_value * a_value
            spread = np.zeros((len(a_value), b_value.shape[1]))
            magnitude = np.zeros_like(spread)
            for ours, others, ours_squared, others_squared in (
                (a_independent, b_size, a_independent**2, b_square),
                (a_size, b_independent, a_square, b_independent**2),
            ):
                if ours.any() and others.any():
                    spread += ours_squared @ others_squared
                    magnitude += ours @ others
            local, alike, value[r, c] = _rounded_sums(
                a_value,
                b_value,
                how,
                squares=a_square @ b_square,
                shift=shift,
                equal=equal[c],
                repeats=_repeats_of_terms(
                    a_value, b_value, np.minimum(again_across[r, np.newaxis], again[c]), checkpoint
                ),
            )
            most = (n * how.v + how.u) * (a_size @ b_size + np.abs(shift))
            local = np.fmin(local, most)
            local += how.u * np.abs(value[r, c])
            followed = np.where(spread > _LEAST_SQUARE, np.sqrt(copies * spread), np.inf)
            local += np.fmin(followed, magnitude)
            systematic = np.fmin(alike, most) + n * how.tiny
            if a_common.any():
                systematic += a_common @ b_size
            if b_common.any():
                systematic += a_size @ b_common
            if offset is not None:
                systematic += offset.error.common[:, c]
            if last:
                one_sign[r, c] = MARGIN * systematic + SAFETY * local
            else:
                one_sign[r, c], independent[r, c] = systematic, local
    return Uncertain(value, Error(one_sign, independent))


def _rounded_sums(
    a: Float64,
    b: Float64,
    how: Arithmetic,
    *,
    squares: Float64,
    shift: Float64 | float,
    equal: Float64,
    repeats: Float64,
) -> tuple[Float64, Float64, Float64]:
    """Return what rounding does to the terms and partial sums of a @ b + shift, and its value.

    First what is independent, then what has one sign.

    The partial sums are those at 16 places; to their mean square comes Σ t_i², given as `squares`,
    for what a random order does between them, and shift², for sums that begin with it. `equal` is
    how many terms of each column may be equal, `repeats` is Σ m (m - 1) of the terms of each sum.
    """
    n = a.shape[1]
    step = -(-n // 16)
    running = np.zeros((a.shape[0], b.shape[1]))
    mean_square = np.zeros_like(running)
    largest = np.zeros_like(running)
    for begin in range(0, n, step):
        running += a[:, begin : begin + step] @ b[begin : begin + step]
        mean_square += running * running * (min(step, n - begin) / n)
        np.maximum(largest, np.abs(running), out=largest)
    alike = np.minimum(largest * largest / np.maximum(n * squares, _NORMAL), 1.0)
    root = np.sqrt(mean_square + squares + shift * shift)
    drift = np.maximum(n * alike, equal) / 3.0
    rounding = how.v * (SIGMAS * np.sqrt(n) * root + drift * largest)
    rounding += how.u * (SIGMAS * np.sqrt(squares) + alike * largest)
    grown = np.minimum(SIGMAS * np.sqrt(repeats), n * (repeats > 0))
    one_sign = grown * (how.v * root + how.u * np.sqrt(squares / n))
    return np.where(squares > _LEAST_SQUARE, rounding, np.inf), one_sign, running + shift


def _most_equal(b: Float64, tolerance: float, checkpoint: Checkpoint) -> Float64:
    """Return for each column how many of its values are one value, to a relative tolerance.

    A value alone counts as none, and zero as no value.
    """
    most = np.zeros(b.shape[1])
    for k, column in enumerate(b.T):
        checkpoint()
        values = np.sort(column[column != 0.0])
        ends = np.searchsorted(values, values + tolerance * np.abs(values), side="right")
        most[k] = (ends - np.arange(len(values))).max(initial=0)
    return np.where(most > 1, most, 0.0)


def _repeats(columns: Float64, checkpoint: Checkpoint) -> Float64:
    """Return Σ m (m - 1) for each column, whose numbers come m times each; zeros do not count."""
    n, count = columns.shape
    pairs = np.empty(count)
    width = max(1, SLICE // n)
    for left in range(0, count, width):
        checkpoint()
        lines = np.sort(np.abs(columns[:, left : left + width]).T, axis=1)
        first = np.ones(lines.shape, dtype=bool)
        np.not_equal(lines[:, 1:], lines[:, :-1], out=first[:, 1:])
        starts = np.flatnonzero(first)
        times = np.diff(starts, append=lines.size)
        weights = np.where(lines.ravel()[starts] > 0.0, times * (times - 1.0), 0.0)
        pairs[left : left + width] = np.bincount(starts // n, weights, len(lines))
    return pairs


def _repeats_of_terms(a: Float64, b: Float64, most: Float64, checkpoint: Checkpoint) -> Float64:
    """Return Σ m (m - 1) of the terms of each entry of a @ b, of which it is at the `most` so much.

    A pair of equal numbers here and there counts as none: Σ m² exceeds n by less than a sixtieth,
    and its root by less than a hundredth, which is in `SAFETY`.
    """
    few = a.shape[1] / 60
    wanted = most > few
    if wanted.any() and a.size * b.shape[1] <= COUNTED:
        for row in np.flatnonzero(wanted.any(axis=1)):
            columns = np.flatnonzero(wanted[row])
            most[row, columns] = _repeats(a[row, :, np.newaxis] * b[:, columns], checkpoint)
    return np.where(most > few, most, 0.0)


def _copies(rows: Float64) -> int:
    """Return the size of the largest group of rows that are equal up to their sign.

    Rows are told apart by their product with one irregular vector.
    """
    keys = np.sort(np.abs(rows @ np.sin(np.arange(1.0, rows.shape[1] + 1.0))))
    ends = np.flatnonzero(np.diff(keys) > 1e-12 * keys[-1]) + 1
    return int(np.diff(np.concatenate(([0], ends, [len(keys)]))).max())


@dataclass(frozen=True)
class Evaluation:
    """The gradient in float64, and the bound on any evaluation of it in some arithmetic.

    `scale` is the size of each tensor's largest entry where nothing is saturated: with output
    errors y - t of 1, and hidden units in the middle of their range. Empty if that means nothing.
    """

    tensors: Mapping[str, Float64]
    budget: Mapping[str, Float64]
    scale: Mapping[str, float] = field(default_factory=dict)


def simple_net(
    W: Array,
    x: Array,
    t: Array,
    how: Arithmetic,
    *,
    delta: float,
    checkpoint: Checkpoint = never_stop,
) -> Evaluation:
    """Evaluate dW = x^T g and bound the error of any evaluation in the arithmetic `how`.

    `W` is (D, K), `x` (N, D) or (D,), `t` labels or targets.
    """
    X, scorers = how.held(np.atleast_2d(x), checkpoint), how.held(W, checkpoint)
    targets = distribution(t, W.shape[1], checkpoint)
    with np.errstate(under="ignore", over="ignore", invalid="ignore"):
        scores = _product(X, scorers, how, checkpoint, copies=1)
        g = _score_derivative(scores, targets, how, delta, checkpoint)
        dW = _product(X.transposed(), g, how, checkpoint, copies=_copies(X.value), last=True)
        return _evaluation({"W": dW}, {"W": _mean_size(X.value)})


def two_layer_net(
    parameters: TwoLayerNetParameters,
    x: Array,
    t: Array,
    how: Arithmetic,
    *,
    delta: float,
    checkpoint: Checkpoint = never_stop,
) -> Evaluation:
    """Evaluate the gradient of the two-layer net and bound any evaluation in the arithmetic `how`.

    Shapes are those of `TwoLayerNetParameters`; `x` is (N, D) or (D,), `t` labels or targets.
    """
    X = how.held(np.atleast_2d(x), checkpoint)
    W1, b1, W2, b2 = (how.held(np.atleast_2d(a), checkpoint) for a in parameters.tensors().values())
    targets = distribution(t, W2.value.shape[1], checkpoint)
    checkpoint()
    samples = _copies(X.value)
    checkpoint()
    units = _copies(stacked([W1.value, b1.value], checkpoint).T)
    N, K = targets.shape
    checkpoint()
    with np.errstate(under="ignore", over="ignore", invalid="ignore"):
        a = _product(X, W1, how, checkpoint, offset=b1, copies=1)
        z, slope = _sigmoid(a, how, checkpoint)
        scores = _product(z, W2, how, checkpoint, offset=b2, copies=units)
        g2 = _score_derivative(scores, targets, how, delta, checkpoint)
        back = _product(g2, W2.transposed(), how, checkpoint, copies=K)
        parts = [
            _rows_chained(back.rows(r), slope.rows(r), how, checkpoint)
            for r in _slices(*back.value.shape)
        ]
        g1 = _stacked(parts, checkpoint)

        unsaturated = 0.25 * float(np.abs(W2.value).max())
        ones = Uncertain(np.ones((1, N)), common(np.zeros((1, N))))
        return _evaluation(
            {
                "W1": _product(X.transposed(), g1, how, checkpoint, copies=samples, last=True),
                "b1": _product(ones, g1, how, checkpoint, copies=samples, last=True),
                "W2": _product(z.transposed(), g2, how, checkpoint, copies=samples, last=True),
                "b2": _product(ones, g2, how, checkpoint, copies=samples, last=True),
            },
            {"W1": unsaturated * _mean_size(X.value), "b1": unsaturated, "W2": 0.5, "b2": 1.0},
            vectors=("b1", "b2"),
        )


def _mean_size(x: Float64) -> float:
    """Return the largest column mean of |x|."""
    return float(np.abs(x).mean(axis=0).max())


def _evaluation(
    tensors: Mapping[str, Uncertain],
    scale: Mapping[str, float],
    vectors: tuple[str, ...] = (),
) -> Evaluation:
    values, bounds = {}, {}
    for name, tensor in tensors.items():
        value, bound = tensor.value, tensor.error.common
        values[name], bounds[name] = (value[0], bound[0]) if name in vectors else (value, bound)
    return Evaluation(values, bounds, scale)


def _constant(bound: float, like: Float64) -> Error:
    return common(np.full_like(like, bound))


def _growth(a: Float64) -> Float64:
    """Return (exp(a) - 1) / a for a >= 0, at a = 50 at most: such an error is vacuous anyway."""
    bounded = np.minimum(a, 50.0)
    return np.where(bounded > 1e-300, np.expm1(bounded) / _positive(bounded), 1.0)


def _expm1(a: Float64) -> Float64:
    """Return exp(a) - 1, at most exp(50): a relative error of that size is vacuous anyway."""
    return np.expm1(np.minimum(a, 50.0))


def _positive(a: Float64) -> Float64:
    """Keep a divisor above zero where its numerator is zero as well."""
    return np.maximum(a, np.finfo(np.float64).smallest_subnormal)
