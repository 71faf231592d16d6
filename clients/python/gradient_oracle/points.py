"""The caller's side of a conversation: x, f at points beside it, and what the gradient predicts."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import numpy as np

from gradient_oracle import arrays, trees, waiting
from gradient_oracle.errors import ServerFailure, invalid
from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.splitmix import positive_signs
from oracle.values import Array
from oracle.wire import black_box

CHUNK = 2**16
"""Entries that are moved at a time, so that a probe needs no array of the size of x."""

LARGEST = 2.0**480
"""Of the entries of x and of a gradient: the squares of 2^63 of them have a sum below 2^1024."""

Function: TypeAlias = Callable[[Any], Any]


class OutsideDomain(Exception):
    """Raised by a caller's f to say that it is not defined at this point: a fact, not a failure."""


def require_callable(argument: str, value: Any) -> Any:
    """Return an argument that can be called."""
    if not callable(value):
        raise invalid(argument, "be a function", f"a {type(value).__name__}")
    arrays.require_ordinary(argument, value)
    return value


def require_finite(argument: str, values: Array) -> None:
    """Raise if an array holds NaN or an infinity."""
    if not np.isfinite(values).all():
        raise invalid(argument, "be finite", "NaN or infinity")


class Point:
    """The caller's x and a place to evaluate beside it: a copy of x, or in place x itself."""

    def __init__(
        self,
        f: Function,
        x: Any,
        *,
        in_place: bool = False,
        cotangent: Any = None,
        argument: str = "x",
    ):
        self.f = require_callable("f", f)
        self.tree = trees.rooted(x)
        self.leaves = trees.flatten(self.tree, argument)
        self.in_place = in_place
        self.departure = waiting.departure()
        self.paired = "cotangent"
        self.value_dtype = np.dtype(np.float64)
        self.cotangent = (
            None if cotangent is None else arrays.to_numpy(cotangent, "cotangent").astype(float)
        )
        if self.cotangent is not None:
            require_finite("cotangent", self.cotangent)
        self.floating = [leaf for leaf in self.leaves if leaf.floating]
        if not self.floating:
            found = ", ".join(sorted({str(leaf.array.dtype) for leaf in self.leaves}))
            raise invalid(argument, "hold a tensor of a floating type", found or "no tensor")
        if in_place:
            _require_apart(self.floating)
        copies = [self._place(leaf) for leaf in self.leaves]
        self.scratch = [
            copy.reshape(-1)
            for leaf, copy in zip(self.leaves, copies, strict=True)
            if leaf.floating
        ]
        self.arrays = copies
        self.shared = self.tree if in_place else self._hand_over()
        self.copied_each_time = not all(arrays.shares(leaf.original) for leaf in self.leaves)

    def _place(self, leaf: trees.Leaf) -> Array:
        if not self.in_place:
            return np.array(leaf.array, order="C", ndmin=0)
        writable = arrays.shares(leaf.original) and leaf.array.flags.writeable
        if leaf.floating and not (writable and leaf.array.flags.c_contiguous):
            raise invalid(leaf.path, "be writable and C-contiguous for in_place=True", "not")
        return leaf.array

    def _hand_over(self) -> Any:
        return trees.rebuild(
            self.tree,
            [
                arrays.from_numpy(array, leaf.original)
                for leaf, array in zip(self.leaves, self.arrays, strict=True)
            ],
        )

    @contextmanager
    def replaced(self, index: int, begin: int, end: int) -> Iterator[Array]:
        """Let the entries begin <= i < end of a floating tensor be written, then put them back.

        Also when the caller has left: what it does with x from then on stays.
        """
        known = 0 <= index < len(self.scratch) and 0 <= begin <= end <= self.scratch[index].size
        if not known:
            raise ServerFailure(f"the server asks for entries {begin}:{end} of tensor {index}")
        entries = self.scratch[index][begin:end]
        with self.departure.undoing(functools.partial(np.copyto, entries, entries.copy())):
            yield entries

    def try_first(self) -> None:
        """Evaluate f at x, for the type of its values; outside of its domain it has none.

        Raises
        ------
        InvalidRequest
            If f changed what it was given, so that no other value of it would be one at its point.
        """
        with suppress(OutsideDomain):
            self.value()
        for leaf, entries in zip(self.floating, self.scratch, strict=True):
            if not self.in_place and not _same(entries, leaf.array.reshape(-1)):
                raise invalid("f", "leave its argument as it is", f"another {leaf.path}")

    def value(self) -> Array:
        """Return f at the point as it stands, as a 0-d array of f's own type."""
        x = self._hand_over() if self.copied_each_time else self.shared
        result = arrays.to_numpy(self.f(x), "f")
        self.value_dtype = result.dtype if result.dtype in arrays.FLOATING else np.dtype(np.float64)
        if self.cotangent is not None:
            if self.cotangent.shape != result.shape:
                shapes = f"{self.cotangent.shape}"
                raise invalid(self.paired, f"have the shape of f(x) {result.shape}", shapes)
            return np.asarray(np.vdot(self.cotangent, result.astype(float)))
        if result.size != 1:
            requirement = "return one number, or be given cotangent= for a vector"
            raise invalid("f", requirement, f"shape {result.shape}")
        return result.reshape(())


