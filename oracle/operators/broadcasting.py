"""What the operators on two tensors have in common: they broadcast, their derivatives sum back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Case, Shape, Slip, broadcast
from oracle.values import Float64

Partial = Callable[..., Number]
"""(xp, cotangent, A, B) to the derivative, in the shape to which A and B broadcast."""


def two_shapes(A: Shape, B: Shape) -> Sequence[Shape]:
    """Return the shape to which A and B broadcast."""
    return (broadcast(A=A, B=B),)


def summed_back(dA: Partial, dB: Partial, names: Sequence[str] = ("A", "B")) -> Callable[..., Any]:
    """Return the vjp whose derivatives are summed to the shapes of the inputs."""
    first, second = names

    def vjp(xp: Numbers, dC: Number, A: Number, B: Number) -> dict[str, Callable[[], Number]]:
        return {
            first: lambda: xp.unbroadcast(_spread(xp, dA(xp, dC, A, B), dC.shape), A.shape),
            second: lambda: xp.unbroadcast(_spread(xp, dB(xp, dC, A, B), dC.shape), B.shape),
        }

    return vjp


def _spread(xp: Numbers, x: Number, shape: Shape) -> Number:
    return x if x.shape == shape else xp.broadcast_to(x, shape)


def wrong_partials(
    name: str, remedy: str, *wrong: tuple[str, str, Partial], place: int = 0
) -> tuple[Slip, ...]:
    """Return the slips of people who form one derivative otherwise: code, what it is, and how."""

    def slip(code: str, says: str, of: Partial) -> Slip:
        def vjp(xp: Numbers, dC: Number, *inputs: Number) -> dict[str, Number]:
            full = _spread(xp, of(xp, dC, *inputs), dC.shape)
            return {name: xp.unbroadcast(full, inputs[place].shape)}

        return Slip(code, says, vjp, remedy)

    return tuple(slip(*one) for one in wrong)


def not_summed(
    name: str, partial: Callable[..., Float64], place: int, gradient: str
) -> tuple[Slip, ...]:
    """Return the slips of people who do not sum a derivative over what was broadcast.

    `partial` has the arguments of the vjp and returns the derivative in the shape to which the
    input was broadcast; `gradient` is what the text calls it.
    """
    return tuple(
        Slip(
            "broadcast_not_summed",
            f"{gradient} {says} over which its input was broadcast",
            _reduced(name, partial, place, reduce),
            f"Sum {gradient} over the axes along which its input was broadcast.",
        )
        for says, reduce in _REDUCTIONS
    )


_REDUCTIONS: tuple[tuple[str, Callable[[Float64], Float64]], ...] = (
    ("is averaged, not summed, over the axes", lambda lines: lines.mean(axis=0)),
    ("holds the first of the entries, not their sum, along the axes", lambda lines: lines[0]),
    ("holds the last of the entries, not their sum, along the axes", lambda lines: lines[-1]),
)


def _reduced(
    name: str,
    partial: Callable[..., Float64],
    place: int,
    reduce: Callable[[Float64], Float64],
) -> Callable[..., Any]:
    def vjp(xp: Numbers, dC: Number, *inputs: Number, **attributes: Any) -> dict[str, Number]:
        shape = np.shape(inputs[place])
        full = partial(xp, dC, *inputs, **attributes)
        over = repeated(shape, full.shape)
        if not over:
            return {}
        kept = [k for k in range(full.ndim) if k not in over]
        lines = full.transpose(*over, *kept).reshape(-1, *[full.shape[k] for k in kept])
        return {name: np.asarray(reduce(lines)).reshape(shape)}

    return vjp


def repeated(before: Shape, after: Shape) -> tuple[int, ...]:
    """Return the axes of `after` along which something of the shape `before` was repeated."""
    new = len(after) - len(before)
    return tuple(k for k, n in enumerate(after) if k < new or (before[k - new] == 1 and n != 1))


def pairs(
    rng: np.random.Generator, names: Sequence[str] = ("A", "B"), *, positive: bool = False
) -> Case:
    """Return two tensors, of which one, the other, or both broadcast."""
    shapes = [((7, 5), (5,)), ((5,), (3, 7, 5)), ((7, 1), (1, 5)), ((7, 5), (7, 5))]
    chosen = shapes[int(rng.integers(len(shapes)))]
    drawn = [rng.normal(size=shape) for shape in chosen]
    # Numbers that people divide by, or take the logarithm of, are not near zero.
    drawn = [np.exp(0.5 * d) for d in drawn] if positive else drawn
    return Case(dict(zip(names, drawn, strict=True)))
