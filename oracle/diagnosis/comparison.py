"""A candidate gradient beside the reference: what a verdict and a diagnosis are made from."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from oracle.slices import holds_anywhere, largest_size
from oracle.values import Array, Checkpoint, Float64, never_stop

USUAL = 0.1
"""Share of what rounding may do that it does.

Correct gradients of the probes use at most 0.11 of their budgets in all four types, whatever the
order of their sums; with sums in float32, whose budgets are smaller, they are off by no more.
"""

ROUNDINGS = 8.0
"""Unit roundoffs of the largest entry that a gradient is off by where sums are wider than terms."""

TELLING = 16.0
"""Times that a hypothesis has to come nearer than what it explains.

A budget bounds the worst case. In half precision that is up to the size of the gradient, and what
is merely within it may be anything.
"""

VISIBLE = 1 / 256
"""Share of the largest entry that an agreement has to reach at least, and need not exceed."""


LARGER = 4.0
"""Times that what is said to have been sent may be larger than it, unless rounding hides both."""


@dataclass(frozen=True)
class Comparison:
    """A candidate and the reference of one known function, tensor by tensor.

    `candidate` keeps the caller's dtype; its tensors have the shapes of the reference, and are
    finite. `reference` is the exact derivative rounded to float64. `allowed` bounds, by entry, the
    distance of any correct candidate from `reference`: rounding budget plus radius. `checkpoint` is
    called wherever a tensor is looked at.
    """

    candidate: Mapping[str, Array]
    reference: Mapping[str, Float64]
    allowed: Mapping[str, Float64]
    unit_roundoff: float
    checkpoint: Checkpoint = never_stop

    def fits(
        self,
        name: str,
        hypothesis: Array,
        *,
        slack: float = 4.0,
        allowed: Float64 | None = None,
    ) -> bool:
        """Tell whether the candidate's tensor `name` equals `hypothesis` within its rounding.

        A hypothesis that is `c` times larger than the reference is allowed `c` times the rounding.
        One that moves entries brings their `allowed` along, moved in the same way. Where so much is
        allowed that it says little, the hypothesis has to leave what rounding usually does, or a
        small share of what it explains.
        """
        self.checkpoint()
        allowed = self.allowed[name] if allowed is None else allowed
        size = largest_size(hypothesis, self.checkpoint)
        if size > LARGER * max(self.sent(name), self.widest(name)):
            return False  # It would be allowed more than what was sent.
        scale = max(1.0, _ratio(size, self.largest(name)))
        if scale == np.inf or not self._near(name, hypothesis, allowed, slack * scale):
            return False
        widest = scale * float(allowed.max(initial=0.0))
        sent = self.sent(name)
        if slack * widest <= VISIBLE * sent:
            return True  # An agreement to all digits that can be told.
        usual = self.usual(scale * self.largest(name), widest)
        gap = self.distance(name, hypothesis)
        hidden = self.usual(self.largest(name), float(allowed.max(initial=0.0)))
        if gap <= min(usual, sent / TELLING) or max(sent, size, self.largest(name)) <= hidden:
            return True
        return gap <= min(max(self.error(name), self._change(name, hypothesis)), sent) / TELLING

    def usual(self, size: float, widest: float) -> float:
        """Return what rounding is expected to do to a tensor of a size, `widest` at most."""
        return max(USUAL * widest, ROUNDINGS * self.unit_roundoff * size, VISIBLE * size)

    def quiet(self, name: str) -> float:
        """Return what rounding is expected to do to the candidate's tensor `name`."""
        return self.usual(self.largest(name), self.widest(name))

    def error(self, name: str) -> float:
        """Return how far the candidate's tensor `name` is from the reference."""
        return self.distance(name, self.reference[name])

    def is_coarse(self, name: str) -> bool:
        """Tell whether rounding may do so much to a tensor that little tells what it holds."""
        return 4 * self.widest(name) > VISIBLE * max(self.sent(name), self.largest(name))

    def distance(self, name: str, value: Array) -> float:
        """Return how far the candidate's tensor `name` is from a value in the worst entry."""
        return largest_size(self.candidate[name].astype(np.float64) - value, self.checkpoint)

    def _change(self, name: str, hypothesis: Array) -> float:
        return largest_size(hypothesis - self.reference[name], self.checkpoint)

    def within(self, name: str) -> bool:
        """Tell whether the candidate's tensor `name` is within its budget of the reference."""
        self.checkpoint()
        return self._near(name, self.reference[name], self.allowed[name], 1.0)

    def largest(self, name: str) -> float:
        """Return the largest entry of the reference's tensor `name`, in absolute value."""
        return self._once("largest", name, self.reference)

    def sent(self, name: str) -> float:
        """Return the largest entry of the candidate's tensor `name`, in absolute value."""
        return self._once("sent", name, self.candidate)

    def widest(self, name: str) -> float:
        """Return what the worst entry of the tensor `name` is allowed."""
        return self._once("widest", name, self.allowed)

    @functools.cached_property
    def _sizes(self) -> dict[tuple[str, str], float]:
        return {}

    def _once(self, what: str, name: str, tensors: Mapping[str, Array]) -> float:
        size = self._sizes.get((what, name))
        if size is None:
            size = self._sizes[what, name] = largest_size(tensors[name], self.checkpoint)
        return size

    def _near(self, name: str, value: Array, allowed: Float64, factor: float) -> bool:
        def off(candidate: Array, value: Array, allowed: Float64) -> Array:
            difference = np.abs(candidate.astype(np.float64) - value)
            return np.asarray(~(difference <= factor * allowed))

        tensors = (self.candidate[name], value, allowed)
        return not holds_anywhere(off, *tensors, checkpoint=self.checkpoint)


def _ratio(numerator: float, denominator: float) -> float:
    # Python's floats overflow to infinity without a warning, NumPy's with one.
    return float(numerator) / float(denominator) if denominator > 0 else 1.0
