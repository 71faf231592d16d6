"""The steps that settle a tensor, or several at once: passed, failing for certain, or left open.

Each gets one ladder of steps along a random direction of signs, then many directions at the step
that served best; what does not agree there gets a ladder of its own, and nothing fails before a
second ladder with other steps has failed too, and parts of the direction have shown no kink at x.
A tensor with no more entries than directions would be needed is measured entry by entry. Where
kinks leave the first direction open, the directions are judged together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from oracle.checking.black_box import (
    averages,
    crowd,
    groups,
    ladder,
    noise,
    parts,
    sides,
    stairs,
    ties,
)
from oracle.checking.black_box.ladder import Line, Slope
from oracle.checking.black_box.session import Session, Steps
from oracle.checking.black_box.subject import (
    FAILING,
    FEWEST_DIRECTIONS,
    KINKED_RESOLUTION,
    LARGEST_LIMIT,
    MISS,
    RESOLUTION,
    RESOLUTION_32,
    Subject,
)
from oracle.findings import InconclusiveReason
from oracle.values import Verdict

SECOND_LADDER = 0.6875
"""Dyadic, and no power of the ratio: the second ladder shares no step with the first."""
CONFIRMING = FAILING - 1
"""Bars beyond which a second ladder confirms: it has to agree with the first beside."""
CONFIRMED_AT_MOST = 4
"""Failing directions that get a second ladder until one of them confirms."""
BENT_STEPS = 3
"""Of entries at a kink: two whose second differences show it, and one to extrapolate from."""
MOST_BENT = 256
"""Entries of a tensor with kinks at x, up to which each is measured: 1,536 evaluations."""
HALF = 1e-6
"""Unit roundoffs above it are those of float16 and bfloat16."""
ROUNDINGS = 64
"""Unit roundoffs of the type of a gradient that every slope may be off by: those of the operations
on the way to it, of which all may go one way in float64 and float32."""
ROUNDINGS_OF_HALF = 4
"""The same of float16 and bfloat16, in which results are kept and no sums are taken: the deviation
of one rounding is 0.58, and that of sixteen, one after the other, is 2.3."""
FEWEST_RUNGS = 4
"""Steps that make a ladder: fewer are looks."""
OUTSIDE = 3
"""Directions in which a slope is seen to be outside of the sides of a kink: more tell no more."""
WHOLE = 8
"""Directions over all entries beside: of a maximum, each of two slopes may be between its sides
where their sum is not. Half of the directions move two entries alike."""
ALIKE = 0x31628AF67B2131AB
"""The seed that moves each of the first 64 entries upwards: the sum of several kinks may be smooth
along it, as that of a maximum of equal entries is, where random signs hardly ever move all alike.
It is the output of all ones, followed back through the hash."""
CLEARLY = 64.0
"""Blurs of an even share of the second difference of all entries, of which that of one is seen."""
FEW_OPEN = 4
"""Directions that are rather settled one by one, for bars that are narrower than a common one."""
LADDERS_PER_TENSOR = 12
"""Directions that get a ladder of their own after two looks did not settle them."""
ROUGH = {InconclusiveReason.JUMP, InconclusiveReason.NOISE}
"""What a ladder shows whose short steps are within the rounding of f or of x."""
AT_X = {InconclusiveReason.KINK, InconclusiveReason.DOMAIN}
"""What may be a kink at x, or a bound, in some coordinates alone."""
GROUP, LADDER = 70, 11
"""Evaluations that settle a group, and steps of a ladder, which settles a group of one entry."""
WIDE = 2.0**-16
"""Of the size of x, a step over which f does not change: where x is rounded to float32, the first
of n entries changes after 2^-24 / n of it, and a value in float32 after as little where f is no
flatter than 2^-8. Such stairs are f's own: what is measured over them is not its derivative."""
LADDERS_OF_A_WHOLE = 3
"""The same of several tensors at once, of which fewer are looked at next."""
ORDINARY = 400
"""Evaluations that a verdict takes where nothing is wrong; bars are not narrowed beyond them.

Extrapolation from several steps costs more of them than one step, and pays in float32, where the
step that noise allows is too coarse for one difference: of a network with 39,760 parameters it
divides the limit by up to 8."""
RESERVE = 40
"""Of these are left for a second ladder."""
REFINED = 0.01
"""A bar below this share of the widest that passes needs no further steps."""
COARSER = 3
"""Times that a ladder is continued by two coarser steps: 64 times in float32, 4096 in float64."""


