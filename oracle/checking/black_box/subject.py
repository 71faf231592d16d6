"""One tensor under judgement: its directions, and the rule that passes or fails a slope."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from oracle.checking.black_box.conversation import TensorSpec
from oracle.checking.black_box.ladder import Line, Slope
from oracle.findings import InconclusiveReason
from oracle.values import Verdict

MISS = 0.8125
"""One direction of random signs d shows an error e as less than |e| with at most this probability.

P(<d, e> >= |e|) >= 6/64 for every e, and the same below, so that P(|<d, e>| >= |e|) >= 0.1875:
Dvořák and Klein, "Probability mass of Rademacher sums beyond one standard deviation", SIAM J.
Discrete Math. 36, 2022. The moments alone promise no more than |e| / 2 at this probability.
"""
RESOLUTION = 1e-3
RESOLUTION_32 = 0.1
"""The widest bar of a pass, relative to the norm of the gradient in a tensor, unless asked."""
KINKED_RESOLUTION = 0.4
"""The same where all directions cross kinks, which hide more than the noise does."""
FEWEST_DIRECTIONS = 8
"""Directions after the first without which a tensor does not pass."""
FARTHEST = 2.0
"""Bars, of two deviations each, that no direction of a crowd lies away from a correct gradient."""
LARGEST_LIMIT = 0.5
"""Of a pass, relative to the largest entry of a tensor: one that lets more pass says nothing."""
FAILING = 3.0
"""A slope fails beyond so many bars, and passes within one; between them it stays open."""


@dataclass
class Subject:
    """One tensor under judgement.

    `entrywise` tells that each entry has a line, `bent` that this is so because of kinks at x, and
    `crowd` that its directions passed together, none of them `farthest` bars away. `contradicted`
    tells that a part of it did not, and that its ladders left it open.
    """

    index: int
    spec: TensorSpec
    first: Line
    lines: list[Line] = field(default_factory=list)
    slopes: dict[Line, Slope] = field(default_factory=dict)
    allowed: float = 0.0
    scale: float = 0.0
    resolution: float = 0.0
    entrywise: bool = False
    confirmed: bool = False
    crowd: bool = False
    kinked_resolution: float = 0.0
    bent: bool = False
    farthest: float = FARTHEST
    contradicted: bool = False
    averaged: Verdict | None = None
    averaged_limit: float = math.inf
    averaged_miss: float = 1.0
    factor: float | None = None
    stepped: bool = False
    sided: bool = False
    groups: list[Subject] = field(default_factory=list)
    parted: bool = False

    @property
    def kept_as(self) -> str:
        """Return the type of the gradient."""
        return self.spec.gradient_dtype or self.spec.dtype

    @property
    def classes(self) -> tuple[int, ...]:
        """Return the numbers of the classes that are moved, none if all are."""
        return self.first.selection.parts[0].classes if self.first.selection else ()

    @property
    def is_whole(self) -> bool:
        """Tell whether several tensors are moved at once."""
        return self.first.selection is not None and len(self.first.selection.parts) > 1

    @property
    def indexed(self) -> bool:
        """Tell whether single entries can be moved."""
        return self.first.selection is None

    @property
    def hidden(self) -> bool:
        """Tell whether kinks, or what may be kinks, leave the first direction open."""
        first = self.slopes[self.first]
        seen = first.reason in {InconclusiveReason.KINK, InconclusiveReason.JUMP}
        allowed = seen or self.kinked_resolution > self.resolution
        return allowed and self.verdict(first) is Verdict.INCONCLUSIVE

    @property
    def crowded(self) -> bool:
        """Tell whether the directions are looked at together, at a step of their own."""
        return self.hidden and not self.entrywise and not self.slopes[self.first].subgradient

    @property
    def slack(self) -> float:
        """Return how far a gradient may be off between the sides of kinks at x."""
        slopes = list(self.slopes.items())
        if self.entrywise:
            slopes = [(line, slope) for line, slope in slopes if line.end - line.begin == 1]
        return max((slope.slack for _, slope in slopes), default=0.0)

    @property
    def widest(self) -> float:
        """Return the widest bar of all directions."""
        bars = [self.bar(slope) for slope in self.slopes.values()]
        return max((bar for bar in bars if math.isfinite(bar)), default=math.inf)

    @property
    def largest(self) -> float:
        """Return the largest entry, or the like of a gradient of zeros."""
        return self.spec.gradient_largest or self.scale / math.sqrt(self.spec.size)

    @property
    def limit(self) -> float:
        """Return the error, relative to the largest entry, above which none passes.

        An error e shows as at least |e| in one of the directions, and does not pass, or even fails.
        Between the sides of a kink it is not seen at all.
        """
        if self.averaged is not None:
            return self.averaged_limit
        if self.parted:
            errors = [group.limit * group.largest for group in self.groups]
            return max(errors) / self.largest if self.largest > 0 else math.inf
        bars = 1 + (self.farthest if self.crowd else FAILING)
        largest = self.largest
        return (bars * self.widest + self.slack) / largest if largest > 0 else math.inf

    @property
    def miss(self) -> float:
        """Return the probability that an error beyond the limit was met by no direction."""
        if self.averaged is not None:
            return self.averaged_miss
        if self.parted:
            return max(group.miss for group in self.groups)
        if self.entrywise or self.spec.size == 1:
            return 0.0
        ranges = Counter((line.begin, line.end) for line in self.slopes)
        return float(MISS ** min(ranges.values(), default=0))

    def bar(self, slope: Slope) -> float:
        """Return what a correct slope may be off by: twice the error, and the client's rounding."""
        return 2 * slope.error + self.allowed

    def verdict(self, slope: Slope) -> Verdict:
        """Return the verdict on one slope."""
        if self.crowd or (slope.subgradient and self.excludes(slope)):
            return Verdict.PASS
        if slope.reason not in {None, InconclusiveReason.KINK}:
            return Verdict.INCONCLUSIVE
        bar = self.bar(slope)
        if abs(slope.excess) > FAILING * bar and slope.may_fail:
            return Verdict.FAIL
        if abs(slope.excess) <= bar <= self.resolution * self.scale or slope.flat:
            return Verdict.PASS
        return Verdict.INCONCLUSIVE

    def excludes(self, slope: Slope) -> bool:
        """Tell whether a subgradient says something: of one entry, or of many but few kinks."""
        most = self.kinked_resolution * self.scale
        return self.bent or self.spec.size == 1 or slope.slack + self.bar(slope) <= most

    def verdicts(self) -> list[Verdict]:
        """Return the verdict on every slope that counts, or on all of them together."""
        if self.averaged is not None:
            return [self.averaged]
        return [self.verdict(slope) for slope in self.slopes.values()]

    def is_open(self, line: Line) -> bool:
        """Tell whether a direction has not passed."""
        return self.verdict(self.slopes[line]) is not Verdict.PASS

    @property
    def is_open_first(self) -> bool:
        """Tell whether the first direction counts, and has not passed."""
        return self.first in self.slopes and self.is_open(self.first)

    def open_lines(self) -> list[Line]:
        """Return the directions after the first that have not passed."""
        return [line for line in self.lines if self.is_open(line)]

    def failing(self) -> list[Line]:
        """Return the directions that fail."""
        if self.averaged is not None:
            return [self.first] if self.averaged is Verdict.FAIL else []
        return [line for line, s in self.slopes.items() if self.verdict(s) is Verdict.FAIL]


