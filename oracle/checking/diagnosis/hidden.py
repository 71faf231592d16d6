"""What the caller's hidden layer must have used, recovered from the W1 and b1 that it sent."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from oracle.checking.backward import Pass
from oracle.checking.diagnosis.recognition import Recovered
from oracle.checking.diagnosis.recovery import MOST_PRODUCTS, SAMPLED, at_an_end, sent
from oracle.checking.mistakes import SLOPE
from oracle.diagnosis.comparison import Comparison
from oracle.diagnosis.linear import least_squares
from oracle.diagnosis.tensors import some
from oracle.findings import FindingKind as Kind
from oracle.values import Array, Finding, Float64


def hidden_errors(p: Pass, dY: Array, comparison: Comparison) -> Iterator[Recovered]:
    """Yield each dA1 that comes of another derivative, or of another W2 in dY @ W2.T.

    What is a multiple of the right one, as with two classes or one unit, has a plainer name.
    """
    right = dY @ p.W2.T * p.z1 * (1 - p.z1)
    for found, error in _hidden_errors(p, dY, comparison):
        if not _is_multiple(error, right):
            yield found, error


def _is_multiple(error: Array, right: Array) -> bool:
    square = float((right * right).sum())
    factor = float((error * right).sum()) / square if square > 0 else 0.0
    return bool(np.abs(error - factor * right).max() <= 1e-4 * np.abs(error).max())


def _hidden_errors(p: Pass, dY: Array, comparison: Comparison) -> Iterator[Recovered]:
    slope = p.z1 * (1 - p.z1)
    H, K = p.W2.shape
    names = [("ones", np.ones_like(p.W2)), ("the signs of W2", np.sign(p.W2))]
    names += [("W2, not transposed,", p.W2.T)] * (H == K)
    names += [
        ("W2 reshaped to (K, H)", p.W2.reshape(K, H).T),
        ("the absolute values of W2", np.abs(p.W2)),
        ("W2 + b2", p.W2 + p.b2),
        ("W2 with its rows reversed", p.W2[::-1]),
        ("W2 with its columns reversed", p.W2[:, ::-1]),
        ("W2 without its last column", p.W2 * (np.arange(K) < K - 1)),
    ]
    names += [
        (f"W2 with its {lines} moved by one", np.roll(p.W2, step, axis))
        for axis, lines in enumerate(("rows", "columns"))
        for step in (1, -1)
    ]
    names += [("W1", p.W1)] * (p.W1.shape == p.W2.shape)
    for name, used in names:
        yield _other_weights(f"dY is multiplied by {name} where W2.T belongs."), dY @ used.T * slope
    yield from _updated_weights(p, dY, comparison)
    yield from _slopes(p, dY, comparison)
    yield from _any_weights(p, dY, comparison)


def unreached_units(p: Pass, dY: Array, comparison: Comparison) -> Iterator[Recovered]:
    """Yield dA1 without the units whose columns are zero in W1 and in b1."""
    zero = ~np.any(sent(comparison, "W1"), axis=0) & (sent(comparison, "b1") == 0)
    if not at_an_end(zero):
        return
    message = f"Some hidden units have no part in W1 and b1: {some(np.flatnonzero(zero))}."
    remedy = "Let the loop over the hidden units, or the slice, reach all of them."
    error = np.where(zero, 0, dY @ p.W2.T * p.z1 * (1 - p.z1))
    yield Finding(Kind.SINGLE_ENTRIES, "", message, remedy), error


def _other_weights(message: str) -> Finding:
    remedy = f"Use W2 as it was in the forward pass. {SLOPE}"
    return Finding(Kind.WRONG_WEIGHTS, "", message, remedy)


def _updated_weights(p: Pass, dY: Array, comparison: Comparison) -> Iterator[Recovered]:
    """Fit the step by which W2 was moved before it was used."""
    slope = p.z1 * (1 - p.z1)
    right, step = dY @ p.W2.T * slope, dY @ (p.z1.T @ dY).T * slope

    def layer_1(error: Array) -> Float64:
        return np.concatenate([(p.x.T @ error).ravel(), error.sum(axis=0)])

    g = np.concatenate([sent(comparison, n).ravel() for n in ("W1", "b1")])
    direction = layer_1(step)
    if np.any(direction) and min(p.N, p.x.shape[1] + 1) * p.W2.shape[0] > 2:
        rate = float((g - layer_1(right)) @ direction / (direction @ direction))
        message = f"Layer 1 uses W2 after its update, by {rate:.4g} times its gradient."
        remedy = "Compute all four gradients first, then update."
        evidence = {"step": rate}
        found = Finding(Kind.WRONG_WEIGHTS, "", message, remedy, evidence)
        yield found, right + rate * step


def _slopes(p: Pass, dY: Array, comparison: Comparison) -> Iterator[Recovered]:
    """Fit dA1 = (dY @ W2.T) f(a1), with f a sum of some usual functions."""
    back = dY @ p.W2.T
    positive = (p.a1 > 0).astype(np.float64)
    bases = [p.z1**k for k in range(5)]
    bases += [positive, positive * p.z1, positive * p.a1, np.tanh(p.a1) ** 2, p.a1]
    rows = np.argsort(-np.abs(comparison.reference["W1"]).max(axis=1))[:SAMPLED]
    widened = np.column_stack([p.x[:, rows], np.ones(p.N)])
    values = np.vstack([sent(comparison, "W1")[rows], sent(comparison, "b1")])
    columns = np.column_stack([(widened.T @ (back * f)).ravel() for f in bases])
    norms = np.linalg.norm(columns, axis=0)
    few = min(len(columns), back.size) < 3 * len(bases)
    if few or not np.all(norms > 0):
        return
    shares = least_squares(columns / norms, values.ravel(), 1e-13) / norms
    slope = sum((c * f for c, f in zip(shares, bases, strict=True)), 0 * p.a1)
    yield other_slope(slope), back * slope


def other_slope(slope: Float64) -> Finding:
    """Say that the derivative is another function of a1, with these values."""
    low, high = float(slope.min()), float(slope.max())
    message = (
        f"The hidden layer uses another function of a1, from {low:.3g} to {high:.3g}, as the "
        "derivative of the sigmoid, which is z1 (1 - z1)."
    )
    evidence = {"smallest_factor": low, "largest_factor": high}
    return Finding(Kind.WRONG_ACTIVATION_DERIVATIVE, "", message, SLOPE, evidence)


def _any_weights(p: Pass, dY: Array, comparison: Comparison) -> Iterator[Recovered]:
    """Fit any W2: W1 and b1 are linear in it, unit by unit, and N > K samples leave a check."""
    N, D = p.x.shape
    H, K = p.W2.shape
    if min(N, D + 1) <= K or N * D * H * K > MOST_PRODUCTS:
        return
    widened = np.column_stack([p.x, np.ones(N)])
    values = np.vstack([sent(comparison, "W1"), sent(comparison, "b1")])
    slope = p.z1 * (1 - p.z1)
    used = np.empty_like(p.W2)
    for h in range(H):
        columns = widened.T @ (slope[:, h : h + 1] * dY)
        used[h] = least_squares(columns, values[:, h], 1e-12)
    message = "Layer 1 uses other weights than the W2 of the forward pass."
    yield _other_weights(message), dY @ used.T * slope


def is_function_of(argument: Float64, values: Float64, weight: Float64) -> bool:
    """Tell whether each value lies between those at the nearest arguments, but for a few.

    A few values far from all others would make any gap look small: half of the values are its
    measure.
    """
    sure = (weight > 1e-2 * weight.max()).ravel()
    order = np.argsort(argument.ravel()[sure])
    at, value = argument.ravel()[sure][order], values.ravel()[sure][order]
    if len(at) < 16 or np.any(np.diff(at) <= 0):
        return False
    share = (at[1:-1] - at[:-2]) / (at[2:] - at[:-2])
    gap = np.abs(value[:-2] + share * (value[2:] - value[:-2]) - value[1:-1])
    spread = float(np.subtract(*np.percentile(value, [75, 25])))
    return bool(np.median(gap) <= 0.02 * spread and np.percentile(gap, 75) <= 0.2 * spread)
