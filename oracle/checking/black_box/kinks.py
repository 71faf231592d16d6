"""Kinks and jumps: how second differences over the step tell them from a smooth function."""

from __future__ import annotations

import math
from collections.abc import Sequence

from oracle.checking.black_box.differences import Row
from oracle.findings import InconclusiveReason

VISIBLE = 8.0
"""A second difference above this many blurs is believed; its own noise is at most 4 of them."""

CUSP = 0.25
"""Of a kink the second difference over the step is the same at all steps. Where it grows faster
than by this power, as that of sqrt |x|, the one-sided slopes are infinite: none lies between."""
NEAR, FAR = 8.0, 64.0
"""Times of a step, over which a function of any slope changes by more than twice as much."""
BENT = 4.0
"""Of a change over one step, the part that is its second difference where f turns within four."""
STILL = 2.0
"""Noises below which the largest change of f is one of them."""


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


def classify(table: Sequence[Row]) -> tuple[InconclusiveReason | None, bool]:
    """Tell a kink (gap constant) and a jump (gap like 1/h) from a smooth function (gap like h)."""
    k = finest_visible(table)
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
    if order < -CUSP:
        return InconclusiveReason.KINK, False
    between = low - 2 * row.blur <= 0 <= high + 2 * row.blur
    return InconclusiveReason.KINK, between and _kink_is_at_x(table[k - 1], row)


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


def resolves(table: Sequence[Row], rounding: float) -> bool:
    """Tell whether the steps are fine enough to show the slope of f.

    Where the numbers of x lie further apart than f bends, f changes over the finest steps by as
    much as over all others. Nothing is said of changes within `rounding`, or where there are none.
    """
    changes = [row.change for row in table]
    noise = max(row.blur * row.step for row in table)
    if noise > rounding and max(changes) <= STILL * noise:
        return False
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
