"""What rounding may do to a correct gradient: first-order running error bounds.

Every bound is derived for *any* reasonable evaluation in a type of unit roundoff u that accumulates
sums in a type of unit roundoff v <= u, with underflow to `tiny` at worst. E[q] bounds the absolute
error of a computed q.

- A sum of n products costs at most n v Σ|a_i b_i| (Higham, Accuracy and Stability, section 3.1), in
  any order and with or without fused multiply-add, and 2 u Σ|a_i b_i| for storing. Every addition
  errs by v times a partial sum; partial sums of terms of both signs stay below Σ|a_i b_i|, and the
  errors of one sum are not all of one sign unless the terms are alike. So long sums are charged
  `sum_growth(n)` times their largest partial sum.
- exp costs 4 units in the last place (the libraries in use claim 1 to 2) and |argument error|.
- Sigmoid: E[z] = z (1 - z) E[a] + 6 u; 1 - z errs by u because z does. A form by tanh fits.
- Softmax: shifting a whole row changes nothing, so the relative error of y_k is
  (1 - y_k) d_k + Σ_{j != k} y_j d_j with d = E[score] + u (|score - max| + log K + 8); the term
  with |score - max| covers the shift, log K an evaluation by log-softmax.
- The derivative by the scores is (y_j Σ_k w_k - w_j) / N with w_k = t_k y_k / (y_k + delta), and
  w_k is as uncertain as delta / (y_k + delta) times the relative error of y_k. Backpropagation
  through log(y + delta) cancels to an absolute error u, as y - t does when y is near t.
- Inputs that the candidate's type cannot hold were rounded by the caller first: u |input| each.

The sum of all is doubled for terms of second order and for the rounding of this evaluation itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from oracle.enclosure.targets import distribution
from oracle.values import Array, Float64, InvalidInput, TwoLayerNetParameters

SAFETY = 2.0
"""Second-order terms and the rounding of the bound's own evaluation."""

TYPES = {
    "float64": (2.0**-53, 2.0**-1022),
    "float32": (2.0**-24, 2.0**-126),
    "float16": (2.0**-11, 2.0**-24),
    "bfloat16": (2.0**-8, 2.0**-126),
}
"""Unit roundoff, and the magnitude below which a result may become zero.

Processors flush subnormals of float32 and bfloat16 to zero, those of float16 are kept.
"""

_NUMPY = {
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}


@dataclass(frozen=True)
class Arithmetic:
    """How a candidate computes: storage type, its roundoff u, that of its sums v, and underflow."""

    dtype: str
    accumulation_dtype: str
    u: float
    v: float
    tiny: float

    def sum_error(self, n: int) -> float:
        """Return the error of a sum of n products, relative to the sum of their magnitudes."""
        return self.v * sum_growth(n) + 2 * self.u

    def input_error(self, a: Array) -> Float64:
        """Return what rounding an input to the storage type does to it, entry by entry."""
        wide = a.astype(np.float64)
        with np.errstate(over="ignore", under="ignore"):
            held = wide.astype(_NUMPY[self.dtype]).astype(np.float64)
        return np.where(held == wide, 0.0, np.maximum(np.abs(wide) * self.u, self.tiny))

    def delta_error(self, delta: float) -> float:
        """Return what rounding delta to the storage type does to it."""
        return 0.0 if delta == 0.0 else max(self.u * delta, self.tiny)


def arithmetic(dtype: str, accumulation_dtype: str | None = None) -> Arithmetic:
    """Return the arithmetic of a candidate.

    Raises
    ------
    InvalidInput
        If a type is not one of float64, float32, float16, bfloat16, or sums are narrower than
        their terms.
    """
    sums = accumulation_dtype or dtype
    for argument, name in (("gradient", dtype), ("accumulation_dtype", sums)):
        if name not in TYPES:
            raise InvalidInput(argument, "be float64, float32, float16 or bfloat16", name)
    u, tiny = TYPES[dtype]
    v, _ = TYPES[sums]
    if v > u:
        raise InvalidInput("accumulation_dtype", f"not be narrower than {dtype}", sums)
    return Arithmetic(dtype, sums, u, v, tiny)


def sum_growth(n: int) -> float:
    """Return how many roundings of a sum of n terms may add up.

    All n for short sums. Independent errors add up to λ √n (Higham and Mary, 2019); doubled by
    `SAFETY`, λ = 8. Terms that are alike err alike: with n equal terms the partial sums i/n S
    err by at most n/2, and over a binade by n/3, which the last term covers after doubling.
    """
    return min(float(n), max(4.0 * np.sqrt(n), n / 6.0))


