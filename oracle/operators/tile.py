"""Tile (ONNX 13): the input again and again, `repeats` times along each axis.

    d input = Σ d output over the copies

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Case, Shape, Signature, Slip, constant, whole_numbers
from oracle.values import Array, Float64, InvalidInput

SIGNATURE = Signature(
    "Tile", inputs=("input", constant("repeats")), outputs=("output",), version=13
)


def shapes(X: Shape, repeats: Array) -> Sequence[Shape]:
    """Return the lengths times the repeats."""
    times = whole_numbers("repeats", repeats)
    if len(times) != len(X) or min(times, default=0) < 0:
        requirement = f"hold a number of copies for each of the {len(X)} axes"
        raise InvalidInput("repeats", requirement, str(list(times)))
    return (tuple(n * m for n, m in zip(X, times, strict=True)),)


def _copies(X: Shape, repeats: Array) -> Shape:
    """Return the shape in which each axis follows that of its copies."""
    pairs = zip(whole_numbers("repeats", repeats), X, strict=True)
    return tuple(n for pair in pairs for n in pair)


def value(xp: Numbers, X: Number, repeats: Array) -> Number:
    """Return the copies."""
    apart = xp.reshape(X, [n for length in X.shape for n in (1, length)])
    wide = xp.broadcast_to(apart, _copies(X.shape, repeats))
    return xp.reshape(wide, shapes(X.shape, repeats)[0])


def vjp(xp: Numbers, dY: Number, X: Number, repeats: Array) -> dict[str, Number]:
    """Return the sum over the copies."""
    apart = xp.reshape(dY, _copies(X.shape, repeats))
    return {"input": xp.sum(apart, tuple(range(0, 2 * X.ndim, 2)))}


def _slip(code: str, says: str, of: Callable[[Float64, Float64, tuple[int, ...]], Float64]) -> Slip:
    def wrong(xp: Numbers, dY: Float64, X: Float64, repeats: Array) -> dict[str, Number]:
        return {"input": of(dY, X, _copies(X.shape, repeats))}

    return Slip(code, says, wrong, "Sum dY over the copies.")


def _each_entry_repeated(dY: Float64, X: Float64, copies: tuple[int, ...]) -> Float64:
    """Return the sum of those who take the copies of an entry to be neighbours."""
    order = [n for pair in zip(copies[1::2], copies[::2], strict=True) for n in pair]
    return np.asarray(dY.reshape(order).sum(axis=tuple(range(1, 2 * X.ndim, 2))))


SLIPS = (
    _slip(
        "broadcast_not_summed",
        "the gradient is averaged, not summed, over the copies",
        lambda dY, X, copies: dY.reshape(copies).mean(axis=tuple(range(0, 2 * X.ndim, 2))),
    ),
    _slip(
        "broadcast_not_summed",
        "the gradient is that of the first copy only",
        lambda dY, X, copies: dY[tuple(slice(n) for n in X.shape)],
    ),
    _slip(
        "broadcast_not_summed",
        "the gradient is that of the last copy only",
        lambda dY, X, copies: dY[tuple(slice(-n, None) for n in X.shape)],
    ),
    _slip(
        "wrong_axis",
        "the copies of an entry are taken to be its neighbours",
        _each_entry_repeated,
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return a matrix that is repeated along one axis or both."""
    repeats = ([2, 1], [1, 3], [2, 3])[int(rng.integers(3))]
    inputs = {"input": rng.normal(size=(4, 5)), "repeats": np.array(repeats, dtype=np.int64)}
    return Case(inputs)
