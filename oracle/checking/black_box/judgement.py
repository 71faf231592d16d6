"""The verdict on a gradient of a function that is known only by its values.

Each tensor gets one ladder of steps along a random direction of signs, then many directions at the
step that served best; what does not agree there gets a ladder of its own, and nothing fails before
a second ladder with other steps has failed too. A tensor with no more entries than directions
would be needed is measured entry by entry.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from oracle.checking.black_box import causes, ladder, noise
from oracle.checking.black_box.conversation import Check, CheckTask, TensorSpec
from oracle.checking.black_box.ladder import Line, Slope
from oracle.checking.black_box.session import Session, Steps
from oracle.findings import FindingKind, InconclusiveReason
from oracle.values import (
    Direction,
    Entry,
    Finding,
    Measurement,
    ReferenceKind,
    Report,
    TensorReport,
    Verdict,
)

MISS = 0.8125
"""One direction of random signs d misses an error e with at most this probability.

<d, e> has the second moment |e|^2 and at most the fourth moment 3 |e|^4, so that by Paley and
Zygmund P(|<d, e>| >= |e| / 2) >= (1 - 1/4)^2 / 3 = 0.1875.
"""
RESOLUTION = 1e-3
RESOLUTION_32 = 0.1
"""The widest bar of a pass, relative to the norm of the gradient in a tensor, unless asked."""
FAILING = 3.0
"""A slope fails beyond so many bars, and passes within one; between them it stays open."""
SECOND_LADDER = 0.6875
"""Dyadic, and no power of the ratio: the second ladder shares no step with the first."""
LADDERS_PER_TENSOR = 12
"""Directions that get a ladder of their own after two looks did not settle them."""
FEWEST_DIRECTIONS = 8
"""Directions after the first without which a tensor does not pass."""


@dataclass
class _Subject:
    """One tensor under judgement."""

    index: int
    spec: TensorSpec
    first: Line
    lines: list[Line] = field(default_factory=list)
    slopes: dict[Line, Slope] = field(default_factory=dict)
    allowed: float = 0.0
    scale: float = 0.0
    resolution: float = 0.0
    entrywise: bool = False
    confirmed: bool = False

    def bar(self, slope: Slope) -> float:
        """Return what a correct slope may be off by: twice the error, and the client's rounding."""
        return 2 * slope.error + self.allowed

    def verdict(self, slope: Slope) -> Verdict:
        """Return the verdict on one slope."""
        if slope.subgradient:
            return Verdict.PASS
        if slope.reason not in {None, InconclusiveReason.KINK}:
            return Verdict.INCONCLUSIVE
        bar = self.bar(slope)
        if abs(slope.excess) > FAILING * bar and slope.may_fail:
            return Verdict.FAIL
        if abs(slope.excess) <= bar <= self.resolution * self.scale:
            return Verdict.PASS
        return Verdict.INCONCLUSIVE

    def verdicts(self) -> list[Verdict]:
        """Return the verdict on every slope that counts."""
        return [self.verdict(slope) for slope in self.slopes.values()]

    def open_lines(self) -> list[Line]:
        """Return the directions after the first that have not passed."""
        return [n for n in self.lines if self.verdict(self.slopes[n]) is not Verdict.PASS]

    def failing(self) -> list[Line]:
        """Return the directions that fail."""
        return [line for line, s in self.slopes.items() if self.verdict(s) is Verdict.FAIL]


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
    subjects = [
        _Subject(i, spec, Line(i, 0, spec.size, task.seed + 1))
        for i, spec in enumerate(task.tensors)
        if spec.size
    ]
    rungs = sum(len(ladder.steps(s.spec, task.value_dtype)) for s in subjects)
    needed = 2 * noise.POINTS + 1 + 2 * rungs
    if not subjects or not session.affords(needed):
        return _report(session, [], (), InconclusiveReason.BUDGET_SPENT)
    widest = max(subjects, key=lambda s: s.spec.gradient_norm)
    yield from session.measure_noise(widest.index, widest.spec, task.seed + 1)
    if not session.defined:
        return _report(session, [], (), InconclusiveReason.DOMAIN)
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
    return _report(session, subjects, findings, None)


def _set_scales(session: Session, subjects: Sequence[_Subject]) -> None:
    """Set what errors of a tensor are compared with."""
    largest = max(s.spec.gradient_norm for s in subjects)
    for subject in subjects:
        unit = noise.unit_roundoff(subject.spec.dtype)
        fine = max(session.unit, unit) < 1e-12
        subject.allowed = 64 * unit * subject.spec.gradient_norm
        subject.scale = max(subject.spec.gradient_norm, 0.01 * largest)
        subject.resolution = session.task.resolution or (RESOLUTION if fine else RESOLUTION_32)


