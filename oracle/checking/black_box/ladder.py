"""What one direction shows: differences over a ladder of steps, their limit and its error bar.

Measured is the excess e(h) = ([f(x+hd) - f(x-hd)] - <g, (x+hd) - (x-hd)>) / 2h, with the points
that the dtype really holds; it tends to 0 for a correct gradient. Coarse steps may agree with each
other and be wrong, so every finer step has a veto. Bars are estimates, not proofs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from oracle.checking.black_box import kinks
from oracle.checking.black_box.conversation import Probe, Selection, TensorSpec
from oracle.checking.black_box.differences import (
    LARGEST,
    Row,
    Samples,
    one_sided_rows,
    rows,
)
from oracle.checking.black_box.noise import unit_roundoff
from oracle.findings import InconclusiveReason
from oracle.values import Rung

RATIO = 4.0
"""Of a step to the next finer one, in float64."""
DENSE_RATIO = 2.0
"""The same in float32, where the best step lies between the coarsest of these."""
SPARSE_RATIO = 16.0
"""Of the steps below the dense ones, which only keep watch over them."""
CENTRAL = 2
"""The power of the step with which a central difference of a smooth function tends to its limit."""
OBJECTING = 1.5
"""Blurs beyond which a finer step has a veto: the finest one is nearly all noise, and of a hundred
such steps one exceeds a single blur now and then."""
ROUGH = 64.0
"""Unit roundoffs of f that are no noise yet: those of a value, and of the operations before."""
STATIONARY = 0.01
"""Share of the slopes further away below which a slope is compared with that share of them."""
FEWEST = 3
"""Steps of a ladder; where the type of x resolves fewer, the finest that it resolves are taken."""
DEEPEST = 3
"""Columns of Richardson extrapolation; more only amplify the noise."""


SMOOTH = kinks.Bend()


@dataclass(frozen=True)
class Line:
    """A direction: the signs of `seed` on the flat entries begin <= i < end of a tensor.

    With a `selection` it moves that in place of one tensor's entries.
    """

    tensor: int
    begin: int
    end: int
    seed: int
    selection: Selection | None = None

    def probes(self, steps: Sequence[float]) -> list[Probe]:
        """Return the probes above and below x for each step."""
        return [self.probe(side * step) for step in steps for side in (1.0, -1.0)]

    def halves(self) -> list[Line]:
        """Return both halves of what is moved, none of a single entry or class."""
        parts = self.selection.parts if self.selection else ()
        middle = len(parts) // 2 or (self.begin + self.end) // 2
        if parts:
            halves = (parts[:middle], parts[middle:]) if len(parts) > 1 else ()
            return [replace(self, selection=Selection(half)) for half in halves]
        if self.end - self.begin < 2:
            return []
        return [replace(self, end=middle), replace(self, begin=middle)]

    def probe(self, step: float) -> Probe:
        """Return the probe at a signed step."""
        return Probe(self.tensor, self.begin, self.end, self.seed, step, self.selection)


@dataclass(frozen=True)
class Slope:
    """The limit of the excess along one direction, its error bar, and what else the ladder shows.

    `step` is the best step for a single difference in a similar direction, `truncation` and `blur`
    what it is off by there; `used` are the steps of the best extrapolation, `steepest` is the
    largest secant slope. `may_fail` tells that no kink can explain the excess; `bend` is the kink.
    """

    excess: float
    error: float
    predicted: float
    step: float
    truncation: float
    blur: float
    steepest: float
    reason: InconclusiveReason | None
    may_fail: bool
    rungs: tuple[Rung, ...]
    used: tuple[float, ...] = ()
    bend: kinks.Bend = SMOOTH

    @property
    def subgradient(self) -> bool:
        """Tell whether f has a kink at x, and the predicted slope lies between its sides."""
        return self.reason is InconclusiveReason.KINK and self.bend.between

    @property
    def slack(self) -> float:
        """Return how far a slope may be off beside its bar: between the sides of a kink."""
        return self.bend.slack if self.subgradient else 0.0

    @property
    def flat(self) -> bool:
        """Tell whether f is constant as far as was measured, and no slope is predicted."""
        still = all(rung.difference == 0 for rung in self.rungs)
        return bool(self.rungs) and still and self.steepest == 0 == self.predicted

    @property
    def size(self) -> float:
        """Return how large the slopes of f are, for certain: at x, or further away if it is flat.

        Slopes that grow towards x, as those of a cubic root, have no size that was measured.
        """
        most = abs(self.measured) + 2 * self.error
        finite = self.reason is None or self.bend.at_x
        away = STATIONARY * self.steepest if finite else 0.0
        return max(abs(self.measured) - 2 * self.error, away if most < away else 0.0, 0.0)

    @property
    def measured(self) -> float:
        """Return the slope of f itself."""
        return self.predicted + self.excess


NOTHING = Slope(
    0.0, math.inf, 0.0, 0.0, math.inf, math.inf, 0.0, InconclusiveReason.DOMAIN, False, ()
)  # fmt: skip


UNDEFINED = replace(NOTHING)
"""What the values of f leave open where it has too few of them."""
UNRESOLVED = replace(NOTHING, reason=InconclusiveReason.NOISE)
"""What they leave open where the type of x has too few steps."""


def smallest_step(spec: TensorSpec) -> float:
    """Return the finest step that the type of a tensor resolves in all of its entries."""
    return 8 * unit_roundoff(spec.dtype) * min(max(spec.largest, 1e-30), LARGEST)


def spacing(spec: TensorSpec) -> float:
    """Return the distance of neighbouring numbers at the largest entry: a power of two."""
    exponent = math.frexp(min(max(spec.largest, 1e-30), LARGEST))[1]
    return unit_roundoff(spec.dtype) * 2.0**exponent


def size(spec: TensorSpec) -> float:
    """Return the size of the entries of a tensor, at least 1: a function may bend on that scale."""
    return min(max(1.0, min(math.sqrt(spec.mean_square), spec.largest)), LARGEST)


def steps(spec: TensorSpec, value_dtype: str, *, factor: float = 1.0) -> list[float]:
    """Return a ladder of steps for directions over a whole tensor, the coarsest first.

    A move of all n entries by h has the length h sqrt(n); the first step shrinks with n^(1/4), half
    way between independent entries and entries that all add up. In float64 eleven steps reach below
    the best step u^(1/3) of a single difference; in float32 noise leaves only coarse steps of use.
    """
    fine = max(unit_roundoff(value_dtype), unit_roundoff(spec.dtype)) < 1e-12
    start = 0.45 * factor * size(spec) / max(1.0, spec.size) ** 0.25
    if fine:
        ladder = [start / RATIO**k for k in range(11)]
    else:
        ladder = [start / DENSE_RATIO**k for k in range(8)]
        ladder += [ladder[-1] / SPARSE_RATIO**k for k in (1, 2)]
    floor = smallest_step(spec)
    resolved = [h for h in ladder if h >= floor]
    return resolved if len(resolved) >= FEWEST else [4 * floor, 2 * floor, floor]


def coarser_steps(steps: Sequence[float], value_dtype: str) -> list[float]:
    """Return two steps above a ladder, for functions that are straighter than was supposed."""
    ratio = RATIO if unit_roundoff(value_dtype) < 1e-12 else DENSE_RATIO
    return [ratio * ratio * max(steps), ratio * max(steps)]


def finer_steps(spec: TensorSpec, last: float, smallest: float) -> list[float]:
    """Return steps that continue a ladder, to look for the end of a kink or of a domain."""
    floor = smallest_step(spec)
    finer = [h for h in (last / RATIO**k for k in range(1, 17)) if h >= floor]
    # Steps of a few numbers are powers of two, which no entry rounds to another step.
    finer += [2 * spacing(spec), spacing(spec)]
    return [h for h in finer if smallest <= h < last]


def judge(samples: Samples, value: float, noise: float, unit: float, finest: float) -> Slope:
    """Return the limit of the excess for vanishing steps.

    Parameters
    ----------
    samples : mapping of step to evaluations
        The ladder.
    value, noise : float
        f(x), and what a value of f may be off by.
    unit : float
        Unit roundoff of the values of f.
    finest : float
        The distance of neighbouring numbers of x.

    Returns
    -------
    Slope
        `NOTHING` where f has too few values.
    """
    central = rows(samples, value, noise, unit)
    power, table = CENTRAL, central
    if len(central) < 2:
        power, table = 1, one_sided_rows(samples, value, noise, unit)
        if len(table) < 3:
            outside = any(answer.outside for pair in samples.values() for answer in pair)
            return UNDEFINED if outside else UNRESOLVED
    slope = _limit(table, power)
    longest = max(row.change for row in table)
    rounding = ROUGH * unit * max(abs(value), longest)
    if noise < longest / ROUGH**2:
        # What is small against the changes of f is noise, and no turn between two numbers of x.
        rounding = max(rounding, ROUGH / 4 * noise)
    seen = kinks.stands_out(table, rounding)
    straight = kinks.resolves(table, rounding) and kinks.is_straight(table, finest, rounding)
    if seen and straight and (power == CENTRAL or kinks.settles(table)):
        return slope
    # That such steps agree with a gradient speaks for it; that they do not speaks for nothing.
    reason = slope.reason
    if abs(slope.excess) > 2 * slope.error:
        reason = InconclusiveReason.RESOLUTION if seen else InconclusiveReason.NOISE
    return replace(slope, reason=reason, may_fail=False)


def screen(samples: Samples, value: float, noise: float, unit: float, like: Slope) -> Slope:
    """Judge a single step by the truncation that a similar direction showed at it."""
    central = rows(samples, value, noise, unit)
    if not central:
        return NOTHING
    row = central[0]
    steepest = max(abs(row.right + row.predicted), abs(row.left + row.predicted))
    rung = Rung(row.step, row.excess + row.predicted, row.excess + row.predicted, row.blur)
    error = row.blur / 2 + 4 * like.truncation
    return Slope(
        row.excess, error, row.predicted, row.step, like.truncation, row.blur,
        steepest, None, False, (rung,),
    )  # fmt: skip


def repeat(
    samples: Samples, value: float, noise: float, unit: float, *, finest: float, like: Slope
) -> Slope:
    """Extrapolate from the steps that served a similar direction best, as was done there.

    The bar is at least that of the other direction, in which all finer steps had a veto. Of the
    noise half the blur is taken into an error, here as in `judge`: the bar is twice the error.
    """
    slope = judge(samples, value, noise, unit, finest)
    table = rows(samples, value, noise, unit)
    if slope.reason is not None or len(table) < len(like.used):
        return slope
    deepest = _candidates(table, 2)[-1]
    error = max(deepest.error, like.error)
    return replace(slope, excess=deepest.excess, error=error, may_fail=False)


@dataclass(frozen=True)
class _Candidate:
    excess: float
    error: float
    row: int
    depth: int


def _limit(table: Sequence[Row], power: int) -> Slope:
    candidates = _candidates(table, power)
    best = min(candidates, key=lambda c: c.error)
    others = [c for c in candidates if c.row != best.row and math.isfinite(c.error)]
    if others:
        # Two rows that agree by accident have a tiny bar; the next best row must agree as well.
        other = min(others, key=lambda c: c.error)
        apart = abs(best.excess - other.excess)
        best = replace(best, error=max(best.error, apart))
    bend = kinks.classify(table)
    reason = bend.reason
    if reason is InconclusiveReason.KINK and not bend.between:
        # Extrapolation supposes a smooth function; of a kink, half a second difference is left.
        finest = range(kinks.finest_visible(table), len(table))
        k = min(finest, key=lambda k: table[k].gap / 2 + table[k].blur)
        error = table[k].gap / 2 + table[k].blur
        best = _Candidate(table[k].excess, error, k, 0)
    offs = [
        abs(row.excess - best.excess)
        if k == 0
        else max(
            abs(row.excess - best.excess),
            abs(table[k - 1].excess - best.excess) * row.step / table[k - 1].step,
        )
        for k, row in enumerate(table)
    ]
    single = min(range(len(table)), key=lambda k: table[k].blur + 4 * offs[k])
    return Slope(
        excess=best.excess,
        error=best.error,
        predicted=table[best.row].predicted,
        step=table[single].step,
        truncation=offs[single],
        blur=table[single].blur,
        # Beyond the noise of a one-sided difference, of which fine steps show nothing else.
        steepest=max(
            max(0.0, abs(s + r.predicted) - 2 * r.blur) for r in table for s in (r.right, r.left)
        ),
        reason=reason,
        may_fail=reason is None
        and (power == 1 or kinks.no_kink_explains(table, best.row))
        and kinks.converges(table, best.excess, power),
        rungs=_rungs(table, candidates),
        used=tuple(row.step for row in table[best.row - best.depth : best.row + 1]),
        bend=bend,
    )


def _candidates(table: Sequence[Row], power: int) -> list[_Candidate]:
    """Extrapolate to step 0 (Richardson), the noise carried along, and let finer steps object."""
    candidates = []
    above: list[tuple[float, float]] = []
    for k, row in enumerate(table):
        line = [(row.excess, row.blur)]
        errors = [abs(row.excess - above[0][0]) + row.blur / 2 if above else math.inf]
        for j in range(1, min(k, DEEPEST) + 1):
            ratio = (table[k - j].step / row.step) ** power
            (same, same_blur), (coarser, coarser_blur) = line[j - 1], above[j - 1]
            limit = (ratio * same - coarser) / (ratio - 1)
            blur = (ratio * same_blur + coarser_blur) / (ratio - 1)
            errors.append(max(abs(limit - same), abs(limit - coarser) / ratio) + blur / 2)
            line.append((limit, blur))
        for depth, ((limit, _), error) in enumerate(zip(line, errors, strict=True)):
            objection = max(
                (
                    abs(finer.excess - limit)
                    - 2 * abs(row.excess - limit) * (finer.step / row.step) ** power
                    - OBJECTING * finer.blur
                    for finer in table[k + 1 :]
                ),
                default=0.0,
            )
            candidates.append(_Candidate(limit, max(error, objection), k, depth))
        above = line
    return candidates


def _rungs(table: Sequence[Row], candidates: Sequence[_Candidate]) -> tuple[Rung, ...]:
    rungs = []
    for k, row in enumerate(table):
        best = min((c for c in candidates if c.row == k), key=lambda c: c.error)
        slope = row.excess + row.predicted
        rungs.append(Rung(row.step, slope, best.excess + row.predicted, row.blur))
    return tuple(rungs)
