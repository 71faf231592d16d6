"""Kinks and jumps: how second differences over the step tell them from a smooth function."""

from __future__ import annotations

import itertools
import math
import operator
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from oracle.checking.black_box.differences import Row
from oracle.findings import InconclusiveReason

VISIBLE = 8.0
"""A second difference above this many blurs is believed; its own noise is at most 4 of them."""

SAME = 4.0
"""Part of a second difference by which it may differ from that of the same kink at another step."""
CUSP = 0.25
"""Of a kink the second difference over the step is the same at all steps. Where it grows faster
than by this power, as that of sqrt |x|, the one-sided slopes are infinite: none lies between."""
LEAP = 0.75
"""Of a jump it grows like 1/h; half way to the cusp of a square root, which grows like h^-1/2."""
NEAR, FAR = 8.0, 64.0
"""Times of a step, over which a function of any slope changes by more than twice as much."""
BENT = 4.0
"""Of a change over one step, the part that is its second difference where f turns within four."""
FINEST = 4
"""Moves of one-sided differences that tell whether these come to rest."""
STILL = 16.0
"""Noises below which the largest change of f may be made of them: where f turns faster than x has
numbers, what looks like noise is f itself."""


def finest_visible(table: Sequence[Row]) -> int:
    """Return the finest row whose second difference and that of the row above are seen, or 0."""
    seen = [row.gap > VISIBLE * row.blur for row in table]
    return max((k for k in range(1, len(table)) if seen[k - 1] and seen[k]), default=0)


def _order(table: Sequence[Row], k: int) -> float:
    """Return p where the second difference over the step falls like h^p: 1 if f is smooth."""
    coarse, fine = table[k - 1], table[k]
    if coarse.gap == 0 or fine.gap == 0:
        return math.inf if coarse.gap > 0 else -math.inf
    return _falls(coarse.gap, fine.gap, coarse.step, fine.step)


def _falls(coarse: float, fine: float, coarse_step: float, fine_step: float) -> float:
    """Return p where positive numbers fall like h^p; their ratio may be none, its logarithm is."""
    return (math.log(coarse) - math.log(fine)) / (math.log(coarse_step) - math.log(fine_step))


@dataclass(frozen=True)
class Bend:
    """What the second differences of a ladder show beside a smooth function.

    `at_x` tells that a kink cannot be told from one at x itself, `between` that the excess 0 lies
    between the one-sided ones, and `slack` how far the farther of these is away: a gradient that is
    off by less may lie between as well.
    """

    reason: InconclusiveReason | None = None
    at_x: bool = False
    between: bool = False
    slack: float = 0.0


def classify(table: Sequence[Row]) -> Bend:
    """Tell a kink (gap constant) and a jump (gap like 1/h) from a smooth function (gap like h)."""
    k = finest_visible(table)
    if k == 0:
        return Bend()
    coarse, row = table[k - 1], table[k]
    # The noise of a second difference is at most 4 blurs.
    if any(finer.gap + 4 * finer.blur < row.gap / 3 for finer in table[k + 1 :]):
        return Bend()
    order = _order(table, k)
    if order < -LEAP:
        steady = k > 1 and table[k - 2].gap > 0 and _order(table, k - 1) < -LEAP
        return Bend(InconclusiveReason.JUMP if steady else None)
    if order >= 0.5:
        return Bend()
    if order < -CUSP or not _kink_is_at_x(coarse, row):
        return Bend(InconclusiveReason.KINK)
    (low, low_error), (high, high_error) = _sides(table, k)
    return Bend(
        InconclusiveReason.KINK,
        at_x=True,
        between=low - low_error <= 0 <= high + high_error,
        slack=max(abs(low) + low_error, abs(high) + high_error),
    )


def _sides(table: Sequence[Row], finest: int) -> list[tuple[float, float]]:
    """Return the lower and the higher excess beside a kink at x, each with its error.

    The finest steps show where the kink is, coarser ones of the same jump, with less noise, how the
    slopes are beside it.
    """
    jump = table[finest].gap
    like = [k for k in range(1, finest + 1) if abs(table[k].gap - jump) <= jump / SAME]
    pairs = [(table[k - 1], table[k]) for k in like]
    sides = [
        min(
            (_limit(c.step, c.right, f.step, f.right, f.blur) for c, f in pairs),
            key=operator.itemgetter(1),
        ),
        min(
            (_limit(c.step, c.left, f.step, f.left, f.blur) for c, f in pairs),
            key=operator.itemgetter(1),
        ),
    ]
    return sorted(sides)


