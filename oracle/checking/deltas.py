"""The constant inside the logarithm: which losses a check means, and which one a candidate has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from oracle.findings import FindingKind
from oracle.values import DELTA, Finding, Report, Verdict


def others(delta: float | None) -> tuple[float, ...]:
    """Return the deltas that a candidate may have instead of the one that was asked for.

    None at all, the document's, and the one that was asked for as a literal of float32.

    Examples
    --------
    >>> others(0.001)
    (0.0, 1e-07, 0.0010000000474974513)
    >>> others(0.0)
    (1e-07,)
    """
    if delta is None:
        return ()
    with np.errstate(over="ignore", under="ignore"):
        literal = float(np.float32(delta))
    tried = dict.fromkeys((0.0, DELTA, literal))
    return tuple(d for d in tried if d != delta and np.isfinite(d))


def loss(delta: float) -> str:
    """Return what a sample costs, with all digits of delta.

    Examples
    --------
    >>> loss(0.0), loss(1e-7)
    ('-log(y)', '-log(y + 1e-07)')
    """
    return f"-log(y + {delta:.17g})" if delta and f"{delta:g}" != f"{delta}" else _short(delta)


def _short(delta: float) -> str:
    return f"-log(y + {delta:g})" if delta else "-log(y)"


def finding(matched: float, delta: float, with_delta: str) -> Finding:
    """Return what is wrong with a candidate that is right for another delta."""
    message = (
        f"The gradient is exact for the loss {loss(matched)}, but the loss that was asked for is "
        f"{loss(delta)}."
    )
    evidence = {"delta": delta, "matched_delta": matched}
    if matched == 0.0:
        remedy = f"{with_delta}, or ask for delta=0."
        return Finding(FindingKind.DELTA_IGNORED, "", message, remedy, evidence)
    remedy = f"Use {loss(delta)} in the gradient too, or ask for delta={matched!r}."
    if matched == float(np.float32(delta)):
        message += f" That constant is float32({delta:g})."
        remedy = f"Write the constant in double precision ({delta:g}, not {delta:g}f), or ask for "
        remedy += f"delta={matched!r}."
    return Finding(FindingKind.WRONG_FORWARD, "", message, remedy, evidence)


def either(check: Callable[[float], Report]) -> Report:
    """Check a candidate whose caller names no delta: it may have the document's, or none.

    Parameters
    ----------
    check : callable
        Checks against the loss with some delta.

    Returns
    -------
    Report
        Of the loss that the candidate has. If it has neither, of the one by which its fault is
        explained. No delta was asked for; a note says which of the two it is.
    """
    report = check(DELTA)
    if not _is_settled(report):
        report = min(report, check(0.0), key=_faults)
    told = _told(report)
    return replace(report, delta=None, notes=(told, *report.notes) if told else report.notes)


def _told(report: Report) -> str:
    """Return which loss it was, in a line, or "" if that cannot be told."""
    if report.verdict is Verdict.FAIL:
        plain = report.delta == 0.0 and report.tensors
        return f"It was compared with the gradient of the loss {loss(0.0)}." if plain else ""
    if report.matched_delta == 0.0:
        return f"It is the gradient of the loss {loss(0.0)}; the document's is {loss(DELTA)}."
    if report.matched_delta == DELTA:
        return f"It is the gradient of the document's loss, {loss(DELTA)}."
    return ""


def _is_settled(report: Report) -> bool:
    """Tell whether the other loss would explain no more."""
    return report.verdict is not Verdict.FAIL or not _is_unclear(report)


def _is_unclear(report: Report) -> bool:
    return any(
        finding.kind is FindingKind.UNEXPLAINED or "matched_delta" in finding.evidence
        for finding in report.findings
    )


def _faults(report: Report) -> tuple[bool, bool, int]:
    """Rank reports: no fault before one that is explained, and few before many."""
    return report.verdict is Verdict.FAIL, _is_unclear(report), len(report.findings)
