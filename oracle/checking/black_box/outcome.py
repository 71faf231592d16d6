"""The report of a black-box check: verdict, reason, limit and the probability of a miss."""

from __future__ import annotations

import collections
import math
from collections.abc import Sequence

from oracle.checking.black_box import noise
from oracle.checking.black_box.session import Session
from oracle.checking.black_box.subject import FAILING, LARGEST_LIMIT, Member, Subject
from oracle.findings import FindingKind, InconclusiveReason
from oracle.values import (
    Direction,
    Entry,
    Finding,
    Measurement,
    Report,
    TensorReport,
    Verdict,
)

COARSE = 1e-6
"""Unit roundoffs above it are those of float16 and bfloat16."""
_SHAPES = {InconclusiveReason.KINK, InconclusiveReason.JUMP}


def of(subject: Subject) -> Verdict:
    """Return the verdict on one tensor; what was not measured is open."""
    grouped = [of(group) for group in subject.groups]
    if Verdict.FAIL in grouped:
        return Verdict.FAIL
    if subject.parted:
        return Verdict.INCONCLUSIVE if Verdict.INCONCLUSIVE in grouped else Verdict.PASS
    verdicts = subject.verdicts()
    if Verdict.FAIL in verdicts:
        zero = subject.stepped and subject.spec.gradient_largest == 0
        return Verdict.FAIL if subject.confirmed and not zero else Verdict.INCONCLUSIVE
    opened = not verdicts or Verdict.INCONCLUSIVE in verdicts or subject.contradicted
    blind = subject.largest > 0 and subject.limit > LARGEST_LIMIT
    if opened or blind or subject.stepped:
        return Verdict.INCONCLUSIVE
    return Verdict.PASS


def _reason(session: Session, subject: Subject) -> InconclusiveReason:
    """Return why a tensor stays open, the most telling reason first."""
    if session.scatter > 0:
        return InconclusiveReason.NOT_DETERMINISTIC
    if subject.parted:
        opened = [group for group in subject.groups if of(group) is Verdict.INCONCLUSIVE]
        return _reason(session, opened[0])
    reason = _measured_reason(session, subject)
    coarse = max(session.unit, noise.unit_roundoff(subject.spec.dtype)) > COARSE
    # What turns or jumps between numbers that are so far apart may be their rounding.
    if subject.stepped or session.stairs or (coarse and reason in _SHAPES):
        return InconclusiveReason.NOISE
    return reason


def _measured_reason(session: Session, subject: Subject) -> InconclusiveReason:
    still_open = [
        slope for slope in subject.slopes.values() if subject.verdict(slope) is not Verdict.PASS
    ]
    kinked = any(slope.bend.at_x for slope in subject.slopes.values())
    if subject.contradicted or (kinked and _contradicts(subject)):
        return InconclusiveReason.KINK
    # Of many noisy directions one may look like one with a kink.
    given = collections.Counter(slope.reason for slope in still_open)
    reason = max(given, key=lambda named: (given[named], named is not None), default=None)
    if reason is not None:
        return reason
    if session.short:
        return InconclusiveReason.BUDGET_SPENT
    asked = session.task.resolution is not None
    resolved = asked and all(2 * slope.error <= 0.03 * subject.scale for slope in still_open)
    noisy = any(slope.blur > slope.truncation for slope in still_open)
    if resolved or _contradicts(subject) or not noisy:
        return InconclusiveReason.RESOLUTION
    return InconclusiveReason.NOISE


def _contradicts(subject: Subject) -> bool:
    """Tell whether a direction is off by more than noise does, though nothing confirmed it."""
    return any(
        slope.reason is None and abs(slope.excess) > FAILING * subject.bar(slope)
        for slope in subject.slopes.values()
    )


def _tensor_report(subject: Subject, findings: Sequence[Finding]) -> TensorReport:
    spec, slopes = subject.spec, list(subject.slopes.values())
    bars = [subject.bar(slope) for slope in slopes]
    used = max((abs(s.excess) / b for s, b in zip(slopes, bars, strict=True) if b > 0), default=0.0)
    # Of directions that are judged together some lie beyond their common bar.
    used /= subject.farthest if subject.crowd else 1.0
    worst: tuple[Entry, ...] = ()
    for finding in findings:
        if finding.tensor == spec.name:
            worst += finding.entries
    return TensorReport(
        spec.name, spec.shape, of(subject), used, subject.limit, subject.largest,
        subject.widest, worst, len(worst),
    )  # fmt: skip


