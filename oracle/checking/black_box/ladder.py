"""What one direction shows: differences over a ladder of steps, their limit and its error bar.

Measured is the excess e(h) = ([f(x+hd) - f(x-hd)] - <g, (x+hd) - (x-hd)>) / 2h, with the points
that the dtype really holds; it tends to 0 for a correct gradient. Coarse steps may agree with each
other and be wrong, so every finer step has a veto. Bars are estimates, not proofs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oracle.checking.black_box.conversation import Evaluation, Probe, TensorSpec
from oracle.checking.black_box.noise import unit_roundoff
from oracle.findings import InconclusiveReason
from oracle.values import Rung

RATIO = 4.0
"""Of a step to the next finer one, in float64."""
DENSE_RATIO = 2.0
"""The same in float32, where the best step lies between the coarsest of these."""
SPARSE_RATIO = 16.0
"""Of the steps below the dense ones, which only keep watch over them."""
VISIBLE = 8.0
"""A second difference above this many blurs is believed; its own noise is at most 4 of them."""
DEEPEST = 3
"""Columns of Richardson extrapolation; more only amplify the noise."""


@dataclass(frozen=True)
class Line:
    """A direction: the signs of `seed` on the flat entries begin <= i < end of a tensor."""

    tensor: int
    begin: int
    end: int
    seed: int

    def probes(self, steps: Sequence[float]) -> list[Probe]:
        """Return the probes above and below x for each step."""
        return [
            Probe(self.tensor, self.begin, self.end, self.seed, side * step)
            for step in steps
            for side in (1.0, -1.0)
        ]


Samples = Mapping[float, tuple[Evaluation, Evaluation]]
"""By step: the evaluations above and below x."""


@dataclass(frozen=True)
class Row:
    """The differences of one step; `blur` is what noise may do to `excess`.

    `right` and `left` are the excesses of the one-sided differences, `gap` is their distance.
    """

    step: float
    excess: float
    predicted: float
    blur: float
    gap: float
    right: float
    left: float


@dataclass(frozen=True)
class Slope:
    """The limit of the excess along one direction, its error bar, and what else the ladder shows.

    `step` is the best step for a single difference in a similar direction, `truncation` and `blur`
    what it is off by there; `steepest` the largest secant slope. `may_fail` tells that no kink can
    explain the excess.
    """

    excess: float
    error: float
    predicted: float
    step: float
    truncation: float
    blur: float
    steepest: float
    reason: InconclusiveReason | None
    subgradient: bool
    may_fail: bool
    rungs: tuple[Rung, ...]

    @property
    def flat(self) -> bool:
        """Tell whether f is constant as far as was measured, and no slope is predicted."""
        return bool(self.rungs) and self.steepest == 0 == self.predicted

    @property
    def measured(self) -> float:
        """Return the slope of f itself."""
        return self.predicted + self.excess


NOTHING = Slope(
    0.0, math.inf, 0.0, 0.0, math.inf, math.inf, 0.0, InconclusiveReason.DOMAIN, False, False, ()
)  # fmt: skip


def smallest_step(spec: TensorSpec) -> float:
    """Return the finest step that the type of a tensor resolves in all of its entries."""
    return 8 * unit_roundoff(spec.dtype) * max(spec.largest, 1e-30)


def steps(spec: TensorSpec, value_dtype: str, *, factor: float = 1.0) -> list[float]:
    """Return a ladder of steps for directions over a whole tensor, the coarsest first.

    A move of all n entries by h has the length h sqrt(n); the first step shrinks with n^(1/4), half
    way between independent entries and entries that all add up. In float64 eleven steps reach below
    the best step u^(1/3) of a single difference; in float32 noise leaves only coarse steps of use.
    """
    fine = max(unit_roundoff(value_dtype), unit_roundoff(spec.dtype)) < 1e-12
    start = 0.45 * factor * max(1.0, math.sqrt(spec.mean_square)) / max(1.0, spec.size) ** 0.25
    if fine:
        ladder = [start / RATIO**k for k in range(11)]
    else:
        ladder = [start / DENSE_RATIO**k for k in range(8)]
        ladder += [ladder[-1] / SPARSE_RATIO**k for k in (1, 2)]
    floor = smallest_step(spec)
    return [h for h in ladder if h >= floor] or [4 * floor, floor]


def finer_steps(spec: TensorSpec, last: float, smallest: float) -> list[float]:
    """Return steps that continue a ladder, to look for the end of a kink or of a domain."""
    floor = max(smallest_step(spec), smallest)
    return [h for h in (last / RATIO**k for k in range(1, 17)) if h >= floor]


def rows(samples: Samples, value: float, noise: float, unit: float) -> list[Row]:
    """Return the central differences that could be taken, the coarsest step first."""
    found = []
    for step in sorted(samples, reverse=True):
        above, below = samples[step]
        if not (usable(above) and usable(below)):
            continue
        blur = max(noise, 2 * unit * max(abs(above.value), abs(below.value))) / step
        right = (above.value - value - above.predicted) / step
        left = (value - below.value + below.predicted) / step
        predicted = (above.predicted - below.predicted) / (2 * step)
        gap = abs(above.value - 2 * value + below.value) / step
        found.append(Row(step, (right + left) / 2, predicted, blur, gap, right, left))
    return found


def one_sided_rows(samples: Samples, value: float, noise: float, unit: float) -> list[Row]:
    """Return the differences of the side of x on which f has more values."""
    sides: list[list[Row]] = [[], []]
    for step in sorted(samples, reverse=True):
        for side, answer in enumerate(samples[step]):
            if not usable(answer):
                continue
            signed = -step if side else step
            excess = (answer.value - value - answer.predicted) / signed
            blur = 2 * max(noise, 2 * unit * abs(answer.value)) / step
            predicted = answer.predicted / signed
            sides[side].append(Row(step, excess, predicted, blur, 0.0, excess, excess))
    return max(sides, key=len)


def usable(answer: Evaluation) -> bool:
    """Tell whether an evaluation moved x and has a value."""
    finite = math.isfinite(answer.value) and math.isfinite(answer.predicted)
    return finite and not answer.outside and answer.moved > 0


def judge(samples: Samples, value: float, noise: float, unit: float) -> Slope:
    """Return the limit of the excess for vanishing steps.

    Parameters
    ----------
    samples : mapping of step to evaluations
        The ladder.
    value, noise : float
        f(x), and what a value of f may be off by.
    unit : float
        Unit roundoff of the values of f.

    Returns
    -------
    Slope
        `NOTHING` where f has too few values.
    """
    central = rows(samples, value, noise, unit)
    if len(central) >= 2:
        return _limit(central, 2)
    side = one_sided_rows(samples, value, noise, unit)
    return _limit(side, 1) if len(side) >= 3 else NOTHING


def screen(samples: Samples, value: float, noise: float, unit: float, like: Slope) -> Slope:
    """Judge a single step by the truncation that a similar direction showed at it."""
    central = rows(samples, value, noise, unit)
    if not central:
        return NOTHING
    row = central[0]
    steepest = max(abs(row.right + row.predicted), abs(row.left + row.predicted))
    rung = Rung(row.step, row.excess + row.predicted, row.excess + row.predicted, row.blur)
    error = row.blur + 4 * like.truncation
    return Slope(
        row.excess, error, row.predicted, row.step, like.truncation, row.blur,
        steepest, None, False, False, (rung,),
    )  # fmt: skip


@dataclass(frozen=True)
class _Candidate:
    excess: float
    error: float
    row: int


def _limit(table: Sequence[Row], power: int) -> Slope:
    candidates = _candidates(table, power)
    best = min(candidates, key=lambda c: c.error)
    others = [c for c in candidates if c.row != best.row and math.isfinite(c.error)]
    if others:
        # Two rows that agree by accident have a tiny bar; the next best row must agree as well.
        other = min(others, key=lambda c: c.error)
        best = _Candidate(best.excess, max(best.error, abs(best.excess - other.excess)), best.row)
    reason, subgradient = _kink(table)
    if reason is InconclusiveReason.KINK and not subgradient:
        # Extrapolation supposes a smooth function; of a kink, half a second difference is left.
        finest = range(_finest_visible(table), len(table))
        k = min(finest, key=lambda k: table[k].gap / 2 + table[k].blur)
        best = _Candidate(table[k].excess, table[k].gap / 2 + table[k].blur, k)
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
        steepest=max(abs(s + r.predicted) for r in table for s in (r.right, r.left)),
        reason=reason,
        subgradient=subgradient,
        may_fail=reason is None
        and (power == 1 or _no_kink_explains(table, best.row))
        and _converges(table, best.excess, power),
        rungs=_rungs(table, candidates),
    )


def _candidates(table: Sequence[Row], power: int) -> list[_Candidate]:
    """Extrapolate to step 0 (Richardson), the noise carried along, and let finer steps object."""
    candidates = []
    above: list[tuple[float, float]] = []
    for k, row in enumerate(table):
        line = [(row.excess, row.blur)]
        errors = [abs(row.excess - above[0][0]) + row.blur if above else math.inf]
        for j in range(1, min(k, DEEPEST) + 1):
            ratio = (table[k - j].step / row.step) ** power
            (same, same_blur), (coarser, coarser_blur) = line[j - 1], above[j - 1]
            limit = (ratio * same - coarser) / (ratio - 1)
            blur = (ratio * same_blur + coarser_blur) / (ratio - 1)
            errors.append(max(abs(limit - same), abs(limit - coarser) / ratio) + blur)
            line.append((limit, blur))
        for (limit, _), error in zip(line, errors, strict=True):
            objection = max(
                (
                    abs(finer.excess - limit)
                    - 2 * abs(row.excess - limit) * (finer.step / row.step) ** power
                    - finer.blur
                    for finer in table[k + 1 :]
                ),
                default=0.0,
            )
            candidates.append(_Candidate(limit, max(error, objection), k))
        above = line
    return candidates


def _rungs(table: Sequence[Row], candidates: Sequence[_Candidate]) -> tuple[Rung, ...]:
    rungs = []
    for k, row in enumerate(table):
        best = min((c for c in candidates if c.row == k), key=lambda c: c.error)
        slope = row.excess + row.predicted
        rungs.append(Rung(row.step, slope, best.excess + row.predicted, row.blur))
    return tuple(rungs)


def _finest_visible(table: Sequence[Row]) -> int:
    """Return the finest row whose second difference and that of the row above are seen, or 0."""
    seen = [row.gap > VISIBLE * row.blur for row in table]
    return max((k for k in range(1, len(table)) if seen[k - 1] and seen[k]), default=0)


def _order(table: Sequence[Row], k: int) -> float:
    """Return p where the second difference over the step falls like h^p: 1 if f is smooth."""
    return math.log(table[k - 1].gap / table[k].gap) / math.log(table[k - 1].step / table[k].step)


def _kink(table: Sequence[Row]) -> tuple[InconclusiveReason | None, bool]:
    """Tell a kink (gap constant) and a jump (gap like 1/h) from a smooth function (gap like h)."""
    k = _finest_visible(table)
    if k == 0:
        return None, False
    row = table[k]
    # The noise of a second difference is at most 4 blurs.
    if any(finer.gap + 4 * finer.blur < row.gap / 3 for finer in table[k + 1 :]):
        return None, False
    order = _order(table, k)
    if order < -0.5:
        steady = k > 1 and table[k - 2].gap > 0 and _order(table, k - 1) < -0.5
        return (InconclusiveReason.JUMP if steady else None), False
    if order >= 0.5:
        return None, False
    low, high = sorted((row.right, row.left))
    between = low - 2 * row.blur <= 0 <= high + 2 * row.blur
    return InconclusiveReason.KINK, between and _kink_is_at_x(table[k - 1], row)


def _kink_is_at_x(coarse: Row, fine: Row) -> bool:
    """Tell whether the values cannot distinguish x from the place of the kink.

    Beside a kink at the distance d, where the slope jumps by J, the second difference is J (h - d).
    The line through two of them meets h = 0 at -J d, where noise leaves it 7 blurs of the values.
    """
    high, low = coarse.gap * coarse.step, fine.gap * fine.step
    width = coarse.step - fine.step
    offset = abs(low * coarse.step - high * fine.step) / width
    noise = 4 * fine.blur * fine.step * (coarse.step + fine.step) / width
    return offset <= noise


def _no_kink_explains(table: Sequence[Row], chosen: int) -> bool:
    """Tell whether the excess is seen on both sides of x, or f is seen to be smooth.

    A kink beside x spoils the differences of one side only: on the other a correct gradient agrees.
    """
    both = any(
        row.right * row.left > 0 and min(abs(row.right), abs(row.left)) > 4 * row.blur
        for row in table[chosen:]
    )
    k = _finest_visible(table)
    return both or (k >= chosen and k > 0 and 0.7 < _order(table, k) < 1.5)


def _converges(table: Sequence[Row], limit: float, power: int) -> bool:
    """Tell whether the excess approaches its limit as that of a smooth function does.

    Kinks of opposite sense on both sides of x can move both one-sided slopes alike, at all steps
    above their distance. Then the excess wanders where it should approach its limit like h^power,
    and only a limit well beyond the wandering, or one that holds over far finer steps, is believed.
    """
    offs = [abs(row.excess - limit) for row in table]
    seen = [k for k, row in enumerate(table) if offs[k] > 4 * row.blur]
    if not seen:
        return True
    quiet = [row.step for row in table[seen[-1] + 1 :] if 8 * row.blur < abs(limit)]
    if quiet and quiet[0] >= 60 * quiet[-1]:
        return True
    orders = sorted(
        math.log(offs[k - 1] / offs[k]) / math.log(table[k - 1].step / table[k].step)
        for k in seen
        if k - 1 in seen[-4:]
    )
    if not orders or orders[(len(orders) - 1) // 2] >= 0.7 * power:
        return True
    reach = 64 * table[seen[-1]].step
    return abs(limit) > 4 * max(offs[k] for k in seen if table[k].step <= reach)
