"""The verdict on a gradient of a function that is known only by its values.

Each tensor gets one ladder of steps along a random direction of signs, then many directions at the
step that served best; what does not agree there gets a ladder of its own, and nothing fails before
a second ladder with other steps has failed too. A tensor with no more entries than directions
would be needed is measured entry by entry.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from oracle.checking.black_box import causes, ladder, noise, outcome
from oracle.checking.black_box.conversation import Check, CheckTask
from oracle.checking.black_box.ladder import Line, Slope
from oracle.checking.black_box.session import Session, Steps
from oracle.checking.black_box.subject import (
    FAILING,
    MISS,
    RESOLUTION,
    RESOLUTION_32,
    Subject,
)
from oracle.findings import InconclusiveReason
from oracle.values import Finding, Verdict

SECOND_LADDER = 0.6875
"""Dyadic, and no power of the ratio: the second ladder shares no step with the first."""
LADDERS_PER_TENSOR = 12
"""Directions that get a ladder of their own after two looks did not settle them."""
FEWEST_DIRECTIONS = 8
"""Directions after the first without which a tensor does not pass."""


def check(task: CheckTask) -> Check:
    """Judge a gradient by values of its function.

    Parameters
    ----------
    task : CheckTask
        The tensors of x and the effort.

    Returns
    -------
    generator
        Yields `Ask`, is sent the evaluations in order, returns a `Report` of measured kind.
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
    rungs = sum(len(ladder.steps(s.spec, task.value_dtype)) for s in subjects)
    needed = 2 * noise.POINTS + 1 + 2 * rungs
    if not subjects or not session.affords(needed):
        return outcome.report(session, [], (), InconclusiveReason.BUDGET_SPENT)
    widest = max(subjects, key=lambda s: s.spec.gradient_norm)
    yield from session.measure_noise(widest.index, widest.spec, task.seed + 1)
    if not session.defined:
        return outcome.report(session, [], (), InconclusiveReason.DOMAIN)
    _set_scales(session, subjects)
    yield from _first_directions(session, subjects)
    yield from _many_directions(session, subjects)
    yield from _finer_looks(session, subjects)
    yield from _open_directions(session, subjects)
    yield from _confirm(session, subjects)
    _drop_the_blurred(subjects)
    findings: list[Finding] = []
    if any(s.failing() for s in subjects):
        findings = yield from _explain(session, subjects)
    if session.left >= 0:
        yield from session.ask((), "end")
    return outcome.report(session, subjects, findings, None)


def _set_scales(session: Session, subjects: Sequence[Subject]) -> None:
    """Set what errors of a tensor are compared with."""
    largest = max(s.spec.gradient_norm for s in subjects)
    for subject in subjects:
        unit = noise.unit_roundoff(subject.spec.dtype)
        fine = max(session.unit, unit) < 1e-12
        subject.allowed = 64 * unit * subject.spec.gradient_norm
        subject.scale = max(subject.spec.gradient_norm, 0.01 * largest)
        subject.resolution = session.task.resolution or (RESOLUTION if fine else RESOLUTION_32)


def _first_directions(session: Session, subjects: Sequence[Subject]) -> Steps[None]:
    ladders = {s.first: ladder.steps(s.spec, session.task.value_dtype) for s in subjects}
    yield from session.measure(ladders, "first directions")
    for subject in subjects:
        slope = yield from _laddered(session, subject, subject.first)
        subject.slopes[subject.first] = slope
        # Where f is stationary, its slopes further away are what an error is compared with.
        subject.scale = max(subject.scale, abs(slope.measured), 0.01 * slope.steepest)


def _laddered(
    session: Session, subject: Subject, line: Line, *, factor: float = 1.0
) -> Steps[Slope]:
    """Measure a ladder along a line, and go on to finer steps if it does not pass."""
    steps = ladder.steps(subject.spec, session.task.value_dtype, factor=factor)
    missing = set(steps).difference(session.samples.get(line, ()))
    if missing and not session.affords(2 * len(missing)):
        return ladder.NOTHING
    yield from session.measure({line: steps}, "ladder")
    slope = session.slope(line, steps)
    if subject.verdict(slope) is Verdict.PASS:
        return slope
    smallest = session.noise / max(subject.scale, abs(slope.measured), abs(slope.excess), 1e-300)
    finer = ladder.finer_steps(subject.spec, steps[-1], smallest)
    if finer and session.affords(2 * len(finer)):
        yield from session.measure({line: finer}, "finer steps")
        slope = session.slope(line, [*steps, *finer])
    return slope


