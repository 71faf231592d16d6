"""Differences of the values of f over one step, what noise may do to them, and their two sides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from oracle.checking.black_box.conversation import Evaluation

Samples = Mapping[float, tuple[Evaluation, Evaluation]]
"""By step: the evaluations above and below x."""
LARGEST = 2.0**500
"""Of the numbers that are computed with: their squares, and sums of these, are finite."""


@dataclass(frozen=True)
class Row:
    """The differences of one step; `blur` is what noise may do to `excess`.

    `right` and `left` are the excesses of the one-sided differences, `gap` is their distance.
    """

    step: float
    excess: float
    predicted: float
    blur: float
    gap: float
    right: float
    left: float

    @property
    def change(self) -> float:
        """Return by how much f changes over the step, on the side where it does more."""
        slopes = (self.right + self.predicted, self.left + self.predicted)
        return self.step * max(abs(slope) for slope in slopes)

    @property
    def computable(self) -> bool:
        """Tell whether what is made of the differences cannot overflow."""
        numbers = (self.predicted, self.blur, self.gap, self.right, self.left)
        return all(abs(number) <= LARGEST for number in numbers)


def rows(samples: Samples, value: float, noise: float, unit: float) -> list[Row]:
    """Return the central differences that could be taken, the coarsest step first."""
    found = []
    for step in sorted(samples, reverse=True):
        above, below = samples[step]
        if not (usable(above) and usable(below)):
            continue
        blur = max(noise, 2 * unit * max(abs(above.value), abs(below.value))) / step
        right = (above.value - value - above.predicted) / step
        left = (value - below.value + below.predicted) / step
        predicted = (above.predicted - below.predicted) / (2 * step)
        gap = abs(above.value - 2 * value + below.value) / step
        found.append(Row(step, (right + left) / 2, predicted, blur, gap, right, left))
    return [row for row in found if row.computable]


def one_sided_rows(samples: Samples, value: float, noise: float, unit: float) -> list[Row]:
    """Return the differences of the side of x on which f has more values."""
    sides: list[list[Row]] = [[], []]
    for step in sorted(samples, reverse=True):
        for side, answer in enumerate(samples[step]):
            if not usable(answer):
                continue
            signed = -step if side else step
            excess = (answer.value - value - answer.predicted) / signed
            blur = 2 * max(noise, 2 * unit * abs(answer.value)) / step
            predicted = answer.predicted / signed
            sides[side].append(Row(step, excess, predicted, blur, 0.0, excess, excess))
    return max(([row for row in side if row.computable] for side in sides), key=len)


def usable(answer: Evaluation) -> bool:
    """Tell whether an evaluation moved x and has a value."""
    finite = math.isfinite(answer.value) and math.isfinite(answer.predicted)
    return finite and not answer.outside and answer.moved > 0
