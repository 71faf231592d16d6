"""How exactly the values of a function are known: the unit roundoff, and the noise measured."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

POINTS = 9
"""Equally spaced values of one difference table."""


def unit_roundoff(dtype: str) -> float:
    """Return half the distance from 1 to the next number of a floating type."""
    if dtype == "bfloat16":
        return 2.0**-8
    return float(np.finfo(dtype).eps) / 2


def is_flat(values: Sequence[float]) -> bool:
    """Tell whether most neighbours are equal: the spacing is too short to show the noise."""
    equal = sum(a == b for a, b in itertools.pairwise(values))
    return 2 * equal > len(values) - 1


def level(values: Sequence[float]) -> float:
    """Estimate the standard deviation of the noise in equally spaced values of a smooth function.

        sigma_k = sqrt((k!)^2 / (2k)! mean(D^k f)^2), for the differences D^k of order k = 4, 5, 6

    A smooth function all but vanishes from differences of high order, independent noise does not.

    Parameters
    ----------
    values : (POINTS,) sequence of float
        f at equally spaced points of a line.

    Returns
    -------
    float
        The largest of the three estimates; infinity if a value is not finite.

    References
    ----------
    Moré and Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33, 2011.
    """
    table = np.asarray(values, np.float64)
    if not np.all(np.isfinite(table)):
        return math.inf
    # A power of two keeps the values as they are, and their squares from overflow and underflow.
    exponent = math.frexp(float(np.abs(table).max()))[1]
    table = np.ldexp(table, -exponent)
    levels = []
    for order in range(1, 7):
        table = np.diff(table)
        gamma = math.factorial(order) ** 2 / math.factorial(2 * order)
        levels.append(math.sqrt(gamma * float(np.mean(table**2))))
    return max(levels[3:]) * 2.0 ** (exponent - 1) * 2
