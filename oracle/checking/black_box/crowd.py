"""Directions judged together, where each of them crosses kinks: rectifiers, maxima and the like.

A step that the noise allows crosses many kinks of a network of rectifiers. A kink at the distance
t, where the slope jumps by J, adds J (1 - |t| / h) / 2 to the excess of one direction, with the
sign of the side that it lies on, and twice that to its second difference. The side is that of the
direction's random signs, so that over many directions the excesses of a correct gradient scatter
around 0 by half of what the second differences scatter by; and these do not depend on the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from oracle.checking.black_box import differences, ladder
from oracle.checking.black_box.differences import Row
from oracle.checking.black_box.ladder import Line
from oracle.checking.black_box.session import Session, Steps
from oracle.checking.black_box.subject import FEWEST_DIRECTIONS, Subject

LOOKS = 2
"""Steps that are tried; the second is chosen by what the first one showed."""
APART = 1.5
"""Ratio of two steps below which the second is not worth its evaluations."""
FEWEST_ENTRIES = 6
"""Of a tensor with fewer entries, 24 random directions are hardly different ones."""
MOST = 2 / 3
"""Share of the directions that have to be met by so few kinks that their bar says something."""
FARTHEST = 2.0
"""Bars, of two deviations each, that no direction of a correct gradient lies away."""
NORMAL_MEDIAN = 0.6745
"""The median of |z| for a normal z of deviation 1."""
ROUNDING = 0.58
"""Standard deviation of a rounding to the nearest number, in unit roundoffs."""


def best_step(session: Session, rows: Sequence[Row]) -> float:
    """Return the step at which kinks and noise together spoil a difference least.

        D(h)^2 = a h + 6 s^2 / h^2

    is the mean square of a second difference over the step, for kinks at all distances and noise
    of the deviation s; it is least at h^3 = 12 s^2 / a.

    Parameters
    ----------
    session : Session
        Knows the noise.
    rows : sequence of Row
        Differences of one or several directions.

    Returns
    -------
    float
        0 if no second difference is seen above the noise.
    """
    deviation = math.sqrt(6) * _deviation(session)
    seen = [row for row in rows if row.gap * row.step > 2 * deviation]
    # The roots of a and of s^2: a square may be more, or less, than a number can be.
    bends = [row.gap / math.sqrt(row.step) / NORMAL_MEDIAN for row in seen]
    bend = float(np.median(bends)) if bends else 0.0
    return (math.sqrt(2) * deviation / bend) ** (2 / 3) if bend > 0 else 0.0


def first_step(session: Session, subject: Subject) -> float:
    """Return the step that serves best by what the ladder of the first direction showed."""
    step = best_step(session, session.rows(subject.first))
    return _within(subject, step) if step > 0 else 0.0


def _within(subject: Subject, step: float) -> float:
    """Return a step that the type resolves, and that is no longer than x."""
    return max(min(step, ladder.size(subject.spec)), ladder.smallest_step(subject.spec))


def _deviation(session: Session) -> float:
    deviation = max(session.level, ROUNDING * session.unit * abs(session.value))
    return min(deviation, differences.LARGEST)


def judge(session: Session, subjects: Sequence[Subject]) -> Steps[None]:
    """Pass tensors whose directions scatter around the gradient no more than their kinks explain.

    None of them fails here: that takes ladders of single directions.

    Parameters
    ----------
    session : Session
        Asks for the directions at one or two further steps.
    subjects : sequence of Subject
        Tensors that are still open.
    """
    waiting = [
        s for s in subjects
        if len(s.lines) >= FEWEST_DIRECTIONS and not s.entrywise and not s.failing()
    ]  # fmt: skip
    for _ in range(LOOKS):
        looks: dict[Line, list[float]] = {}
        asked = []
        for subject in waiting:
            if _passes(session, subject):
                continue
            lines = [subject.first, *subject.lines]
            step = _next_step(session, subject)
            if step > 0 and session.affords(2 * (len(looks) + len(lines))):
                looks.update((line, [step]) for line in lines)
                asked.append(subject)
        yield from session.measure(looks, "directions with kinks")
        waiting = asked
    for subject in waiting:
        _passes(session, subject)


def _common_steps(session: Session, subject: Subject) -> list[float]:
    known = [set(session.samples.get(n, ())) for n in (subject.first, *subject.lines)]
    return sorted(set.intersection(*known))


def _table(session: Session, subject: Subject, step: float) -> dict[Line, Row]:
    found = {}
    for line in (subject.first, *subject.lines):
        samples = {step: session.samples[line][step]}
        table = differences.rows(samples, session.value, session.noise, session.unit)
        if table:
            found[line] = table[0]
    return found


def _next_step(session: Session, subject: Subject) -> float:
    done = _common_steps(session, subject)
    table = [row for step in done for row in _table(session, subject, step).values()]
    if not table:
        return first_step(session, subject)
    step = _within(subject, best_step(session, table))
    near = any(max(step / other, other / step) < APART for other in done)
    return 0.0 if near else step


def _passes(session: Session, subject: Subject) -> bool:
    """Pass a tensor at the sharpest of the steps at which all of its directions were measured.

    None of the others may contradict: what a finer step shows, the bars of a coarser one may hide.
    """
    looks = [_Look(session, subject, step) for step in _common_steps(session, subject)]
    sharp = [look for look in looks if look.is_sharp]
    if not sharp or not all(look.agrees for look in looks):
        return False
    min(sharp, key=lambda look: look.widest).settle()
    return True


class _Look:
    """All directions of a tensor at one step, and the bars that their second differences give."""

    def __init__(self, session: Session, subject: Subject, step: float) -> None:
        self.subject = subject
        self.found = _table(session, subject, step)
        self.errors = _errors(self.found) if self.found else {}
        self.bars = {line: 2 * error + subject.allowed for line, error in self.errors.items()}
        most = subject.kinked_resolution * subject.scale
        self.clear = [line for line, bar in self.bars.items() if bar <= most]

    @property
    def is_sharp(self) -> bool:
        """Tell whether the bars of enough directions say something."""
        return len(self.clear) >= max(1.0, MOST * (1 + len(self.subject.lines)))

    @property
    def widest(self) -> float:
        """Return the widest bar that says something."""
        return max(self.bars[line] for line in self.clear)

    @property
    def agrees(self) -> bool:
        """Tell whether the directions scatter around the gradient as far as their bars allow."""
        shares = [_share(self.found[line].excess, self.bars[line]) for line in self.found]
        return sum(s * s for s in shares) <= len(shares) and max(shares, default=0.0) <= FARTHEST

    def settle(self) -> None:
        """Pass the tensor by the directions whose bars say something."""
        subject = self.subject
        subject.crowd = True
        subject.lines = [line for line in subject.lines if line in self.clear]
        subject.slopes = {
            line: replace(
                subject.slopes.get(line, ladder.NOTHING),
                excess=row.excess, error=self.errors[line], predicted=row.predicted,
                step=row.step, truncation=self.errors[line], blur=row.blur, reason=None,
                may_fail=False,
            )
            for line, row in self.found.items()
            if line in self.clear
        }  # fmt: skip


def _share(excess: float, bar: float) -> float:
    """Return the share of a bar that is used; the bar is 0 where f is 0 all around x."""
    if bar > 0:
        return min(abs(excess) / bar, differences.LARGEST)
    return differences.LARGEST if excess else 0.0


def _errors(found: Mapping[Line, Row]) -> dict[Line, float]:
    """Return the deviations of the excesses: that of all directions, or of one with more kinks."""
    gaps = np.array([row.gap for row in found.values()])
    blur = max(row.blur for row in found.values())
    common = max(float(np.median(gaps)) / NORMAL_MEDIAN, blur / 2)
    common = max(blur / 2, math.sqrt(float(np.mean(np.minimum(gaps, 3 * common) ** 2))))
    return {line: max(common, row.gap) / 2 for line, row in found.items()}
