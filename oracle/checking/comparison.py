"""A candidate gradient beside the reference: what a verdict and a diagnosis are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from oracle.slices import holds_anywhere, largest_size
from oracle.values import Array, Checkpoint, Float64, never_stop


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
        One that moves entries brings their `allowed` along, moved in the same way.
        """
        self.checkpoint()
        allowed = self.allowed[name] if allowed is None else allowed
        size = largest_size(hypothesis, self.checkpoint)
        scale = max(1.0, _ratio(size, self.largest(name)))
        if scale == np.inf:
            return False
        return self._near(name, hypothesis, allowed, slack * scale)

    def within(self, name: str) -> bool:
        """Tell whether the candidate's tensor `name` is within its budget of the reference."""
        self.checkpoint()
        return self._near(name, self.reference[name], self.allowed[name], 1.0)

    def largest(self, name: str) -> float:
        """Return the largest entry of the reference's tensor `name`, in absolute value."""
        return largest_size(self.reference[name], self.checkpoint)

    def _near(self, name: str, value: Array, allowed: Float64, factor: float) -> bool:
        def off(candidate: Array, value: Array, allowed: Float64) -> Array:
            difference = np.abs(candidate.astype(np.float64) - value)
            return np.asarray(~(difference <= factor * allowed))

        tensors = (self.candidate[name], value, allowed)
        return not holds_anywhere(off, *tensors, checkpoint=self.checkpoint)


def _ratio(numerator: float, denominator: float) -> float:
    # Python's floats overflow to infinity without a warning, NumPy's with one.
    return float(numerator) / float(denominator) if denominator > 0 else 1.0
