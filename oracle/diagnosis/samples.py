"""A tensor that is the sum over some of the samples only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from oracle.diagnosis.bits import DECISIVE, Evidence
from oracle.findings import FindingKind as Kind
from oracle.operators.operator import Vjp
from oracle.values import Array, Finding, Float64

MOST_SAMPLES = 64
"""Samples that are looked at one by one, at most: each takes a backward pass."""


def only(right: Vjp, sample: int) -> Vjp:
    """Return a derivative that is zero but for one sample, the first axis."""

    def wrong(*given: Any, **attributes: Any) -> dict[str, Any]:
        found = {}
        for name, whole in right(*given, **attributes).items():
            tensor = whole() if callable(whole) else whole
            if isinstance(tensor, np.ndarray) and tensor.ndim:
                kept = np.zeros_like(tensor)
                kept[sample] = tensor[sample]
                tensor = kept
            found[name] = tensor
        return found

    return wrong


def of_samples(
    evidence: Evidence, name: str, parts: Mapping[str, Float64], factor: float
) -> Finding | None:
    """Find the samples whose sum a tensor is: one, the first, the last, or all but one."""
    if name not in parts or evidence.comparison.is_coarse(name):
        return None
    each = factor * parts[name]
    N = len(each)
    begun = np.cumsum(each, axis=0)
    best: tuple[float, str] | None = None
    for text, held in _sums(each, begun, N):
        digits = evidence.digits(name, held)
        if digits:
            bits = evidence.numbers(name) * digits - math.log2(4 * N)
            if bits >= DECISIVE and (best is None or bits > best[0]):
                best = bits, text
    if best is None:
        return None
    message = f"{name} is the sum over {best[1]} only, of {N}."
    return Finding(Kind.DROPPED_SAMPLES, name, message, f"Add every sample to {name}: += for =.")


def _sums(each: Array, begun: Array, N: int) -> list[tuple[str, Float64]]:
    found = [(f"sample {n}", each[n]) for n in range(N)]
    found += [(f"samples 0 to {n}", begun[n]) for n in range(1, N - 1)]
    found += [(f"samples {n} to {N - 1}", begun[-1] - begun[n - 1]) for n in range(1, N - 1)]
    return found + [(f"all samples but {n}", begun[-1] - each[n]) for n in range(1, N - 1)]
