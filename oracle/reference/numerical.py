"""The document's numerical gradient and gradient descent, for any shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from oracle.reference.requirements import (
    require_count,
    require_finite,
    require_floating,
    require_step,
)
from oracle.values import STEP, Array, InvalidInput


def perturbed_points(x: Array, *, h: float = STEP) -> Iterator[tuple[Array, Array]]:
    """List the points at which the document evaluates f: x ± h e_i for every entry i in C order.

    Parameters
    ----------
    x : array
        The point, of any shape and a floating type; never modified.
    h : float
        The step.

    Yields
    ------
    array, array
        Copies of `x` with h added to entry i, and with h taken from it, in the type of `x`.
    """
    for index in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[index] = x[index] + h
        below[index] = x[index] - h
        yield above, below


def combine(values: Sequence[tuple[float, float]], like: Array, *, h: float = STEP) -> Array:
    """Combine f at the points of `perturbed_points` to (above - below) / 2h.

    Parameters
    ----------
    values : sequence of pairs
        f above and f below, for every entry in C order.
    like : array
        Gives the shape and the type of the result.
    h : float
        The step.

    Returns
    -------
    array
        The gradient, of the shape and the type of `like`.
    """
    gradient = np.zeros_like(like)
    for index, (above, below) in zip(np.ndindex(like.shape), values, strict=True):
        gradient[index] = (above - below) / (2 * h)
    return gradient


def numerical_gradient(f: Callable[[Array], float], x: ArrayLike, *, h: float = STEP) -> Array:
    """Compute (f(x + h e_i) - f(x - h e_i)) / 2h for every entry i.

    Parameters
    ----------
    f : callable
        Takes an array like `x` and returns one number.
    x : array
        The point, of any shape and a floating type; never modified.
    h : float
        The step, positive and large enough to change every entry of `x`.

    Returns
    -------
    array
        The gradient, of the shape and the type of `x`.

    Raises
    ------
    InvalidInput
        If `x` or `h` is anything else, or if `f` returns anything but one number.
    """
    point = require_floating("x", x)
    require_step(h, x=point)
    values = [(_number(f(a)), _number(f(b))) for a, b in perturbed_points(point, h=h)]
    return combine(values, point, h=h)


def gradient_descent(
    f: Callable[[Array], float], init_x: ArrayLike, *, lr: float = 0.01, step_num: int = 100
) -> Array:
    """Repeat x <- x - lr * numerical_gradient(f, x).

    Parameters
    ----------
    f : callable
        Takes an array like `init_x` and returns one number.
    init_x : array
        Where to start, of any shape and a floating type; never modified.
    lr : float
        The learning rate, finite and positive.
    step_num : int
        Number of steps, at least 1.

    Returns
    -------
    array
        The last x.

    Raises
    ------
    InvalidInput
        If an argument is anything else.
    """
    require_finite("lr", lr, positive=True)
    require_count("step_num", step_num)
    x = require_floating("init_x", init_x).copy()
    for _ in range(step_num):
        x -= lr * numerical_gradient(f, x)
    return x


def _number(value: ArrayLike) -> float:
    array = np.asarray(value)
    if array.size != 1:
        raise InvalidInput("f", "return one number", f"shape {array.shape}")
    return float(array.item())
