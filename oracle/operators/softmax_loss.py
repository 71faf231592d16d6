"""The softmax with its cross-entropy, which several operators share.

    E = -1/N Σ_n Σ_k t_nk log(y_nk + delta),   y = softmax(a)
    dE/da_j = (y_j Σ_{k != j} w_k - w_j Σ_{k != j} y_k) / N,   w_k = t_k y_k / (y_k + delta)

With one label per row and delta = 0 this is (y - t) / N. It is written so that nothing cancels
where a row is saturated.
"""

from __future__ import annotations

import numpy as np

from oracle.arithmetic.dtypes import Arithmetic
from oracle.arithmetic.errors import Error, largest, one_sign
from oracle.arithmetic.numbers import Number, Numbers
from oracle.arithmetic.rounded import Rounded, RoundedNumbers, SoftmaxRows, growth, sum_growth
from oracle.arithmetic.special import others
from oracle.values import Array, Float64


def loss(xp: Numbers, a: Number, rows: Float64, delta: float) -> Number:
    """Return the loss of scores (N, K)."""
    logarithm = xp.log(xp.softmax(a) + delta) if delta else a - xp.logsumexp(a, keepdims=True)
    return -(xp.sum(xp.held(rows) * logarithm) / float(len(rows)))


def derivative(
    xp: Numbers, a: Number, rows: Float64, delta: float, count: float | None = None
) -> Number:
    """Return the derivative of the loss by the scores, (N, K); `count` stands for N."""
    y, t = xp.softmax(a), xp.held(rows)
    w = t * (y / (y + delta)) if delta else t
    return (y * xp.others(w) - w * xp.others(y)) / float(len(rows) if count is None else count)


def labelled(xp: Numbers, a: Number, at: Array) -> Number:
    """Return y - t for rows of targets with a single 1, where `at` is true.

    At the label this is the sum of the other y, with a minus.
    """
    y = xp.softmax(a)
    return xp.where(at, -xp.sum(xp.where(at, 0.0, y), 1, keepdims=True), y)


def rounded_labelled(xp: RoundedNumbers, a: Rounded, at: Array) -> Rounded:
    """Return y - t with the bound of `rounded_derivative`, for a single 1 in a row and delta = 0.

    Its size without cancellation is |y - t| there, and Σ_k w_k = 1.
    """
    how, soft = xp.how, SoftmaxRows.of(a, xp.how)
    y = soft.y
    value = np.where(at, -np.where(at, 0.0, y).sum(axis=1, keepdims=True), y)
    return Rounded(
        value,
        _of_both(soft, how, np.abs(value), None, how.v * sum_growth(a.shape[1])),
        how,
    )


def _of_both(
    soft: SoftmaxRows, how: Arithmetic, size: Float64, total: Float64 | None, sums: float
) -> Error:
    """Return what both ways, y - t and backpropagation, may have done to the derivative."""
    y, u = soft.y, how.u

    def of(relative: Error) -> Error:
        bound = relative.times(y * growth(relative.total(y.shape))).at_most(1.0)
        bound = bound.each(lambda b: b + how.tiny)
        return bound if total is None else bound.times(total)

    direct = of(soft.by_logarithm).plus(one_sign(2.0 * u * size))
    through = of(soft.by_quotient).plus(one_sign((how.f + 4.0) * u * size))
    both = largest([direct, through])
    mass = y if total is None else y * total
    return both.plus(one_sign((sums + 2.0 * u) * mass + how.tiny))


def rounded_derivative(
    xp: RoundedNumbers, a: Rounded, rows: Float64, delta: float, count: float | None = None
) -> Rounded:
    """Return the derivative with what the usual ways of evaluation may have done to it.

    Its size without cancellation is h = y_j Σ_{k != j} w_k + w_j Σ_{k != j} y_k, which is |g| N for
    one label per row. y - t and the division by N round 2 u h. Backpropagation through
    log(y + delta) rounds the mean, y + delta, the quotient, a difference and a product,
    (f + 4) u h, as does y_t / (y_t + delta) (y - t) / N. The former is charged with the softmax by
    the logarithm, the latter with that by the quotient: whoever has the logarithm of y divides by
    no y. The larger counts. The rounding of Σ_k w_k and of the products in it, which is an absolute
    error 2 u where y is near t, comes to both. w_k is as uncertain as delta / (y_k + delta) times
    the relative error of y_k.

    The primitives alone would charge the cancellation of y_j Σ w_k - w_j, and 1 / (y + delta) where
    y is small, which nobody's evaluation suffers.
    """
    how = xp.how
    K = a.shape[1]
    soft = SoftmaxRows.of(a, how)
    y = soft.y
    sums = how.v * sum_growth(K)
    guarded = np.maximum(y + delta, np.finfo(np.float64).smallest_subnormal)
    w = np.where(rows > 0, rows * y / guarded, 0.0) if delta else rows
    total = w.sum(axis=1, keepdims=True)
    size = y * others(w) + w * others(y)

    error = _of_both(soft, how, size, total, sums)
    e_w = one_sign(np.array(how.input_error(rows)))
    if delta:
        # A product of two outputs may have become zero before it is divided by y + delta.
        lost = how.tiny * (rows / guarded).sum(axis=1, keepdims=True)
        error = error.plus(one_sign(np.broadcast_to(lost, y.shape)))
        # An entry of y below `tiny` may have become zero; w never exceeds t.
        relative = soft.by_logarithm
        e_y = relative.times(y * growth(relative.total(y.shape))).at_most(1.0)
        e_y = e_y.plus(one_sign(np.full(y.shape, how.tiny)))
        least = np.maximum(guarded - e_y.total(y.shape), 0.5 * guarded)
        moved = e_y.times(delta * rows / guarded / least)
        rounded_delta = max(how.constant_error(delta), how.u * delta)
        moved = moved.plus(one_sign(rows * y * rounded_delta / guarded / least))
        e_w = e_w.plus(moved.at_most(rows))
    if how.stores_narrower:
        # y, or its logarithm, and y - t may go through memory between kernels.
        kept = xp.stored(Rounded(y * total + size, Error(), how))
        error = error.plus(kept.error)
    row_sums = e_w.moved(_row_sums, (0, None))
    error = error.plus(row_sums.times(y), e_w)
    N = len(rows) if count is None else count
    error = error.times(np.full(y.shape, 1.0 / N)).plus(one_sign(np.full(y.shape, how.tiny)))
    return Rounded((y * others(w) - w * others(y)) / N, error, how)


def _row_sums(b: Float64) -> Float64:
    return np.broadcast_to(b.sum(axis=1, keepdims=True), b.shape)