def _first_directions(session: Session, subjects: Sequence[_Subject]) -> Steps[None]:
    ladders = {s.first: ladder.steps(s.spec, session.task.value_dtype) for s in subjects}
    yield from session.measure(ladders, "first directions")
    for subject in subjects:
        slope = yield from _laddered(session, subject, subject.first)
        subject.slopes[subject.first] = slope
        subject.scale = max(subject.scale, abs(slope.measured))


def _laddered(
    session: Session, subject: _Subject, line: Line, *, factor: float = 1.0
) -> Steps[Slope]:
    """Measure a ladder along a line, and go on to finer steps if it does not pass."""
    steps = ladder.steps(subject.spec, session.task.value_dtype, factor=factor)
    if not (line in session.samples and factor == 1) and not session.affords(2 * len(steps)):
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


def _many_directions(session: Session, subjects: Sequence[_Subject]) -> Steps[None]:
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


def _finer_looks(session: Session, subjects: Sequence[_Subject]) -> Steps[None]:
    """Look a second time, at a finer step, where one step did not settle a direction."""
    looks: dict[Line, list[float]] = {}
    for subject in subjects:
        for line in subject.open_lines():
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


def _open_directions(session: Session, subjects: Sequence[_Subject]) -> Steps[None]:
    """Give ladders to directions that two looks did not settle."""
    for subject in subjects:
        failing = subject.verdict(subject.slopes[subject.first]) is Verdict.FAIL
        most = len(subject.lines) if subject.entrywise else LADDERS_PER_TENSOR
        for line in subject.open_lines()[:most]:
            if len(subject.failing()) >= 2:
                break
            slope = yield from _laddered(session, subject, line)
            if slope is ladder.NOTHING and session.short:
                break
            subject.slopes[line] = slope
        entries = [subject.verdict(subject.slopes[line]) for line in subject.lines]
        if subject.entrywise and Verdict.INCONCLUSIVE not in entries and not failing:
            # Every entry is settled by itself: what all entries together show adds nothing.
            del subject.slopes[subject.first]


def _confirm(session: Session, subjects: Sequence[_Subject]) -> Steps[None]:
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
        alone = len(failing) == 1 and not subject.entrywise and subject.spec.size > 1
        for line in [] if alone else failing[:2]:
            earlier = subject.slopes[line]
            slope = yield from _laddered(session, subject, line, factor=SECOND_LADDER)
            apart = abs(slope.excess - earlier.excess)
            agree = apart <= FAILING * (subject.bar(slope) + subject.bar(earlier))
            if agree and subject.verdict(slope) is Verdict.FAIL:
                subject.confirmed = True
                break


def _drop_the_blurred(subjects: Sequence[_Subject]) -> None:
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


def _explain(session: Session, subjects: Sequence[_Subject]) -> Steps[list[Finding]]:
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


def _outcome(subject: _Subject) -> Verdict:
    verdicts = subject.verdicts()
    if Verdict.FAIL in verdicts:
        return Verdict.FAIL if subject.confirmed else Verdict.INCONCLUSIVE
    return Verdict.INCONCLUSIVE if Verdict.INCONCLUSIVE in verdicts else Verdict.PASS


def _reason(session: Session, subject: _Subject) -> InconclusiveReason:
    """Return why a tensor stays open, the most telling reason first."""
    if session.scatter > 0:
        return InconclusiveReason.NOT_DETERMINISTIC
    still_open = [
        slope for slope in subject.slopes.values() if subject.verdict(slope) is not Verdict.PASS
    ]
    given = [slope.reason for slope in still_open if slope.reason is not None]
    if given:
        return given[0]
    if session.short:
        return InconclusiveReason.BUDGET_SPENT
    resolved = all(2 * slope.error <= 0.03 * subject.scale for slope in still_open)
    if session.task.resolution is not None and resolved:
        return InconclusiveReason.RESOLUTION
    noisy = any(slope.blur > slope.truncation for slope in still_open)
    return InconclusiveReason.NOISE if noisy else InconclusiveReason.RESOLUTION


def _miss(subject: _Subject) -> float:
    """Return the probability that an error beyond the limit was met by no direction."""
    if subject.entrywise or subject.spec.size == 1:
        return 0.0
    return float(MISS ** (1 + len(subject.lines)))


