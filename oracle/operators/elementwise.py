"""What the operators on single numbers have in common: one input, one slope."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Case, Family, Shape, Slip

Function = Callable[..., Number]
"""(xp, X, **attributes) to the function, or its slope, entry by entry."""


def same_shape(X: Shape, **attributes: Any) -> Sequence[Shape]:
    """Return the shape of the one input."""
    return (X,)


def chained(slope: Function) -> Callable[..., dict[str, Number]]:
    """Return the vjp of a function with this slope: dX = dY f'(X)."""

    def vjp(xp: Numbers, dY: Number, X: Number, **attributes: Any) -> dict[str, Number]:
        return {"X": dY * slope(xp, X, **attributes)}

    return vjp


def mixed_slopes(name: str, value: Function) -> Family:
    """Return the family of slopes that are another function of the input than the right one."""

    def bases(xp: Numbers, dY: Number, X: Number, **attributes: Any) -> list[dict[str, Number]]:
        Y = value(xp, X, **attributes)
        on = (X > 0) * 1.0
        functions = [np.ones_like(X), X, Y, Y**2, Y**3, Y**4, on, on * Y, on * X, np.tanh(X) ** 2]
        return [{"X": dY * one} for one in functions]

    says = f"the derivative of the {name} is another function of its input"
    return Family("wrong_activation_derivative", says, bases, f"Differentiate the {name}.")


def wrong_slope(says: str, slope: Function, code: str, remedy: str) -> Slip:
    """Return the slip of somebody who multiplies by another slope."""
    return Slip(code, says, chained(slope), remedy)


def spread(rng: np.random.Generator, **attributes: Any) -> Case:
    """Return inputs on both sides of zero, in the curved part and in the tails."""
    X = np.concatenate([rng.normal(size=(5, 7)), 3.0 * rng.normal(size=(3, 7))])
    return Case({"X": X}, attributes)


def positive(rng: np.random.Generator, **attributes: Any) -> Case:
    """Return positive inputs of different sizes."""
    return Case({"X": np.exp(rng.normal(size=(6, 7)))}, attributes)
