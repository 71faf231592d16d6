"""What was done to a right gradient before it was returned, in all tensors alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from oracle.checking.comparison import Comparison
from oracle.checking.diagnosis.evidence import even
from oracle.findings import FindingKind as Kind
from oracle.values import Array, Finding

CHANGES: tuple[tuple[Kind, str, Callable[[Array], Array]], ...] = (
    (Kind.UNEXPLAINED, "the absolute values of the gradient", np.abs),
    (Kind.UNEXPLAINED, "the squares of the gradient", np.square),
    (
        Kind.CLIPPED,
        "the gradient with zero in place of all that is below",
        lambda g: np.maximum(g, 0),
    ),
    (
        Kind.CLIPPED,
        "the gradient with zero in place of all that is above",
        lambda g: np.minimum(g, 0),
    ),
)
"""Functions of each entry, for which there may be no code but a sentence."""


def changed(comparison: Comparison) -> tuple[Finding, ...]:
    """Find a function of each entry that gives the candidate in every tensor, or its signs."""
    if signs(comparison):
        message = "Every tensor holds the signs of the gradient only."
        remedy = "Return the gradient as it is: the optimiser may take its signs."
        return (Finding(Kind.CLIPPED, "", message, remedy),)
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


def signs(comparison: Comparison) -> bool:
    """Tell whether all entries are 1, 0 or -1, and the signs of those that rounding lets be seen."""
    for name, g in comparison.candidate.items():
        r, allowed = comparison.reference[name], comparison.allowed[name]
        if not np.all((np.abs(g) == 1) | (g == 0)):
            return False
        if not np.all((np.sign(g) == np.sign(r)) | (np.abs(r) <= allowed)):
            return False
    return any(np.any(g) for g in comparison.candidate.values())
