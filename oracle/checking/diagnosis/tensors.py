"""Causes that show in the numbers of any gradient, whatever the function."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import ml_dtypes
import numpy as np

from oracle.checking.comparison import Comparison
from oracle.findings import FindingKind as Kind
from oracle.values import Array, Entry, Finding, Float64

NARROW = (("float32", 2.0**-24), ("float16", 2.0**-11), ("bfloat16", 2.0**-8))


def explain_tensors(comparison: Comparison, sizes: Mapping[str, int]) -> tuple[Finding, ...]:
    """Name what is wrong with a gradient that failed, from its numbers alone.

    Parameters
    ----------
    comparison : Comparison
        The candidate beside the reference.
    sizes : mapping of str to int
        Sizes that factors may equal, such as `N` for the batch and `K` for the classes.

    Returns
    -------
    tuple of Finding
        At least one; `UNEXPLAINED` where no known cause fits within rounding.
    """
    found = low_precision(comparison)
    if found:
        return found
    factor = common_factor(comparison, sizes)
    if factor:
        return factor
    return explain_each(comparison, sizes)


def wrong_tensors(comparison: Comparison) -> list[str]:
    """Return the names of the tensors that are outside their budget."""
    return [name for name in comparison.candidate if not comparison.within(name)]


def fits_all(comparison: Comparison, hypothesis: Mapping[str, Array]) -> bool:
    """Tell whether every tensor of the candidate equals the hypothesis within rounding."""
    return all(comparison.fits(name, hypothesis[name]) for name in comparison.candidate)


def low_precision(comparison: Comparison) -> tuple[Finding, ...]:
    """Tell whether the candidate is right in a narrower arithmetic than the one it was sent in."""
    found = representable_in(comparison)
    if found is None:
        return ()
    dtype, widened = found
    if wrong_tensors(widened):
        return ()
    error = max(_relative_error(comparison, n) for n in comparison.candidate)
    if error > 1e-2:
        return ()
    message = f"Right for {dtype}, but sent as a wider type: every entry is a {dtype} number."
    remedy = f"compute in the wider type throughout, or send {dtype}"
    return (Finding(Kind.LOW_PRECISION, "", message, remedy, {"relative_error": error}),)


def representable_in(comparison: Comparison) -> tuple[str, Comparison] | None:
    """Return the narrowest type that holds the candidate exactly, and the budget of that type."""
    values = {n: g.astype(np.float64) for n, g in comparison.candidate.items()}
    if sum(np.count_nonzero(g) for g in values.values()) < 4:
        return None
    for dtype, unit in reversed(NARROW):
        kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
        if unit <= comparison.unit_roundoff:
            continue
        with np.errstate(over="ignore"):
            exact = all(
                np.array_equal(g.astype(kind).astype(np.float64), g) for g in values.values()
            )
        if exact:
            wider = unit / comparison.unit_roundoff
            allowed = {
                n: a * wider + (2.0**-24 if dtype == "float16" else 0.0)
                for n, a in comparison.allowed.items()
            }
            return dtype, replace(comparison, allowed=allowed, unit_roundoff=unit)
    return None


def common_factor(comparison: Comparison, sizes: Mapping[str, int]) -> tuple[Finding, ...]:
    """Name one factor that turns the reference into the candidate in every tensor."""
    names = list(comparison.candidate)
    factor = fitted_factor(comparison, names)
    if factor is None or not np.isfinite(factor) or factor == 0:
        return ()
    hypothesis = {n: factor * comparison.reference[n] for n in names}
    if not fits_all(comparison, hypothesis):
        return ()
    size = abs(factor)
    sign = math.copysign(1.0, factor)

    def fits(known: float) -> bool:
        return fits_all(comparison, {n: sign * known * comparison.reference[n] for n in names})

    equal = [name for name, known in equals(size, sizes).items() if fits(known)]
    evidence = {"factor": factor}
    findings = []
    if factor < 0:
        findings.append(
            Finding(Kind.SIGN_FLIPPED, "", "The sign is the opposite.", "g = -g", evidence)
        )
    if "N" in equal:
        message = f"Every tensor is {size:.6g} times too large: {_or(equal)}. The mean is missing."
        remedy = "dY = (y - t) / N"
        findings.append(Finding(Kind.MISSING_BATCH_MEAN, "", message, remedy, evidence))
    elif {"1/N", "1/K"} <= set(equal):
        message = f"Every tensor is {size:.6g} times the right one: {_or(equal)}."
        message += " Either the mean over the batch is taken twice, or one over the classes too."
        remedy = "divide by N once, and by nothing else"
        findings.append(Finding(Kind.CONSTANT_FACTOR, "", message, remedy, evidence))
    elif "1/N" in equal:
        message = f"Every tensor is {size:.6g} times the right one: {_or(equal)}. Two means."
        remedy = "divide by N once: dY = (y - t) / N, then dW = X^T dY"
        findings.append(Finding(Kind.EXTRA_BATCH_MEAN, "", message, remedy, evidence))
    elif not (math.isclose(size, 1.0, rel_tol=1e-3) and fits(1.0)):
        what = f" ({_or(equal)})" if equal else ""
        message = f"Every tensor is {size:.6g}{what} times the right one."
        if math.isclose(size, 2.0, rel_tol=1e-3):
            message += " A gradient added to itself (a buffer not cleared) looks the same."
        remedy = f"divide by {size:.6g}"
        findings.append(Finding(Kind.CONSTANT_FACTOR, "", message, remedy, evidence))
    return tuple(findings)


def explain_each(comparison: Comparison, sizes: Mapping[str, int]) -> tuple[Finding, ...]:
    """Name what is wrong in each wrong tensor by itself."""
    wrong = wrong_tensors(comparison)
    swapped = _swapped(comparison, wrong)
    if swapped:
        return swapped
    findings = [_explain(comparison, name, sizes) for name in wrong]
    named = [f for f in findings if f is not None]
    if len(named) == len(wrong) and named:
        return tuple(named)
    entries = _single_entries(comparison, wrong)
    if entries:
        return entries
    if named:
        rest = [
            unexplained(comparison, n) for n, f in zip(wrong, findings, strict=True) if f is None
        ]
        return (*named, *rest)
    return (unexplained(comparison, wrong[0] if len(wrong) == 1 else ""),)


def unexplained(comparison: Comparison, tensor: str) -> Finding:
    """Say that no known cause fits, with the size of the error and its angle per tensor."""
    evidence = {f"relative_error_{n}": _relative_error(comparison, n) for n in comparison.candidate}
    right = [n for n in comparison.candidate if comparison.within(n)]
    place = f" {' and '.join(right)} are right: look at the others." if right else ""
    message = f"None of the known causes fits within rounding.{place}"
    return Finding(Kind.UNEXPLAINED, tensor, message, "", evidence)


def fitted_factor(comparison: Comparison, names: list[str]) -> float | None:
    """Return the least-squares factor between the reference and the candidate, or None."""
    top = bottom = 0.0
    for name in names:
        unit = comparison.largest(name) or 1.0
        g, r = _flat(comparison, name)
        top += float(np.dot(g / unit, r / unit))
        bottom += float(np.dot(r / unit, r / unit))
    return top / bottom if bottom > 0 else None


def equals(size: float, sizes: Mapping[str, int]) -> dict[str, float]:
    """Return what a factor is near to, by name: sizes, their inverses, known constants."""
    known: dict[str, float] = {}
    for name, value in sizes.items():
        known |= {
            name: value,
            f"1/{name}": 1 / value,
            f"{name}²": value**2,
            f"1/{name}²": value**-2,
        }
    if "N" in sizes and "K" in sizes:
        known |= {"N K": sizes["N"] * sizes["K"], "1/(N K)": 1 / (sizes["N"] * sizes["K"])}
    if sizes.get("N", 1) > 1:
        known |= {"N/(N-1)": sizes["N"] / (sizes["N"] - 1), "(N-1)/N": 1 - 1 / sizes["N"]}
    known |= {"1/ln 10": 1 / math.log(10), "ln 10": math.log(10)}
    known |= {"1/ln 2": 1 / math.log(2), "ln 2": math.log(2)}
    return {
        name: value
        for name, value in known.items()
        if math.isclose(size, value, rel_tol=1e-3) and value != 1
    }


def _or(names: list[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{' or '.join(names)}, which are equal here"


_LAYOUTS: Mapping[str, Callable[[Float64], Float64]] = {
    "transposed": lambda tensor: tensor.T,
    "in the other memory order": lambda tensor: tensor.T.reshape(tensor.shape),
    "in the other memory order (written as one, read as the other)": (
        lambda tensor: tensor.ravel().reshape(tensor.shape, order="F")
    ),
}


def _explain(comparison: Comparison, name: str, sizes: Mapping[str, int]) -> Finding | None:
    g = comparison.candidate[name].astype(np.float64)
    r = comparison.reference[name]
    if not np.any(g):
        return Finding(Kind.ZERO_TENSOR, name, f"{name} is all zeros.", f"compute {name}", {})
    factor = fitted_factor(comparison, [name])
    if factor is not None and r.size > 1 and comparison.fits(name, factor * r):
        near = equals(abs(factor), sizes).items()
        sign = math.copysign(1.0, factor)
        equal = [known for known, value in near if comparison.fits(name, sign * value * r)]
        what = f" ({_or(equal)})" if equal else ""
        message = f"{name} is {factor:.6g}{what} times the right one."
        return Finding(
            Kind.TENSOR_FACTOR, name, message, f"{name} / {factor:.6g}", {"factor": factor}
        )
    if r.ndim == 2:
        for what, layout in _LAYOUTS.items():
            moved = layout(r)
            if moved.shape == r.shape and comparison.fits(
                name, moved, allowed=layout(comparison.allowed[name])
            ):
                return Finding(
                    Kind.TRANSPOSED, name, f"{name} is {what}.", f"{name}.T, then contiguous"
                )
    return _permuted(comparison, name, g, r)


def _permuted(comparison: Comparison, name: str, g: Float64, r: Float64) -> Finding | None:
    largest_allowed = float(comparison.allowed[name].max(initial=0.0))
    spread = np.sort(r, axis=None)
    if np.all(np.abs(np.sort(g, axis=None) - spread) <= 4 * largest_allowed):
        gap = float(np.median(np.diff(spread))) if r.size > 1 else 0.0
        if gap > 4 * largest_allowed:
            message = f"{name} holds the right numbers in another order."
            return Finding(Kind.PERMUTED, name, message, "check the order of rows and columns")
    return None


def _swapped(comparison: Comparison, wrong: list[str]) -> tuple[Finding, ...]:
    for i, first in enumerate(wrong):
        for second in wrong[i + 1 :]:
            a, b = comparison.reference[first], comparison.reference[second]
            if a.shape != b.shape:
                continue
            allowed = comparison.allowed
            if comparison.fits(first, b, allowed=allowed[second]) and comparison.fits(
                second, a, allowed=allowed[first]
            ):
                message = f"{first} and {second} stand in each other's place."
                remedy = f"{first}, {second} = {second}, {first}"
                return (Finding(Kind.SWAPPED_TENSORS, first, message, remedy),)
    return ()


def _single_entries(comparison: Comparison, wrong: list[str]) -> tuple[Finding, ...]:
    findings = []
    for name in wrong:
        g, r = comparison.candidate[name].astype(np.float64), comparison.reference[name]
        bad = np.argwhere(np.abs(g - r) > comparison.allowed[name])
        if len(bad) > max(1, r.size // 20):
            return ()
        entries = tuple(
            Entry(i, float(g[i]), float(r[i]), float(comparison.allowed[name][i]))
            for i in (tuple(int(k) for k in row) for row in bad[:8])
        )
        message = f"{name} is right but for {len(bad)} of {r.size} entries."
        evidence = {"wrong_entries": float(len(bad))}
        findings.append(Finding(Kind.SINGLE_ENTRIES, name, message, "", evidence, entries))
    return tuple(findings)


def _flat(comparison: Comparison, name: str) -> tuple[Float64, Float64]:
    g = comparison.candidate[name].astype(np.float64).ravel()
    return g, comparison.reference[name].ravel()


def _relative_error(comparison: Comparison, name: str) -> float:
    g, r = _flat(comparison, name)
    scale = float(np.linalg.norm(r))
    return float(np.linalg.norm(g - r)) / scale if scale > 0 else float(np.linalg.norm(g))
