"""What averages out: many directions know an error, or a factor, better than any one of them.

Where noise, rounding or kinks blur every single direction, the excesses of a right gradient still
scatter around 0 by no more than these explain, and an error e adds |e|^2 to their mean square:

    E <d, e>^2 = |e|^2,   P(mean of N such squares <= (1 - t) |e|^2) <= exp(-N t^2 / 6)

(a sum of non-negative numbers has a lower tail of exp(-t^2 mu^2 N / 2 E X^2), and E <d, e>^4 is at
most 3 |e|^4). A factor shows in the regression of the excesses on the predicted slopes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from oracle.checking.black_box import ladder, noise
from oracle.checking.black_box.differences import Row
from oracle.checking.black_box.session import Session, Steps
from oracle.checking.black_box.subject import LARGEST_LIMIT, Subject
from oracle.values import Verdict

FIRST = 24
"""Directions at each of the steps that are tried."""
TRIED = 4
"""Steps, each half of the one before."""
MOST = 256
"""Directions: with more the tail bound gains less than a tenth."""
COUNTS = (48, 64, 96, 128, 192, MOST)
"""Of directions: the fewest that suffice are taken."""
SPARE = 0.8
"""Share of the widest limit of a pass that fewer directions have to promise."""
RESERVE = 60
"""Evaluations that are left for what comes after."""
AGREEING = 1.5
"""Deviations within which the root mean square of the excesses of a right gradient lies: noise
gives 0.6 of the one that second differences show, kinks 1."""
CONTRADICTING = 3.0
"""Deviations, at two steps, beyond which it does not."""
SIGNIFICANT = 5.0
"""Standard errors of a factor that differs from 1."""
FINER = 16.0
"""Times shorter steps, over which a function of any slope changes by less than a fourth as much."""
FINE = 1e-12
"""Unit roundoffs below it are those of float64: there coarse steps vouch for no slope at x."""


@dataclass(frozen=True)
class Scatter:
    """Directions at one step: excesses, predicted slopes, and what a right gradient scatters by."""

    step: float
    excess: np.ndarray
    predicted: np.ndarray
    deviation: float

    @property
    def root(self) -> float:
        """Return the root mean square of the excesses."""
        return float(np.sqrt(np.mean(self.excess**2)))

    @property
    def lost(self) -> float:
        """Return by how much the measured slopes are those of another factor: 1 / factor - 1."""
        squares = float(np.sum(self.predicted**2))
        return float(self.excess @ self.predicted) / squares if squares > 0 else 0.0

    @property
    def uncertainty(self) -> float:
        """Return the standard error of `lost`."""
        squares = float(np.sum(self.predicted**2))
        return self.deviation / math.sqrt(squares) if squares > 0 else math.inf

    def seen(self, miss: float, count: int) -> float:
        """Return the error above which so many would scatter more, but with that probability."""
        tail = math.sqrt(6 * math.log(1 / miss) / count)
        share = math.sqrt(1 - tail) if tail < 1 else 0.0
        return (self.root + self.deviation) / share if share > 0 else math.inf


def judge(session: Session, subject: Subject) -> Steps[None]:
    """Pass or fail a tensor by what many directions show together, or leave it as it is.

    Parameters
    ----------
    session : Session
        Asks for the directions.
    subject : Subject
        A tensor that is open, or passed with a limit that excludes too little.
    """
    first = subject.slopes.get(subject.first, ladder.NOTHING)
    start = ladder.steps(subject.spec, session.task.value_dtype)[0]
    if first.step > 0 and subject.verdict(first) is Verdict.PASS:
        start = 2 * first.step
    steps = [start / 2**k for k in range(TRIED)]
    if session.left < 2 * FIRST * TRIED + RESERVE or not math.isfinite(start):
        return
    known = yield from _scatters(session, subject, steps)
    if not known:
        return
    best = min(known, key=lambda s: s.deviation)
    coarse = is_coarse(session, subject)
    if coarse and _contradicts(subject, known):
        subject.averaged, subject.confirmed = Verdict.FAIL, True
        subject.factor = _factor(best)
        subject.averaged_limit = _relative(subject, best, CONTRADICTING * best.deviation)
        return
    if (session.stairs and not coarse) or best.root > AGREEING * best.deviation:
        return
    miss = session.task.miss_probability
    few_enough = [
        n for n in COUNTS if _relative(subject, best, best.seen(miss, n)) <= SPARE * LARGEST_LIMIT
    ]
    count = min(min(few_enough, default=MOST), (session.left - RESERVE) // 2 + FIRST)
    many = [replace(subject.first, seed=session.task.seed + 2 + n) for n in range(count)]
    yield from session.measure({line: [best.step] for line in many}, "many directions")
    scatter = _scatter(session, subject, many, best.step)
    if scatter is None:
        return
    together = replace(scatter, deviation=max(scatter.deviation, best.deviation))
    limit = _relative(subject, together, together.seen(miss, count))
    if together.root <= AGREEING * together.deviation and limit <= LARGEST_LIMIT:
        subject.averaged, subject.averaged_limit = Verdict.PASS, limit
        subject.averaged_miss = miss


def _relative(subject: Subject, scatter: Scatter, error: float) -> float:
    """Return an error relative to the largest entry, or to what is measured where that is 0."""
    measured = float(np.sqrt(np.mean((scatter.excess + scatter.predicted) ** 2)))
    largest = subject.spec.gradient_largest or measured / math.sqrt(subject.spec.size)
    return error / largest if largest > 0 else math.inf


def is_coarse(session: Session, subject: Subject) -> bool:
    """Tell whether f or x is coarser than float64."""
    return max(session.unit, noise.unit_roundoff(subject.spec.dtype)) > FINE


def factor(session: Session, subject: Subject) -> Steps[float | None]:
    """Return how many times too large a gradient is, if many directions together show it."""
    start = ladder.steps(subject.spec, session.task.value_dtype)[0]
    if session.left < 2 * FIRST * TRIED or not math.isfinite(start):
        return None
    steps = [start / 2**k for k in range(TRIED)]
    known = yield from _scatters(session, subject, steps)
    return _factor(min(known, key=lambda s: s.deviation)) if known else None


def _scatters(session: Session, subject: Subject, steps: Sequence[float]) -> Steps[list[Scatter]]:
    """Return what a few directions show at the steps over which f is resolved."""
    few = [replace(subject.first, seed=session.task.seed + 2 + n) for n in range(FIRST)]
    yield from session.measure(dict.fromkeys(few, steps), "many directions")
    scatters = [_scatter(session, subject, few, step) for step in steps]
    found = [s for s in _with_truncation(scatters) if s is not None]
    return [s for s in found if _resolves(session, subject, s.step)]


def _resolves(session: Session, subject: Subject, step: float) -> bool:
    """Tell whether f changes by less over far shorter steps: else it turns between them."""
    table = session.rows(subject.first)
    fine = [row.change for row in table if row.step <= step / FINER]
    coarse = [row.change for row in table if row.step >= step / 2]
    return not (fine and coarse) or max(fine) < max(coarse) / 4


def _contradicts(subject: Subject, scatters: Sequence[Scatter]) -> bool:
    """Tell whether two steps show more than a right gradient would: an error, or a factor."""
    beyond = [s for s in scatters if s.root > CONTRADICTING * s.deviation]
    if len(beyond) >= 2:
        return True
    factors = [s for s in scatters if abs(s.lost) > SIGNIFICANT * s.uncertainty]
    return subject.spec.gradient_largest > 0 and len(factors) >= 2


def _factor(scatter: Scatter) -> float | None:
    """Return how many times too large a gradient is, if that explains what directions show."""
    left = scatter.excess - scatter.lost * scatter.predicted
    explained = float(np.sqrt(np.mean(left**2))) <= AGREEING * scatter.deviation
    if not explained or abs(1 + scatter.lost) <= SIGNIFICANT * scatter.uncertainty:
        return None
    factor = 1 / (1 + scatter.lost)
    error = scatter.uncertainty * factor**2
    whole = round(factor)
    return float(whole) if whole and abs(factor - whole) <= 2 * error else factor


def _scatter(
    session: Session, subject: Subject, lines: Sequence[ladder.Line], step: float
) -> Scatter | None:
    """Return what directions show at a step; half of their second differences blurs them.

    A kink spoils an excess by half of what it adds to the second difference, noise by 0.29 of it,
    and the rounding of the gradient by what is allowed for it.
    """
    rows: list[Row] = [row for line in lines for row in session.rows(line, step)]
    if len(rows) < len(lines) * 3 // 4:
        return None
    gap = math.sqrt(float(np.mean([row.gap**2 for row in rows]))) / 2
    return Scatter(
        step,
        np.array([row.excess for row in rows]),
        np.array([row.predicted for row in rows]),
        math.hypot(gap, subject.allowed / 2),
    )


def _with_truncation(scatters: Sequence[Scatter | None]) -> list[Scatter | None]:
    """Add what a step is off by itself: a third of what changes when it is halved."""
    found: list[Scatter | None] = []
    for coarse, fine in itertools.pairwise(scatters):
        if coarse is None or fine is None or len(coarse.excess) != len(fine.excess):
            continue
        moved = float(np.sqrt(np.mean((coarse.excess - fine.excess) ** 2))) / 3
        found.append(replace(fine, deviation=math.hypot(fine.deviation, moved)))
    return found