def _limit(
    coarse_step: float, coarse: float, fine_step: float, fine: float, blur: float
) -> tuple[float, float]:
    """Return the limit of one-sided excesses, which f's curvature moves in proportion to the step.

    Its error is what the last step added to it, and two blurs, which are eight deviations.
    """
    limit = fine + (fine - coarse) * fine_step / (coarse_step - fine_step)
    return limit, abs(limit - fine) + 2 * blur


def _kink_is_at_x(coarse: Row, fine: Row) -> bool:
    """Tell whether the values cannot distinguish x from the place of the kink.

    Beside a kink at the distance d, where the slope jumps by J, the second difference is J (h - d).
    The line through two of them meets h = 0 at -J d. Two blurs of the values, times the lengthening
    of the line, are four standard deviations of the noise there.
    """
    high, low = coarse.gap * coarse.step, fine.gap * fine.step
    width = coarse.step - fine.step
    offset = abs(low * coarse.step - high * fine.step) / width
    noise = 2 * fine.blur * fine.step * (coarse.step + fine.step) / width
    return offset <= noise


def no_kink_explains(table: Sequence[Row], chosen: int) -> bool:
    """Tell whether the excess is seen on both sides of x, or f is seen to be smooth.

    A kink beside x spoils the differences of one side only: on the other a correct gradient agrees.
    """
    both = any(
        row.right * row.left > 0 and min(abs(row.right), abs(row.left)) > 4 * row.blur
        for row in table[chosen:]
    )
    k = finest_visible(table)
    if both or k == 0 or k < chosen:
        return both
    # Of many kinks two neighbouring steps may look smooth by chance: all from the chosen one on.
    orders = [_order(table, n) for n in range(max(1, min(chosen + 1, k)), k + 1)]
    return all(0.7 < order < 1.5 for order in orders)


def converges(table: Sequence[Row], limit: float, power: int) -> bool:
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
        _falls(offs[k - 1], offs[k], table[k - 1].step, table[k].step)
        for k in seen
        if k - 1 in seen[-4:]
    )
    if not orders or orders[(len(orders) - 1) // 2] >= 0.7 * power:
        return True
    reach = 64 * table[seen[-1]].step
    return abs(limit) > 4 * max(offs[k] for k in seen if table[k].step <= reach)


def settles(table: Sequence[Row]) -> bool:
    """Tell whether one-sided differences come to rest as the steps shrink.

    From step to step those of a smooth side move by less and less, in proportion to h; those of an
    infinite slope move by as much each time, as the logarithm does, or by more.
    """
    pairs = itertools.pairwise(table)
    moves = [(fine.step, abs(fine.excess - coarse.excess), fine.blur) for coarse, fine in pairs]
    orders = [
        _falls(wide, narrow, coarse, fine)
        for (coarse, wide, _), (fine, narrow, blur) in itertools.pairwise(moves)
        if min(wide, narrow) > 4 * blur
    ][-FINEST:]
    return not orders or statistics.median(orders) >= CUSP


def stands_out(table: Sequence[Row], rounding: float) -> bool:
    """Tell whether f changes by more than noise does, unless that is its rounding."""
    noise = max(row.blur * row.step for row in table)
    return noise <= rounding or max(row.change for row in table) > STILL * noise


def resolves(table: Sequence[Row], rounding: float) -> bool:
    """Tell whether the steps are fine enough to show the slope of f.

    Where the numbers of x lie further apart than f bends, f changes over the finest steps by as
    much as over all others. Nothing is said of changes within `rounding`, or where there are none.
    """
    changes = [row.change for row in table]
    seen = [k for k, row in enumerate(table) if changes[k] > max(4 * row.blur * row.step, rounding)]
    if not seen:
        return True
    k = seen[-1]
    coarser = [
        changes[j] for j, row in enumerate(table[:k]) if NEAR <= row.step / table[k].step <= FAR
    ]
    return not coarser or changes[k] < max(coarser) / 2


def is_straight(table: Sequence[Row], spacing: float, rounding: float) -> bool:
    """Tell whether f is straight over one or two numbers of x, as far as these were measured.

    An f that bends by a part of its change there may do anything between two numbers.
    """
    fine = [row for row in table if row.step <= 2 * spacing and row.change > rounding]
    slopes = [row.excess + row.predicted for row in fine]
    turns = any(
        abs(slope - other) * row.step > max(rounding, row.change / BENT)
        for row, slope in zip(fine, slopes, strict=True)
        for other in slopes
    )
    return not turns and all(row.gap * row.step <= row.change / BENT for row in fine)
