"""What a tensor may be off by: bounds, entry by entry, by how they add up.

A part of an error either may have one sign everywhere (`ONE_SIGN`), and adds up by magnitude; or
entries of it that differ along some axes were rounded independently of each other, and along these
axes it adds up by squares. An error of a row's sum, say, is the same in every column that it is
then subtracted from, and independent along the rows alone.

Lines that are copies of each other, as where a sample comes twice, err alike: a part knows, for
each of its axes, how many lines are one at most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from oracle.values import Array, Float64

Key: TypeAlias = frozenset[int] | None

ONE_SIGN: Key = None

MARGIN = 1.1
"""Second-order terms, and the rounding of the bound's own evaluation.

Some 30 roundings of 2^-8, the coarsest, follow each other: (1 + 2^-8)^30 is 6 % above 1 + 30 2^-8.
"""

SAFETY = 1.5
"""The same for independent roundings, and long odds."""

LEAST_SQUARE = 1e-290
"""Sums of squares below this have lost terms to underflow; those above 1e308 are infinite, or NaN
as 0 times infinity. Errors are added by magnitude then.
"""


@dataclass(frozen=True)
class Part:
    """A bound, and for each axis along which it is independent how many lines err alike."""

    bound: Float64
    copies: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Error:
    """The parts of an error, by the axes along which they are independent."""

    parts: Mapping[Key, Part] = field(default_factory=dict)

    @property
    def nothing(self) -> bool:
        """Whether there is no error."""
        return not self.parts

    def total(self, shape: Sequence[int]) -> Float64:
        """Return the bound of the sum of all parts."""
        bounds = [part.bound for part in self.parts.values()]
        return np.asarray(sum(bounds, np.zeros(tuple(shape))))

    def budget(self, shape: Sequence[int]) -> Float64:
        """Return the bound with its margins: what has one sign, and what is independent."""
        sure = self.parts[ONE_SIGN].bound if ONE_SIGN in self.parts else 0.0
        squares = [part.bound**2 for key, part in self.parts.items() if key is not ONE_SIGN]
        spread = np.sqrt(sum(squares, np.zeros(tuple(shape))))
        magnitude = sum(
            (part.bound for key, part in self.parts.items() if key is not ONE_SIGN),
            np.zeros(tuple(shape)),
        )
        followed = np.where(spread > np.sqrt(LEAST_SQUARE), spread, magnitude)
        return np.asarray(MARGIN * sure + SAFETY * followed)

    def times(self, size: Float64) -> Error:
        """Return the error of a product with something exact of this magnitude and shape."""
        return self.each(lambda bound: bound * size)

    def each(self, change: Callable[[Float64], Float64]) -> Error:
        """Return the error with every bound changed."""
        return Error(
            {key: Part(change(part.bound), part.copies) for key, part in self.parts.items()}
        )

    def at_most(self, bound: float | Float64) -> Error:
        """Return the error of something that cannot err by more than `bound`."""
        return self.each(lambda b: np.minimum(b, bound))

    def plus(self, *others: Error) -> Error:
        """Return the error of a sum of tensors of one shape."""
        parts = dict(self.parts)
        for other in others:
            for key, part in other.parts.items():
                if key not in parts:
                    parts[key] = part
                    continue
                ours = parts[key]
                copies = {k: max(ours.copies[k], n) for k, n in part.copies.items()}
                parts[key] = Part(ours.bound + part.bound, copies)
        return Error(parts)

    def moved(self, move: Callable[[Array], Array], axes: Sequence[int | None]) -> Error:
        """Return the error of a tensor whose entries were moved; `axes` says where each axis is."""
        found = Error()
        for key, part in self.parts.items():
            found = found.plus(Error(_relabelled(key, part, move(part.bound), axes)))
        return found

    def broadcast(self, before: Sequence[int], after: Sequence[int]) -> Error:
        """Return the error of a tensor that was repeated from one shape to another."""
        if tuple(before) == tuple(after):
            return self
        new = len(after) - len(before)
        axes = [new + k if n == after[new + k] else None for k, n in enumerate(before)]
        return self.moved(lambda a: np.broadcast_to(a, tuple(after)), axes)


def _relabelled(
    key: Key, part: Part, bound: Float64, axes: Sequence[int | None]
) -> dict[Key, Part]:
    if key is ONE_SIGN:
        return {ONE_SIGN: Part(bound)}
    copies = {}
    for k, n in part.copies.items():
        place = axes[k]
        if place is not None:
            copies[place] = n
    return {frozenset(copies): Part(bound, copies)}


def one_sign(bound: Float64) -> Error:
    """Return an error that may have one sign everywhere."""
    return Error({ONE_SIGN: Part(bound)})


def independent(bound: Float64, copies: Mapping[int, float]) -> Error:
    """Return an error whose entries are independent along the axes of `copies`."""
    return Error({frozenset(copies): Part(bound, copies)})


def largest(errors: Sequence[Error]) -> Error:
    """Return the largest of several errors, part by part."""
    found: dict[Key, Part] = {}
    for error in errors:
        for key, part in error.parts.items():
            ours = found.get(key)
            if ours is None:
                found[key] = part
                continue
            copies = {k: max(ours.copies[k], n) for k, n in part.copies.items()}
            found[key] = Part(np.maximum(ours.bound, part.bound), copies)
    return Error(found)