def settle(session: Session, subjects: Sequence[Subject]) -> Steps[None]:
    """Measure every tensor until it passes, fails for certain, or stays open."""
    set_scales(session, subjects)
    yield from _first_directions(session, subjects)
    for subject in subjects:
        first = subject.slopes[subject.first]
        undefined = first.reason is InconclusiveReason.DOMAIN or _is_bounded(session, subject)
        if (first.bend.at_x or undefined) and _by_entry(session, subject):
            yield from sides.judge(session, subject)
    subjects = [s for s in subjects if not s.sided]
    yield from _many_directions(session, subjects)
    for subject in subjects:
        # Ladders of single directions show little of types whose noise hides short steps.
        if _is_rough(session, subject) and subject.open_lines() and not subject.is_whole:
            yield from averages.judge(session, subject)
    subjects = [s for s in subjects if s.averaged is None]
    yield from crowd.judge(session, [s for s in subjects if s.hidden])
    yield from _entries(session, [s for s in subjects if not s.crowd])
    yield from _finer_looks(session, subjects)
    yield from crowd.judge(session, [s for s in subjects if len(s.open_lines()) > FEW_OPEN])
    yield from _open_directions(session, subjects)
    yield from crowd.judge(session, [s for s in subjects if s.open_lines()])
    yield from _confirm(session, subjects)
    _drop_the_blurred(subjects)
    if not any(s.confirmed for s in subjects):
        little = [s for s in subjects if not s.entrywise and s.limit > LARGEST_LIMIT]
        yield from _parts(session, little)
    for subject in subjects:
        open_for = {s.reason for line, s in subject.slopes.items() if subject.is_open(line)}
        if not subject.confirmed and open_for & AT_X and _by_entry(session, subject):
            yield from sides.judge(session, subject)
    subjects = [s for s in subjects if not s.sided]
    for subject in subjects:
        subject.stepped = _is_stepped(session, subject)
        whole = subject.spec.size == session.task.tensors[subject.index].size
        if subject.confirmed or not whole:
            continue
        if subject.open_lines() or subject.is_open_first:
            yield from _in_groups(session, subject, opened=True)
        if not subject.parted and _is_blurred(subject):
            yield from averages.judge(session, subject)
        if not (subject.parted or subject.confirmed):
            yield from _in_groups(session, subject, opened=False)


def _by_entry(session: Session, subject: Subject) -> bool:
    """Tell whether the entries of a tensor can be measured one by one, at steps of one size."""
    return sides.affordable(session, subject) and not groups.spreads(subject)


def _in_groups(session: Session, subject: Subject, *, opened: bool) -> Steps[None]:
    """Judge entries of like sizes by themselves, where all together leave some of them open."""
    wanted = groups.of(session, subject, by_x=opened)
    if not opened:
        wanted = [g for g in wanted if groups.unseen(subject, g) and groups.visible(session, g)]
    cost = sum(min(GROUP, 2 * g.spec.size * LADDER) for g in wanted)
    # Where noise hides small entries anyway, no more is spent on them than on any pass.
    fine = not averages.is_coarse(session, subject)
    usual = opened or fine or session.used + cost <= ORDINARY
    if wanted and usual and session.affords(cost):
        yield from settle(session, wanted)
        subject.groups, subject.parted = wanted, opened
        subject.confirmed = any(g.confirmed for g in wanted)


def _is_bounded(session: Session, subject: Subject) -> bool:
    """Tell whether f has no value on one side of x, however short the step."""
    samples = session.samples.get(subject.first, {})
    return (
        subject.spec.size > 1
        and bool(samples)
        and any(answer.outside for answer in samples[min(samples)])
    )


