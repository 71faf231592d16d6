"""What the operators on single numbers have in common: one input, one slope."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Case, Family, Shape, Slip

Function = Callable[..., Number]
"""(xp, X, **attributes) to the function, or its slope, entry by entry."""

MISSING = "missing_activation_derivative"
WRONG = "wrong_activation_derivative"


def same_shape(X: Shape, **attributes: Any) -> Sequence[Shape]:
    """Return the shape of the one input."""
    return (X,)


def chained(slope: Function, name: str = "X") -> Callable[..., dict[str, Number]]:
    """Return the vjp of a function with this slope: dX = dY f'(X); `name` is that of the input."""

    def vjp(xp: Numbers, dY: Number, X: Number, **attributes: Any) -> dict[str, Number]:
        return {name: dY * slope(xp, X, **attributes)}

    return vjp


def mixed_slopes(operator: str, value: Function, name: str = "X") -> Family:
    """Return the family of slopes that are another function of the input than the right one."""

    def bases(xp: Numbers, dY: Number, X: Number, **attributes: Any) -> list[dict[str, Number]]:
        Y = value(xp, X, **attributes)
        on = (X > 0) * 1.0
        functions = [np.ones_like(X), X, Y, Y**2, Y**3, Y**4, on, on * Y, on * X, np.tanh(X) ** 2]
        return [{name: dY * one} for one in functions]

    says = f"the derivative of the {operator} is another function of its input"
    return Family(WRONG, says, bases, f"Differentiate the {operator}.")


def wrong_slopes(
    remedy: str, *wrong: tuple[str, str, Function], name: str = "X"
) -> tuple[Slip, ...]:
    """Return the slips of people who multiply by another slope: code, what it is, and the slope."""
    return tuple(Slip(code, says, chained(slope, name), remedy) for code, says, slope in wrong)


def ones(xp: Numbers, X: Number, **attributes: Any) -> Number:
    """Return the slope of somebody who forgets it."""
    return xp.full(X, 1.0)


def zeros(xp: Numbers, X: Number) -> Number:
    """Return zeros of the shape of X."""
    return xp.full(X, 0.0)


def spread(rng: np.random.Generator, name: str = "X", **attributes: Any) -> Case:
    """Return inputs on both sides of zero, in the curved part and in the tails."""
    X = np.concatenate([rng.normal(size=(5, 7)), 3.0 * rng.normal(size=(3, 7))])
    return Case({name: X}, attributes)


def positive(rng: np.random.Generator, name: str = "X", **attributes: Any) -> Case:
    """Return positive inputs of different sizes."""
    return Case({name: np.exp(rng.normal(size=(6, 7)))}, attributes)
