"""The choice among hypotheses, each of which is a whole gradient of one tensor up to a factor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np

from oracle.diagnosis.comparison import Comparison
from oracle.diagnosis.evidence import even, misfit
from oracle.diagnosis.tensors import best_factor, factor_findings, is_known
from oracle.values import Array, Finding

Hypothesis = tuple[Finding, Array]
View = Callable[[Comparison, str, Array], Comparison]

USUAL = 0.1
"""Share of what rounding may do that it does: explanations this near to each other fit alike."""

OWN = 32.0
"""Roundings of a hypothesis that is computed in a dozen operations, each with an error of an ulp or
a few.
"""


SURE = 64.0
"""Budgets that a hypothesis is larger than: what rounding nearly hides fits many another."""


WIDEST = 100.0
"""Times by which a factor without a meaning makes a hypothesis larger or smaller, at most.

Beyond, a few entries of the hypothesis dominate and the factor fits them to what they should be.
"""


def entry_by_entry(comparison: Comparison, name: str, values: Array) -> Comparison:
    """Return the candidate beside a hypothesis that errs as the entries of its rows do."""
    sizes = np.abs(np.asarray(values, np.float64))
    rows = sizes.max(axis=-1, keepdims=True) if sizes.ndim else sizes
    own = OWN * max(comparison.unit_roundoff, 2.0**-53) * rows
    allowed = np.asarray(np.minimum(comparison.allowed[name], own) + own)
    return replace(comparison, reference={name: values}, allowed={name: allowed})


def summed(comparison: Comparison, name: str, values: Array) -> Comparison:
    """Return the candidate beside a hypothesis that errs as much of its size as the reference."""
    largest = comparison.largest(name)
    grown = float(np.abs(values).max(initial=0.0)) / largest if largest else 1.0
    return replace(
        comparison,
        candidate={name: comparison.candidate[name]},
        reference={name: np.asarray(values, np.float64)},
        allowed={name: grown * even(comparison, name)},
    )


def closest(
    comparison: Comparison,
    name: str,
    hypotheses: Iterable[Hypothesis],
    sizes: Mapping[str, int],
    *,
    equations: int,
    view_of: View,
) -> tuple[Finding, ...]:
    """Name the hypothesis that the tensor `name` equals, under a factor if there is one.

    Of those that fit alike the first one without a factor stands, and says what else it may be. A
    factor that is no size is a free number, which takes more than two `equations` to be told. One
    that is not distinct from the right gradient says nothing.
    """
    fitting: list[tuple[float, float, Finding]] = []
    if not _is_distinct(comparison, name, comparison.candidate[name]):
        return ()
    for finding, values in hypotheses:
        comparison.checkpoint()
        if not np.all(np.isfinite(values)) or not np.any(values):
            continue
        view = view_of(comparison, name, values)
        factor = best_factor(view, {name: values}, sizes)
        if factor is None or not _is_distinct(comparison, name, values):
            continue
        free = equations > 2 and WIDEST >= abs(factor) >= 1 / WIDEST
        if not (free or is_known(factor, sizes)):
            continue
        if np.abs(values).max() <= SURE * view.allowed[name].max():
            continue
        fitting.append((misfit(view, {name: values}, factor), factor, finding))
    if not fitting:
        return ()
    limit = 4 * min(gap for gap, _, _ in fitting) + USUAL
    alike = sorted((f for f in fitting if f[0] <= limit), key=lambda one: one[1] != 1)
    _, factor, first = alike[0]
    others = [f.message for _, k, f in alike if f.kind is not first.kind and k == factor]
    if others:
        what = "; ".join(other.removesuffix(".") for other in others[:2])
        message = f"{first.message} On this input it looks the same if: {what}."
        first = replace(first, message=message)
    return (first, *factor_findings(factor, sizes))


def _is_distinct(comparison: Comparison, name: str, values: Array) -> bool:
    """Tell whether a gradient is so far from the right one that the digits of the error tell."""
    gap = np.abs(values.astype(np.float64) - comparison.reference[name])
    return bool(np.any(gap > SURE * comparison.allowed[name]))


def factor_of_any(
    comparison: Comparison, name: str, right: Iterable[Array], sizes: Mapping[str, int]
) -> tuple[Finding, ...]:
    """Name the factor of one of the right gradients, one with a meaning if there is."""
    factors: list[float] = []
    for values in right:
        if np.all(np.isfinite(values)):
            view = replace(comparison, reference={name: values})
            factor = best_factor(view, {name: values}, sizes)
            # One number is some multiple of another, and two may be by chance.
            some = np.count_nonzero(values) > 2
            if factor is not None and factor != 1 and (some or is_known(factor, sizes)):
                factors.append(factor)
    factors.sort(key=lambda factor: (not _has_meaning(factor, sizes), abs(factor) != 1))
    return factor_findings(factors[0], sizes) if factors else ()


def _has_meaning(factor: float, sizes: Mapping[str, int]) -> bool:
    """Tell whether a factor is known, or a number of three digits."""
    return is_known(factor, sizes) or float(f"{factor:.3g}") == factor