def _is_rough(session: Session, subject: Subject) -> bool:
    """Tell whether short steps show only the rounding of f or of x."""
    unit = max(session.unit, noise.unit_roundoff(subject.spec.dtype))
    rough = subject.slopes[subject.first].reason in ROUGH
    return unit > HALF or (unit > averages.FINE and rough)


def _is_stepped(session: Session, subject: Subject) -> bool:
    """Tell whether f in float64 has stairs that are wider than float32 would make them."""
    width, _ = session.widest_stair
    fine = max(session.unit, noise.unit_roundoff(subject.spec.dtype)) < averages.FINE
    return fine and width > WIDE * ladder.size(subject.spec) / math.sqrt(subject.spec.size)


def _is_blurred(subject: Subject) -> bool:
    """Tell whether what single directions show decides nothing, and many together may."""
    reasons = {subject.slopes[line].reason for line in subject.slopes if subject.is_open(line)}
    if InconclusiveReason.DOMAIN in reasons:
        return False
    return not subject.entrywise and (bool(reasons) or subject.limit > LARGEST_LIMIT)


def _parts(session: Session, subjects: Sequence[Subject]) -> Steps[None]:
    """Judge tensors in parts; one that stays open, or fails, does so for the tensor."""
    directions, short = 1 + _directions_wanted(session), session.short
    for subject, part in (yield from parts.judge(session, subjects, directions)):
        yield from _open_directions(session, [part])
        yield from _confirm(session, [part])
        subject.contradicted = bool(part.open_lines())
        if part.confirmed:
            subject.crowd, subject.confirmed = False, True
            subject.lines, subject.slopes = part.lines, part.slopes
    # What the parts leave open for want of evaluations was open before, for another reason.
    session.short = short


def set_scales(session: Session, subjects: Sequence[Subject]) -> None:
    """Set what errors of a tensor are compared with."""
    largest = max(s.spec.gradient_norm for s in subjects)
    for subject in subjects:
        unit = noise.unit_roundoff(subject.spec.dtype)
        kept = noise.unit_roundoff(subject.spec.gradient_dtype or subject.spec.dtype)
        roundings = ROUNDINGS if kept < HALF else ROUNDINGS_OF_HALF
        fine = max(session.unit, unit) < 1e-12 and kept < HALF and not session.stairs
        subject.allowed = roundings * kept * subject.spec.gradient_norm
        subject.scale = max(subject.spec.gradient_norm, 0.01 * largest)
        asked = session.task.resolution
        subject.resolution = asked or (RESOLUTION if fine else RESOLUTION_32)
        subject.kinked_resolution = asked or KINKED_RESOLUTION


def _first_directions(session: Session, subjects: Sequence[Subject]) -> Steps[None]:
    ladders = {s.first: ladder.steps(s.spec, session.task.value_dtype) for s in subjects}
    yield from session.measure(ladders, "first directions")
    for subject in subjects:
        yield from stairs.measure(session, subject.first, subject.spec)
    for subject in subjects:
        subject.slopes[subject.first] = yield from _laddered(session, subject, subject.first)
    yield from _coarser_steps(session, subjects)
    for subject in subjects:
        slope = subject.slopes[subject.first]
        # Where f is stationary, its slopes further away are what an error is compared with; of
        # chance in f they would tell nothing.
        if session.scatter == 0:
            subject.scale = max(subject.scale, slope.size)


def _coarser_steps(session: Session, subjects: Sequence[Subject]) -> Steps[None]:
    """Go on to coarser steps where the coarsest served best and the bar is wide."""
    for _ in range(COARSER if session.scatter == 0 else 0):
        wanted: dict[Line, list[float]] = {}
        for subject in subjects:
            slope, line = subject.slopes[subject.first], subject.first
            rough = 2 * slope.error > REFINED * subject.resolution * subject.scale
            known = session.samples.get(line, {})
            if rough and slope.used and known and max(known) in slope.used:
                steps = ladder.coarser_steps(list(known), session.task.value_dtype)
                if session.affords(2 * len(steps) * (len(wanted) + 1)):
                    wanted[line] = steps
        if not wanted:
            return
        yield from session.measure(wanted, "coarser steps")
        for subject in subjects:
            if subject.first in wanted:
                earlier, slope = subject.slopes[subject.first], session.slope(subject.first)
                if slope.error < earlier.error:
                    subject.slopes[subject.first] = slope


