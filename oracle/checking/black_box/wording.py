"""The words of a report on what is no gradient: products with a Jacobian or a Hessian.

A check knows tensors and slopes, and its sentences are about a gradient. What else is checked as
one has a claim of its own, whose sentences stand here by the kind of the finding.
"""

from __future__ import annotations

import enum
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from oracle.findings import FindingKind
from oracle.values import Finding, Report, Verdict

Asked = TypeVar("Asked")
Told = TypeVar("Told")


class Claim(enum.Enum):
    """What a caller claims, which a check takes as a gradient; in the contract's order."""

    GRADIENT = enum.auto()
    JVP = enum.auto()
    ADJOINT = enum.auto()
    JACOBIAN = enum.auto()
    HESSIAN_VECTOR_PRODUCT = enum.auto()


@dataclass(frozen=True)
class Words:
    """The sentences of a claim: of a pass, of a failure, and message and remedy by kind.

    A sentence may hold {tensor}, {factor} and {share} of its finding. `still` is the message where
    the function does not change at all.
    """

    passes: str
    fails: str
    findings: Mapping[FindingKind, tuple[str, str]]
    still: tuple[str, str]


_JVP = Words(
    "f changes along v as J v says",
    "f does not change along v as J v says",
    {
        FindingKind.ZERO_TENSOR: (
            "J v is zero, and f changes along v.",
            "Look for where the tangent is lost: a branch without a derivative, a detach, an "
            "integer type.",
        ),
        FindingKind.SIGN_FLIPPED: ("J v has the opposite sign.", "Negate J v."),
        FindingKind.TENSOR_FACTOR: (
            "J v is {factor:.4g} times what f changes by along v.",
            "Divide J v by {factor:.4g}: look for a constant that is lost or taken twice.",
        ),
        FindingKind.SUBGRADIENT: (
            "f has a kink at x; J v lies between what f changes by on its two sides.",
            "",
        ),
        FindingKind.UNEXPLAINED: ("J v is not what f changes by along v.", ""),
    },
    (
        "f changes along v by less than {share:.0e} of what J v says, if at all.",
        "Make sure that f and J v are taken at the same x, and that f uses its argument.",
    ),
)

_ADJOINT = Words(
    "J v and J^T c belong to one Jacobian",
    "J v and J^T c do not belong to one Jacobian",
    {
        FindingKind.ZERO_TENSOR: (
            "J^T c is zero in {tensor}, and J v is not where v is in it.",
            "Look for where the cotangent is lost on its way back.",
        ),
        FindingKind.SIGN_FLIPPED: (
            "J^T c has the opposite sign of J v.",
            "Negate the one of the two that does not agree with f.",
        ),
        FindingKind.TENSOR_FACTOR: (
            "J^T c is {factor:.4g} times what J v makes it in {tensor}.",
            "Look for a constant that only one of the two has.",
        ),
        FindingKind.CONSTANT_FACTOR: (
            "J^T c is {factor:.4g} times what J v makes it.",
            "Look for a constant that only one of the two has.",
        ),
    },
    (
        "J v is zero, or less than {share:.0e} of what J^T c says, and J^T c is not.",
        "Look for where the tangent is lost: a branch without a derivative, a detach, an integer "
        "type.",
    ),
)

_JACOBIAN = Words(
    "the measured slopes agree with the Jacobian",
    "the measured slopes contradict the Jacobian",
    {
        FindingKind.ZERO_TENSOR: (
            "The columns of {tensor} are all zeros, and f changes with {tensor}.",
            "Compute these columns: their buffer comes back as it was made.",
        ),
        FindingKind.SIGN_FLIPPED: ("The Jacobian has the opposite sign.", "Negate the Jacobian."),
        FindingKind.TENSOR_FACTOR: (
            "The columns of {tensor} are {factor:.4g} times what was measured.",
            "Divide them by {factor:.4g}.",
        ),
        FindingKind.CONSTANT_FACTOR: (
            "The Jacobian is {factor:.4g} times what was measured.",
            "Divide the Jacobian by {factor:.4g}.",
        ),
    },
    (
        "f changes with x by less than {share:.0e} of what the Jacobian says, if at all.",
        "Make sure that f uses its argument.",
    ),
)

_HESSIAN = Words(
    "the gradient changes along v as H v says",
    "the gradient does not change along v as H v says",
    {
        FindingKind.ZERO_TENSOR: (
            "H v is zero in {tensor}, and the gradient changes along v.",
            "Look for where the second derivative is lost: a gradient that was detached, say.",
        ),
        FindingKind.SIGN_FLIPPED: ("H v has the opposite sign.", "Negate H v."),
        FindingKind.TENSOR_FACTOR: (
            "H v is {factor:.4g} times what was measured in {tensor}.",
            "Divide H v by {factor:.4g} there.",
        ),
        FindingKind.CONSTANT_FACTOR: (
            "H v is {factor:.4g} times what was measured.",
            "Divide H v by {factor:.4g}: look for a 2 of a square, or a mean.",
        ),
    },
    (
        "The gradient changes by less than {share:.0e} of what H v says, if at all.",
        "Make sure that the gradient is taken at its argument.",
    ),
)

_WORDS = {
    Claim.JVP: _JVP,
    Claim.ADJOINT: _ADJOINT,
    Claim.JACOBIAN: _JACOBIAN,
    Claim.HESSIAN_VECTOR_PRODUCT: _HESSIAN,
}


def worded(check: Generator[Asked, Told, Report], claim: Claim) -> Generator[Asked, Told, Report]:
    """Let a check speak of what was claimed."""
    return of(claim, (yield from check))


def of(claim: Claim, report: Report) -> Report:
    """Return the report in the words of a claim.

    Parameters
    ----------
    claim : Claim
        What was checked.
    report : Report
        On it, as on a gradient.

    Returns
    -------
    Report
        With another summary and other messages, where the claim has its own.
    """
    words = _WORDS.get(claim)
    if words is None:
        return report
    summaries = {Verdict.PASS: words.passes}
    if report.tensors:
        summaries[Verdict.FAIL] = words.fails
    return replace(
        report,
        summary=summaries.get(report.verdict, report.summary),
        findings=tuple(_finding(words, finding) for finding in report.findings),
    )


def _finding(words: Words, finding: Finding) -> Finding:
    told = words.findings.get(finding.kind)
    if "share" in finding.evidence:
        told = words.still
    if told is None or (finding.kind is FindingKind.SIGN_FLIPPED and finding.entries):
        return finding
    message, remedy = (
        text.format(tensor=finding.tensor or "x", **finding.evidence) for text in told
    )
    return replace(finding, message=message, remedy=remedy)
