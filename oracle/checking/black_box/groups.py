"""Entries of like sizes: a tensor whose entries differ by orders of magnitude, taken apart.

A direction of signs moves all entries by one step, and shows an error beside the largest slope. An
entry that bends f on a scale of 1e-8 makes the step for 5e6 too long, and a slope of 0.05 is lost
beside one of 6,000. Entries of like sizes are judged as a tensor of their own, with a step, a bar
and a limit of their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from oracle.checking.black_box import ladder
from oracle.checking.black_box.conversation import Part, Selection, SizeClass
from oracle.checking.black_box.ladder import Line
from oracle.checking.black_box.session import Session
from oracle.checking.black_box.subject import Subject

SIZES = 6
"""Size classes of x, and of a gradient, in the number of a class."""
ZERO = 5
"""The size class of zeros."""
USUAL = 64.0
"""Times that a size class may hold what a bell curve leaves there, and is none of its own: the
share of its entries below 2^-10 of the largest is some 3 / 1,024, and of few entries one may be
there by chance."""
WIDTH = 2.0**-10
"""Of the largest entry, the size at which the next class begins."""
SEEN = 0.1
"""Share of the largest entry of a group that the limit of its tensor may be, and no wider."""
FEW = 32
"""Groups that are looked at: more differ by less than what is worth their evaluations."""


def of(session: Session, subject: Subject, *, by_x: bool) -> list[Subject]:
    """Return the groups of a tensor, none if its entries have like sizes.

    Parameters
    ----------
    session : Session
        Is told what the groups are.
    subject : Subject
        The tensor.
    by_x : bool
        Whether sizes in x count, where its steps did not suffice, or those of the gradient alone.
    """
    parted: dict[tuple[int, int], list[SizeClass]] = {}
    total = subject.spec.size
    by_size = [_counts(subject.spec.classes, of_x=of_x) for of_x in (True, False)]
    for one in subject.spec.classes:
        in_x, in_gradient = divmod(one.number, SIZES)
        key = (
            _merged(in_x, by_size[0], total) if by_x else 0,
            _merged(in_gradient, by_size[1], total),
        )
        parted.setdefault(key, []).append(one)
    if not 1 < len(parted) <= FEW:
        return []
    return [_group(session, subject, parted[key]) for key in sorted(parted)]


def unseen(subject: Subject, group: Subject) -> bool:
    """Tell whether the limit of a tensor that passed is too wide for some of its entries."""
    largest = group.spec.gradient_largest
    return (
        subject.limit * subject.largest > SEEN * largest if largest > 0 else subject.spec.size > 1
    )


def visible(session: Session, group: Subject) -> bool:
    """Tell whether noise leaves anything to see of a group, at a step as long as its entries."""
    return session.noise < SEEN * group.spec.gradient_largest * ladder.size(group.spec)


def spreads(subject: Subject) -> bool:
    """Tell whether entries of x other than zeros differ by orders of magnitude."""
    counts = _counts(subject.spec.classes, of_x=True)
    found = {_merged(n, counts, subject.spec.size) for n in counts}
    return len(found - {ZERO}) > 1


def _counts(classes: Sequence[SizeClass], *, of_x: bool) -> dict[int, int]:
    counts: dict[int, int] = {}
    for one in classes:
        number = one.number // SIZES if of_x else one.number % SIZES
        counts[number] = counts.get(number, 0) + one.count
    return counts


def _merged(number: int, counts: dict[int, int], total: int) -> int:
    """Return the class of an entry: its own if more are there than by chance, or a larger one."""
    while number > 0:
        smaller = sum(count for other, count in counts.items() if number <= other < ZERO)
        expected = USUAL * total * WIDTH ** min(number, ZERO - 1)
        if smaller > expected and number != ZERO:
            return number
        if number == ZERO and counts[ZERO] > expected:
            return ZERO
        number -= 1
    return 0


def _group(session: Session, subject: Subject, classes: Sequence[SizeClass]) -> Subject:
    count = sum(one.count for one in classes)
    numbers = tuple(sorted(one.number for one in classes))
    spec = replace(
        subject.spec,
        shape=(count,),
        size=count,
        largest=max(one.largest for one in classes),
        mean_square=sum(one.count * one.mean_square for one in classes) / count,
        gradient_largest=max(one.gradient_largest for one in classes),
        gradient_norm=math.hypot(*(one.gradient_norm for one in classes)),
        classes=(),
    )
    first = replace(subject.first, end=count)
    if count == 1:
        at = classes[0].first
        first = Line(subject.index, at, at + 1, subject.first.seed)
    else:
        selection = Selection((Part(subject.index, 1.0, numbers),))
        session.specs[selection] = spec
        first = replace(subject.first, begin=0, end=count, selection=selection)
    return Subject(subject.index, spec, first)
