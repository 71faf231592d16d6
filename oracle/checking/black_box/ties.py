"""Kinks at x itself that cancel in a whole direction: they would condemn a right gradient.

A rectifier at 0 takes its slope on one side of x alone. Where many entries of a tensor have one, as
the biases of units whose inputs are all 0, the slopes of one direction on both sides are sums over
half of the entries each. The sums may agree, and then nothing in that direction tells them from a
smooth function whose gradient is another one. Parts of the direction tell.
"""

from __future__ import annotations

from oracle.checking.black_box import differences
from oracle.checking.black_box.differences import Row
from oracle.checking.black_box.ladder import Line
from oracle.checking.black_box.session import Session, Steps

VISIBLE = 2.0
"""Blurs of which neither the excess nor the second difference of a part is noise: a blur is four
deviations of a value, and a second difference has the deviation of two and a half values."""
TELLING = 0.5
"""A second difference above this share of the excess may be all that there is to the excess."""
STRAIGHTER = 2.5
"""Of a smooth function it falls by 4 where the step does, here by less."""
STEADY = 0.5
"""Share of it that a kink at x shows at the coarser step as well: noise is a quarter there."""
CERTAIN = 8.0
"""Blurs below which noise bends the ratio of two second differences: those of steps that are
coarser by `RATIO` are compared instead."""
RATIO = 4.0


def found(session: Session, line: Line, step: float) -> Steps[bool]:
    """Tell whether parts of a line show a kink at x that the whole line hides.

    Halving follows the larger excess, as long as it is seen. An error of the gradient bends
    nothing, so that the second differences of its parts are those of a smooth function.

    Parameters
    ----------
    session : Session
        Asks for the parts.
    line : Line
        A direction that fails.
    step : float
        At which its excess is seen.

    Returns
    -------
    bool
        False also where the evaluations allowed do not suffice for all parts.
    """
    while halves := line.halves():
        if not session.affords(8):
            return False
        yield from session.measure({half: [step] for half in halves}, "parts of a direction")
        parts = {half: row for half in halves if (row := _row(session, half, step))}
        largest = max((abs(row.excess) for row in parts.values()), default=0.0)
        bent = [
            half
            for half, row in parts.items()
            if row.gap > max(TELLING * largest, VISIBLE * row.blur)
        ]
        finer = {
            half: step if parts[half].gap > CERTAIN * parts[half].blur else RATIO * step
            for half in bent
        }
        wanted = {half: [h, RATIO * h] for half, h in finer.items()}
        yield from session.measure(wanted, "parts of a direction")
        if any(_is_kink(session, half, h) for half, h in finer.items()):
            return True
        seen = [half for half, row in parts.items() if abs(row.excess) == largest]
        if not seen or largest < VISIBLE * parts[seen[0]].blur:
            return False
        line = seen[0]
    return False


def _is_kink(session: Session, half: Line, step: float) -> bool:
    """Tell whether the second difference over the step hardly changes with the step."""
    fine, coarse = _row(session, half, step), _row(session, half, RATIO * step)
    if fine is None or coarse is None:
        return False
    return STEADY * fine.gap < coarse.gap < STRAIGHTER * fine.gap


def _row(session: Session, line: Line, step: float) -> Row | None:
    samples = {step: session.samples[line][step]}
    table = differences.rows(samples, session.value, session.noise, session.unit)
    return table[0] if table else None
