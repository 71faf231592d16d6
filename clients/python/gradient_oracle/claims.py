"""What the caller claims: a gradient beside its x, and what it predicts at a probe."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradient_oracle import arrays, sizes, trees, waiting
from gradient_oracle.called import fingerprint
from gradient_oracle.errors import ServerFailure, invalid
from gradient_oracle.points import Move, Point
from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.splitmix import positive_signs, seed_of
from oracle.values import Array
from oracle.wire import black_box

CHUNK = 2**16
"""Entries that are moved at a time, so that a probe needs no array of the size of x."""

LARGEST = 2.0**480
"""Of the entries of x and of a gradient: the squares of 2^63 of them have a sum below 2^1024."""


def _some(paths: Sequence[str]) -> str:
    return ", ".join(paths[:4]) + (", ..." if len(paths) > 4 else "")


class Gradient:
    """The caller's gradient beside its x: predicts changes, entry by entry in float64.

    `tensors` has one array, or None, for each floating tensor of x.
    """

    def __init__(self, gradient: Any, point: Point, argument: str = "gradient") -> None:
        found = self._arrays(gradient, point, argument)
        known = [leaf.path for leaf in point.leaves]
        more = [path for path in found if path not in known]
        if more:
            # A tuple of gradients for a dict of parameters, as autograd returns it, say.
            those = f"hold no tensors but those of x, which are {_some(known)}"
            raise invalid(argument, those, _some(more))
        self.leaves = point.floating
        self.tensors = [found.get(leaf.path) for leaf in point.floating]
        self.entries = [np.zeros(0) if t is None else t.reshape(-1) for t in self.tensors]
        self.classes: dict[int, Array] = {}
        """By tensor the numbers of the size classes of its entries, where these are several."""

    def require_floating(self, argument: str) -> None:
        """Raise if a tensor has a type in which no derivative is kept."""
        for leaf, array in zip(self.leaves, self.tensors, strict=True):
            if array is not None and array.dtype.name not in arrays.FLOATING:
                requirement = f"be of a floating type in `{leaf.path}`"
                raise invalid(argument, requirement, f"{array.dtype}")

    def require_fit(self, argument: str) -> None:
        """Raise unless every tensor is there and has the shape of that of x."""
        for leaf, array in zip(self.leaves, self.tensors, strict=True):
            shape = None if array is None else array.shape
            if shape != leaf.array.shape:
                requirement = f"have the shape of x {leaf.array.shape} in `{leaf.path}`"
                raise invalid(argument, requirement, shape)

    @staticmethod
    def _arrays(gradient: Any, point: Point, argument: str) -> dict[str, Array]:
        if gradient is None:
            return {}
        gradient = trees.parameters(gradient)
        if point.module is not None and isinstance(gradient, (list, tuple)):
            gradient = dict(zip((leaf.path for leaf in point.leaves), gradient, strict=False))
        if arrays.library(point.tree):
            return {point.floating[0].path: arrays.to_numpy(gradient, argument)}
        leaves = trees.flatten(gradient, argument)
        if len(leaves) == len(point.floating) == 1 and not isinstance(gradient, Mapping):
            return {point.floating[0].path: leaves[0].array}
        return {leaf.path: leaf.array for leaf in leaves}


class SignMove(Move):
    """A probe of a check: every entry moved by the step up or down, as the signs of a seed say.

    What it wrote it remembers: `predicted`, the change that a gradient predicts at the point that
    the type of x really holds, and `largest`, the largest movement of an entry.
    """

    def __init__(self, probe: pb.Probe, gradient: Gradient, classes: Sequence[int] = ()) -> None:
        super().__init__(probe.tensor, probe.begin, probe.end)
        self.seed, self.step = probe.seed, probe.step
        self.gradient, self.classes = gradient, tuple(classes)
        self.predicted, self.largest = 0.0, 0.0

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells this point from others of the same x."""
        return (self.tensor, self.begin, self.end, self.seed, self.step)

    def __str__(self) -> str:
        one = self.end - self.begin == 1
        up = bool(one and positive_signs(self.seed, self.begin, self.end)[0])
        return f"moved by {self.step if up or not one else -self.step:{'+' if one else ''}.3g}" + (
            "" if one else " up or down"
        )

    def write(self, entries: Array, departure: waiting.Departure) -> None:
        """Move the entries."""
        if not self.step:
            return
        slopes = self.gradient.entries[self.tensor]
        self.predicted, self.largest = 0.0, 0.0
        for begin in range(self.begin, self.end, CHUNK):
            end = min(begin + CHUNK, self.end)
            here = slice(begin - self.begin, end - self.begin)
            before = entries[here].astype(np.float64)
            steps = np.where(positive_signs(self.seed, begin, end), self.step, -self.step)
            if self.classes:
                known = self.gradient.classes[self.tensor][begin:end]
                steps[~np.isin(known, self.classes)] = 0.0
            departure.write(entries, here, before + steps)
            change = entries[here].astype(np.float64) - before
            self.predicted += float(np.dot(slopes[begin:end].astype(np.float64), change))
            self.largest = max(self.largest, float(np.abs(change).max()))


