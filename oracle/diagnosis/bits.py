"""The one number that decides among explanations: bits of the error explained, less bits paid.

    bits(tensor | prediction) = n log2(rms(sent - right) / rms(sent - prediction))

n counts the independent numbers of the tensor, and the logarithm is cut off where rounding hides
the rest. An account pays log2 of the table it was chosen from for every slip, and as many bits as
an entry holds for every number that was fitted. It stands if `DECISIVE` bits are left.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from oracle.diagnosis.comparison import USUAL, Comparison
from oracle.diagnosis.evidence import independent
from oracle.diagnosis.tensors import equals
from oracle.values import Array, Float64

KNOWN = 4.0
"""Bits that one of some dozen factors with a meaning costs."""

DECISIVE = 10.0
"""Bits that are left of an account at least: by chance once in a thousand."""

LIKELY = 4.0
"""Usual roundings that what is left may be, at most: it has to look like rounding."""

TELLING = 2.0
"""Binary digits of a tensor's error that a prediction explains at least."""

FIRST = 64
"""Entries that are compared before all of them are."""

MOST_LINES = 256
"""Rows and columns of a tensor of which it is asked how many are independent."""


@dataclass(frozen=True)
class Match:
    """The tensors that follow from predictions beneath one factor, and what that explains."""

    factor: float
    names: tuple[str, ...]
    bits: float


@dataclass(frozen=True)
class Evidence:
    """What was sent, beside what is right."""

    comparison: Comparison
    sizes: Mapping[str, int]

    def sent(self, name: str) -> Float64:
        """Return what was sent, in float64."""
        return self._sent[name]

    @cached_property
    def _sent(self) -> dict[str, Float64]:
        return {n: g.astype(np.float64) for n, g in self.comparison.candidate.items()}

    @cached_property
    def wrong(self) -> tuple[str, ...]:
        """Names of the tensors that are outside their budget."""
        return tuple(n for n in self.comparison.candidate if not self.comparison.within(n))

    def noise(self, name: str) -> float:
        """Return what rounding usually does to a tensor."""
        return self._noises[name]

    @cached_property
    def _noises(self) -> dict[str, float]:
        c = self.comparison
        return {
            n: max(USUAL * c.widest(n), 4 * c.unit_roundoff * c.largest(n), 1e-300)
            for n in c.candidate
        }

    def numbers(self, name: str) -> int:
        """Return how many numbers of a tensor are independent: its rank counts, not its entries."""
        return self._numbers[name]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: self._count(name) for name in self.comparison.candidate}

    def _count(self, name: str) -> int:
        tensor = self.comparison.reference[name]
        free = independent(self.comparison, name)
        if tensor.ndim < 2:
            return max(1, free)
        matrix = tensor.reshape(tensor.shape[0], -1)[:MOST_LINES, :MOST_LINES]
        both = np.concatenate([matrix, self._difference(name)], axis=1)
        if not np.isfinite(both).all():
            return max(1, free)
        values = np.linalg.svd(both, compute_uv=False)
        rank = int(np.count_nonzero(values > 8 * self.noise(name)))
        rank = min(rank, *matrix.shape)
        # What meets its error is known: each of the ranks determines one line of it.
        return max(1, min(free, rank * min(matrix.shape)))

    def _difference(self, name: str) -> Float64:
        gap = self.sent(name) - self.comparison.reference[name]
        return gap.reshape(gap.shape[0], -1)[:MOST_LINES, :MOST_LINES]

    def digits(self, name: str, prediction: Array) -> float | None:
        """Return the binary digits of the error that a prediction explains; None if it misses."""
        c = self.comparison
        largest = c.largest(name)
        some = self.sent(name).ravel()[:FIRST] - prediction.ravel()[:FIRST]
        most = 4 * max(c.sent(name), c.widest(name))
        grown = max(1.0, most / largest if largest else 1.0)
        if not np.abs(some).max(initial=0.0) <= LIKELY * self.noise(name) * grown:
            return None  # However large the prediction is.
        size = float(np.abs(prediction).max(initial=0.0))
        if not np.isfinite(size) or size > most:
            return None
        gap = np.abs(self.sent(name) - prediction)
        noise = self.noise(name) * max(1.0, size / largest if largest else 1.0)
        if not float(gap.max(initial=0.0)) <= LIKELY * noise:
            return None
        if name not in self.wrong:
            return 0.0
        error = math.sqrt(float(np.mean((self.sent(name) - c.reference[name]) ** 2)))
        left = max(math.sqrt(float(np.mean(gap**2))), noise)
        explained = math.log2(max(error, 1e-300) / left)
        return explained if explained >= TELLING else None

    def factors(self, predictions: Mapping[str, Array]) -> Iterator[tuple[float, bool]]:
        """Yield factors between predictions and what was sent, those with a meaning first."""
        yield 1.0, True
        top = bottom = 0.0
        for name, p in predictions.items():
            unit = self.noise(name)
            top += float((self.sent(name) / unit * (p / unit)).sum())
            bottom += float((p / unit * (p / unit)).sum())
        if not bottom > 0 or not np.isfinite(bottom) or not top:
            return
        fitted = top / bottom
        near = max(1e-3, 4 * self.comparison.unit_roundoff)
        for size in (1.0, 2.0, 0.5, *equals(abs(fitted), self.sizes, near).values()):
            if math.isclose(abs(fitted), size, rel_tol=near):
                yield math.copysign(size, fitted), True
        yield fitted, False

    def match(self, predictions: Mapping[str, Array], fitted: int = 0) -> Match | None:
        """Return the match of most bits: all tensors, or the largest part that one factor fits.

        `fitted` counts the numbers in the predictions that were fitted to what was sent. A tensor
        that is right is not denied; one that is all zeros says that, and nothing else.
        """
        names = [n for n in predictions if np.any(self.sent(n))]
        best: Match | None = None
        tried: set[float] = set()
        parts = [names, *([n] for n in names)] if len(names) > 1 else [names]
        for part in parts:
            chosen = {n: predictions[n] for n in part}
            for factor, known in self.factors(chosen):
                if factor in tried:
                    continue
                tried.add(factor)
                found = self._under(factor, {n: predictions[n] for n in names}, known, fitted)
                if found and (best is None or found.bits > best.bits + 1e-9):
                    best = found
            if best is not None and len(best.names) == len(names):
                break
        return best

    def _under(
        self, factor: float, predictions: Mapping[str, Array], known: bool, fitted: int
    ) -> Match | None:
        explained: dict[str, float] = {}
        for name in sorted(predictions, key=lambda n: n in self.wrong):
            digits = self.digits(name, factor * predictions[name])
            if digits is not None:
                explained[name] = digits
            elif name not in self.wrong:
                return None
        bits = sum(self.numbers(n) * d for n, d in explained.items())
        most = max(explained.values(), default=0.0)
        count = sum(self.numbers(n) for n in explained if n in self.wrong)
        free = fitted + (not known)
        # Numbers that are fitted explain their share of all that the error determines.
        bits -= free * max(most, bits / max(1, count)) + (KNOWN if known and factor != 1 else 0.0)
        return Match(factor, tuple(explained), bits) if most and bits >= DECISIVE else None