def report(
    session: Session,
    subjects: Sequence[Subject],
    findings: Sequence[Finding],
    reason: InconclusiveReason | None,
) -> Report:
    """Sum up a check.

    Parameters
    ----------
    session : Session
        What was evaluated.
    subjects : sequence of Subject
        The tensors; none if the check ended before any was measured.
    findings : sequence of Finding
        What was found to be wrong; without subjects, why nothing had to be measured.
    reason : InconclusiveReason or None
        Why the check ended early; None lets the open tensors tell.

    Returns
    -------
    Report
        Of measured kind: a failed tensor fails the whole, an open one leaves it open.
    """
    task = session.task
    tensors = [_tensor_report(subject, findings) for subject in subjects]
    outcomes = {tensor.verdict for tensor in tensors}
    verdict = Verdict.INCONCLUSIVE
    if Verdict.FAIL in outcomes or (findings and not subjects):
        verdict = Verdict.FAIL
    elif outcomes == {Verdict.PASS}:
        verdict = Verdict.PASS
    if verdict is Verdict.INCONCLUSIVE:
        still_open = [s for s in subjects if of(s) is Verdict.INCONCLUSIVE]
        reason = reason or _reason(session, still_open[0])
    miss = max((subject.miss for subject in subjects), default=1.0)
    notes: tuple[str, ...] = ()
    if verdict is Verdict.PASS:
        notes = (*_of_misses(session, miss), *_of_small_entries(subjects))
    if verdict is Verdict.FAIL and session.short and not findings:
        notes = (f"The {session.short} allowed were over before the cause was found.",)
    wholes = {id(s.whole): s.whole for s in subjects if isinstance(s, Member)}
    measured = [*wholes.values(), *subjects, *(group for s in subjects for group in s.groups)]
    directions = tuple(
        Direction(
            s.spec.name, line.begin, line.end, slope.predicted, slope.measured, s.bar(slope),
            s.verdict(slope), slope.rungs,
        )
        for s in measured
        for line, slope in s.slopes.items()
    )  # fmt: skip
    told = [*_subgradients(session, subjects, verdict), *_stairs(session, subjects)]
    return Report(
        subject=task.subject,
        verdict=verdict,
        reason=reason if verdict is Verdict.INCONCLUSIVE else None,
        summary=_summary(session, subjects, tensors, verdict, reason),
        findings=(*findings, *told),
        tensors=tuple(tensors),
        budget_used=max((t.budget_used for t in tensors), default=0.0),
        detection_limit=max((t.detection_limit for t in tensors), default=math.inf),
        candidate_dtype=_coarsest([t.gradient_dtype or t.dtype for t in task.tensors]),
        accumulation_dtype=task.value_dtype,
        reference_kind=None,
        entries=sum(t.size for t in task.tensors),
        measurement=Measurement(
            session.used, session.value, session.noise if session.at_x else 0.0,
            session.scatter == 0, miss, directions, _coarsest([t.dtype for t in task.tensors]),
        ),
        notes=notes,
    )  # fmt: skip


def _some(names: Sequence[str]) -> str:
    """Return names, the first of many."""
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more


def _coarsest(dtypes: Sequence[str]) -> str:
    return max(dtypes, key=noise.unit_roundoff)


_REASONS = {
    InconclusiveReason.NOISE: "the noise of the values hides the slopes",
    InconclusiveReason.KINK: "a kink at x or too near to it leaves the slope open",
    InconclusiveReason.JUMP: "the function jumps at x or too near to it",
    InconclusiveReason.NOT_DETERMINISTIC: "the function gives different values at the same point",
    InconclusiveReason.DOMAIN: "the function has too few values around x",
}