class JointMove(Move):
    """A probe of a check that moves parts of several tensors, each by a multiple of its step."""

    def __init__(
        self, probe: pb.Probe, selections: Sequence[pb.Selection], gradient: Gradient
    ) -> None:
        super().__init__()
        if not 0 <= probe.selection < len(selections):
            raise ServerFailure(f"the server asks for selection {probe.selection} and has it not")
        self.seed, self.step = probe.seed, probe.step
        self.gradient = gradient
        self.selected = selections[probe.selection].parts
        self.moves = [self._of(part, gradient) for part in self.selected]

    def _of(self, part: pb.Part, gradient: Gradient) -> SignMove:
        if not 0 <= part.tensor < len(gradient.entries):
            raise ServerFailure(f"the server asks for tensor {part.tensor}")
        if part.classes and part.tensor not in gradient.classes:
            raise ServerFailure(f"the server asks for classes of tensor {part.tensor}")
        probe = pb.Probe(
            tensor=part.tensor,
            end=gradient.entries[part.tensor].size,
            seed=seed_of(self.seed, part.tensor),
            step=self.step * part.scale,
        )
        return SignMove(probe, gradient, part.classes)

    @property
    def parts(self) -> Sequence[Move]:
        """The moves of its tensors."""
        return self.moves

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells this point from others of the same x; no single tensor has the number -1."""
        parts = [n for p in self.selected for n in (p.tensor, p.scale, -1, *p.classes, -1)]
        # With another gradient the same numbers are the classes of other entries.
        classes = fingerprint([self.gradient.classes[p.tensor] for p in self.selected if p.classes])
        return (-1, *parts, classes, self.seed, self.step)

    @property
    def predicted(self) -> float:
        """The change that a gradient predicts."""
        return math.fsum(move.predicted for move in self.moves)

    @property
    def largest(self) -> float:
        """The largest movement of an entry."""
        return max((move.largest for move in self.moves), default=0.0)

    def __str__(self) -> str:
        return f"moved by multiples of {self.step:.3g} up or down"


def move_of(
    probe: pb.Probe, selections: Sequence[pb.Selection], gradient: Gradient
) -> SignMove | JointMove:
    """Return where a probe leads: a range of one tensor is moved, or parts of several."""
    if probe.HasField("selection"):
        return JointMove(probe, selections, gradient)
    return SignMove(probe, gradient)


def describe(point: Point, gradient: Gradient | None = None) -> list[pb.BlackBoxTensor]:
    """Return what the oracle is told of the tensors of x, and of a gradient; not their entries."""
    messages = []
    for index, (leaf, entries) in enumerate(zip(point.floating, point.scratch, strict=True)):
        largest, square, not_finite = largest_and_square(entries)
        if not_finite:
            raise invalid(leaf.path, "be finite", "NaN or infinity")
        message = pb.BlackBoxTensor(
            name=leaf.path,
            shape=leaf.array.shape,
            data_type=black_box.encode_dtype(entries.dtype),
            largest=largest,
        )
        if gradient is not None:
            _require_computable(leaf.path, "be", largest)
            message.mean_square = square / max(1, entries.size)
            _describe_gradient(message, gradient.tensors[index], leaf.array.shape)
            largest = message.gradient_largest
            _require_computable("gradient", f"in `{leaf.path}` be", largest)
            if message.WhichOneof("gradient_fault") is None and entries.size > 1:
                classes = sizes.numbers(entries, gradient.entries[index])
                told = sizes.describe(entries, gradient.entries[index], classes)
                message.classes.extend(told)
                if told:
                    gradient.classes[index] = classes
        messages.append(message)
    return messages


def _require_computable(argument: str, subject: str, largest: float) -> None:
    """Raise if squares of entries are no numbers: no slope could be compared with them."""
    if largest > LARGEST:
        raise invalid(argument, f"{subject} at most {LARGEST:.1g} in size", f"{largest:.3g}")


def _describe_gradient(
    message: pb.BlackBoxTensor, tensor: Array | None, shape: tuple[int, ...]
) -> None:
    if tensor is None:
        message.gradient_missing = True
    elif tensor.shape != shape:
        message.gradient_shape.lengths.extend(tensor.shape)
        message.gradient_shape.SetInParent()
    elif tensor.size:
        message.gradient_data_type = black_box.encode_dtype(tensor.dtype)
        message.gradient_largest, square, not_finite = largest_and_square(tensor.reshape(-1))
        message.gradient_norm = math.sqrt(square)
        if not_finite:
            message.gradient_not_finite = not_finite


def largest_and_square(entries: Array) -> tuple[float, float, int]:
    """Return max |a_i|, the sum of a_i^2, and how many do not count, not being finite."""
    largest, square, not_finite = 0.0, 0.0, 0
    for begin in range(0, entries.size, CHUNK):
        chunk = entries[begin : begin + CHUNK].astype(np.float64)
        finite = np.isfinite(chunk)
        if not finite.all():
            not_finite += int(np.count_nonzero(~finite))
            chunk[~finite] = 0.0
        largest = max(largest, float(np.abs(chunk).max()))
        with np.errstate(over="ignore"):
            square += float(np.dot(chunk, chunk))
    return largest, square, not_finite


def require_finite(argument: str, values: Array) -> None:
    """Raise if an array holds NaN or an infinity."""
    if not np.isfinite(values).all():
        raise invalid(argument, "be finite", "NaN or infinity")
