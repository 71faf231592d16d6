"""The report of a black-box check: verdict, reason, limit and the probability of a miss."""

from __future__ import annotations

import collections
import math
from collections.abc import Sequence

from oracle.checking.black_box import noise, parts
from oracle.checking.black_box.session import Session
from oracle.checking.black_box.subject import FAILING, Member, Subject
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


def of(subject: Subject) -> Verdict:
    """Return the verdict on one tensor; what was not measured is open."""
    verdicts = subject.verdicts()
    if Verdict.FAIL in verdicts:
        return Verdict.FAIL if subject.confirmed else Verdict.INCONCLUSIVE
    opened = not verdicts or Verdict.INCONCLUSIVE in verdicts or subject.contradicted
    return Verdict.INCONCLUSIVE if opened else Verdict.PASS


def _reason(session: Session, subject: Subject) -> InconclusiveReason:
    """Return why a tensor stays open, the most telling reason first."""
    if session.scatter > 0:
        return InconclusiveReason.NOT_DETERMINISTIC
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
    notes = _notes(session, subjects, miss) if verdict is Verdict.PASS else ()
    if verdict is Verdict.FAIL and session.short and not findings:
        notes = (f"The {session.short} allowed were over before the cause was found.",)
    wholes = {id(s.whole): s.whole for s in subjects if isinstance(s, Member)}
    measured = [*wholes.values(), *subjects]
    directions = tuple(
        Direction(
            s.spec.name, line.begin, line.end, slope.predicted, slope.measured, s.bar(slope),
            s.verdict(slope), slope.rungs,
        )
        for s in measured
        for line, slope in s.slopes.items()
    )  # fmt: skip
    return Report(
        subject=task.subject,
        verdict=verdict,
        reason=reason if verdict is Verdict.INCONCLUSIVE else None,
        summary=_summary(session, subjects, tensors, verdict, reason),
        findings=(*findings, *_subgradients(subjects, verdict)),
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
    if reason is InconclusiveReason.BUDGET_SPENT:
        return f"the {session.short or 'evaluations'} allowed do not settle it"
    if reason is InconclusiveReason.RESOLUTION:
        return _unsettled(session, subjects)
    return _REASONS[reason or InconclusiveReason.NOISE]


def _unsettled(session: Session, subjects: Sequence[Subject]) -> str:
    if any(_contradicts(subject) for subject in subjects):
        return "some measurements disagree with the gradient, but not consistently"
    if session.task.resolution is not None:
        return "the slopes cannot be measured as finely as asked for"
    return "the measured slopes do not settle as the steps shrink"


def _notes(session: Session, subjects: Sequence[Subject], miss: float) -> tuple[str, ...]:
    """State with a pass how probable a miss is, and what would tell more where it tells little."""
    return (*_of_misses(session, miss), *_of_limits(session, subjects))


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


def _of_limits(session: Session, subjects: Sequence[Subject]) -> tuple[str, ...]:
    wide = [s for s in subjects if not s.entrywise and parts.NO_VERDICT < s.limit < math.inf]
    if not wide:
        return ()
    names = _some([s.spec.name for s in wide])
    largest = max(s.limit for s in wide)
    means = f"more than {session.task.max_evaluations:,} evaluations"
    means += "" if session.task.value_dtype == "float64" else ", or values of f in float64,"
    return (
        f"In {names} an entry that is off by {largest:.2g} times the largest may pass: {means} "
        "would tell more.",
    )


def _subgradients(subjects: Sequence[Subject], verdict: Verdict) -> list[Finding]:
    if verdict is not Verdict.PASS:
        return []
    findings = []
    for subject in subjects:
        if any(slope.subgradient for slope in subject.slopes.values()):
            name = subject.spec.name
            message = f"f has a kink at x; {name} lies between the one-sided slopes."
            findings.append(Finding(FindingKind.SUBGRADIENT, name, message))
    return findings