def _summary(
    session: Session,
    subjects: Sequence[Subject],
    tensors: Sequence[TensorReport],
    verdict: Verdict,
    reason: InconclusiveReason | None,
) -> str:
    if verdict is Verdict.PASS:
        return "the measured slopes agree with the gradient"
    if verdict is Verdict.FAIL and not tensors:
        return "the gradient does not fit x"
    if verdict is Verdict.FAIL:
        wrong = [t.name for t in tensors if t.verdict is Verdict.FAIL]
        where = f" in {_some(wrong)}" if len(wrong) < len(tensors) else ""
        return f"the measured slopes contradict the gradient{where}"
    return _left_open(session, subjects, reason)


def _left_open(
    session: Session, subjects: Sequence[Subject], reason: InconclusiveReason | None
) -> str:
    if any(subject.stepped for subject in subjects):
        return "f is a staircase around x, whose slopes over many stairs are not its derivative"
    if reason is InconclusiveReason.BUDGET_SPENT:
        return f"the {session.short or 'evaluations'} allowed do not settle it"
    if reason is InconclusiveReason.RESOLUTION:
        return _unsettled(session, subjects)
    return _REASONS[reason or InconclusiveReason.NOISE]


def _unsettled(session: Session, subjects: Sequence[Subject]) -> str:
    blind = [
        s
        for s in subjects
        if LARGEST_LIMIT < s.limit < math.inf and set(s.verdicts()) == {Verdict.PASS}
    ]
    if blind:
        worst = max(blind, key=lambda s: s.limit)
        return (
            f"what was measured does not show an error of {worst.limit:.2g} times the largest "
            f"entry of {worst.spec.name}"
        )
    if any(_contradicts(subject) for subject in subjects):
        return "some measurements disagree with the gradient, but not consistently"
    if session.task.resolution is not None:
        return "the slopes cannot be measured as finely as asked for"
    return "the measured slopes do not settle as the steps shrink"


def _of_small_entries(subjects: Sequence[Subject]) -> list[str]:
    """Say where small entries beside large ones may be wrong by more than half of themselves."""
    notes = []
    for subject in subjects:
        for group in subject.groups:
            if not LARGEST_LIMIT < group.limit < math.inf:
                continue
            size = group.spec.gradient_largest
            notes.append(
                f"Of {group.spec.size:,} entries of {subject.spec.name}, up to {size:.2g} in size, "
                f"an error of {group.limit:.2g} times that may pass."
            )
    return notes[:3]


def _of_misses(session: Session, miss: float) -> tuple[str, ...]:
    asked = session.task.miss_probability
    if miss == 0:
        return ()
    text = f"The chance that a larger error went unnoticed is at most {_percent(miss)}"
    if miss <= asked:
        return (f"{text}.",)
    why = f"{session.short} allow no more" if session.short else "noise blurs the others"
    return (f"{text}, not {_percent(asked)}: {why}.",)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _stairs(session: Session, subjects: Sequence[Subject]) -> list[Finding]:
    """Say how wide and how high the stairs of f are, where they are not those of its type."""
    width, height = session.widest_stair
    coarse = max([session.unit, *(noise.unit_roundoff(s.spec.dtype) for s in subjects)]) > 1e-12
    if not width or not (coarse or any(s.stepped for s in subjects)):
        return []
    message = f"f is constant over steps below {width:.2g}, then changes by {height:.2g} at once."
    remedy = (
        "Something inside f is rounded, printed or counted. On a stair the derivative of f is 0; "
        "what was measured is its slope over many of them."
    )
    evidence = {"width": width, "height": height}
    return [Finding(FindingKind.STAIRS, "", message, remedy, evidence)]


def _subgradients(session: Session, subjects: Sequence[Subject], verdict: Verdict) -> list[Finding]:
    if verdict is not Verdict.PASS:
        return []
    findings = []
    for subject in subjects:
        rounded = session.stairs > 0 or subject.averaged is not None
        if not rounded and any(slope.subgradient for slope in subject.slopes.values()):
            name = subject.spec.name
            message = f"f has a kink at x; {name} lies between the one-sided slopes."
            findings.append(Finding(FindingKind.SUBGRADIENT, name, message))
    return findings