@dataclass
class Member(Subject):
    """A tensor that was moved with others by `weight` times their step, as a part of a `whole`."""

    whole: Subject = field(kw_only=True)
    weight: float = 1.0
    failed: bool = False

    @classmethod
    def of(cls, subject: Subject, whole: Subject, weight: float, *, alone: bool) -> Member:
        """Return the share of a tensor in what was measured of many.

        That its gradient is small beside others counts for no wider bar where these were moved too.
        """
        scale = subject.scale if alone else subject.spec.gradient_norm
        return cls(
            subject.index, subject.spec, subject.first, scale=scale, whole=whole, weight=weight,
            resolution=subject.resolution, kinked_resolution=subject.kinked_resolution,
            crowd=whole.crowd, farthest=whole.farthest,
        )  # fmt: skip

    @property
    def widest(self) -> float:
        """Return the common bar as one of this tensor."""
        return self.whole.widest / self.weight

    @property
    def slack(self) -> float:
        """Return the common slack as one of this tensor."""
        return self.whole.slack / self.weight

    @property
    def miss(self) -> float:
        """Return the probability that no common direction met an error."""
        return self.whole.miss

    @property
    def is_settled(self) -> bool:
        """Tell whether the common directions that agree say enough of this tensor."""
        most = self.kinked_resolution if self.crowd else self.resolution
        return self.widest <= most * self.scale

    def verdicts(self) -> list[Verdict]:
        """Return what the common directions say of this tensor."""
        if self.failed:
            return [Verdict.FAIL]
        opened = self.whole.confirmed or Verdict.INCONCLUSIVE in self.whole.verdicts()
        return [Verdict.INCONCLUSIVE if opened or not self.is_settled else Verdict.PASS]
