"""Where a fault is, by what the tensors still have in common when no known mistake fits.

Whatever the code does in one stage, the stages behind it leave their marks: rows that sum to zero,
a W1 that is x.T @ dA1 for some dA1, a rank. What these rule out, no mistake explains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ml_dtypes
import numpy as np

from oracle.checking.backward import Pass
from oracle.checking.diagnosis.hidden import is_function_of, other_slope
from oracle.checking.diagnosis.other_z1 import is_masked, other_z1
from oracle.checking.diagnosis.recovery import (
    MOST_CONDITION,
    MOST_SAMPLES,
    hidden_error,
    output_errors,
    sent,
)
from oracle.checking.mistakes import SLOPE
from oracle.diagnosis.comparison import Comparison
from oracle.diagnosis.evidence import TINY, balanced, beyond_doubt, even
from oracle.diagnosis.linear import singular_values, svd
from oracle.diagnosis.tensors import relative_error, wrong_tensors
from oracle.findings import FindingKind as Kind
from oracle.values import Array, Finding, Float64

NEARLY = 2e-3
"""A smaller error of all tensors that is like no mistake is that of the arithmetic."""


def nearly_right(comparison: Comparison) -> tuple[Finding, ...]:
    """Tell that both layers are right to some digits, for the delta that is nearest."""
    errors = {n: relative_error(comparison, n) for n in comparison.candidate}
    layers = {n[-1] for n in wrong_tensors(comparison)}
    error = max(errors.values())
    if len(layers) < 2 or not 0 < error <= NEARLY:
        return ()
    if not _is_rounding(comparison, errors):
        return ()
    digits = int(-np.log10(error))
    message = (
        f"Right to about {digits} digits, in every tensor, with an error like no known mistake: a "
        "numerical derivative, or a narrower type or a table in one of the steps."
    )
    remedy = "Compute the derivative by its formula, in one type throughout."
    evidence = {f"relative_error_{n}": e for n, e in errors.items()}
    return (Finding(Kind.LOW_PRECISION, "", message, remedy, evidence),)


def _is_rounding(comparison: Comparison, errors: Mapping[str, float]) -> bool:
    """Tell whether an error is in nearly every entry, alike in all tensors, and keeps no sum.

    What is added to the loss has sums and places of its own, as has another constant in it.
    """
    if min(errors.values()) <= max(errors.values()) / ALIKE or wrong_tensors(comparison) != [
        *comparison.candidate
    ]:
        return False
    for name in comparison.candidate:
        gap = np.abs(sent(comparison, name) - comparison.reference[name])
        if np.mean(gap > comparison.allowed[name]) < 0.9:
            return False
    weights = sent(comparison, "W2")
    sums = np.abs(weights.sum(axis=1) - comparison.reference["W2"].sum(axis=1))
    error = np.abs(weights - comparison.reference["W2"]).max(axis=1)
    return bool(np.median(sums / (error + TINY)) > 0.05)


ALIKE = 100.0
"""Times that the relative errors of tensors are apart, at most, which have one cause."""


def located(p: Pass, dY: Array, comparison: Comparison, lost: Sequence[str]) -> tuple[Finding, ...]:
    """Say where the fault of both tensors of a layer begins, and how it looks there.

    Ranks and sums need digits: where rounding is coarse nothing is said.
    """
    if any(comparison.is_coarse(name) for name in comparison.candidate):
        return ()
    if "W2" in lost and "b2" in lost:
        return _output(p, comparison) or _before_output(p, comparison)
    return _hidden(p, dY, comparison) if {"W1", "b1"} == set(lost) else ()


def _output(p: Pass, comparison: Comparison) -> tuple[Finding, ...]:
    for error in output_errors(p, comparison):
        if not all(
            comparison.fits(n, g, allowed=even(comparison, n))
            for n, g in (("W2", p.z1.T @ error), ("b2", error.sum(axis=0)))
        ):
            continue
        sums = float(np.abs(error.sum(axis=1)).max())
        balanced = sums <= 1e-6 * float(np.abs(error).max())
        rows = "as those of y - t do" if balanced else f"but to {sums:.3g} at most"
        message = (
            "W2 and b2 agree with each other: the fault begins in dY, the derivative of the loss "
            f"by the scores a2. Its rows {'' if balanced else 'do not '}sum to zero, {rows}."
        )
        evidence = {
            f"dY_{n}_{k}": float(error[n, k]) for n in range(min(p.N, 4)) for k in range(p.K)
        }
        return (Finding(Kind.UNEXPLAINED, "W2", message, "Compare dY with (y - t) / N.", evidence),)
    return ()


def _before_output(p: Pass, comparison: Comparison) -> tuple[Finding, ...]:
    """Find another forward pass or other inputs: the classes balance, and no dY fits this z1."""
    if not _is_refuted(p, comparison):
        return ()
    dA1 = hidden_error(p, comparison)
    if dA1 is not None:
        return (_of_other_z1(p, dA1, comparison),)
    layer_1 = np.vstack([sent(comparison, "W1"), sent(comparison, "b1")])
    sizes = singular_values(layer_1)
    if sizes[p.N] > 1e-6 * sizes[0]:
        message = f"W1 has a higher rank than {p.N} samples can give it"
        if p.K < 3:
            # Any odd function of each entry keeps the sums of two classes, and raises the rank.
            return (Finding(Kind.UNEXPLAINED, "W1", f"{message}.", "Write W1 = x.T @ dA1."),)
        message += ": it holds the gradients of other batches too."
        return (Finding(Kind.ACCUMULATED, "", message, "Clear the buffers before each batch."),)
    message = (
        "The gradient is sound, but not that of this x: W1 is not x.T @ dA1 for any dA1. It is "
        "that of another batch, or of inputs that were changed on their way."
    )
    return (Finding(Kind.STALE_BUFFER, "", message, "Compute the gradient of the x that is sent."),)


def _of_other_z1(p: Pass, dA1: Float64, comparison: Comparison) -> Finding:
    """Say that the forward pass is another one if it is one, or else what it may be."""
    sound = "The rows of W2 sum to zero, as those of z1.T @ (y - t) do, and W1 is x.T @ dA1"
    masked = is_masked(p, dA1, comparison)
    z1 = None if masked else other_z1(p, dA1, comparison)
    off = 0.0 if z1 is None else float(np.abs(z1 - p.z1).max())
    if z1 is not None and off <= NEARLY and (dtype := _held_by(z1)):
        message = f"z1 is rounded to {dtype}; W1, b1, W2 and b2 follow from that."
        remedy = "Keep the activations in one type throughout."
        return Finding(Kind.LOW_PRECISION, "", message, remedy, {"largest_error_of_z1": off})
    if masked or z1 is not None:
        message = f"{sound}: the backward pass is sound, but z1 is not sigmoid(x @ W1 + b1)."
        remedy = "Write z1 = sigmoid(x @ W1 + b1), with no dropout, noise or normalisation."
        return Finding(Kind.WRONG_FORWARD, "", message, remedy)
    message = (
        f"{sound}, but they are not those of these parameters: another z1, the gradient of earlier "
        "parameters, or the sum of several gradients would look like this."
    )
    remedy = "Clear the buffers, then compare z1 with sigmoid(x @ W1 + b1)."
    return Finding(Kind.UNEXPLAINED, "", message, remedy)


def _held_by(z1: Float64) -> str:
    """Return the narrower type that holds what a z1 is but for the rounding of float64, if any."""
    for dtype, kind in (("float16", np.float16), ("bfloat16", ml_dtypes.bfloat16)):
        held = z1.astype(kind).astype(np.float64)
        if np.all(np.abs(held - z1) <= 1e-9):
            return dtype
    return ""


def _is_refuted(p: Pass, comparison: Comparison) -> bool:
    """Tell whether W2 and b2 have rows that sum to zero and are z1.T @ dY for no dY.

    As many samples as there are hidden units leave none that would not do.
    """
    few = p.K < 2 or min(p.x.shape[1], p.W2.shape[0] - 1, MOST_SAMPLES) < p.N
    if few or not all(beyond_doubt(comparison, n) for n in ("W1", "b1", "W2")):
        return False
    held = np.vstack([sent(comparison, "W2"), sent(comparison, "b2")])
    tied = all(balanced(comparison, n, sent(comparison, n)) for n in ("W2", "b2"))
    return tied and not spans(np.column_stack([p.z1, np.ones(p.N)]).T, held)


def spans(columns: Array, values: Array) -> bool:
    """Tell whether values are sums of multiples of the columns, or may be but for rounding."""
    sides, sizes, _ = svd(columns)
    kept = sides[:, sizes > sizes[0] / MOST_CONDITION]
    beyond = values - kept @ (kept.T @ values)
    return bool(np.linalg.norm(beyond) <= 1e-6 * np.linalg.norm(values))


def _hidden(p: Pass, dY: Array, comparison: Comparison) -> tuple[Finding, ...]:
    error = hidden_error(p, comparison)
    back = dY @ p.W2.T
    if error is None or not np.all(back):
        return ()
    slope = error / back
    right = p.z1 * (1 - p.z1)
    # Beside the right derivative that of other parameters, or rounded ones, is nearly smooth.
    if is_function_of(p.a1, slope - right, np.abs(back)):
        return (other_slope(slope),)
    if where := _elsewhere(error, back, right, comparison.unit_roundoff):
        message = f"The derivative of the hidden layer is {where}."
        return (Finding(Kind.WRONG_ACTIVATION_DERIVATIVE, "W1", message, SLOPE),)
    ratio = slope / right
    top = np.abs(ratio).max()
    masked = np.abs(ratio) < 1e-3 * top
    tail = f"The factor in place of z1 (1 - z1) is from {slope.min():.3g} to {slope.max():.3g}."
    mask = min(masked.sum(), (~masked).sum()) > 1 and np.ptp(ratio[~masked]) <= 1e-3 * top
    if mask:
        tail = (
            f"z1 (1 - z1) is multiplied by a mask of 0 and {ratio[~masked].mean():.4g}, as that of "
            "dropout."
        )
    message = (
        "W1 and b1 agree with each other: the fault is in dA1, the derivative of the loss by "
        f"a1 = x @ W1 + b1. {tail}"
    )
    evidence = {"smallest_factor": float(slope.min()), "largest_factor": float(slope.max())}
    # More samples than classes leave no W2 that dA1 could come of: that has been tried.
    known = mask or (p.N > p.K and _follows_back(slope, right, back))
    known = known and beyond_doubt(comparison, "W1")
    kind = Kind.WRONG_ACTIVATION_DERIVATIVE if known else Kind.UNEXPLAINED
    return (Finding(kind, "W1", message, SLOPE, evidence),)


def _elsewhere(error: Float64, back: Array, right: Float64, unit_roundoff: float) -> str:
    """Return of which other samples or units a derivative is, if it is one of them, or nothing."""
    near = max(1e-6, 1024 * unit_roundoff) * float(np.abs(error).max())

    def fits(slope: Array) -> bool:
        return bool(np.all(np.abs(error - back * slope) <= near))

    if len(error) > 2 and fits((error * back).sum(axis=0) / (back * back).sum(axis=0)):
        return "the same for every sample, where z1 (1 - z1) of each belongs"
    moved = np.empty_like(right)
    moved.flat[np.argsort(error / back, axis=None)] = np.sort(right, axis=None)
    if right.size > 8 and fits(moved):
        return "z1 (1 - z1) of other samples or other units"
    return ""


FEWEST_SMALL = 4
"""Entries of dY @ W2.T so small that an error from elsewhere would show in the factor."""


def _follows_back(slope: Float64, right: Float64, back: Array) -> bool:
    """Tell whether a factor is between 0 and 1 even where what it multiplies nearly vanishes.

    The error of another derivative vanishes there too; that of a gradient of other parameters, or
    of a sum of several, does not, and would be many times what is multiplied.
    """
    error = float(np.median(np.abs((slope - right) * back)))
    small = np.abs(back) < error / FEWEST_SMALL
    possible = slope.min() >= -1e-6 and slope.max() <= 1 + 1e-6
    return bool(possible and small.sum() >= FEWEST_SMALL)