def _require_apart(leaves: Sequence[trees.Leaf]) -> None:
    """Raise if two tensors share memory, in which a step in one would be a step in both."""
    bounds = sorted(
        (*np.lib.array_utils.byte_bounds(leaf.array), leaf.path)
        for leaf in leaves
        if leaf.array.size
    )
    for (_, end, path), (begin, _, other) in itertools.pairwise(bounds):
        if begin < end:
            requirement = f"not share memory with `{path}` for in_place=True"
            raise invalid(other, requirement, "one array under two names")


def _same(one: Array, other: Array) -> bool:
    """Tell whether two vectors hold the same numbers, NaN among them."""
    return all(
        np.array_equal(one[begin : begin + CHUNK], other[begin : begin + CHUNK], equal_nan=True)
        for begin in range(0, one.size, CHUNK)
    )


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

    def require_floating(self, argument: str) -> None:
        """Raise if a tensor has a type in which no derivative is kept."""
        for leaf, array in zip(self.leaves, self.tensors, strict=True):
            if array is not None and array.dtype not in arrays.FLOATING:
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
        if arrays.library(point.tree):
            return {point.floating[0].path: arrays.to_numpy(gradient, argument)}
        leaves = trees.flatten(gradient, argument)
        if len(leaves) == len(point.floating) == 1 and not isinstance(gradient, Mapping):
            return {point.floating[0].path: leaves[0].array}
        return {leaf.path: leaf.array for leaf in leaves}


def _move(point: Point, gradient: Gradient, probe: pb.Probe) -> tuple[float, float]:
    """Move the entries of a probe; return the predicted change and the largest movement."""
    entries, slopes = point.scratch[probe.tensor], gradient.entries[probe.tensor]
    predicted, largest = 0.0, 0.0
    for begin in range(probe.begin, probe.end, CHUNK):
        end = min(begin + CHUNK, probe.end)
        before = entries[begin:end].astype(np.float64)
        positive = positive_signs(probe.seed, begin, end)
        moved = before + np.where(positive, probe.step, -probe.step)
        point.departure.write(entries, slice(begin, end), moved)
        change = entries[begin:end].astype(np.float64) - before
        predicted += float(np.dot(slopes[begin:end].astype(np.float64), change))
        largest = max(largest, float(np.abs(change).max()))
    return predicted, largest


def evaluate(point: Point, gradient: Gradient, probe: pb.Probe) -> pb.Evaluation:
    """Return f at a probe and the change that the gradient predicts there."""
    with point.replaced(probe.tensor, probe.begin, probe.end):
        predicted, moved = _move(point, gradient, probe) if probe.step else (0.0, 0.0)
        try:
            value = float(point.value())
        except OutsideDomain as outside:
            return pb.Evaluation(outside=str(outside)[:200], predicted=predicted, moved=moved)
    return black_box.encode_evaluation(value, predicted, moved)


def coordinate_values(point: Point, coordinates: pb.CoordinateProbes) -> Array:
    """Evaluate at x_i + h and x_i - h for every i, as the document's loop does."""
    values = []
    step = coordinates.step
    with point.replaced(coordinates.tensor, coordinates.begin, coordinates.end) as entries:
        for index in range(entries.size):
            kept = entries[index]
            for moved in (kept + step, kept - step):
                point.departure.write(entries, index, moved)
                values.append(point.value())
            point.departure.write(entries, index, kept)
    return black_box.concatenate(values)


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