def _laddered(
    session: Session, subject: Subject, line: Line, *, factor: float = 1.0
) -> Steps[Slope]:
    """Measure a ladder along a line, and go on to finer steps if it does not pass."""
    steps = ladder.steps(subject.spec, session.task.value_dtype, factor=factor)
    missing = set(steps).difference(session.samples.get(line, ()))
    if missing and not session.affords(2 * len(missing)):
        return ladder.NOTHING
    yield from session.measure({line: steps}, "ladder")
    slope = session.slope(line, steps)
    if subject.verdict(slope) is Verdict.PASS:
        return slope
    smallest = session.noise / max(subject.scale, abs(slope.measured), abs(slope.excess), 1e-300)
    finer = ladder.finer_steps(subject.spec, steps[-1], smallest)
    if finer and session.affords(2 * len(finer)):
        yield from session.measure({line: finer}, "finer steps")
        yield from stairs.measure(session, line, subject.spec)
        slope = session.slope(line, [*steps, *finer])
    return slope


def _directions_wanted(session: Session) -> int:
    """Return how many directions after the first make a miss as improbable as was asked for."""
    return math.ceil(math.log(session.task.miss_probability) / math.log(MISS)) - 1


def _each_entry(session: Session, subject: Subject) -> list[Line]:
    return [Line(subject.index, n, n + 1, session.task.seed + 2) for n in range(subject.spec.size)]


