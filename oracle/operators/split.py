"""Split (ONNX 18): the parts of the input one after the other along an axis.

    d input = the d outputs one after the other

`split` holds the lengths of the parts; without it there are `num_outputs` of one length, of which
the last is shorter if it has to be.

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.concat import cut
from oracle.operators.operator import (
    Case,
    Shape,
    Signature,
    Slip,
    axis_of,
    optional_constant,
    whole_numbers,
)
from oracle.values import Array, Float64, InvalidInput

SIGNATURE = Signature(
    "Split",
    inputs=("input", optional_constant("split")),
    outputs=("outputs",),
    attributes={"axis": 0, "num_outputs": None},
    version=18,
    variadic_outputs=True,
)


def _lengths(n: int, split: Array | None, num_outputs: int | None) -> tuple[int, ...]:
    """Return how long each part is."""
    if split is not None:
        if num_outputs is not None:
            raise InvalidInput("num_outputs", "be left out beside `split`", repr(num_outputs))
        lengths = whole_numbers("split", split)
        if not lengths or min(lengths) < 0 or sum(lengths) != n:
            raise InvalidInput("split", f"hold lengths that add up to {n}", str(list(lengths)))
        return lengths
    if num_outputs is None:
        raise InvalidInput("num_outputs", "be given, or `split`", "neither")
    whole = isinstance(num_outputs, int) and not isinstance(num_outputs, bool)
    if not whole or not 1 <= num_outputs <= max(n, 1):
        raise InvalidInput(
            "num_outputs", f"be a whole number from 1 to {max(n, 1)}", repr(num_outputs)
        )
    each, others = -(-n // num_outputs), num_outputs - 1
    if each * others > n:
        raise InvalidInput("num_outputs", f"divide {n} entries", repr(num_outputs))
    return (*[each] * others, n - each * others)


def shapes(
    X: Shape, split: Array | None = None, *, axis: int, num_outputs: int | None
) -> Sequence[Shape]:
    """Return the shapes of the parts."""
    place = axis_of("axis", axis, len(X))
    lengths = _lengths(X[place], split, num_outputs)
    return [tuple(m if k == place else n for k, n in enumerate(X)) for m in lengths]


def value(
    xp: Numbers, X: Number, split: Array | None = None, *, axis: int, num_outputs: int | None
) -> tuple[Number, ...]:
    """Return the parts."""
    return tuple(cut(xp, X, _lengths(X.shape[axis], split, num_outputs), axis))


def vjp(xp: Numbers, *given: Number, axis: int, num_outputs: int | None) -> dict[str, Number]:
    """Return the cotangents one after the other."""
    *above, X, _ = given
    return {"input": xp.concat(above, axis % X.ndim)}


def _slip(says: str, join: Callable[[list[Float64], int, Shape], Float64]) -> Slip:
    def wrong(
        xp: Numbers, *given: Float64, axis: int, num_outputs: int | None
    ) -> dict[str, Number]:
        *above, X, _ = given
        return {"input": join(list(above), axis, X.shape)}

    return Slip("wrong_part", says, wrong, "Write dX = np.concatenate(gradients, axis).")


def _one_only(above: list[Float64], axis: int, shape: Shape) -> Float64:
    zeros = [np.zeros_like(part) for part in above[1:]]
    return np.concatenate([above[0], *zeros], axis)


SLIPS = (
    _slip(
        "the gradients of the parts are put together in reverse order",
        lambda above, axis, shape: np.concatenate(above[::-1], axis),
    ),
    _slip("the gradients of all parts but the first are lost", _one_only),
    _slip(
        "the gradients of the parts are put together in memory order, not along the axis",
        lambda above, axis, shape: np.concatenate([a.ravel() for a in above]).reshape(shape),
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return a matrix in two or three parts, along one axis or the other."""
    X = rng.normal(size=(5, 6))
    named = ({"num_outputs": 3, "axis": 1}, {"num_outputs": 2, "axis": 0})
    if rng.random() < 0.5:
        return Case({"input": X, "split": np.array([1, 3, 2], dtype=np.int64)}, {"axis": -1})
    return Case({"input": X}, named[int(rng.integers(2))])
