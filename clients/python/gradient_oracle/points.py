"""The caller's x, and the points beside it where f is evaluated."""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from gradient_oracle import arrays, trees, waiting
from gradient_oracle.called import (
    Called,
    Value,
    changed,
    fingerprint,
    require_callable,
)
from gradient_oracle.errors import ServerFailure, invalid
from oracle.values import Array

_BYTE_BOUNDS = getattr(np.lib, "array_utils", np).byte_bounds
"""Where an array begins and ends in memory; NumPy 2 has moved it."""


class Move:
    """A point beside x: the entries begin <= i < end of a floating tensor, moved by a rule.

    This one is x itself, of which no entry is moved.
    """

    def __init__(self, tensor: int = 0, begin: int = 0, end: int = 0) -> None:
        self.tensor, self.begin, self.end = tensor, begin, end

    @property
    def parts(self) -> Sequence[Move]:
        """The moves of single tensors that this one is made of."""
        return (self,)

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells this point from others of the same x; the last number is how far it is."""
        return (self.tensor, self.begin, self.end, 0, 0.0)

    def write(self, entries: Array, departure: waiting.Departure) -> None:
        """Move these entries, which hold x."""

    def __str__(self) -> str:
        return "as it is"


class Point:
    """The caller's x and a place to evaluate beside it: a copy of x, or in place x itself."""

    def __init__(
        self,
        called: Called,
        x: Any,
        *,
        in_place: bool = False,
        argument: str = "x",
    ):
        require_callable("f", called.f)
        self.called = called
        self.module = x if trees.is_module(x) else None
        self.tree = trees.rooted(trees.parameters(x))
        self.leaves = trees.flatten(self.tree, argument)
        self.in_place = in_place
        self.departure = waiting.departure()
        self.value_dtype = np.dtype(np.float64)
        self.floating = [leaf for leaf in self.leaves if leaf.floating]
        if not self.floating:
            found = ", ".join(sorted({str(leaf.array.dtype) for leaf in self.leaves}))
            raise invalid(argument, "hold a tensor of a floating type", found or "no tensor")
        if in_place:
            _require_apart(self.floating)
        self.arrays = [self._place(leaf) for leaf in self.leaves]
        self.places = [index for index, leaf in enumerate(self.leaves) if leaf.floating]
        self.scratch = [self.arrays[index].reshape(-1) for index in self.places]
        self.shared = x if in_place and self.module else self.tree if in_place else self.handed()
        self.copied_each_time = not all(arrays.shares(leaf.original) for leaf in self.leaves)
        self.known = fingerprint(self.arrays)

    def _place(self, leaf: trees.Leaf) -> Array:
        if not self.in_place:
            return np.array(leaf.array, order="C", ndmin=0)
        writable = arrays.shares(leaf.original) and leaf.array.flags.writeable
        if leaf.floating and not (writable and leaf.array.flags.c_contiguous):
            raise invalid(leaf.path, "be writable and C-contiguous for in_place=True", "not")
        return leaf.array

    def handed(self, moved: Mapping[int, Array] | None = None) -> Any:
        """Return what f takes: x as it is here, or with other arrays in some places."""
        others = moved or {}
        tensors = [others.get(place, tensor) for place, tensor in enumerate(self.arrays)]
        made = [
            arrays.from_numpy(array, leaf.original)
            for leaf, array in zip(self.leaves, tensors, strict=True)
        ]
        if self.module is None:
            return trees.rebuild(self.tree, made)
        module = copy.deepcopy(self.module)
        for parameter, data in zip(module.parameters(), made, strict=True):
            parameter.data = data.detach()
        return module

    def beside(self, move: Move) -> Any:
        """Return what f takes at a moved point, in memory of its own where it is moved."""
        self.require_known(move)
        moved = {}
        for part in move.parts:
            place = self.places[part.tensor]
            moved[place] = self.arrays[place].copy()
            part.write(moved[place].reshape(-1)[part.begin : part.end], waiting.Departure())
        return self.handed(moved)

    @contextmanager
    def moved(self, move: Move) -> Iterator[None]:
        """Move the entries of a move where f finds them, then put them back.

        Also when the caller has left: what it does with x from then on stays.
        """
        self.require_known(move)
        with ExitStack() as stack:
            for part in move.parts:
                entries = self.scratch[part.tensor][part.begin : part.end]
                back = functools.partial(np.copyto, entries, entries.copy())
                stack.enter_context(self.departure.undoing(back))
                part.write(entries, self.departure)
            yield

    def foretell(self, move: Move) -> None:
        """Let a move say what it would do, without f."""
        self.require_known(move)
        for part in move.parts:
            entries = self.scratch[part.tensor][part.begin : part.end]
            part.write(entries.copy(), waiting.Departure())

    def require_known(self, move: Move) -> None:
        """Raise if the server names entries that there are not."""
        for part in move.parts:
            index, begin, end = part.tensor, part.begin, part.end
            there = 0 <= index < len(self.scratch)
            if not (there and 0 <= begin <= end <= self.scratch[index].size):
                raise ServerFailure(f"the server asks for entries {begin}:{end} of tensor {index}")

    def place_at(self, moved: dict[str, Array]) -> None:
        """Go on from another x, given by the paths of its floating tensors."""
        for leaf, entries in zip(self.floating, self.scratch, strict=True):
            entries[...] = moved[leaf.path].reshape(-1)
        self.known = fingerprint(self.arrays)

    def require_unchanged(self) -> None:
        """Raise if f changed what it was given, so that no value of it is one at its point."""
        if fingerprint(self.arrays) != self.known:
            raise changed()

    def value(self) -> Value:
        """Return f at the point as it stands."""
        self.departure.require_waiting()
        return self.called(self.handed() if self.copied_each_time else self.shared)

    def told(self, move: Move) -> str:
        """Say where a move leads, in the words of the caller's x."""
        if not move.key[-1] or all(part.begin == part.end for part in move.parts):
            return "at x itself"
        if move.parts[0] is not move:
            names = ", ".join(f"`{self.floating[part.tensor].path}`" for part in move.parts[:4])
            more = f" and {len(move.parts) - 4} more" if len(move.parts) > 4 else ""
            return f"at x with entries of {names}{more} {move}"
        leaf = self.floating[move.tensor]
        where = f"entries {move.begin}:{move.end} of `{leaf.path}`"
        if move.end - move.begin == leaf.array.size:
            where = f"all entries of `{leaf.path}`"
        if move.end - move.begin == 1:
            index = [int(i) for i in np.unravel_index(move.begin, leaf.array.shape)]
            where = f"entry {index} of `{leaf.path}`"
        return f"at x with {where} {move}"


def _require_apart(leaves: Sequence[trees.Leaf]) -> None:
    """Raise if two tensors share memory, in which a step in one would be a step in both."""
    bounds = sorted((*_BYTE_BOUNDS(leaf.array), leaf.path) for leaf in leaves if leaf.array.size)
    for (_, end, path), (begin, _, other) in itertools.pairwise(bounds):
        if begin < end:
            requirement = f"not share memory with `{path}` for in_place=True"
            raise invalid(other, requirement, "one array under two names")
