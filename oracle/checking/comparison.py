"""A candidate gradient beside the reference: what a verdict and a diagnosis are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

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
        scale = max(1.0, _ratio(np.abs(hypothesis).max(initial=0.0), self.largest(name)))
        difference = np.abs(self.candidate[name].astype(np.float64) - hypothesis)
        return bool(np.all(difference <= slack * scale * allowed))

    def within(self, name: str) -> bool:
        """Tell whether the candidate's tensor `name` is within its budget of the reference."""
        self.checkpoint()
        difference = np.abs(self.candidate[name].astype(np.float64) - self.reference[name])
        return bool(np.all(difference <= self.allowed[name]))

    def largest(self, name: str) -> float:
        """Return the largest entry of the reference's tensor `name`, in absolute value."""
        return float(np.abs(self.reference[name]).max(initial=0.0))


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator > 0 else 1.0
