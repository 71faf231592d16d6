"""What Squeeze, Unsqueeze and Flatten have in common: the same numbers in another shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Slip
from oracle.values import Float64


def reshaped(shapes: Callable[..., Any]) -> Callable[..., Number]:
    """Return the value of an operator whose shapes are these."""

    def value(xp: Numbers, data: Number, *inputs: Any, **attributes: Any) -> Number:
        return xp.reshape(data, shapes(data.shape, *inputs, **attributes)[0])

    return value


def put_back(name: str) -> Callable[..., dict[str, Number]]:
    """Return the vjp: dY in the shape of the input of this name."""

    def vjp(
        xp: Numbers, dY: Number, data: Number, *inputs: Any, **attributes: Any
    ) -> dict[str, Number]:
        return {name: xp.reshape(dY, data.shape)}

    return vjp


def slips(name: str, *, merged: bool = False) -> tuple[Slip, ...]:
    """Return the slips of people who read the numbers in another order.

    Whoever reads and writes column by column is right unless axes are merged.
    """

    def slip(says: str, of: Callable[[Float64, tuple[int, ...]], Float64]) -> Slip:
        def wrong(
            xp: Numbers, dY: Float64, data: Float64, *inputs: Any, **attributes: Any
        ) -> dict[str, Number]:
            return {name: of(dY, data.shape)}

        remedy = "Write dX = dY.reshape(X.shape), in the memory order of the forward pass."
        return Slip("permuted", says, wrong, remedy)

    read = slip(
        "the gradient is read column by column",
        lambda dY, shape: dY.ravel(order="F").reshape(shape),
    )
    both = slip(
        "the gradient is read and written column by column",
        lambda dY, shape: dY.reshape(shape, order="F"),
    )
    return (read, both) if merged else (read,)
