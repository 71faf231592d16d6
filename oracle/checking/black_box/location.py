"""Where a tensor is wrong: entries that explain all of its slopes, or the rows that hold the error.

A direction that is off is halved towards the entry whose error it holds: with the same signs, what
the halves are off by adds up to what the whole is, so that one of them is off by half of it. What
an entry is off by tells what it adds to every other direction; entries are called the only ones
that are wrong if nothing is left of any. Otherwise the outermost wrong entries are looked for, and
the same is asked of what lies between them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from oracle.checking.black_box import ladder
from oracle.checking.black_box.conversation import TensorSpec
from oracle.checking.black_box.ladder import Line, Slope
from oracle.checking.black_box.session import Session, Steps
from oracle.checking.black_box.subject import FAILING
from oracle.findings import FindingKind
from oracle.splitmix import positive_signs
from oracle.values import Entry, Finding

SEED = 1
"""Of the signs of single entries."""
MOST = 4
"""Entries that are looked for one by one: more are no single entries."""
LISTED = 8
"""Entries that are shown."""
WITNESSES = 3
"""Directions in which a range is looked at for an error: in one, two errors may cancel."""
JURY = 8
"""Directions, at least, all of which have to agree that the error lies in one range: of two errors
alike outside of it each sees something with a probability of a half."""

DOUBTFUL = 2.0
"""Bars beyond which an entry that does not fail is not said to be right either."""

REMEDY = "Look at what the code does there and nowhere else: an edge, an index off by one, a mask."


def sign(entry: int, seed: int = SEED) -> float:
    """Return the sign with which a seed moves an entry."""
    return 1.0 if positive_signs(seed, entry, entry + 1)[0] else -1.0


def entry_of(spec: TensorSpec, line: Line, slope: Slope) -> Entry:
    """Return what the only entry of a line is and what it should be."""
    index = tuple(int(n) for n in np.unravel_index(line.begin, spec.shape))
    moved = sign(line.begin, line.seed)
    return Entry(index, moved * slope.predicted, moved * slope.measured, 2 * slope.error)


def locate(
    session: Session, spec: TensorSpec, slopes: Mapping[Line, Slope], allowed: float
) -> Steps[Finding | None]:
    """Find the entries of a tensor that are wrong in O(log size) evaluations each, or their rows.

    Parameters
    ----------
    session : Session
        Asks for the slopes of ranges of the tensor.
    spec : TensorSpec
        The tensor.
    slopes : mapping of line to slope
        What was measured over the whole tensor, over a part that the error lies in, or of every
        entry.
    allowed : float
        What the rounding of the gradient may add to a bar.

    Returns
    -------
    Finding or None
        Some wrong entries, or a range of rows; None where errors are spread over most of the
        tensor, or the evaluations or seconds allowed do not suffice.
    """
    single = {line: s for line, s in slopes.items() if line.end - line.begin == 1}
    if len(single) == spec.size:
        return _among(spec, single, allowed)
    search = Search(session, spec, slopes, allowed)
    if not search.lines:
        return None
    while len(search.found) < MOST and (line := search.worst()) is not None:
        if not (yield from search.follow(line)):
            break
    if search.found and search.worst() is None:
        return only(spec, search.found)
    ends = yield from search.ends()
    return None if ends is None else _range(spec, *ends, search.entries(*ends))


def _among(spec: TensorSpec, single: Mapping[Line, Slope], allowed: float) -> Finding | None:
    """Name the wrong entries of a tensor all of whose entries were measured."""
    found = {
        line: slope
        for line, slope in single.items()
        if abs(slope.excess) > FAILING * (2 * slope.error + allowed) and not slope.subgradient
    }
    if any(
        abs(slope.excess) > DOUBTFUL * (2 * slope.error + allowed) and not slope.subgradient
        for line, slope in single.items()
        if line not in found
    ):
        return None  # Of an entry that does not agree nothing is said by "only".
    kinked = any(slope.bend.reason is not None for slope in single.values())
    if kinked and not all(slope.may_fail for slope in found.values()):
        return None  # A look across a kink is no evidence against an entry.
    return only(spec, found) if 0 < len(found) <= max(1, spec.size // 2) else None


def only(spec: TensorSpec, found: Mapping[Line, Slope]) -> Finding:
    """Name the entries that are wrong, where all others are known to be right."""
    lines = sorted(found, key=lambda line: line.begin)
    entries = tuple(entry_of(spec, line, found[line]) for line in lines[:LISTED])
    places = [str(list(entry.index)) for entry in entries]
    if len(lines) > LISTED:
        places.append(f"{len(lines) - LISTED} more")
    where = " and ".join(filter(None, (", ".join(places[:-1]), places[-1])))
    verb = "is" if len(lines) == 1 else "are"
    return Finding(
        FindingKind.SINGLE_ENTRIES, spec.name, f"Only {where} of {spec.name} {verb} wrong.",
        REMEDY, {"wrong_entries": float(len(lines))}, entries,
    )  # fmt: skip


def _range(spec: TensorSpec, first: int, last: int, entries: tuple[Entry, ...]) -> Finding | None:
    """Describe wrong entries that lie in a small part of the tensor."""
    width = spec.shape[-1] if len(spec.shape) > 1 else 1
    top, bottom = first // width, last // width
    rows = spec.size // width
    if bottom - top + 1 > max(1, rows // 4):
        return None
    name = spec.name
    where = f"row {top}" if top == bottom else f"rows {top} to {bottom}"
    if width == 1:
        where = f"entries {first} to {last}"
    message = f"{name} is wrong in {where} only."
    evidence = {"first_wrong": float(first), "last_wrong": float(last)}
    return Finding(FindingKind.SINGLE_ENTRIES, name, message, REMEDY, evidence, entries)


class Search:
    """What was measured of a tensor, and `found`: the entries that are known to be wrong."""

    def __init__(
        self, session: Session, spec: TensorSpec, slopes: Mapping[Line, Slope], allowed: float
    ) -> None:
        self.session = session
        self.spec = spec
        self.lines = {
            line: slope
            for line, slope in slopes.items()
            if line.end - line.begin > 1 and slope.step > 0 and math.isfinite(slope.error)
        }
        self.allowed = allowed
        self.found: dict[Line, Slope] = {}
        usable = self.lines.values()
        # A range may be more curved than the whole: the finest step that still sees half the error.
        half = 0.5 * float(np.median([abs(s.excess) for s in usable])) if usable else 0.0
        sharp = [s for s in usable if 4 * (s.blur + 4 * s.truncation) < half]
        self.like = min(
            sharp or usable, key=lambda s: s.step if sharp else s.error, default=ladder.NOTHING
        )
        # Where one difference does not see it, the extrapolation that saw it does.
        several = not sharp and len(self.like.used) > 1
        self.steps = list(self.like.used) if several else [self.like.step]

    def bar(self, slope: Slope) -> float:
        """Return what a correct slope may be off by."""
        return 2 * slope.error + self.allowed

    def rest(self, line: Line, slope: Slope) -> float:
        """Return what a direction is off by beside what the entries found add to it."""
        return slope.excess - sum(
            sign(one.begin, one.seed) * sign(one.begin, line.seed) * known.excess
            for one, known in self.found.items()
            if line.begin <= one.begin < line.end
        )

    def _unexplained(self, line: Line, slope: Slope) -> float:
        """Return what a direction is still off by, in the bars of all that was measured."""
        bars = self.bar(slope) + sum(self.bar(s) for s in self.found.values()) / FAILING
        return abs(self.rest(line, slope)) / bars if bars > 0 else 0.0

    def worst(self) -> Line | None:
        """Return the direction that is farthest from being explained, or None if all are."""
        line = max(self.lines, key=lambda line: self._unexplained(line, self.lines[line]))
        return line if self._unexplained(line, self.lines[line]) > FAILING else None

    def measure(self, lines: Sequence[Line]) -> Steps[dict[Line, Slope] | None]:
        """Measure ranges at the step, or the steps, that served the whole tensor best."""
        if not self.session.affords(2 * len(self.steps) * len(lines)):
            return None
        wanted = dict.fromkeys(lines, self.steps)
        yield from self.session.measure(wanted, "locating the error")
        look = self.session.repeat if len(self.steps) > 1 else self.session.glance
        return {line: look(line, self.like, self.steps) for line in lines}

    def follow(self, line: Line) -> Steps[bool]:
        """Halve a direction to an entry whose error it holds, and keep that if it is new."""
        slope = self.lines[line]
        while line.end - line.begin > 1:
            middle = (line.begin + line.end) // 2
            slopes = yield from self.measure(
                [
                    Line(line.tensor, line.begin, middle, line.seed),
                    Line(line.tensor, middle, line.end, line.seed),
                ]
            )
            if slopes is None:
                return False
            line = max(slopes, key=lambda half: abs(self.rest(half, slopes[half])))
            slope = slopes[line]
            if abs(self.rest(line, slope)) <= self.bar(slope):
                return False
        if any(line.begin == one.begin for one in self.found):
            return False
        self.found[line] = slope
        return True

    def ends(self) -> Steps[tuple[int, int] | None]:
        """Halve to the outermost wrong entries, if what lies between them explains all."""
        some = sorted(self.lines, key=lambda line: -abs(self.lines[line].excess))
        first = yield from self._bound(some[:WITNESSES], from_end=False)
        if first is None:
            return None
        last = yield from self._bound(some[:WITNESSES], from_end=True)
        if last is None or first > last:
            return None
        jury = [line for line in some if line.begin <= first and last < line.end]
        inner = {line: Line(line.tensor, first, last + 1, line.seed) for line in jury}
        slopes = (yield from self.measure(list(inner.values()))) if len(jury) >= JURY else None
        if slopes is None:
            return None
        apart = [
            abs(self.lines[line].excess - slopes[within].excess)
            <= self.bar(self.lines[line]) + self.bar(slopes[within])
            for line, within in inner.items()
        ]
        return (first, last) if all(apart) else None

    def _bound(self, witnesses: Sequence[Line], *, from_end: bool) -> Steps[int | None]:
        """Halve to the outermost wrong entry on one side."""
        begin = min(line.begin for line in self.lines)
        end = max(line.end for line in self.lines)
        while end - begin > 1:
            middle = (begin + end) // 2
            outer = (middle, end) if from_end else (begin, middle)
            slopes = yield from self.measure(
                [Line(line.tensor, *outer, line.seed) for line in witnesses]
            )
            if slopes is None:
                return None
            wrong = any(abs(s.excess) > FAILING * self.bar(s) for s in slopes.values())
            if wrong == from_end:
                begin = middle
            else:
                end = middle
        return begin

    def entries(self, first: int, last: int) -> tuple[Entry, ...]:
        """Return the entries found that lie in a range."""
        lines = sorted(self.found, key=lambda line: line.begin)
        return tuple(
            entry_of(self.spec, line, self.found[line])
            for line in lines
            if first <= line.begin <= last
        )
