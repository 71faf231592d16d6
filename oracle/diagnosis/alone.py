"""What shows in one tensor by itself: lines, entries, decay, clipping."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from oracle.diagnosis.comparison import TELLING, Comparison
from oracle.diagnosis.evidence import DECISIVE, beyond_doubt, clear_of, digits, even
from oracle.diagnosis.linear import least_squares
from oracle.diagnosis.tensors import (
    entries_of,
    explain_tensor,
    near_1,
    outliers,
    right_but_for,
    some,
)
from oracle.findings import FindingKind as Kind
from oracle.values import Array, Finding, Float64


def alone(
    view: Comparison, name: str, parameter: Array | None, sizes: Mapping[str, int]
) -> Finding | None:
    """Name what is wrong in one tensor; `view` has what it should hold.

    `parameter` is what the tensor is the gradient of, if that has its shape.
    """
    if not np.any(view.candidate[name]):
        return explain_tensor(view, name, sizes)
    found = zero_lines(view, name) or explain_tensor(view, name, sizes)
    if found or not beyond_doubt(view, name):
        return found
    if parameter is not None and (decay := with_parameters(view, name, parameter)):
        return decay
    return clipped(view, name, fewest=4) or one_line(view, name) or some_entries(view, name)


def zero_lines(view: Comparison, name: str) -> Finding | None:
    """Find rows or columns of zeros in a tensor that is right but for them."""
    g = view.candidate[name].astype(np.float64)
    for axis, kind in enumerate(("row", "column") if g.ndim == 2 else ()):
        zero = np.flatnonzero(
            ~np.any(g, axis=1 - axis) & np.any(view.reference[name], axis=1 - axis)
        )
        kept = np.ones(g.shape[axis])
        kept[zero] = 0
        others = view.reference[name] * np.expand_dims(kept, 1 - axis)
        if 0 < len(zero) < g.shape[axis] and view.fits(name, others):
            which = f"{kind}{'s' if len(zero) > 1 else ''} {some(zero)}, all zero"
            where = np.argwhere((others == 0) & (view.reference[name] != 0))
            return right_but_for(view, name, where, which)
    return None


def one_line(view: Comparison, name: str) -> Finding | None:
    """Find a tensor that is right but for one row or one column."""
    where, size = outliers(view, name), int(np.count_nonzero(view.reference[name]))
    if view.candidate[name].ndim < 2 or not 1 < len(where) <= size // 2:
        return None
    for axis, kind in enumerate(("row", "column")):
        lines = np.unique(where[:, axis])
        if len(lines) == 1:
            return right_but_for(view, name, where, f"{kind} {some(lines)}")
    return None


def some_entries(view: Comparison, name: str) -> Finding | None:
    """Find a tensor that is right but for a few entries, or wherever it is not zero."""
    # That zeros are zero, behind inputs that are, says nothing.
    if not view.is_coarse(name) and (zeros := _zeros(view, name)):
        return zeros
    where, size = outliers(view, name), int(np.count_nonzero(view.reference[name]))
    if not 0 < len(where) <= max(1, size // 5) or len(where) == size:
        return None
    return right_but_for(view, name, where, entries_of(where, size))


def _zeros(view: Comparison, name: str) -> Finding | None:
    """Find a tensor that is right wherever it is not zero, as one that is filled in part."""
    g, r = view.candidate[name].astype(np.float64), view.reference[name]
    lacking = (g == 0) & (r != 0)
    count, held = int(lacking.sum()), int(np.count_nonzero(g))
    if count < 2 or held < max(4, g.size // 5) or not view.fits(name, np.where(lacking, 0, r)):
        return None
    which = f"{count} of {g.size} entries, all zero"
    return right_but_for(view, name, np.argwhere(lacking), which)


def with_parameters(view: Comparison, name: str, w: Array) -> Finding | None:
    """Find a gradient with a multiple of the parameters, or of their signs, added to it."""
    g, r = view.candidate[name].astype(np.float64), view.reference[name]
    if np.any(w) and np.array_equal(g, w):
        return of_parameters(name, name, 0.0, 1.0, {"gradient": 0.0, "parameters": 1.0})
    columns = np.column_stack([r.ravel(), w.ravel()])
    norms = np.linalg.norm(columns, axis=0)
    # The squares of 1e-170 are zero, and on those nothing can be projected.
    if g.size < 3 or not norms.all():
        return None

    def share(of: Float64, rest: Float64) -> float:
        return float((rest * of).sum() / (of * of).sum())

    signs = np.sign(w)
    hypotheses = [(1.0, w, share(w, g - r))]
    if signs.min() < signs.max():
        hypotheses.append((1.0, signs, share(signs, g - r)))
    hypotheses += [(0.0, w, share(w, g)), (share(r, g - w), w, 1.0)]
    if g.size > 4:
        kept, times = least_squares(columns / norms, g.ravel()) / norms
        hypotheses.append((float(kept), w, float(times)))
    for kept, added, times in hypotheses:
        number = 1.0 if abs(times - 1) < 1e-6 else times
        part = abs(number) * float(np.abs(added).max())
        fitted = 2 if kept not in {0.0, 1.0} and times != 1 else 1
        told = (g.size - fitted) * digits(view, name, kept * r + number * added)
        if told < DECISIVE:
            continue
        beyond = part > max(clear_of(view, name), view.is_coarse(name) * view.sent(name) / TELLING)
        if beyond and view.fits(name, kept * r + number * added, allowed=even(view, name)):
            evidence = {"gradient": kept, "parameters": number}
            what = name if added is w else f"the signs of {name}"
            return of_parameters(name, what, kept, number, evidence)
    return None


def of_parameters(
    name: str, what: str, kept: float, times: float, evidence: dict[str, float]
) -> Finding:
    """Say what a tensor holds of its parameters, and how much of its gradient."""
    if kept == 0 and times == 1:
        message = f"{name} holds the parameters themselves, not their gradient."
        return Finding(
            Kind.STALE_BUFFER, name, message, f"Return the gradient of {name}.", evidence
        )
    if times == 1 and kept != 1:
        message = f"{name} holds the parameters after a step of {-kept:.6g} times the gradient."
        return Finding(
            Kind.STALE_BUFFER, name, message, f"Return the gradient of {name}.", evidence
        )
    if kept == 0:
        message = f"the gradient sent for {name} is {times:.6g} times the parameter {what} itself."
        return Finding(
            Kind.STALE_BUFFER, name, message, f"Return the gradient of {name}.", evidence
        )
    scaled = "" if kept == 1 else f" {near_1(kept)} times"
    message = f"{times:.6g} times {what} is added to{scaled} the gradient, as weight decay does."
    remedy = "Leave the penalty out of the gradient, or add it to the loss."
    return Finding(Kind.WEIGHT_DECAY, name, message, remedy, evidence)


def clipped(view: Comparison, name: str, *, fewest: int) -> Finding | None:
    """Find a tensor that is right between two bounds, which the `fewest` of its entries reach."""
    g, r = view.candidate[name].astype(np.float64), view.reference[name]
    low, high = float(g.min()), float(g.max())
    margin = 1e-6 * (high - low)
    inner = (g > low + margin) & (g < high - margin)
    if low == high or g.size - int(inner.sum()) < fewest:
        return None
    remedy = "Switch gradient clipping off for the check."
    evidence = {"lowest": low, "highest": high}
    seen = np.abs(r) > view.allowed[name]
    # Each sign is one bit of evidence.
    signs = seen.sum() >= DECISIVE and np.all((np.sign(g) == np.sign(r)) | ~seen)
    if high == 1 == -low and not inner.any() and signs:
        message = f"{name} holds the signs of the gradient only."
        return Finding(Kind.CLIPPED, name, message, remedy, evidence)
    share = _normalised(g, r, view.unit_roundoff)
    if share is not None:
        message = f"{name} holds g / (|g| + {share:.3g}): each entry divided by its own size, as "
        message += "the first step of Adam does."
        return Finding(Kind.CLIPPED, name, message, "Return g as it is.", {"eps": share})
    factor = float((g * r)[inner].sum() / (r * r)[inner].sum()) if np.any(r[inner]) else 1.0
    for times in dict.fromkeys((1.0, factor)):
        if view.fits(name, np.clip(times * r, low, high), allowed=even(view, name)):
            scaled = "" if times == 1 else f" {near_1(times)} times the right one, and"
            message = f"{name} is{scaled} cut off at {low:.6g} and {high:.6g}, as clipping does."
            return Finding(Kind.CLIPPED, name, message, remedy, evidence)
    return None


def _normalised(g: Float64, r: Float64, unit_roundoff: float) -> float | None:
    """Return the eps with g = r / (|r| + eps), if there is one."""
    inner = (np.abs(g) < 1 - 1024 * unit_roundoff) & (g != 0)
    if not inner.any() or np.abs(g).max() > 1 + 1e-6:
        return None
    with np.errstate(all="ignore"):
        eps = np.median(r[inner] / g[inner] - np.abs(r[inner]))
        near = bool(np.allclose(g, r / (np.abs(r) + eps), rtol=1e-3, atol=1e-6))
    return float(eps) if near and eps > 0 and np.abs(g).max() > 0.9 else None
