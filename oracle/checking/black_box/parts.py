"""Tensors judged in parts, where directions over all of their entries leave too much open.

A direction over m entries that crosses kinks is spoiled, at the step that serves it best, in
proportion to sqrt(m): the kinks that it crosses are as many as the inputs of the units move, h
sqrt(m), each adds a jump of sqrt(m), and so a part of m / B entries has its best step at h sqrt(B)
and a bar that is narrower by as much. An error in one entry shows in one part at its full weight.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from oracle.checking.black_box import crowd
from oracle.checking.black_box.ladder import Line, Slope
from oracle.checking.black_box.session import Session, Steps
from oracle.checking.black_box.subject import Subject
from oracle.findings import InconclusiveReason

SPARE = 1.25
"""Directions of a part for each that is needed: those that meet most kinks are left out."""
FARTHEST = 3.0
"""Bars, of two deviations each, that the directions of all parts lie within for a narrower limit:
of hundreds of directions, each of which crosses few kinks, the farthest of a correct gradient is
farther away than of two dozen."""
CONTRADICTING = 1 / 8
"""Share of the directions of a part that, lying farther away, take back a pass: of an error, 3/16
show it in full at least. Kinks near x that cancel in every second difference do the same, so that
only ladders may fail a tensor. Of fewer directions the limit stays what it was."""
LADDERS = 6
"""Directions of a part that get ladders: two that fail are enough."""
RESERVE = 1_600
"""Evaluations that are left for these, of 30 each, and to locate what is wrong: of the 2,000 that
are allowed by default 400 are for a gradient that agrees. Who allows more gets narrower limits."""
FEWEST = 2
"""Parts, less than which are none."""
MOST = 64
"""Parts of one tensor."""


def judge(
    session: Session, subjects: Sequence[Subject], directions: int
) -> Steps[list[tuple[Subject, Subject]]]:
    """Judge the parts of tensors that passed with a limit that says little, or did not pass.

    Parameters
    ----------
    session : Session
        Asks for the directions of all parts.
    subjects : sequence of Subject
        Tensors whose directions were looked at together.
    directions : int
        How many of them make a miss as improbable as was asked for.

    Returns
    -------
    list of (Subject, Subject)
        Tensors that a part contradicts, each with that part alone.
    """
    odd_parts = []
    for subject in subjects:
        count = _count(session, subject, directions)
        step = statistics.median(slope.step for slope in subject.slopes.values())
        if count < FEWEST or step <= 0 or not subject.indexed:
            continue
        size, seed = subject.spec.size, session.task.seed + 2
        bounds = [size * k // count for k in range(count + 1)]
        groups = [
            [Line(subject.index, a, b, seed + n) for n in range(math.ceil(SPARE * directions))]
            for a, b in itertools.pairwise(bounds)
        ]
        step = crowd.within(subject, step * math.sqrt(count))
        lines = [line for group in groups for line in group]
        yield from session.measure({line: [step] for line in lines}, "parts of a tensor")
        looks = [crowd.Look(session, subject, step, group) for group in groups]
        odd = max(looks, key=_beyond)
        if _beyond(odd) > CONTRADICTING * len(odd.shares):
            odd_parts.append((subject, _opened(subject, odd)))
        elif not subject.open_lines() and all(
            look.agrees(FARTHEST) and len(look.clear) >= directions for look in looks
        ):
            _narrow(subject, [look.slopes(directions) for look in looks])
    return odd_parts


def _narrow(subject: Subject, parts: Sequence[Mapping[Line, Slope]]) -> None:
    """Let the directions of the parts stand for those of the tensor, if their limit is lower."""
    slopes = {line: slope for part in parts for line, slope in part.items()}
    narrower = replace(subject, crowd=True, farthest=FARTHEST, lines=list(slopes), slopes=slopes)
    if narrower.limit < subject.limit:
        subject.crowd, subject.farthest = True, FARTHEST
        subject.lines, subject.slopes = narrower.lines, narrower.slopes


def _count(session: Session, subject: Subject, directions: int) -> int:
    """Return in how many parts a limit is low enough, as far as the evaluations allow."""
    each = 2 * math.ceil(SPARE * directions)
    affordable = max(0, session.left - RESERVE) // each
    wider = (1 + FARTHEST) / (1 + subject.farthest)
    wanted = 1 + min(wider * subject.limit, math.sqrt(MOST)) ** 2
    return int(min(wanted, affordable, subject.spec.size // crowd.FEWEST_ENTRIES))


def _beyond(look: crowd.Look) -> int:
    """Return how many directions lie farther from the gradient than those of a correct one may."""
    return sum(share > FARTHEST for share in look.shares)


def _opened(subject: Subject, look: crowd.Look) -> Subject:
    """Return a tensor with the directions of one part, the farthest first, all of them open."""
    slopes = look.slopes(len(look.clear))
    farthest = sorted(slopes, key=lambda line: -abs(slopes[line].excess))[:LADDERS]
    opened = {line: replace(slopes[line], reason=InconclusiveReason.KINK) for line in farthest}
    return replace(subject, crowd=False, lines=farthest, slopes=opened)