def mean_squared_error(y: Array, t: Array, how: Arithmetic) -> dict[str, Float64]:
    """Bound the error of y - t."""
    difference = np.abs(y.astype(np.float64) - t.astype(np.float64))
    error = how.u * difference + how.input_error(y) + how.input_error(t) + how.tiny
    return {"y": SAFETY * error}


def cross_entropy_error(y: Array, t: Array, how: Arithmetic, *, delta: float) -> dict[str, Float64]:
    """Bound the error of -t / (y + delta) / N."""
    rows = np.atleast_2d(y.astype(np.float64))
    targets = distribution(t, rows.shape[1])
    guarded = _positive(rows + delta)
    size = targets / guarded / len(rows)
    moved = (how.input_error(rows) + how.delta_error(delta)) / guarded
    error = size * (4 * how.u + _expm1(moved))
    error += how.input_error(targets) / guarded / len(rows) + how.tiny
    return {"y": SAFETY * error.reshape(y.shape)}


@dataclass(frozen=True)
class _Slopes:
    """Derivative with respect to the scores, and its error."""

    value: Float64
    error: Float64


def _score_derivative(
    scores: Float64, error: Float64, targets: Float64, how: Arithmetic, delta: float
) -> _Slopes:
    N, K = scores.shape
    u = how.u
    depth = scores.max(axis=1, keepdims=True) - scores
    weights = np.exp(-depth)
    y = weights / weights.sum(axis=1, keepdims=True)
    d = error + u * (depth + np.log(K) + 8.0)
    mixed = y * d
    relative = d - mixed + (mixed.sum(axis=1, keepdims=True) - mixed)
    relative = np.maximum(relative, 0.0) + u * (sum_growth(K) + 4.0)
    e_y = np.minimum(y * _expm1(relative), 1.0) + how.tiny

    guarded = _positive(y + delta)
    w = np.where(targets > 0, targets * y / guarded, 0.0) if delta else targets
    total = w.sum(axis=1, keepdims=True)
    # An entry of y below `tiny` may have become zero; w never exceeds t.
    e_w = w * 8.0 * u + how.input_error(targets)
    if delta:
        shift = how.delta_error(delta)
        e_w += np.minimum(
            targets
            * (delta * e_y + y * shift)
            / guarded
            / np.maximum(guarded - e_y, 0.5 * guarded),
            targets,
        )
    value = _centred(y, w)
    size = y * total + w
    error_of_sum = how.sum_error(K) * y * total
    slope_error = e_y * total + y * e_w.sum(axis=1, keepdims=True) + e_w
    slope_error += 6.0 * u * size + error_of_sum + how.tiny
    return _Slopes(value / N, slope_error / N + how.tiny)


def _centred(y: Float64, w: Float64) -> Float64:
    """Return y_j Σ_{k != j} w_k - w_j Σ_{k != j} y_k, which does not cancel for one-hot targets."""
    return y * _sums_of_others(w) - w * _sums_of_others(y)


def _sums_of_others(a: Float64) -> Float64:
    before = np.zeros_like(a)
    after = np.zeros_like(a)
    np.cumsum(a[:, :-1], axis=1, out=before[:, 1:])
    after[:, :-1] = np.cumsum(a[:, :0:-1], axis=1)[:, ::-1]
    return before + after


def _affine_error(
    a: Float64, e_a: Float64 | float, b: Float64, e_b: Float64 | float, how: Arithmetic
) -> Float64:
    """Bound the error of the sums of n products a @ b, given the errors of a and b."""
    n = a.shape[1]
    size = np.abs(a)
    error = how.v * sum_growth(n) * _partial_sums(a, b)
    error += (2 * how.u * size + e_a) @ np.abs(b) + n * how.tiny
    if np.any(e_b):
        error += size @ np.broadcast_to(np.asarray(e_b), b.shape)
    return error


