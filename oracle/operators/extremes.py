"""What Max and Min have in common: of several tensors one gives each entry, and gets its gradient.

Where several give it, the first, the last, or all in equal shares are right if it is so everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.broadcasting import repeated
from oracle.operators.operator import Case, Shape, Slip, broadcast
from oracle.values import Float64


def shapes(*data: Shape) -> Sequence[Shape]:
    """Return the shape to which all broadcast."""
    return (broadcast(**{f"data_{k}": shape for k, shape in enumerate(data)}),)


def shares(xp: Numbers, data: Sequence[Number], sign: float) -> list[Number]:
    """Return for each input where it is the largest, or the smallest if the sign is -1."""
    shape = np.broadcast_shapes(*(x.shape for x in data))
    rows = [xp.expand_dims(xp.broadcast_to(x * sign, shape), 0) for x in data]
    won = xp.winners(xp.concat(rows, 0), 0)
    rest = [slice(None)] * len(shape)
    return [xp.reshape(xp.part(won, [slice(k, k + 1), *rest]), shape) for k in range(len(data))]


def vjp_of(sign: float) -> Callable[..., Any]:
    """Return the vjp of the largest, or of the smallest if the sign is -1."""

    def vjp(xp: Numbers, dY: Number, *data: Number) -> dict[str, list[Number]]:
        each = zip(shares(xp, data, sign), data, strict=True)
        return {"data_0": [xp.unbroadcast(dY * share, x.shape) for share, x in each]}

    return vjp


def slips_of(sign: float, word: str) -> tuple[Slip, ...]:
    """Return the slips of the largest, or of the smallest if the sign is -1."""

    def slip(code: str, says: str, of: Callable[[list[Float64]], list[Float64]]) -> Slip:
        def vjp(xp: Numbers, dY: Float64, *data: Float64) -> dict[str, list[Number]]:
            each = zip(of(shares(xp, data, sign)), data, strict=True)
            return {"data_0": [xp.unbroadcast(dY * share, x.shape) for share, x in each]}

        return Slip(code, says, vjp, f"Give dY to the {word} of the inputs, and 0 to the others.")

    def averaged(xp: Numbers, dY: Float64, *data: Float64) -> dict[str, list[Number]]:
        found = []
        for share, x in zip(shares(xp, data, sign), data, strict=True):
            count = np.prod([share.shape[k] for k in repeated(x.shape, share.shape)])
            found.append(xp.unbroadcast(dY * share, x.shape) / count)
        return {"data_0": found}

    return (
        slip(
            "wrong_mask",
            "every input gets the whole gradient",
            lambda w: [one * 0 + 1 for one in w],
        ),
        slip(
            "wrong_mask",
            f"those that are not the {word} get the gradient",
            lambda w: [1 - one for one in w],
        ),
        slip(
            "wrong_mask",
            "every input gets an equal share of the gradient",
            lambda w: [one * 0 + 1 / len(w) for one in w],
        ),
        slip(
            "wrong_mask",
            "the first input gets the whole gradient",
            lambda w: [w[0] * 0 + (k == 0) for k in range(len(w))],
        ),
        Slip(
            "broadcast_not_summed",
            "the gradient is averaged, not summed, over the axes over which an input was broadcast",
            averaged,
            "Sum the gradient over the axes along which its input was broadcast.",
        ),
    )


def draw(rng: np.random.Generator) -> Case:
    """Return two or three tensors, of which one broadcasts."""
    sizes = (((7, 5), (5,), (7, 1)), ((7, 5), (7, 5)), ((7, 5), (1, 5)))[int(rng.integers(3))]
    return Case({"data_0": [rng.normal(size=size) for size in sizes]})
