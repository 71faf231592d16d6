"""One tensor under judgement: its directions, and the rule that passes or fails a slope."""

from __future__ import annotations

from dataclasses import dataclass, field

from oracle.checking.black_box.conversation import TensorSpec
from oracle.checking.black_box.ladder import Line, Slope
from oracle.findings import InconclusiveReason
from oracle.values import Verdict

MISS = 0.8125
"""One direction of random signs d misses an error e with at most this probability.

<d, e> has the second moment |e|^2 and at most the fourth moment 3 |e|^4, so that by Paley and
Zygmund P(|<d, e>| >= |e| / 2) >= (1 - 1/4)^2 / 3 = 0.1875.
"""
RESOLUTION = 1e-3
RESOLUTION_32 = 0.1
"""The widest bar of a pass, relative to the norm of the gradient in a tensor, unless asked."""
FAILING = 3.0
"""A slope fails beyond so many bars, and passes within one; between them it stays open."""


@dataclass
class Subject:
    """One tensor under judgement."""

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

    def bar(self, slope: Slope) -> float:
        """Return what a correct slope may be off by: twice the error, and the client's rounding."""
        return 2 * slope.error + self.allowed

    def verdict(self, slope: Slope) -> Verdict:
        """Return the verdict on one slope."""
        if slope.subgradient:
            return Verdict.PASS
        if slope.reason not in {None, InconclusiveReason.KINK}:
            return Verdict.INCONCLUSIVE
        bar = self.bar(slope)
        if abs(slope.excess) > FAILING * bar and slope.may_fail:
            return Verdict.FAIL
        if abs(slope.excess) <= bar <= self.resolution * self.scale or slope.flat:
            return Verdict.PASS
        return Verdict.INCONCLUSIVE

    def verdicts(self) -> list[Verdict]:
        """Return the verdict on every slope that counts."""
        return [self.verdict(slope) for slope in self.slopes.values()]

    def open_lines(self) -> list[Line]:
        """Return the directions after the first that have not passed."""
        return [n for n in self.lines if self.verdict(self.slopes[n]) is not Verdict.PASS]

    def failing(self) -> list[Line]:
        """Return the directions that fail."""
        return [line for line, s in self.slopes.items() if self.verdict(s) is Verdict.FAIL]