def _tensor_report(subject: _Subject, findings: Sequence[Finding]) -> TensorReport:
    spec, slopes = subject.spec, list(subject.slopes.values())
    bars = [subject.bar(slope) for slope in slopes]
    finite = [bar for bar in bars if math.isfinite(bar)]
    widest = max(finite, default=math.inf)
    used = max((abs(s.excess) / b for s, b in zip(slopes, bars, strict=True) if b > 0), default=0.0)
    largest = spec.gradient_largest or subject.scale / math.sqrt(spec.size)
    # An error e shows as at least |e| / 2 in one of the directions, and fails beyond FAILING bars.
    limit = 2 * (FAILING + 1) * widest / largest if largest > 0 else math.inf
    worst: tuple[Entry, ...] = ()
    for finding in findings:
        if finding.tensor == spec.name:
            worst += finding.entries
    return TensorReport(
        spec.name, spec.shape, _outcome(subject), used, limit, largest, widest, worst, len(worst)
    )


def _report(
    session: Session,
    subjects: Sequence[_Subject],
    findings: Sequence[Finding],
    reason: InconclusiveReason | None,
) -> Report:
    task = session.task
    tensors = [_tensor_report(subject, findings) for subject in subjects]
    outcomes = {tensor.verdict for tensor in tensors}
    verdict = Verdict.INCONCLUSIVE
    if Verdict.FAIL in outcomes:
        verdict = Verdict.FAIL
    elif outcomes == {Verdict.PASS}:
        verdict = Verdict.PASS
    if verdict is Verdict.INCONCLUSIVE:
        still_open = [s for s in subjects if _outcome(s) is Verdict.INCONCLUSIVE]
        reason = reason or _reason(session, still_open[0])
    miss = max((_miss(subject) for subject in subjects), default=1.0)
    notes = _notes(session, miss) if subjects else ()
    directions = tuple(
        Direction(
            s.spec.name, line.begin, line.end, slope.predicted, slope.measured, s.bar(slope),
            s.verdict(slope), slope.rungs,
        )
        for s in subjects
        for line, slope in s.slopes.items()
    )  # fmt: skip
    return Report(
        subject=task.subject,
        verdict=verdict,
        reason=reason if verdict is Verdict.INCONCLUSIVE else None,
        summary=_summary(verdict, reason, tensors),
        findings=(*findings, *_subgradients(subjects, verdict)),
        tensors=tuple(tensors),
        budget_used=max((t.budget_used for t in tensors), default=0.0),
        detection_limit=max((t.detection_limit for t in tensors), default=math.inf),
        candidate_dtype=task.tensors[0].dtype if task.tensors else task.value_dtype,
        accumulation_dtype=task.value_dtype,
        reference_kind=ReferenceKind.MEASURED,
        entries=sum(t.size for t in task.tensors),
        measurement=Measurement(
            session.used, session.value, session.noise if session.at_x else 0.0,
            session.scatter == 0, miss, directions,
        ),
        notes=notes,
    )  # fmt: skip


_REASONS = {
    InconclusiveReason.NOISE: "the noise of the values hides the slopes",
    InconclusiveReason.KINK: "a kink at x or too near to it leaves the slope open",
    InconclusiveReason.JUMP: "the function jumps at x or too near to it",
    InconclusiveReason.NOT_DETERMINISTIC: "the function gives different values at the same point",
    InconclusiveReason.DOMAIN: "the function has too few values around x",
    InconclusiveReason.BUDGET_SPENT: "the evaluations allowed do not settle it",
    InconclusiveReason.RESOLUTION: "the slopes cannot be measured as finely as asked for",
}


def _summary(
    verdict: Verdict, reason: InconclusiveReason | None, tensors: Sequence[TensorReport]
) -> str:
    if verdict is Verdict.PASS:
        return "the measured slopes agree with the gradient"
    if verdict is Verdict.FAIL:
        wrong = [t.name for t in tensors if t.verdict is Verdict.FAIL]
        where = "" if len(wrong) == len(tensors) else f" in {', '.join(wrong[:4])}"
        where += f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        return f"the measured slopes contradict the gradient{where}"
    return _REASONS[reason or InconclusiveReason.NOISE]


def _notes(session: Session, miss: float) -> tuple[str, ...]:
    asked = session.task.miss_probability
    if miss <= asked:
        return ()
    text = (
        f"An error was met by no direction with probability {miss:.2g}, not {asked:.2g}: "
        f"{session.task.max_evaluations} evaluations allow no more directions."
    )
    return (text,)


def _subgradients(subjects: Sequence[_Subject], verdict: Verdict) -> list[Finding]:
    if verdict is not Verdict.PASS:
        return []
    findings = []
    for subject in subjects:
        if any(slope.subgradient for slope in subject.slopes.values()):
            name = subject.spec.name
            message = f"f has a kink at x; {name} lies between the one-sided slopes."
            findings.append(Finding(FindingKind.SUBGRADIENT, name, message))
    return findings