def _partial_sums(a: Float64, b: Float64) -> Float64:
    """Return how large the partial sums of a @ b become, at most Σ|a_i b_i|.

    The largest of those at 16 places, and twice the Euclidean norm of the terms for what a random
    order does between them.
    """
    running = np.zeros((a.shape[0], b.shape[1]))
    largest = np.zeros_like(running)
    for begin in range(0, a.shape[1], step := max(1, a.shape[1] // 16)):
        running += a[:, begin : begin + step] @ b[begin : begin + step]
        np.maximum(largest, np.abs(running), out=largest)
    largest += 2.0 * np.sqrt((a * a) @ (b * b))
    return np.minimum(largest, np.abs(a) @ np.abs(b))


@dataclass(frozen=True)
class Evaluation:
    """The gradient in float64, and the bound on any evaluation of it in some arithmetic."""

    tensors: Mapping[str, Float64]
    budget: Mapping[str, Float64]


def simple_net(W: Array, x: Array, t: Array, how: Arithmetic, *, delta: float) -> Evaluation:
    """Evaluate dW = x^T g and bound the error of any evaluation in the arithmetic `how`.

    `W` is (D, K), `x` (N, D) or (D,), `t` labels or targets.
    """
    X, V = np.atleast_2d(x.astype(np.float64)), W.astype(np.float64)
    targets = distribution(t, V.shape[1])
    with np.errstate(under="ignore", over="ignore", invalid="ignore"):
        e_x = how.input_error(X)
        e_scores = _affine_error(X, e_x, V, how.input_error(V), how)
        g = _score_derivative(X @ V, e_scores, targets, how, delta)
        error = _affine_error(X.T, e_x.T, g.value, g.error, how)
        return Evaluation({"W": X.T @ g.value}, {"W": SAFETY * error})


def two_layer_net(
    parameters: TwoLayerNetParameters, x: Array, t: Array, how: Arithmetic, *, delta: float
) -> Evaluation:
    """Evaluate the gradient of the two-layer net and bound any evaluation in the arithmetic `how`.

    Shapes are those of `TwoLayerNetParameters`; `x` is (N, D) or (D,), `t` labels or targets.
    """
    X = np.atleast_2d(x.astype(np.float64))
    W1, b1, W2, b2 = (a.astype(np.float64) for a in parameters.tensors().values())
    targets = distribution(t, W2.shape[1])
    N, D = X.shape
    H = W2.shape[0]
    u = how.u
    with np.errstate(under="ignore", over="ignore", invalid="ignore"):
        e_x = how.input_error(X)
        a = X @ W1 + b1
        e_a = _affine_error(X, e_x, W1, how.input_error(W1), how)
        e_a += how.sum_error(D) * np.abs(b1) + how.input_error(b1) + u * np.abs(a)

        decay = np.exp(-np.abs(a))
        slope = decay / (1.0 + decay) ** 2
        z = np.where(a >= 0, 1.0, decay) / (1.0 + decay)
        e_z = np.minimum(slope * _expm1(e_a), 1.0) + 6.0 * u
        bend = np.abs(1.0 - 2.0 * z) * e_a + e_a * e_a
        e_slope = (
            np.minimum(slope * bend * np.exp(np.minimum(e_a, 50.0)), 0.25) + 8.0 * u * z + how.tiny
        )

        e_W2 = how.input_error(W2)
        scores = z @ W2 + b2
        e_scores = _affine_error(z, e_z, W2, e_W2, how)
        e_scores += how.sum_error(H) * np.abs(b2) + how.input_error(b2) + u * np.abs(scores)
        g2 = _score_derivative(scores, e_scores, targets, how, delta)

        back = g2.value @ W2.T
        e_back = _affine_error(g2.value, g2.error, W2.T, e_W2.T, how)
        g1 = back * slope
        e_g1 = np.abs(back) * e_slope + e_back * (slope + e_slope) + 4.0 * u * np.abs(g1) + how.tiny

        tensors = {
            "W1": X.T @ g1,
            "b1": g1.sum(axis=0),
            "W2": z.T @ g2.value,
            "b2": g2.value.sum(axis=0),
        }
        ones = np.ones((1, N))
        errors = {
            "W1": _affine_error(X.T, e_x.T, g1, e_g1, how),
            "b1": _affine_error(ones, 0.0, g1, e_g1, how)[0],
            "W2": _affine_error(z.T, e_z.T, g2.value, g2.error, how),
            "b2": _affine_error(ones, 0.0, g2.value, g2.error, how)[0],
        }
        return Evaluation(tensors, {name: SAFETY * error for name, error in errors.items()})


def _expm1(a: Float64) -> Float64:
    """Return exp(a) - 1, at most exp(50): a relative error of that size is vacuous anyway."""
    return np.expm1(np.minimum(a, 50.0))


def _positive(a: Float64) -> Float64:
    """Keep a divisor above zero where its numerator is zero as well."""
    return np.maximum(a, np.finfo(np.float64).smallest_subnormal)