def _choose_directions(session: Session, subjects: Sequence[Subject]) -> None:
    """Choose many directions, or every entry, as far as the budgets allow."""
    wanted = _directions_wanted(session)
    seed = session.task.seed + 2
    for subject in subjects:
        size = subject.spec.size
        together = subject.hidden and size >= crowd.FEWEST_ENTRIES
        subject.bent = _is_bent(session, subject)
        few = 1 < size <= wanted and subject.indexed
        subject.entrywise = subject.bent or (few and not together)
        if subject.entrywise:
            whole = (ALIKE, *range(seed, seed + WHOLE - 1)) if subject.bent else ()
            subject.lines = _each_entry(session, subject)
            subject.lines += [replace(subject.first, seed=number) for number in whole]
        elif size > 1:
            subject.lines = [replace(subject.first, seed=seed + n) for n in range(wanted)]
    steps = {s.index: BENT_STEPS if s.slopes[s.first].bend.at_x else 1 for s in subjects}
    total = sum(steps[s.index] * (len(s.lines) + s.crowded) for s in subjects)
    if not session.affords(2 * total):
        again = any(s.hidden for s in subjects)
        fair = max(0, session.left // (2 * len(subjects)) - again)
        for subject in subjects:
            if len(subject.lines) > fair // steps[subject.index]:
                subject.entrywise = subject.bent = False
                subject.lines = [
                    replace(subject.first, seed=seed + n)
                    for n in range(fair // steps[subject.index])
                ]


def _is_bent(session: Session, subject: Subject) -> bool:
    """Tell whether f has kinks at x in a tensor that is small enough to measure each entry."""
    lines = subject.spec.size + WHOLE
    small = subject.indexed and 1 < subject.spec.size <= MOST_BENT
    affordable = session.affords(2 * BENT_STEPS * lines)
    return small and affordable and subject.slopes[subject.first].subgradient


def _bent_steps(session: Session, subject: Subject) -> list[float]:
    """Return the finest steps of the first direction at which its kinks are clearly seen."""
    table = session.rows(subject.first)
    least = CLEARLY * subject.spec.size
    clear = [k for k, row in enumerate(table) if row.gap > least * row.blur]
    last = max([*clear, BENT_STEPS - 1])
    return [row.step for row in table[last - BENT_STEPS + 1 : last + 1]]


def _many_directions(session: Session, subjects: Sequence[Subject]) -> Steps[None]:
    """Look at the directions at the step, or the steps, that served the first of them best."""
    _choose_directions(session, subjects)
    deep = _worth_several_steps(session, subjects)
    looks: dict[Line, list[float]] = {}
    for subject in subjects:
        like = subject.slopes[subject.first]
        if like.step > 0:
            chosen = list(like.used) if subject in deep else [like.step]
            lines = subject.lines
            if like.bend.at_x and not subject.crowded:
                chosen = _bent_steps(session, subject)
            if subject.crowded and lines:
                chosen = [crowd.first_step(session, subject) or like.step]
                lines = [subject.first, *lines]
            looks.update(dict.fromkeys(lines, chosen))
    yield from session.measure(looks, "random directions")
    for subject in subjects:
        like = subject.slopes[subject.first]
        for line in subject.lines:
            if not session.samples.get(line):
                subject.slopes[line] = ladder.NOTHING
            elif like.bend.at_x and not subject.crowded:
                subject.slopes[line] = session.slope(line)
            elif subject in deep:
                subject.slopes[line] = session.repeat(line, like)
            else:
                subject.slopes[line] = session.glance(line, like)


def _worth_several_steps(session: Session, subjects: Sequence[Subject]) -> list[Subject]:
    """Return the tensors in which extrapolation halves the limit, the coarsest limits first."""
    spare = min(ORDINARY - session.used, session.left + 1) - RESERVE
    spare -= 2 * sum(len(s.lines) for s in subjects)
    gains = []
    for subject in subjects:
        like = subject.slopes[subject.first]
        single = 2 * (like.blur / 2 + 4 * like.truncation)
        rough = single > REFINED * subject.resolution * subject.scale
        sharp = subject.bar(like) <= subject.resolution * subject.scale and like.reason is None
        plain = abs(like.excess) > 2 * FAILING * single
        if rough and sharp and not subject.crowded and not plain and single > 4 * like.error:
            gains.append((single / (subject.spec.gradient_largest or 1.0), subject))
    deep = []
    for _, subject in sorted(gains, key=lambda gain: -gain[0]):
        cost = 2 * (len(subject.slopes[subject.first].used) - 1) * len(subject.lines)
        if cost <= spare:
            spare -= cost
            deep.append(subject)
    return deep


def _entries(session: Session, subjects: Sequence[Subject]) -> Steps[None]:
    """Measure the few entries of a tensor one by one, which were not settled together."""
    looks: dict[Line, list[float]] = {}
    singles = []
    for subject in subjects:
        like = subject.slopes[subject.first]
        few = subject.indexed and 1 < subject.spec.size <= _directions_wanted(session)
        if not (few and subject.crowded and like.step > 0):
            continue
        if session.affords(2 * (len(looks) + subject.spec.size)):
            lines = _each_entry(session, subject)
            subject.entrywise = True
            subject.lines = lines
            subject.slopes = {subject.first: like}
            looks.update((line, [like.step]) for line in lines)
            singles.append(subject)
    yield from session.measure(looks, "single entries")
    for subject in singles:
        for line in subject.lines:
            subject.slopes[line] = session.glance(line, subject.slopes[subject.first])


def _finer_looks(session: Session, subjects: Sequence[Subject]) -> Steps[None]:
    """Look a second time, at a finer step, where one step did not settle a direction.

    One central difference is blind to a kink at x: it is the mean of the one-sided slopes. Where
    the ladder of all entries together met a kink, no entry passes before a second look.
    """
    looks: dict[Line, list[float]] = {}
    for subject in subjects:
        if subject.crowd or (subject.is_whole and subject.failing()):
            continue
        kinked = subject.slopes[subject.first].reason is InconclusiveReason.KINK
        for line in subject.lines if subject.entrywise and kinked else subject.open_lines():
            step = subject.slopes[line].step / ladder.RATIO
            affordable = session.affords(2 * len(looks) + 2)
            if affordable and step >= ladder.smallest_step(subject.spec):
                looks[line] = [step]
    yield from session.measure(looks, "finer steps")
    for subject in subjects:
        for line in subject.lines:
            if line in looks:
                # Two steps may pass a direction, but they are too few to fail it.
                subject.slopes[line] = replace(session.slope(line), may_fail=False)


def _open_directions(session: Session, subjects: Sequence[Subject]) -> Steps[None]:
    """Give ladders to directions that two looks did not settle."""
    for subject in subjects:
        most = LADDERS_OF_A_WHOLE if subject.is_whole else LADDERS_PER_TENSOR
        most = len(subject.lines) if subject.entrywise else most
        for line in _worst_first(subject)[:most]:
            outside = [s for s in subject.slopes.values() if s.bend.at_x and not s.bend.between]
            if len(subject.failing()) >= 2 or len(outside) > OUTSIDE:
                break
            slope = yield from _laddered(session, subject, line)
            if slope is ladder.NOTHING and session.short:
                break
            subject.slopes[line] = slope
        first = subject.slopes.get(subject.first)
        if first is None or subject.verdict(first) is Verdict.PASS or first.bend.at_x:
            continue
        if subject.entrywise and not subject.open_lines():
            if first.reason not in {InconclusiveReason.KINK, InconclusiveReason.JUMP}:
                yield from _ladders_of_all(session, subject)
            # Every entry is settled by itself: what all entries together hide takes nothing away.
            # What is outside of the sides of a kink in one direction is no subgradient.
            if not subject.open_lines():
                del subject.slopes[subject.first]


def _worst_first(subject: Subject) -> list[Line]:
    """Return the open directions, those first that lie farthest beyond their bars."""

    def beyond(line: Line) -> float:
        slope = subject.slopes[line]
        bar = subject.bar(slope)
        return abs(slope.excess) / bar if 0 < bar < math.inf else 0.0

    lines = subject.open_lines()
    return lines if subject.entrywise else sorted(lines, key=beyond, reverse=True)


def _ladders_of_all(session: Session, subject: Subject) -> Steps[None]:
    """Give ladders to entries that passed at a step of a direction that did not pass itself.

    Where f turns within such a step, a difference over it is nearly zero whatever the slope.
    """
    for line in subject.lines:
        if len(subject.slopes[line].rungs) < FEWEST_RUNGS:
            subject.slopes[line] = yield from _laddered(session, subject, line)
            if subject.is_open(line):
                return


def _confirm(session: Session, subjects: Sequence[Subject]) -> Steps[None]:
    """Measure again, with other steps, what fails, or the first direction if it stayed open.

    One direction alone does not condemn a tensor of many entries: another must fail as well.
    """
    for subject in subjects:
        failing = subject.failing()
        first = subject.slopes.get(subject.first)
        if not failing and first and subject.verdict(first) is Verdict.INCONCLUSIVE:
            slope = yield from _laddered(session, subject, subject.first, factor=SECOND_LADDER)
            if subject.verdict(slope) is Verdict.PASS:
                subject.slopes[subject.first] = slope
        entry = subject.entrywise and failing != [subject.first]
        alone = len(failing) == 1 and subject.spec.size > 1 and not entry
        for line in [] if alone else failing[:CONFIRMED_AT_MOST]:
            earlier = subject.slopes[line]
            slope = yield from _laddered(session, subject, line, factor=SECOND_LADDER)
            apart = abs(slope.excess - earlier.excess)
            agree = apart <= FAILING * (subject.bar(slope) + subject.bar(earlier))
            if agree and slope.may_fail and abs(slope.excess) > CONFIRMING * subject.bar(slope):
                subject.confirmed = not (yield from ties.found(session, line, slope.step))
                if not subject.confirmed:
                    subject.slopes[line] = replace(slope, reason=InconclusiveReason.KINK)
                break


def _drop_the_blurred(subjects: Sequence[Subject]) -> None:
    """Leave out directions whose bar is too wide to say anything, if enough others remain."""
    for subject in subjects:
        if subject.entrywise:
            continue
        blurred = [
            line
            for line in subject.open_lines()
            if abs(subject.slopes[line].excess) <= subject.bar(subject.slopes[line])
            and subject.slopes[line].reason is None
        ]
        if len(subject.lines) - len(blurred) >= FEWEST_DIRECTIONS:
            for line in blurred:
                subject.lines.remove(line)
                del subject.slopes[line]
