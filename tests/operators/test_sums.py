"""What is left out of a bound's evaluation for speed changes nothing, or makes the bound larger."""

from __future__ import annotations

import numpy as np
import pytest

from oracle.arithmetic import sums
from oracle.arithmetic.rounded import SMALL, growth


def followed(a, b, in_order, squares):
    """Return the worst mean square of all lanes, one after the other."""
    n, worst = a.shape[1], in_order
    usual = sums.UNEVEN * np.maximum(in_order, squares / 3.0)
    for lanes in (one for one in sums.LANES if 2 * one <= n):
        whole = n - n % lanes
        parts = [a[:, k:whole:lanes] @ b[k:whole:lanes] for k in range(lanes)]
        total = np.square(parts).sum(axis=0) / lanes
        worst = np.where(total > usual, np.maximum(worst, total), worst)
    return worst


@pytest.mark.parametrize("period", [1, 2, 3, 16, 64, 256])
@pytest.mark.parametrize("rows", [1, 7])
def test_lanes_are_left_out_only_where_they_do_not_count(period, rows):
    rng = np.random.default_rng(period)
    a, b = rng.normal(size=(rows, 1030)), rng.normal(size=(1030, 20))
    b *= 1.0 + 5.0 * np.cos(2.0 * np.pi * np.arange(1030) / period)[:, np.newaxis] * (period > 1)
    a[:1] = np.sign(b[:, 0]) if rows > 1 else 1.0
    in_order, squares = 0.1 * (a * a) @ (b * b), (a * a) @ (b * b)
    expected = followed(a, b, in_order, squares)
    assert np.allclose(sums._of_lanes(a, b, in_order, squares), expected, rtol=1e-12)


def test_a_period_is_seen_in_some_rows_and_columns():
    rng = np.random.default_rng(12)
    a, b = rng.normal(size=(40, 512)), rng.normal(size=(512, 50))
    b *= np.sign(a[0] * np.cos(np.pi * np.arange(512)))[:, np.newaxis] * np.sign(b)
    a = np.abs(a) * np.sign(a[0])
    squares = (a * a) @ (b * b)
    expected = followed(a, b, squares, squares)
    assert np.all(expected > 2.0 * squares)
    assert np.all(sums._of_some_lanes(a, b, squares, squares) >= 0.5 * expected)


def test_equal_numbers_are_counted():
    rng = np.random.default_rng(13)
    columns = rng.integers(-3, 4, (40, 30)) * 1.0
    columns[:, 5:9] = rng.normal(size=(40, 4))
    columns[:3, 6] = 0.25
    expected = [max((np.sum(c == v) for v in c if v), default=0) for c in columns.T]
    expected = np.where(np.array(expected) > 1, expected, 0)
    assert np.array_equal(sums._most_equal(columns, 1e-12), expected)
    assert not sums._most_equal(np.zeros((5, 2)), 1e-12).any()


def test_growth_is_no_less_where_errors_are_small():
    a = np.geomspace(1e-12, 0.9 * SMALL, 50)
    assert np.all(growth(a) >= np.expm1(a) / a - 1e-15)
    assert np.all(growth(a) <= (1.0 + SMALL) * np.expm1(a) / a)
