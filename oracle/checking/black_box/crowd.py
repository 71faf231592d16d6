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
from oracle.checking.black_box.ladder import Line, Slope
from oracle.checking.black_box.session import Session, Steps
from oracle.checking.black_box.subject import FARTHEST, FEWEST_DIRECTIONS, Subject

LOOKS = 2
"""Steps that are tried; the second is chosen by what the first one showed."""
APART = 1.5
"""Ratio of two steps below which the second is not worth its evaluations."""
FEWEST_ENTRIES = 6
"""Of a tensor with fewer entries, 24 random directions are hardly different ones."""
MOST = 2 / 3
"""Share of the directions that have to be met by so few kinks that their bar says something."""
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
    return within(subject, step) if step > 0 else 0.0


def within(subject: Subject, step: float) -> float:
    """Return a step that the type resolves, and that is no longer than x."""
    return max(min(step, ladder.size(subject.spec)), ladder.smallest_step(subject.spec))


def _deviation(session: Session) -> float:
    deviation = max(session.level, session.stairs, ROUNDING * session.unit * abs(session.value))
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
            lines = _lines(subject)
            step = _next_step(session, subject)
            if step > 0 and session.affords(2 * (len(looks) + len(lines))):
                looks.update((line, [step]) for line in lines)
                asked.append(subject)
        yield from session.measure(looks, "directions with kinks")
        waiting = asked
    for subject in waiting:
        _passes(session, subject)


def _lines(subject: Subject) -> list[Line]:
    return [subject.first, *subject.lines]


def _common_steps(session: Session, subject: Subject) -> list[float]:
    known = [set(session.samples.get(line, ())) for line in _lines(subject)]
    return sorted(set.intersection(*known))


def _next_step(session: Session, subject: Subject) -> float:
    done = _common_steps(session, subject)
    looks = [Look(session, subject, step, _lines(subject)) for step in done]
    table = [row for look in looks for row in look.found.values()]
    if not table:
        return first_step(session, subject)
    step = within(subject, best_step(session, table))
    near = any(max(step / other, other / step) < APART for other in done)
    return 0.0 if near else step


def _passes(session: Session, subject: Subject) -> bool:
    """Pass a tensor at the sharpest of the steps at which all of its directions were measured.

    No other may pass it in its place: what the sharpest shows, the bars of another may hide.
    """
    lines = _lines(subject)
    looks = [Look(session, subject, step, lines) for step in _common_steps(session, subject)]
    sharp = [look for look in looks if look.is_sharp]
    best = min(sharp, key=lambda look: look.widest, default=None)
    if best is None or not best.agrees():
        return False
    subject.crowd = True
    subject.slopes = best.slopes(len(best.clear))
    subject.lines = [line for line in subject.lines if line in subject.slopes]
    return True


class Look:
    """Directions of a tensor, or of a part, at one step, and the bars of their second differences.

    `clear` are the directions whose bars say something, the narrowest first.
    """

    def __init__(
        self, session: Session, subject: Subject, step: float, lines: Sequence[Line]
    ) -> None:
        tables = {line: session.rows(line, step) for line in lines}
        self.subject = subject
        self.found = {line: table[0] for line, table in tables.items() if table}
        self.errors = _errors(self.found) if self.found else {}
        self.bars = {line: 2 * error + subject.allowed for line, error in self.errors.items()}
        most = subject.kinked_resolution * subject.scale
        clear = [line for line, bar in self.bars.items() if bar <= most]
        self.clear = sorted(clear, key=lambda line: self.bars[line])
        self.is_sharp = len(clear) >= max(1.0, MOST * len(lines))

    @property
    def widest(self) -> float:
        """Return the widest bar that says something."""
        return self.bars[self.clear[-1]]

    @property
    def shares(self) -> list[float]:
        """Return the shares of their bars by which the directions are off."""
        return [_share(self.found[line].excess, bar) for line, bar in self.bars.items()]

    @property
    def farthest(self) -> float:
        """Return the largest share."""
        return max(self.shares, default=0.0)

    def agrees(self, farthest: float = FARTHEST) -> bool:
        """Tell whether the directions scatter around the gradient as far as their bars allow."""
        squares = sum(share**2 for share in self.shares)
        return squares <= len(self.shares) and self.farthest <= farthest

    def slopes(self, most: int) -> dict[Line, Slope]:
        """Return the slopes of the clearest directions, with the bars that they have together."""
        slopes = {}
        for line in self.clear[:most]:
            row, error = self.found[line], self.errors[line]
            known = self.subject.slopes.get(line, ladder.NOTHING)
            slopes[line] = replace(
                known, excess=row.excess, error=error, predicted=row.predicted, step=row.step,
                truncation=error, blur=row.blur, reason=None, may_fail=False,
            )  # fmt: skip
        return slopes


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
