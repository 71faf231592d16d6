"""What is wrong with a gradient of the document's TwoLayerNet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from oracle.checking.backward import Pass, backward, forward, output_error
from oracle.checking.comparison import Comparison
from oracle.checking.diagnosis.tensors import (
    common_factor,
    explain_each,
    fits_all,
    low_precision,
    representable_in,
    wrong_tensors,
)
from oracle.checking.wrong_gradients import LIBRARY
from oracle.findings import FindingKind as Kind
from oracle.values import DELTA, Array, Finding, Float64, TwoLayerNetParameters

MOST_SAMPLES = 512
"""More samples than this are not searched for weights of their own."""

MOST_PRODUCTS = 10**9
"""More multiplications than this are not spent on recovering the weights that layer 1 used."""

MOST_CONDITION = 1e4
"""Inputs of a worse condition than this lose too many digits of what is recovered through them."""


def explain_two_layer_net(
    parameters: TwoLayerNetParameters,
    x: Array,
    t: Array,
    comparison: Comparison,
    *,
    delta: float = DELTA,
) -> tuple[Finding, ...]:
    """Name what is wrong with a gradient of the two-layer net that failed its check.

    Every hypothesis is computed, with `delta` and without, and named only if all four tensors of
    the candidate equal it within rounding.

    Parameters
    ----------
    parameters, x, t : TwoLayerNetParameters, (N, D) array, (N,) or (N, K) array
        The network, its inputs and its targets.
    comparison : Comparison
        The candidate beside the reference.
    delta : float
        The constant inside the logarithm.

    Returns
    -------
    tuple of Finding
        At least one; `UNEXPLAINED` where no known cause fits.
    """
    found = low_precision(comparison)
    if found:
        return found
    narrow = representable_in(comparison)
    if narrow is not None:
        comparison = narrow[1]
    passes = [forward(parameters, x, t, delta=d) for d in dict.fromkeys((delta, 0.0))]
    hypotheses = _explanations(passes, comparison)
    return next(found for found in hypotheses if found)


def _explanations(passes: list[Pass], comparison: Comparison) -> Iterator[tuple[Finding, ...]]:
    """Yield what each test finds, the simplest first; the last always finds something."""
    D, H = passes[0].W1.shape
    sizes = {"N": passes[0].N, "K": passes[0].K, "H": H, "D": D}
    views = [comparison]
    views += [replace(comparison, reference=_only(comparison, backward(p))) for p in passes[1:]]
    if not any(np.any(g) for g in comparison.candidate.values()):
        yield explain_each(comparison, sizes)
    if len(views) > 1 and not wrong_tensors(views[1]):
        message = "This is the derivative of the loss without delta inside the logarithm."
        yield (Finding(Kind.DELTA_IGNORED, "", message, "dY = (y - t) / N * p / (p + delta)"),)
    yield from (common_factor(view, sizes) for view in views)
    whole = set(comparison.candidate) == {"W1", "b1", "W2", "b2"}
    yield from (_from_library(p, comparison) for p in passes if whole)
    for view in sorted(views, key=lambda view: len(wrong_tensors(view))):
        found = explain_each(view, sizes)
        if all(f.kind is not Kind.UNEXPLAINED for f in found):
            yield found
    for p in passes if whole else ():
        yield _from_families(p, comparison)
    for p in passes if whole else ():
        yield _from_sample_weights(p, comparison)
    if whole:
        yield _from_targets(passes[0], comparison)
    for p, view in zip(passes, views, strict=True):
        yield _from_buffers(p, view)
    for p in passes if whole else ():
        yield _from_weights(p, comparison)
        yield _from_layer_1(p, comparison)
    yield explain_each(comparison, sizes)


def _only(comparison: Comparison, tensors: dict[str, Array]) -> dict[str, Float64]:
    return {n: tensors[n] for n in comparison.candidate}


def _misfit(comparison: Comparison, hypothesis: dict[str, Array]) -> float:
    worst = 0.0
    for name, candidate in comparison.candidate.items():
        gap = np.abs(candidate.astype(np.float64) - hypothesis[name])
        worst = max(worst, float((gap / (comparison.allowed[name] + 1e-300)).max(initial=0.0)))
    return worst


def _from_library(p: Pass, comparison: Comparison) -> tuple[Finding, ...]:
    fitting = []
    for bug in LIBRARY:
        with np.errstate(all="ignore"):
            hypothesis = bug.compute(p)
        if hypothesis is not None and fits_all(comparison, hypothesis):
            fitting.append((_misfit(comparison, hypothesis), bug))
    if not fitting:
        return ()
    best = 4 * min(misfit for misfit, _ in fitting) + 1e-3
    bugs = [bug for misfit, bug in fitting if misfit <= best]
    others = [bug.name for bug in bugs[1:] if bug.named[0] is not bugs[0].named[0]]
    also = f" On this input it cannot be told from: {'; '.join(others)}." if others else ""
    return (Finding(bugs[0].named[0], "", bugs[0].message + also, bugs[0].remedy),)


def _families(p: Pass) -> Iterator[tuple[Kind, str, str, dict[str, Array]]]:
    """Yield the changes of a gradient that have one free number: kind, sentence, remedy, change."""
    right = backward(p)
    weights = {"W1": p.W1, "b1": p.b1, "W2": p.W2, "b2": p.b2}
    for names in (("W1", "W2"), ("W1", "b1", "W2", "b2"), ("W1",), ("W2",)):
        text = (
            f"{{:.6g}} times the parameters is added to {', '.join(names)}, as weight decay does."
        )
        remedy = "leave the penalty out of the gradient, or add it to the loss"
        yield Kind.WEIGHT_DECAY, text, remedy, {n: weights[n] for n in names}
    stale = backward(p, weights=right["W2"])
    text = "Layer 1 used W2 plus {:.6g} times its gradient: W2 was updated before it was used."
    change = {n: stale[n] for n in ("W1", "b1")}
    yield Kind.WRONG_WEIGHTS, text, "compute all four gradients, then update", change
    smooth = p.t - p.t.sum(axis=1, keepdims=True) / p.K
    change = backward(p, output=output_error(p.y, p.t - smooth, p.delta) - p.output_error)
    text = "The targets are smoothed: (1 - e) t + e / K with e = {:.6g}."
    yield Kind.WRONG_TARGETS, text, "use t as it was given", change


def _from_families(p: Pass, comparison: Comparison) -> tuple[Finding, ...]:
    right = backward(p)
    for kind, text, remedy, change in _families(p):
        top = bottom = 0.0
        for name, direction in change.items():
            unit = comparison.largest(name) or 1.0
            rest = comparison.candidate[name].astype(np.float64) - right[name]
            top += float((rest * direction).sum()) / unit**2
            bottom += float((direction**2).sum()) / unit**2
        if bottom == 0:
            continue
        number = top / bottom
        hypothesis = right | {n: right[n] + number * d for n, d in change.items()}
        if fits_all(comparison, hypothesis):
            return (Finding(kind, "", text.format(number), remedy, {"factor": number}),)
    return ()


def _from_sample_weights(p: Pass, comparison: Comparison) -> tuple[Finding, ...]:
    """Find one weight per sample: W2 and b2 are linear in them, W1 and b1 then have to agree."""
    dY = p.output_error
    equations = (p.W2.shape[0] + 1) * p.K
    if not 1 < p.N <= min(equations - 1, MOST_SAMPLES):
        return ()
    widened = np.column_stack([p.z1, np.ones(p.N)])
    columns = np.einsum("nh,nk->hkn", widened, dY).reshape(equations, p.N)
    values = np.vstack([comparison.candidate["W2"], comparison.candidate["b2"]]).astype(np.float64)
    norms = np.linalg.norm(columns, axis=0)
    if not np.all(norms > 0):
        return ()
    weights = np.linalg.lstsq(columns / norms, values.ravel(), rcond=None)[0] / norms
    if not fits_all(comparison, backward(p, output=dY * weights[:, None])):
        return ()
    evidence = {f"weight_{n}": float(w) for n, w in enumerate(weights[:16])}
    dropped = np.flatnonzero(np.abs(weights) < 1e-6 * np.abs(weights).max())
    if len(dropped):
        message = (
            f"{len(dropped)} of {p.N} samples have no part in the gradient: {dropped[:8].tolist()}."
        )
        remedy = "dW = X^T dA over every row of the batch"
        return (Finding(Kind.DROPPED_SAMPLES, "", message, remedy, evidence),)
    message = f"The samples have weights, from {weights.min():.6g} to {weights.max():.6g}."
    return (
        Finding(Kind.SAMPLE_WEIGHTS, "", message, "give every sample the weight 1/N", evidence),
    )


def _from_targets(p: Pass, comparison: Comparison) -> tuple[Finding, ...]:
    """Recover dY from W2 = z1^T dY, and from it the targets y - N dY, if they are whole labels."""
    if np.linalg.matrix_rank(p.z1) < p.N:
        return ()
    dY = np.linalg.lstsq(p.z1.T, comparison.candidate["W2"].astype(np.float64), rcond=None)[0]
    used = np.rint(p.y - p.N * dY)
    if not np.array_equal(np.sort(used, axis=1)[:, -2:], np.tile([0.0, 1.0], (p.N, 1))):
        return ()
    if not fits_all(comparison, backward(p, output=output_error(p.y, used, p.delta))):
        return ()
    labels = used.argmax(axis=1)
    message = f"The gradient is that of other labels: {labels[:16].tolist()}."
    evidence = {f"label_{n}": float(k) for n, k in enumerate(labels[:16])}
    return (Finding(Kind.WRONG_TARGETS, "", message, "dY[n, t[n]] -= 1 / N", evidence),)


def _from_buffers(p: Pass, comparison: Comparison) -> tuple[Finding, ...]:
    """Find tensors that hold the parameters, or the gradient of a part of the batch."""
    wrong = wrong_tensors(comparison)
    findings = [_parameters_in(p, comparison, n) or _part_in(p, comparison, n) for n in wrong]
    named = tuple(f for f in findings if f is not None)
    return named if len(named) == len(wrong) else ()


def _parameters_in(p: Pass, comparison: Comparison, name: str) -> Finding | None:
    if not comparison.fits(name, getattr(p, name)):
        return None
    message = f"{name} holds the parameters themselves, not their gradient."
    return Finding(Kind.STALE_BUFFER, name, message, f"return the gradient of {name}")


def _part_in(p: Pass, comparison: Comparison, name: str) -> Finding | None:
    """Find the range of samples, from the first or up to the last, that a tensor is the sum of."""
    if not 1 < p.N <= MOST_SAMPLES:
        return None
    dA = (p.output_error @ p.W2.T) * p.z1 * (1 - p.z1)
    left = {"W1": p.x, "W2": p.z1}.get(name)
    right = dA if name in {"W1", "b1"} else p.output_error
    total = np.zeros(comparison.reference[name].shape)
    for n in range(p.N):
        one = right[n] if left is None else np.outer(left[n], right[n])
        total = total + one
        kept = {
            f"samples 0 to {n}": total,
            f"samples {n + 1} to {p.N - 1}": comparison.reference[name] - total,
            f"sample {n}": one,
        }
        for which, part in list(kept.items()) if n < p.N - 1 else [(f"sample {n}", one)]:
            if np.any(part) and comparison.fits(name, part):
                message = f"{name} is the sum over {which} only, of {p.N}."
                remedy = f"add every sample to {name}: += in place of ="
                return Finding(Kind.DROPPED_SAMPLES, name, message, remedy)
    return None


def _from_weights(p: Pass, comparison: Comparison) -> tuple[Finding, ...]:
    """Find the W2 that layer 1 used: W1 and b1 are linear in it, unit by unit."""
    N, D = p.x.shape
    H, K = p.W2.shape
    if K > D or N * D * H * K > MOST_PRODUCTS:
        return ()
    right = backward(p)
    if not all(comparison.fits(n, right[n]) for n in ("W2", "b2")):
        return ()
    widened = np.column_stack([p.x, np.ones(N)])
    values = np.vstack([comparison.candidate["W1"], comparison.candidate["b1"]]).astype(np.float64)
    slope = p.z1 * (1 - p.z1)
    used = np.empty_like(p.W2)
    for h in range(H):
        columns = widened.T @ (slope[:, h : h + 1] * p.output_error)
        used[h] = np.linalg.lstsq(columns, values[:, h], rcond=1e-12)[0]
    if not fits_all(comparison, backward(p, weights=used)):
        return ()
    message = "Layer 1 used other weights than the W2 of the forward pass."
    remedy = "dA = (dY W2^T) * z1 * (1 - z1), with W2 as it was in the forward pass"
    return (Finding(Kind.WRONG_WEIGHTS, "", message, remedy),)


def _from_layer_1(p: Pass, comparison: Comparison) -> tuple[Finding, ...]:
    """Recover dA from W1 = x^T dA; if b1 is its sum, the fault lies before it, though unnamed."""
    right = backward(p)
    if min(p.x.shape[1], MOST_SAMPLES) < p.N or not all(
        comparison.fits(n, right[n]) for n in ("W2", "b2")
    ):
        return ()
    condition = float(np.linalg.cond(p.x))
    if condition > MOST_CONDITION:
        return ()
    dA = np.linalg.lstsq(p.x.T, comparison.candidate["W1"].astype(np.float64), rcond=None)[0]
    agree = comparison.fits("b1", dA.sum(axis=0), slack=4 * condition)
    back = p.output_error @ p.W2.T
    if not (agree and comparison.fits("W1", p.x.T @ dA) and np.all(back)):
        return ()
    factor = dA / back
    message = (
        "W2 and b2 are right, and W1 and b1 agree with each other: the fault is in dA. The factor "
        f"in place of z1 (1 - z1) is from {factor.min():.3g} to {factor.max():.3g}."
    )
    evidence = {"smallest_factor": float(factor.min()), "largest_factor": float(factor.max())}
    remedy = "dA = (dY W2^T) * z1 * (1 - z1)"
    return (Finding(Kind.UNEXPLAINED, "W1", message, remedy, evidence),)
