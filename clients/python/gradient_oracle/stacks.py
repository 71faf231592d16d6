"""f at many points in one call: `vectorized=True`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gradient_oracle import arrays, trees
from gradient_oracle.called import Outcome, OutsideDomain, Value
from gradient_oracle.errors import invalid
from gradient_oracle.outputs import parts
from gradient_oracle.points import Move, Point
from oracle.values import Array

BYTES = 2**26
"""Of one stack of points: small beside what a device has room for; one point if it is larger."""


def evaluate(point: Point, moves: Sequence[Move]) -> Iterator[Outcome]:
    """Evaluate f at a stack of points; at one after the other where one is said to be outside."""
    if point.module is not None:
        raise invalid("vectorized", "be False for a module of torch", "True")
    stack = [np.stack([tensor] * len(moves)) for tensor in point.arrays]
    for row, move in enumerate(moves):
        point.require_known(move)
        for part in move.parts:
            entries = stack[point.places[part.tensor]][row].reshape(-1)
            part.write(entries[part.begin : part.end], point.departure)
    made = [
        arrays.from_numpy(tensor, leaf.original)
        for leaf, tensor in zip(point.leaves, stack, strict=True)
    ]
    try:
        result = point.called.f(trees.rebuild(point.tree, made), *point.called.args)
    except OutsideDomain as outside:
        if len(moves) == 1:
            yield Outcome(outside=str(outside)[:200])
        else:
            for move in moves:
                yield from evaluate(point, [move])
        return
    found = parts(result, "f")
    if any(array.shape[:1] != (len(moves),) for array in found.values()):
        was = ", ".join(f"shape {array.shape}" for array in found.values())
        raise invalid("f", f"return a value for each of {len(moves)} points", was)
    for row in range(len(moves)):
        yield Outcome(_value(point, {path: array[row] for path, array in found.items()}))


def _value(point: Point, found: dict[str, Any]) -> Value:
    pairing = point.called.pairing
    if pairing is not None:
        return Value(*pairing.of(found))
    number: Array = np.asarray(next(iter(found.values())))
    if len(found) != 1 or number.size != 1:
        raise invalid("f", "return one number for each point", f"shape {number.shape} for each")
    return Value(number.reshape(()), arrays.coarsest([number]))
