"""How much the agreement of a candidate with a hypothesis says.

Whatever fits by chance, or by as many numbers as there are equations, is no evidence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from oracle.diagnosis.comparison import TELLING, Comparison
from oracle.diagnosis.linear import singular_values
from oracle.values import Array, Float64

SURE = 64.0
"""An error of fewer budgets than this has too few digits to tell from what else it may come."""


CLEAR = 8.0
"""The same, of what rounding usually does where a budget is of the size of the gradient."""


def beyond_doubt(comparison: Comparison, name: str) -> bool:
    """Tell whether an error is so far beyond rounding that its digits say something."""
    return comparison.error(name) > clear_of(comparison, name)


def clear_of(comparison: Comparison, name: str) -> float:
    """Return the size of a change that is far beyond rounding."""
    return min(SURE * comparison.widest(name), CLEAR * comparison.quiet(name))


DECISIVE = 10.0
"""Bits of evidence for one hypothesis among some: by chance it comes as near once in a thousand."""


def digits(comparison: Comparison, name: str, hypothesis: Array) -> float:
    """Return how many binary digits of a tensor's error a hypothesis explains, per number."""
    left = comparison.distance(name, hypothesis)
    least = comparison.unit_roundoff * comparison.largest(name)
    off = max(left, least)
    share = comparison.error(name) / off if off > 0 else 0.0
    return math.log2(share) if share > 0 else 0.0


FITTED = 64.0
"""Times that a hypothesis with fitted numbers has to come nearer than what it explains."""

MOST_LINES = 512
"""More rows or columns than this are not asked how many of them are independent."""


def tells(
    comparison: Comparison,
    expected: Mapping[str, Array],
    right: Mapping[str, Array],
    *,
    fitted: bool,
) -> bool:
    """Tell whether what is expected comes so much nearer than the right gradient that it says."""
    least = max(
        comparison.unit_roundoff * comparison.largest(n) / (comparison.widest(n) + TINY)
        for n in expected
    )
    left = max(misfit(comparison, expected, 1.0), least)
    return misfit(comparison, right, 1.0) >= (FITTED if fitted else TELLING) * left


def balanced(comparison: Comparison, name: str, values: Array) -> bool:
    """Tell whether the rows of a tensor sum to zero within rounding."""
    allowed = min(4 * values.shape[-1] * comparison.widest(name), 2 * comparison.quiet(name))
    return bool(np.all(np.abs(values.sum(axis=-1)) <= allowed))


def independent(comparison: Comparison, name: str) -> int:
    """Return how many numbers of a tensor are free, one fewer in each row if all sum to zero."""
    g, r = comparison.candidate[name].astype(np.float64), comparison.reference[name]
    columns = g.shape[-1] if g.ndim else 1
    tied = columns > 1 and all(balanced(comparison, name, values) for values in (g, r))
    return g.size - (g.size // columns if tied else 0)


def resolved(inputs: Array, error: Array, noise: float) -> int:
    """Return how many combinations of the rows of `inputs` show what error they are multiplied by.

    Those whose part of the product is larger than `noise`, if the error is of the usual size.
    """
    some = inputs[:MOST_LINES, :MOST_LINES]
    sizes = singular_values(some)
    return int(np.count_nonzero(sizes * np.abs(error).max(initial=0.0) > noise))


def lost(comparison: Comparison, name: str) -> bool:
    """Tell whether a tensor of the candidate is so small that rounding may have made all of it."""
    return comparison.sent(name) <= hiding(comparison, name)


def hiding(comparison: Comparison, name: str) -> float:
    """Return the size below which rounding hides a tensor."""
    return min(comparison.widest(name), comparison.quiet(name))


def even(comparison: Comparison, name: str) -> Float64:
    """Return what the worst entry of a tensor may err, for every entry."""
    allowed = comparison.allowed[name]
    return np.broadcast_to(comparison.widest(name), allowed.shape)


TINY = 1e-300
"""Added to divisors that may be zero."""


def misfit(comparison: Comparison, expected: Mapping[str, Array], factor: float) -> float:
    """Return the largest distance from `factor` times what is expected, over what is allowed."""
    worst = 0.0
    for name, values in expected.items():
        gap = np.abs(comparison.candidate[name].astype(np.float64) - factor * values)
        worst = max(worst, float(gap.max(initial=0.0)) / (comparison.widest(name) + TINY))
    return worst
