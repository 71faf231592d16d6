"""What was done to a right gradient before it was returned, in all tensors alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from oracle.diagnosis.comparison import TELLING, Comparison
from oracle.diagnosis.evidence import even
from oracle.findings import FindingKind as Kind
from oracle.values import Array, Finding

CHANGES: tuple[tuple[Kind, str, Callable[[Array], Array]], ...] = (
    (Kind.UNEXPLAINED, "the absolute values of the gradient", np.abs),
    (Kind.UNEXPLAINED, "the squares of the gradient", np.square),
    (
        Kind.CLIPPED,
        "the gradient with zero instead of all that is below",
        lambda g: np.maximum(g, 0),
    ),
    (
        Kind.CLIPPED,
        "the gradient with zero instead of all that is above",
        lambda g: np.minimum(g, 0),
    ),
)
"""Functions of each entry, for which there may be no code but a sentence."""


SOME = 2**12
"""Entries of a tensor that are looked at before all of them are."""


def _beginning(comparison: Comparison) -> Comparison:
    """Return the first rows of large tensors."""
    candidate, reference, allowed = (
        {name: _first_rows(array) for name, array in tensors.items()}
        for tensors in (comparison.candidate, comparison.reference, comparison.allowed)
    )
    return replace(comparison, candidate=candidate, reference=reference, allowed=allowed)


def _first_rows(array: Array) -> Array:
    return array[: max(1, SOME * len(array) // array.size)] if array.ndim else array


def changed(comparison: Comparison) -> tuple[Finding, ...]:
    """Find a function of each entry that gives the candidate in every tensor, or its signs."""
    return _changed(_beginning(comparison)) and _changed(comparison)


def _changed(comparison: Comparison) -> tuple[Finding, ...]:
    if signs(comparison):
        message = "Every tensor holds the signs of the gradient only."
        remedy = "Return the gradient as it is: the optimiser may take its signs."
        return (Finding(Kind.CLIPPED, "", message, remedy),)
    if found := _begun(comparison):
        return found
    for kind, what, change in CHANGES:
        expected = {n: change(comparison.reference[n]) for n in comparison.candidate}
        if all(
            np.array_equal(np.sign(g), np.sign(change(g)))
            and comparison.fits(n, expected[n], allowed=even(comparison, n))
            for n, g in comparison.candidate.items()
        ):
            remedy = "Return the gradient as it is."
            return (Finding(kind, "", f"Every tensor holds {what}.", remedy),)
    return ()


def _begun(comparison: Comparison) -> tuple[Finding, ...]:
    """Find one number that is added to every entry of every tensor."""
    rest = [(g - comparison.reference[n]).ravel() for n, g in comparison.candidate.items()]
    number = float(np.median(np.concatenate(rest)))
    rounding = 2 * comparison.unit_roundoff * abs(number)
    for name, g in comparison.candidate.items():
        allowed = 4 * even(comparison, name) + rounding
        small = comparison.is_coarse(name) or abs(number) <= 64 * allowed.max(initial=0.0)
        if small or not np.all(np.abs(g - comparison.reference[name] - number) <= allowed):
            return ()
    message = f"Every entry of every tensor is {number:.6g} too large, as if its buffer began so."
    remedy = "Begin the sums at zero."
    return (Finding(Kind.ACCUMULATED, "", message, remedy, {"added": number}),)


def in_place_of_parameters(
    parameters: Mapping[str, Array], comparison: Comparison
) -> tuple[Finding, ...]:
    """Find the parameters themselves, or what they are after a step, in every tensor."""
    first = _beginning(comparison)
    beginning = {name: _first_rows(parameters[name]) for name in first.candidate}
    return _stepped(beginning, first) and _stepped(parameters, comparison)


def _stepped(parameters: Mapping[str, Array], comparison: Comparison) -> tuple[Finding, ...]:
    gone = {n: parameters[n].astype(np.float64) - g for n, g in comparison.candidate.items()}
    top = sum(float((gone[n] * comparison.reference[n]).sum()) for n in gone)
    bottom = sum(float((r * r).sum()) for r in comparison.reference.values())
    step = 0.0 if not any(np.any(g) for g in gone.values()) else top / bottom if bottom else 0.0
    expected = {n: parameters[n] - step * comparison.reference[n] for n in gone}
    if not np.isfinite(step) or not any(np.any(parameters[n]) for n in gone):
        return ()
    for name, values in expected.items():
        # Beneath large parameters rounding hides the gradient.
        rounding = 2 * comparison.unit_roundoff * float(np.abs(values).max(initial=0.0))
        allowed = np.maximum(even(comparison, name), rounding)
        near = comparison.distance(name, values) <= comparison.sent(name) / TELLING
        if not near or not comparison.fits(name, values, allowed=allowed):
            return ()
    if not any(TELLING * np.abs(parameters[n]).max() > np.abs(expected[n]).max() for n in gone):
        return ()
    message = "Every tensor holds the parameters themselves, not their gradient."
    if step:
        message = (
            f"Every tensor holds the parameters after a step of {step:.6g} times the gradient."
        )
    remedy = "Return the gradient, not what is made of it."
    return (Finding(Kind.STALE_BUFFER, "", message, remedy, {"step": step}),)


def signs(comparison: Comparison) -> bool:
    """Tell whether all entries are 1, 0 or -1, the signs of those that rounding does not hide."""
    for name, g in comparison.candidate.items():
        r, allowed = comparison.reference[name], comparison.allowed[name]
        if not np.all((np.abs(g) == 1) | (g == 0)):
            return False
        if not np.all((np.sign(g) == np.sign(r)) | (np.abs(r) <= allowed)):
            return False
    return any(np.any(g) for g in comparison.candidate.values())
