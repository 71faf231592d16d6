"""What the functions that are constant outside of an interval have in common."""

from __future__ import annotations

from oracle.arithmetic.numbers import Number, Numbers


def inside(
    xp: Numbers, X: Number, least: Number, most: Number, within: Number, low: Number, high: Number
) -> Number:
    """Return `within` where least < X < most, `low` below and `high` above.

    At both ends it is a kink: 1 takes what is outside, 0 what is inside.
    """
    return xp.choose(least - X, low, xp.choose(X - most, high, within))
