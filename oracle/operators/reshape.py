"""Reshape (ONNX 25): the same numbers in row-major order in another shape.

    d data = d reshaped, in the shape of data

In `shape`, -1 stands for what is left over, and 0 for the length of the same axis of data, unless
`allowzero` is 1.

Reference: the ONNX operator specification.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from oracle.operators import reshaping
from oracle.operators.operator import (
    Case,
    Shape,
    Signature,
    constant,
    flag_of,
    whole_numbers,
)
from oracle.values import Array, InvalidInput

SIGNATURE = Signature(
    "Reshape",
    inputs=("data", constant("shape")),
    outputs=("reshaped",),
    attributes={"allowzero": 0},
    version=25,
)


def shapes(data: Shape, shape: Array, *, allowzero: int) -> Sequence[Shape]:
    """Return the shape that is asked for, if it has as many entries."""
    wanted = list(whole_numbers("shape", shape))
    zero = flag_of("allowzero", allowzero)
    if min(wanted, default=0) < -1 or wanted.count(-1) > 1:
        requirement = "hold lengths, 0, and at the most one -1"
        raise InvalidInput("shape", requirement, str(wanted))
    for k, length in enumerate(wanted):
        if length == 0 and not zero:
            if k >= len(data):
                requirement = f"hold 0 for axes of data only, which has {len(data)}"
                raise InvalidInput("shape", requirement, str(wanted))
            wanted[k] = data[k]
    size, known = math.prod(data), math.prod(n for n in wanted if n != -1)
    if -1 in wanted and known and size % known == 0:
        wanted[wanted.index(-1)] = size // known
    if -1 in wanted or math.prod(wanted) != size:
        given = list(whole_numbers("shape", shape))
        raise InvalidInput("shape", f"hold the {size} entries of data {data}", str(given))
    return (tuple(wanted),)


value = reshaping.reshaped(shapes)
vjp = reshaping.put_back("data")

SLIPS = reshaping.slips("data", merged=True)


def draw(rng: np.random.Generator) -> Case:
    """Return a tensor whose axes are merged, split or both."""
    targets = ([2, 15, -1], [0, -1], [5, 4, 6], [-1])
    inputs = {
        "data": rng.normal(size=(5, 6, 4)),
        "shape": np.array(targets[int(rng.integers(len(targets)))], dtype=np.int64),
    }
    return Case(inputs)
