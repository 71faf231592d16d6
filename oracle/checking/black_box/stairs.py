"""Stairs: functions whose values are coarser than their type says.

A float64 value that was computed in float32, printed with eight digits, counted or rounded to a
grid does not change at all over short steps, and then by a whole stair. Over one stair the function
looks flat, to any step and any difference table shorter than it. Only where it does change can be
seen how: by a stair, however short the way, or little by little, as beside a stretch that is flat
indeed, of a rectifier say. Stairs are noise of f: a value may be off by one of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from oracle.checking.black_box import ladder, noise
from oracle.checking.black_box.conversation import Evaluation, TensorSpec
from oracle.checking.black_box.differences import usable
from oracle.checking.black_box.ladder import Line
from oracle.checking.black_box.session import Session, Steps

WITHIN = 8
"""Parts into which each look divides the way between the last value like f(x) and the next."""
LOOKS = 3
"""Such looks: they leave 1/512 of the way."""
SUDDEN = 16.0
"""Times that a stair is higher than f rises elsewhere over so short a way. Beside a flat stretch f
rises by no more than it does elsewhere; a stair that is taken all over the way, by 512 times."""
WIDER = 8.0
"""Ratio of the spacings of difference tables, that are taken until each has many stairs in it."""
TABLES = 8
"""Of these: from a stair of one entry to many of all, with thousands of entries."""
ROUNDINGS = 32.0
"""Unit roundoffs that no stair is lower than: 16 neighbouring numbers, where the type of the values
is coarser than that of f by four binary digits or more."""
GROWN = 1.5
CALM = 2
"""Noise that grows by less than `GROWN`, so many times from one spacing to the next, is all there:
stairs of many entries add up like a random walk, and would grow by 8."""


def measure(session: Session, line: Line, spec: TensorSpec) -> Steps[None]:
    """Find stairs along a line on which f was evaluated, and count them to its noise.

    Parameters
    ----------
    session : Session
        Knows the values along the line, is told the noise, and asks for some forty more values
        where f is flat around x and not further away.
    line : Line
        A direction over a whole tensor, or a part of it.
    spec : TensorSpec
        The tensor.
    """
    for side in (1.0, -1.0):
        values = session.values(line, side)
        bounds = _edge(session, values)
        if bounds is None:
            continue
        flat, edge = bounds
        rise = max(abs(a.value - session.value) / at for at, a in values.items() if at >= edge)
        for _ in range(LOOKS):
            inside = [flat + (edge - flat) * k / WITHIN for k in range(1, WITHIN)]
            if not session.affords(len(inside)):
                return
            values |= yield from _ask(session, line, side, inside)
            edge = min(at for at, a in values.items() if a.value != session.value)
            flat = max(at for at in values if at < edge)
        height = abs(values[edge].value - session.value)
        if _is_seen(session, height) and height > SUDDEN * rise * (edge - flat):
            # One stair is four of the deviations that are four to the noise of a value. Where x is
            # rounded, stairs are higher where f is steeper, and there are steps as far as that.
            steeper = max(1.0, rise * edge / height)
            level = yield from _many(session, line, spec, side * edge)
            session.stairs = max(session.stairs, steeper * max(level, height / 4))
            session.widest_stair = max(session.widest_stair, (flat, height))
            return


def _edge(session: Session, values: Mapping[float, Evaluation]) -> tuple[float, float] | None:
    """Return the longest step at which f is still f(x), and the next, where it is not."""
    moved = [at for at, answer in values.items() if answer.value != session.value]
    edge = min(moved, default=0.0)
    flat = max((at for at in values if at < edge), default=0.0)
    seen = flat > 0 and _is_seen(session, values[edge].value - session.value)
    return (flat, edge) if seen else None


def _is_seen(session: Session, change: float) -> bool:
    """Tell whether a change is more than that of the rounding, by which values are equal or not."""
    return abs(change) > max(session.noise, ROUNDINGS * session.unit * abs(session.value))


def _many(session: Session, line: Line, spec: TensorSpec, spacing: float) -> Steps[float]:
    """Return the noise of many stairs: those of several entries, or operations, add up."""
    level, calm = 0.0, 0
    for _ in range(TABLES):
        longest = noise.POINTS * abs(spacing)
        if longest > ladder.size(spec) or not session.affords(noise.POINTS):
            break
        side = math.copysign(1.0, spacing)
        steps = [k * abs(spacing) for k in range(1, noise.POINTS + 1)]
        answers = yield from _ask(session, line, side, steps)
        if len(answers) == noise.POINTS:
            found = [answers[at] for at in steps]
            here = noise.level([a.value - a.predicted for a in found])
            grown = here > GROWN * level or noise.is_flat([a.value for a in found])
            calm = 0 if grown else calm + 1
            level = max(level, here)
            if calm == CALM:
                break
        spacing *= WIDER
    return level


def _ask(
    session: Session, line: Line, side: float, steps: list[float]
) -> Steps[dict[float, Evaluation]]:
    """Return the values that there are, by their distance from x."""
    probes = [line.probe(side * at) for at in steps]
    answers = yield from session.ask(probes, "stairs")
    found = {at: a for at, a in zip(steps, answers, strict=True) if usable(a)}
    session.keep(line, side, found)
    return found
