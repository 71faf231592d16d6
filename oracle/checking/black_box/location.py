"""Where a tensor is wrong: the first and the last wrong entry, by halving the range."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from oracle.checking.black_box.conversation import TensorSpec
from oracle.checking.black_box.ladder import Line, Slope
from oracle.checking.black_box.session import Session, Steps
from oracle.findings import FindingKind
from oracle.splitmix import positive_signs
from oracle.values import Entry, Finding

SEED = 1
"""Of the signs of all ranges."""

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
    session: Session, spec: TensorSpec, slopes: Mapping[Line, Slope]
) -> Steps[Finding | None]:
    """Find the first and the last wrong entry of a tensor in O(log size) evaluations.

    Parameters
    ----------
    session : Session
        Asks for the slopes of ranges of the tensor.
    spec : TensorSpec
        The tensor.
    slopes : mapping of line to slope
        What was measured over the whole tensor, or over a part that the error lies in.

    Returns
    -------
    Finding or None
        One or two wrong entries, or a range of rows; None where errors are spread over most of the
        tensor, or the evaluations or seconds allowed do not suffice.
    """
    usable = [s for s in slopes.values() if s.step > 0]
    if not usable:
        return None
    # A range may be more curved than the whole: the finest step that still sees half the error.
    half = 0.5 * float(np.median([abs(s.excess) for s in usable]))
    sharp = [s for s in usable if 4 * (s.blur + 4 * s.truncation) < half]
    like = min(sharp or usable, key=lambda s: s.step if sharp else s.error)
    # Where one difference does not see it, the extrapolation that saw it does.
    several = not sharp and len(like.used) > 1
    steps = list(like.used) if several else [like.step]
    search = _Search(session, spec, slopes, like, steps)
    first = yield from search.bound(from_end=False)
    last = yield from search.bound(from_end=True)
    if first is None or last is None or first > last:
        return None
    entries = [(yield from search.entry(first))]
    if last > first:
        entries += [(yield from search.entry(last))]
    between = last - first > 1 and (yield from search.wrong(first + 1, last))
    name = spec.name
    if not between:
        where = " and ".join(str(list(e.index)) for e in entries)
        verb = "is" if len(entries) == 1 else "are"
        return Finding(
            FindingKind.SINGLE_ENTRIES, name, f"Only {where} of {name} {verb} wrong.",
            REMEDY, {"wrong_entries": float(len(entries))}, tuple(entries),
        )  # fmt: skip
    return _range(spec, first, last, tuple(entries))


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


class _Search:
    def __init__(
        self,
        session: Session,
        spec: TensorSpec,
        lines: Collection[Line],
        like: Slope,
        steps: Sequence[float],
    ) -> None:
        self.session = session
        self.index = min(line.tensor for line in lines)
        self.spec = spec
        self.like = like
        self.steps = steps
        self.begin = min(line.begin for line in lines)
        self.end = max(line.end for line in lines)

    def slope(self, begin: int, end: int) -> Steps[Slope | None]:
        """Measure a range at the step, or the steps, that served the whole tensor best."""
        if not self.session.affords(2 * len(self.steps)):
            return None
        line = Line(self.index, begin, end, SEED)
        yield from self.session.measure({line: self.steps}, "locating the error")
        if len(self.steps) > 1:
            return self.session.repeat(line, self.like)
        return self.session.glance(line, self.like)

    def wrong(self, begin: int, end: int) -> Steps[bool | None]:
        """Tell whether a range holds an error."""
        slope = yield from self.slope(begin, end)
        return None if slope is None else abs(slope.excess) > 4 * slope.error

    def bound(self, *, from_end: bool) -> Steps[int | None]:
        """Halve to the outermost wrong entry on one side."""
        begin, end = self.begin, self.end
        while end - begin > 1:
            middle = (begin + end) // 2
            outer = (middle, end) if from_end else (begin, middle)
            wrong = yield from self.wrong(*outer)
            if wrong is None:
                return None
            if wrong == from_end:
                begin = middle
            else:
                end = middle
        return begin

    def entry(self, flat: int) -> Steps[Entry]:
        """Return what one entry is and what it should be."""
        slope = (yield from self.slope(flat, flat + 1)) or self.like
        return entry_of(self.spec, Line(self.index, flat, flat + 1, SEED), slope)