def _many_directions(session: Session, subjects: Sequence[Subject]) -> Steps[None]:
    """Look at many directions, or at every entry, at the step that served the first best."""
    wanted = math.ceil(math.log(session.task.miss_probability) / math.log(MISS)) - 1
    seed = session.task.seed + 2
    for subject in subjects:
        i, size = subject.index, subject.spec.size
        subject.entrywise = 1 < size <= wanted
        if subject.entrywise:
            subject.lines = [Line(i, n, n + 1, seed) for n in range(size)]
        elif size > 1:
            subject.lines = [Line(i, 0, size, seed + n) for n in range(wanted)]
    total = sum(len(s.lines) for s in subjects)
    if not session.affords(2 * total):
        fair = max(0, session.left // (2 * len(subjects)))
        for subject in subjects:
            if len(subject.lines) > fair:
                subject.entrywise = False
                subject.lines = [Line(subject.index, 0, subject.spec.size, seed + n)
                                 for n in range(fair)]  # fmt: skip
    looks = {
        line: [s.slopes[s.first].step]
        for s in subjects
        for line in s.lines
        if s.slopes[s.first].step > 0
    }
    yield from session.measure(looks, "random directions")
    for subject in subjects:
        like = subject.slopes[subject.first]
        for line in subject.lines:
            seen = line in session.samples
            subject.slopes[line] = session.glance(line, like) if seen else ladder.NOTHING


def _finer_looks(session: Session, subjects: Sequence[Subject]) -> Steps[None]:
    """Look a second time, at a finer step, where one step did not settle a direction.

    One central difference is blind to a kink at x: it is the mean of the one-sided slopes. Where
    the ladder of all entries together met a kink, no entry passes before a second look.
    """
    looks: dict[Line, list[float]] = {}
    for subject in subjects:
        kinked = subject.slopes[subject.first].reason is InconclusiveReason.KINK
        for line in subject.lines if subject.entrywise and kinked else subject.open_lines():
            step = subject.slopes[line].step / ladder.RATIO
            affordable = session.affords(2 * len(looks) + 2)
            if affordable and step >= ladder.smallest_step(subject.spec):
                looks[line] = [step]
    yield from session.measure(looks, "finer steps")
    for subject in subjects:
        for line in subject.lines:
            if line in looks:
                # Two steps may pass a direction, but they are too few to fail it.
                subject.slopes[line] = replace(session.slope(line), may_fail=False)


def _open_directions(session: Session, subjects: Sequence[Subject]) -> Steps[None]:
    """Give ladders to directions that two looks did not settle."""
    for subject in subjects:
        most = len(subject.lines) if subject.entrywise else LADDERS_PER_TENSOR
        for line in subject.open_lines()[:most]:
            if len(subject.failing()) >= 2:
                break
            slope = yield from _laddered(session, subject, line)
            if slope is ladder.NOTHING and session.short:
                break
            subject.slopes[line] = slope
        blind = subject.verdict(subject.slopes[subject.first]) is not Verdict.PASS
        if blind and subject.entrywise and not subject.open_lines():
            # Every entry is settled by itself: what all entries together hide takes nothing away.
            del subject.slopes[subject.first]


def _confirm(session: Session, subjects: Sequence[Subject]) -> Steps[None]:
    """Measure again, with other steps, what fails, or the first direction if it stayed open.

    One direction alone does not condemn a tensor of many entries: another must fail as well.
    """
    for subject in subjects:
        failing = subject.failing()
        first = subject.slopes.get(subject.first)
        if not failing and first and subject.verdict(first) is Verdict.INCONCLUSIVE:
            slope = yield from _laddered(session, subject, subject.first, factor=SECOND_LADDER)
            if subject.verdict(slope) is Verdict.PASS:
                subject.slopes[subject.first] = slope
        entry = subject.entrywise and failing != [subject.first]
        alone = len(failing) == 1 and subject.spec.size > 1 and not entry
        for line in [] if alone else failing[:2]:
            earlier = subject.slopes[line]
            slope = yield from _laddered(session, subject, line, factor=SECOND_LADDER)
            apart = abs(slope.excess - earlier.excess)
            agree = apart <= FAILING * (subject.bar(slope) + subject.bar(earlier))
            if agree and subject.verdict(slope) is Verdict.FAIL:
                subject.confirmed = True
                break


def _drop_the_blurred(subjects: Sequence[Subject]) -> None:
    """Leave out directions whose bar is too wide to say anything, if enough others remain."""
    for subject in subjects:
        if subject.entrywise:
            continue
        blurred = [
            line
            for line in subject.open_lines()
            if abs(subject.slopes[line].excess) <= subject.bar(subject.slopes[line])
            and subject.slopes[line].reason is None
        ]
        if len(subject.lines) - len(blurred) >= FEWEST_DIRECTIONS:
            for line in blurred:
                subject.lines.remove(line)
                del subject.slopes[line]


def _explain(session: Session, subjects: Sequence[Subject]) -> Steps[list[Finding]]:
    wrong = [
        causes.Measured(
            s.index,
            s.spec,
            {line: slope for line, slope in s.slopes.items() if math.isfinite(slope.error)},
            s.allowed,
            bool(s.failing()) and s.confirmed,
        )
        for s in subjects
    ]
    return (yield from causes.explain(session, wrong))
