"""What ReduceMax and ReduceMin have in common: one entry of each line gets the gradient."""

from __future__ import annotations

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Slip
from oracle.operators.reductions import (
    Factor,
    Reduce,
    along,
    count,
    kept_shape,
    lines,
    unlined,
    wrong_factors,
)


def largest(sign: float) -> Reduce:
    """Return the reduction to the largest, or to the smallest if the sign is -1."""

    def reduce(xp: Numbers, data: Number, gone: tuple[int, ...]) -> Number:
        found = xp.max(lines(xp, data * sign, gone), -1) * sign
        return xp.reshape(found, kept_shape(data.shape, gone))

    return reduce


def winners(sign: float) -> Factor:
    """Return where the largest is, or the smallest if the sign is -1."""

    def factor(xp: Numbers, data: Number, gone: tuple[int, ...]) -> Number:
        won = xp.winners(lines(xp, data * sign, gone), -1)
        return unlined(xp, won, data.shape, gone)

    return factor


def slips_of(sign: float, word: str) -> tuple[Slip, ...]:
    """Return the slips of the largest, or of the smallest if the sign is -1."""
    own = winners(sign)
    return (
        *wrong_factors(
            f"Give dY to the {word} entry of each line, and 0 to the others.",
            ("wrong_mask", "every entry gets the whole gradient", lambda xp, data, gone: 1.0),
            (
                "mean_or_sum",
                "the gradient is that of a mean",
                lambda xp, data, gone: 1.0 / count(data.shape, gone),
            ),
            (
                "wrong_mask",
                f"those that are not the {word} get the gradient",
                lambda xp, data, gone: 1.0 - own(xp, data, gone),
            ),
            (
                "wrong_mask",
                f"the {word} of all entries gets the gradient, not that of each line",
                lambda xp, data, gone: own(xp, data, tuple(range(data.ndim))),
            ),
            (
                "wrong_factor",
                f"the gradient is multiplied by the {word} entry",
                lambda xp, data, gone: own(xp, data, gone) * data,
            ),
        ),
        *along(own),
    )
