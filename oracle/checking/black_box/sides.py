"""Entries one by one, on both sides of x: kinks and bounds at x itself.

Along one coordinate a function with a kink at x has two slopes, and one at a bound of its domain
has one. An entry of a right gradient is the slope where there is one, and lies between the slopes
where there are two. Whether the slopes of several coordinates belong together shows in directions
over all of them: where f is convex (all slopes rise at x), or concave, a subgradient lies between
the one-sided slopes of every direction.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from oracle.checking.black_box import kinks, ladder, location, noise
from oracle.checking.black_box.conversation import TensorSpec
from oracle.checking.black_box.ladder import Line, Slope
from oracle.checking.black_box.session import Session, Steps
from oracle.checking.black_box.subject import FAILING, Subject
from oracle.findings import InconclusiveReason
from oracle.values import Verdict

SPREAD = (16.0, 4.0, 1.0)
"""Steps in units of u^(1/3) of the size of x: of two, what bends a one-sided slope is taken away,
and a third tells how much is left; the finest balances that, O(h^2), against rounding, O(u/h)."""
OTHERS = 0.6875
"""Dyadic, and no power of the ratio: what fails is measured again at steps of their own."""
AGAIN = 4
"""Failing entries that are measured again until one of them confirms."""
RESERVE = 100
"""Evaluations that are left to say what is wrong."""
MOST = 512
"""Entries of a tensor that are measured one by one."""
ALIKE = 0x31628AF67B2131AB
"""The seed that moves each of the first 64 entries upwards: the sum of several kinks may be smooth
along it, as that of a maximum of equal entries is, where random signs hardly ever move all alike.
It is the output of all ones, followed back through the hash."""
WHOLE = (ALIKE, 1, 2, 3, 4, 5, 6, 7)
"""Seeds of directions over all entries; the same for every question, and so is its verdict."""


@dataclass(frozen=True)
class Side:
    """The excess of a one-sided slope at x, and its error."""

    excess: float
    error: float


def affordable(session: Session, subject: Subject) -> bool:
    """Tell whether each entry of a tensor can be measured."""
    lines = subject.spec.size + len(WHOLE)
    evaluations = 2 * len(SPREAD) * lines + RESERVE
    return subject.indexed and subject.spec.size <= MOST and session.affords(evaluations)


def judge(session: Session, subject: Subject) -> Steps[None]:
    """Judge a tensor by the slopes of each entry on both sides of x, if these settle it.

    Parameters
    ----------
    session : Session
        Asks for three steps of every entry, and of some directions.
    subject : Subject
        A tensor of which `affordable` is true.
    """
    size, index = subject.spec.size, subject.index
    steps = [_unit(session, subject.spec) * factor for factor in SPREAD]
    entries = [
        Line(index, n, n + 1, location.SEED) for n in range(subject.first.begin, subject.first.end)
    ]
    whole = [Line(index, 0, size, seed) for seed in WHOLE] if size > 1 else []
    yield from session.measure(dict.fromkeys((*entries, *whole), steps), "single entries")
    found = {line: _of_entry(session, line, steps) for line in entries}
    for line in whole:
        found[line] = _of_direction(session, line, steps, found)
    failing = [line for line, slope in found.items() if _fails(subject, slope)]
    for line in failing[:AGAIN]:
        others = [OTHERS * step for step in steps]
        again = {line: others} if line in entries else dict.fromkeys((*entries, line), others)
        if not session.affords(sum(map(len, again.values())) * 2):
            break
        yield from session.measure(again, "single entries")
        slopes = {one: _of_entry(session, one, others) for one in again if one != line}
        second = _of_entry(session, line, others)
        if line not in entries:
            second = _of_direction(session, line, others, slopes)
        if _fails(subject, second):
            subject.confirmed = True
            break
    # Of a gradient of zeros an error is compared with the slopes beside it.
    steepest = max(_steepest(session, line, steps) for line in entries)
    judged = replace(subject, scale=max(subject.scale, steepest))
    opened = any(judged.verdict(slope) is Verdict.INCONCLUSIVE for slope in found.values())
    if subject.confirmed or not opened:
        subject.entrywise, subject.sided = True, True
        subject.scale, subject.lines, subject.slopes = judged.scale, list(found), found


def _unit(session: Session, spec: TensorSpec) -> float:
    unit = max(session.unit, noise.unit_roundoff(spec.dtype))
    return max(ladder.size(spec) * unit ** (1 / 3), ladder.smallest_step(spec))


def _steepest(session: Session, line: Line, steps: Sequence[float]) -> float:
    predicted = _predicted(session, line, steps)
    return max((abs(side.excess + predicted) for side in _sides(session, line, steps)), default=0.0)


def _fails(subject: Subject, slope: Slope) -> bool:
    return slope.may_fail and abs(slope.excess) > FAILING * subject.bar(slope)


def _sides(session: Session, line: Line, steps: Sequence[float]) -> list[Side]:
    """Return the one-sided excesses to the right and to the left, those that there are."""
    sides = []
    for side in (0, 1):
        rows = []
        for step in sorted(steps, reverse=True):
            answer = session.samples[line][step][side]
            if answer.outside or not answer.moved or not math.isfinite(answer.value):
                continue
            signed = -step if side else step
            excess = (answer.value - session.value - answer.predicted) / signed
            blur = max(session.noise, 2 * session.unit * abs(answer.value)) / step
            rows.append((step, excess, blur))
        sides.append(_limit(rows))
    return [side for side in sides if side is not None]


def _limit(rows: Sequence[tuple[float, float, float]]) -> Side | None:
    """Take away what bends a one-sided difference in proportion to the step."""
    if len(rows) < len(SPREAD):
        return None
    limits = [
        (fine + (fine - coarse) * h / (wide - h), 2 * blur * (wide + h) / (wide - h))
        for (wide, coarse, _), (h, fine, blur) in itertools.pairwise(rows)
    ]
    (first, _), (last, blur) = limits[-2:]
    moved = [abs(fine - coarse) for (_, coarse, _), (_, fine, _) in itertools.pairwise(rows)]
    if moved[-1] > 0.75 * moved[-2] + blur:
        return None  # Slopes that grow towards x have no limit.
    return Side(last, abs(last - first) + blur)


def _of_entry(session: Session, line: Line, steps: Sequence[float]) -> Slope:
    """Return the slope of an entry, or its distance from what lies between two."""
    sides = _sides(session, line, steps)
    predicted = _predicted(session, line, steps)
    if not sides:
        return replace(ladder.NOTHING, reason=InconclusiveReason.KINK, predicted=predicted)
    low, high = min(sides, key=_excess), max(sides, key=_excess)
    error = max(side.error for side in sides)
    apart = high.excess - low.excess > 2 * (low.error + high.error)
    if not apart:
        both = session.slope(line, steps)
        if len(sides) == 2 and both.reason is None and both.error < error:
            return _slope(both.excess, both.error, predicted, steps)
        return _slope((low.excess + high.excess) / 2, error, predicted, steps)
    return _beside(low.excess, high.excess, error, predicted, steps)


def _beside(
    low: float, high: float, error: float, predicted: float, steps: Sequence[float]
) -> Slope:
    """Return how far a gradient is from two slopes: not at all between them."""
    if low - 2 * error <= 0 <= high + 2 * error:
        bend = kinks.Bend(InconclusiveReason.KINK, at_x=True, between=True)
        slope = _slope(0.0, error, predicted, steps)
        return replace(slope, reason=InconclusiveReason.KINK, bend=bend, may_fail=False)
    bend = kinks.Bend(at_x=True)
    return replace(_slope(low if low > 0 else high, error, predicted, steps), bend=bend)


def _of_direction(
    session: Session,
    line: Line,
    steps: Sequence[float],
    entries: Mapping[Line, Slope],
) -> Slope:
    """Compare a gradient with the one-sided slopes of a direction, where these bound it."""
    sides = _sides(session, line, steps)
    predicted = _predicted(session, line, steps)
    bends = [_bend(session, one, steps) for one in entries if one.end - one.begin == 1]
    convex, concave = min(bends, default=0.0) >= 0, max(bends, default=0.0) <= 0
    if len(sides) < 2 or not (convex or concave):
        # Nothing bounds a subgradient there but what the coordinates show.
        slope = _slope(0.0, 0.0, predicted, steps)
        bend = kinks.Bend(InconclusiveReason.KINK, at_x=True, between=True)
        return replace(slope, reason=InconclusiveReason.KINK, bend=bend, may_fail=False)
    low, high = min(sides, key=_excess), max(sides, key=_excess)
    error = max(side.error for side in sides)
    return _beside(low.excess, high.excess, error, predicted, steps)


def _bend(session: Session, line: Line, steps: Sequence[float]) -> float:
    """Return by how much the slope of an entry rises at x, as far as that is seen."""
    sides = _sides(session, line, steps)
    if len(sides) < 2:
        return 0.0
    right, left = sides
    rise = right.excess - left.excess
    return rise if abs(rise) > 2 * (right.error + left.error) else 0.0


def _predicted(session: Session, line: Line, steps: Sequence[float]) -> float:
    step = min(steps)
    above, below = session.samples[line][step]
    usable = [(a.predicted / h) for a, h in ((above, step), (below, -step)) if not a.outside]
    return sum(usable) / len(usable) if usable else 0.0


def _slope(excess: float, error: float, predicted: float, steps: Sequence[float]) -> Slope:
    return replace(
        ladder.NOTHING, excess=excess, error=error, predicted=predicted, step=min(steps),
        truncation=error, blur=error, reason=None, may_fail=True,
    )  # fmt: skip


def _excess(side: Side) -> float:
    return side.excess
