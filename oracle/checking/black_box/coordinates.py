"""The document's numerical_gradient and gradient_descent while f stays with the caller."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from oracle.values import STEP, Array

COORDINATES_PER_ASK = 128
"""Each is two evaluations; 256 values per message hide the round trip and stay below 4 KB."""


@dataclass(frozen=True)
class CoordinateAsk:
    """For begin <= i < end of a tensor: evaluate at x_i + step, then at x_i - step.

    `point` is x where it is new to the caller: the first ask of each step of a descent.
    """

    tensor: int
    begin: int
    end: int
    step: float
    stage: str
    fraction_done: float
    point: Mapping[str, Array] | None = None


Coordinates: TypeAlias = Generator[CoordinateAsk, Array, dict[str, Array]]
"""Yields asks, is sent the 2 (end - begin) values of f in f's own type, and returns tensors."""


def numerical_gradient(
    x: Mapping[str, Array],
    *,
    step: float = STEP,
    stage: str = "numerical gradient",
    point: Mapping[str, Array] | None = None,
    fraction_range: tuple[float, float] = (0.0, 1.0),
) -> Coordinates:
    """Combine values of f to the document's central difference of every coordinate.

        g_i = (f(x + h e_i) - f(x - h e_i)) / 2h

    The difference and the quotient are taken in the type of f's values, then rounded to that of x.

    Parameters
    ----------
    x : mapping of name to array
        Tensors with the shapes and floating types of the caller's x; their entries do not matter.
    step : float
        h.
    stage : str
        What to tell the caller that it is waiting for.
    point : mapping of name to array, optional
        x, to be sent with the first ask.
    fraction_range : (float, float)
        Share of the work done before and after.

    Returns
    -------
    dict of name to array
        The gradient, with the shapes and types of x.
    """
    total = max(1, sum(tensor.size for tensor in x.values()))
    first, last = fraction_range
    done = 0
    gradient = {name: np.zeros(tensor.shape, tensor.dtype) for name, tensor in x.items()}
    for index, tensor in enumerate(gradient.values()):
        entries = tensor.reshape(-1)
        for begin in range(0, tensor.size, COORDINATES_PER_ASK):
            end = min(begin + COORDINATES_PER_ASK, tensor.size)
            fraction = first + (last - first) * done / total
            values = yield CoordinateAsk(index, begin, end, step, stage, fraction, point)
            point = None
            with np.errstate(all="ignore"):
                entries[begin:end] = (values[0::2] - values[1::2]) / (2 * step)
            done += end - begin
    return gradient


def gradient_descent(
    initial: Mapping[str, Array],
    *,
    step: float = STEP,
    learning_rate: float = 0.01,
    step_count: int = 100,
) -> Coordinates:
    """Follow the document's gradient descent.

        x <- x - learning_rate * numerical_gradient(f, x), step_count times, in the type of x

    Parameters
    ----------
    initial : mapping of name to array
        x to start from, floating types.
    step, learning_rate : float
        h and the learning rate.
    step_count : int
        How many steps.

    Returns
    -------
    dict of name to array
        The end of the descent.
    """
    x = {name: tensor.copy() for name, tensor in initial.items()}
    if not any(tensor.size for tensor in x.values()):
        # Nothing is asked, so nothing moves; two thousand million such steps would take hours.
        return x
    for number in range(step_count):
        gradient = yield from numerical_gradient(
            x,
            step=step,
            stage=f"step {number + 1} of {step_count}",
            point={name: tensor.copy() for name, tensor in x.items()},
            fraction_range=(number / step_count, (number + 1) / step_count),
        )
        with np.errstate(all="ignore"):
            for name in x:
                x[name] -= learning_rate * gradient[name]
    return x
