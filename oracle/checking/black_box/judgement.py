"""The verdict on a gradient of a function that is known only by its values."""

from __future__ import annotations

from collections.abc import Sequence

from oracle.checking.black_box import (
    averages,
    causes,
    groups,
    ladder,
    noise,
    outcome,
    settling,
    whole,
)
from oracle.checking.black_box.conversation import Check, CheckTask
from oracle.checking.black_box.ladder import Line
from oracle.checking.black_box.session import Session, Steps, TimeSpent
from oracle.checking.black_box.subject import Subject
from oracle.findings import InconclusiveReason
from oracle.values import Finding, Verdict


def check(task: CheckTask) -> Check:
    """Judge a gradient by values of its function.

    Parameters
    ----------
    task : CheckTask
        The tensors of x and the effort.

    Returns
    -------
    generator
        Yields `Ask`, is sent an `Answer`, returns a `Report` of measured kind.
    """
    session = Session(task)
    faults = [spec.fault for spec in task.tensors if spec.fault is not None]
    if faults:
        return outcome.report(session, [], faults, None)
    subjects = [
        Subject(i, spec, Line(i, 0, spec.size, task.seed + 1))
        for i, spec in enumerate(task.tensors)
        if spec.size
    ]
    many = len(subjects) > whole.MANY
    first = subjects[: 1 if many else None]
    rungs = sum(len(ladder.steps(s.spec, task.value_dtype)) for s in first)
    if not subjects or not session.affords(2 * noise.POINTS + 1 + 2 * rungs):
        return outcome.report(session, [], (), InconclusiveReason.BUDGET_SPENT)
    findings: list[Finding] = []
    try:
        widest = max(subjects, key=lambda s: s.spec.gradient_norm)
        if not many:
            # Which steps these are the noise does not change: many workers have more at a time.
            session.foreseen = {s.first: ladder.steps(s.spec, task.value_dtype) for s in first}
        if groups.spreads(widest):
            # Steps that the largest entries resolve may bend f along the smallest.
            parted = groups.of(session, widest, by_x=True)
            widest = max(parted, key=lambda s: s.spec.largest, default=widest)
        yield from session.measure_noise(widest.first, widest.spec, 2 * rungs)
        if not session.defined:
            return outcome.report(session, [], (), InconclusiveReason.DOMAIN)
        known = -1.0
        while session.stairs > known:
            # What was judged before the stairs were seen took them for slopes.
            known, subjects = session.stairs, [Subject(s.index, s.spec, s.first) for s in subjects]
            if many:
                found = yield from whole.judge(session, subjects)
                subjects, findings = found.subjects, found.common
            else:
                yield from settling.settle(session, subjects)
        if not findings and any(outcome.of(s) is Verdict.FAIL for s in subjects):
            findings = yield from _explain(session, subjects)
        if session.left >= 0:
            yield from session.ask((), "end")
    except TimeSpent:
        # What is confirmed to be wrong stays so; that nothing was found yet tells nothing.
        if not any(s.confirmed for s in subjects):
            return outcome.report(session, [], (), InconclusiveReason.BUDGET_SPENT)
    return outcome.report(session, subjects, findings, None)


def _explain(session: Session, subjects: Sequence[Subject]) -> Steps[list[Finding]]:
    wrong = [s for s in subjects if outcome.of(s) is Verdict.FAIL]
    grouped = [s for s in wrong if Verdict.FAIL in _outcomes(s)]
    rest = [s for s in subjects if s not in grouped]
    for s in rest:
        if s in wrong and s.averaged is None and averages.is_coarse(session, s):
            s.factor = yield from _blurred_factor(session, s)
    blurred = [s for s in rest if s.averaged is Verdict.FAIL or s.factor is not None]
    told = [s for s in blurred if s.spec.gradient_largest > 0]
    measured = [causes.Measured.of(s, wrong=s in wrong) for s in rest if s not in told]
    named = [finding for s in grouped for finding in causes.of_groups(s, _outcomes(s))]
    return named + causes.blurred(told) + (yield from causes.explain(session, measured))


def _outcomes(subject: Subject) -> list[Verdict]:
    return [outcome.of(group) for group in subject.groups]


def _blurred_factor(session: Session, subject: Subject) -> Steps[float | None]:
    """Return a factor that single directions are too blurred to show."""
    seen = causes.factor([causes.Measured.of(subject, wrong=True)])
    told = subject.entrywise or subject.spec.size == 1 or subject.spec.gradient_largest == 0
    return None if seen or told else (yield from averages.factor(session, subject))
