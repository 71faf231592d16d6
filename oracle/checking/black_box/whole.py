"""Many tensors at once: directions that run over all of them, each tensor scaled to its own size.

One tensor costs some seventy evaluations, and so do a hundred tensors in common directions: an
error of any of them shows there. Tensors that their share of the common bar settles are done. Where
the directions fail, they are halved to the tensors that hold the error, and what is left is judged
again without these; where they stay open, or say too little, fewer tensors are judged together.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from oracle.checking.black_box import causes, kinks, ladder, location, noise, settling
from oracle.checking.black_box.conversation import Part, Selection, TensorSpec
from oracle.checking.black_box.ladder import Line
from oracle.checking.black_box.session import Session, Steps
from oracle.checking.black_box.subject import FAILING, Member, Subject
from oracle.values import Finding

MANY = 6
"""Tensors up to which each has directions of its own: what 400 evaluations suffice for."""
EACH = 70
"""Evaluations that settle one tensor, or many at once."""
WEAKEST = 2.0**-10
"""Of the weight of a tensor, relative to its size: one that rules f is moved by less."""
WITNESSES = 4
"""Directions in which halves are looked at: an error hides in one of two with probability 1/2."""
SEARCHING = 600
"""Evaluations after which tensors that are wrong are no longer looked for one by one."""
BENT = 0.5
"""Share of a second difference over the step that is left at a quarter of it: of a smooth f 1/4, of
a kink at x all."""
SINGLED_OUT = 8
"""Tensors that are wrong and get directions of their own, to be explained."""


@dataclass
class Found:
    """What became of many tensors: a subject for each, and what is the matter with all of them."""

    subjects: list[Subject]
    common: list[Finding]


def judge(session: Session, subjects: Sequence[Subject]) -> Steps[Found]:
    """Settle many tensors.

    Parameters
    ----------
    session : Session
        Asks for the directions.
    subjects : sequence of Subject
        The tensors, none of them measured yet.

    Returns
    -------
    Found
        One subject for each tensor, in their order.
    """
    settling.set_scales(session, subjects)
    settled: dict[int, Subject] = {}
    waiting = deque([list(subjects)])
    while waiting and session.affords(EACH):
        some = waiting.popleft()
        if len(some) == 1:
            yield from settling.settle(session, some)
            settled[some[0].index] = some[0]
            continue
        whole, weights = _together(session, some)
        yield from settling.settle(session, [whole])
        alone = all(s.spec.gradient_norm < s.scale for s in some)
        members = {s.index: Member.of(s, whole, weights[s.index], alone=alone) for s in some}
        if whole.confirmed:
            common = causes.common_factor(causes.Measured.of(whole, wrong=True))
            if common is not None and len(some) == len(subjects):
                failing = [replace(members[s.index], failed=True, confirmed=True) for s in some]
                return Found(list(failing), [common])
            indices = yield from _wrong(session, whole)
            wrong = [s for s in some if s.index in indices]
            rest = [s for s in some if s not in wrong]
            waiting.extend([one] for one in wrong[:SINGLED_OUT])
            settled |= {s.index: members[s.index] for s in wrong[SINGLED_OUT:]}
            waiting.extend([rest] if rest and wrong else _halves(some) if rest else [])
            continue
        agrees = not whole.open_lines() and not whole.is_open(whole.first)
        done = [s for s in some if agrees and members[s.index].is_settled]
        settled |= {s.index: members[s.index] for s in done}
        rest = [s for s in some if s not in done]
        if not done:
            odd = yield from _bent(session, whole, weights, some)
            done = [s for s in some if s.index in odd] if len(odd) <= SINGLED_OUT else []
            waiting.extend([one] for one in done)
            rest = [s for s in some if s not in done]
        waiting.extend([rest] if rest and done else _halves(rest))
    return Found([settled.get(s.index, s) for s in subjects], [])


def _halves(some: Sequence[Subject]) -> list[list[Subject]]:
    middle = len(some) // 2
    return [half for half in (list(some[:middle]), list(some[middle:])) if half]


def _together(session: Session, some: Sequence[Subject]) -> tuple[Subject, dict[int, float]]:
    """Return tensors as one subject, and the weight of each: powers of two.

    A tensor is moved by the size of its entries, and by less where it would change f by more than
    most tensors do: the bar, which is a common one, then says as much of each.
    """
    changes = {s.index: ladder.size(s.spec) * s.spec.gradient_norm for s in some}
    usual = statistics.median(changes.values())
    weights = {}
    for s in some:
        share = usual / changes[s.index] if usual > 0 and changes[s.index] > usual else 1.0
        weights[s.index] = ladder.size(s.spec) * max(WEAKEST, share)
    weights = {index: 2.0 ** round(math.log2(weight)) for index, weight in weights.items()}
    parts = tuple(Part(s.index, weights[s.index], s.classes) for s in some)
    selection = Selection(parts)
    spec = TensorSpec(
        name="",
        shape=(sum(s.spec.size for s in some),),
        dtype=max((s.spec.dtype for s in some), key=noise.unit_roundoff),
        size=sum(s.spec.size for s in some),
        largest=max(s.spec.largest / weights[s.index] for s in some),
        mean_square=1.0,
        gradient_largest=max(s.spec.gradient_largest * weights[s.index] for s in some),
        gradient_norm=math.hypot(*(s.spec.gradient_norm * weights[s.index] for s in some)),
        gradient_dtype=max((s.kept_as for s in some), key=noise.unit_roundoff),
    )
    session.specs[selection] = spec
    first = Line(some[0].index, 0, spec.size, session.task.seed + 1, selection)
    return Subject(-1, spec, first), weights


def _bent(
    session: Session, whole: Subject, weights: dict[int, float], some: Sequence[Subject]
) -> Steps[set[int]]:
    """Find the tensors in which f does not straighten as the step shrinks: kinks at x."""
    step = max(whole.slopes[whole.first].step, ladder.smallest_step(whole.spec) * ladder.RATIO)
    lines = {}
    for s in some:
        selection = Selection((Part(s.index, weights[s.index], s.classes),))
        session.specs[selection] = whole.spec
        lines[s.index] = replace(whole.first, selection=selection)
    if not session.affords(4 * len(lines) + EACH):
        return set()
    steps = [step, step / ladder.RATIO]
    yield from session.measure(dict.fromkeys(lines.values(), steps), "tensors one by one")
    odd = set()
    for index, line in lines.items():
        table = session.rows(line)
        seen = len(table) == 2 and table[1].gap > kinks.VISIBLE * table[1].blur
        if len(table) < 2 or (seen and table[1].gap > BENT * table[0].gap):
            odd.add(index)
    return odd


def _wrong(session: Session, whole: Subject) -> Steps[set[int]]:
    """Halve the directions of many tensors to those that hold the error."""
    slopes = {line: slope for line, slope in whole.slopes.items() if math.isfinite(slope.error)}
    search = location.Search(session, whole.spec, slopes, whole.allowed)
    witnesses = sorted(search.lines, key=lambda line: -abs(search.lines[line].excess))[:WITNESSES]
    until = session.used + SEARCHING
    found: set[int] = set()
    nodes = deque([whole.first.selection.parts if whole.first.selection else ()])
    while nodes and session.used < until:
        parts = nodes.popleft()
        if len(parts) == 1:
            found.add(parts[0].tensor)
            continue
        middle = len(parts) // 2
        for half in (parts[:middle], parts[middle:]):
            selection = Selection(half)
            session.specs[selection] = whole.spec
            lines = [replace(line, selection=selection) for line in witnesses]
            measured = yield from search.measure(lines)
            if measured is None:
                return found
            if any(abs(s.excess) > FAILING * search.bar(s) for s in measured.values()):
                nodes.append(half)
    return found
