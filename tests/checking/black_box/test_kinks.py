"""Kinks at x: which slopes lie between their sides, and what a pass there leaves open."""

import numpy as np
import pytest

from oracle.findings import FindingKind
from oracle.values import Verdict
from tests.checking.black_box.caller import run


def absolute(a):
    """Return a sum of |a|, whose slopes at 0 are -1 and 1."""
    return np.sum(np.abs(a))


def rectified(a):
    """Return a sum that is smooth but for rectifiers, whose slopes at 0 are 0 and 1."""
    return np.sum(np.maximum(a, 0) + np.cos(a))


def between(function, n, rng):
    """Return a subgradient of one of the functions at 0."""
    return rng.uniform(-1 if function is absolute else 0, 1, n)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("function", [absolute, rectified])
@pytest.mark.parametrize("n", [2, 5, 30, 200])
def test_what_lies_between_passes_and_what_does_not_fails(dtype, function, n):
    """Each entry is measured, so that one outside of its sides is seen among any others."""
    x = {"a": np.zeros(n, dtype)}
    for seed in range(3):
        right = between(function, n, np.random.default_rng(seed))
        report = run(lambda x: function(x["a"]), x, {"a": right.astype(dtype)})
        assert report.verdict == Verdict.PASS
        assert [found.kind for found in report.findings] == [FindingKind.SUBGRADIENT]
        assert report.detection_limit <= 0.5
        for beyond in (1.5, 1 + 2 * report.detection_limit * np.abs(right).max()):
            wrong = right.copy()
            wrong[seed % n] = beyond
            told = run(lambda x: function(x["a"]), x, {"a": wrong.astype(dtype)})
            assert told.verdict == Verdict.FAIL


@pytest.mark.parametrize("slope", [1.2, -3.0])
@pytest.mark.parametrize(("n", "verdict"), [(30, "fail"), (200, "fail"), (2_000, "inconclusive")])
def test_a_slope_beyond_all_sides_fails(slope, n, verdict):
    """In a direction of random signs it is between the sums of the sides, in one entry it is not.

    Where there are too many entries to measure each, the sides leave more open than a pass may.
    """
    report = run(lambda x: absolute(x["a"]), {"a": np.zeros(n)}, {"a": np.full(n, slope)})
    assert report.verdict == verdict


@pytest.mark.parametrize("ties", [2, 10, 50])
def test_the_slopes_of_equal_entries_of_a_maximum_add_up_to_one(ties):
    """Each of them may be anything from 0 to 1, and yet f rises like 1 where all rise alike."""
    x = {"a": np.concatenate([np.ones(ties), [0.3, -1.0]])}
    right = np.where(x["a"] == 1, 1 / ties, 0.0)
    assert run(lambda x: x["a"].max(), x, {"a": right}).verdict == Verdict.PASS
    for factor in (0.0, 2.0):
        assert run(lambda x: x["a"].max(), x, {"a": factor * right}).verdict != Verdict.PASS


def test_a_kink_among_thousands_of_smooth_entries_leaves_open_its_own_size():
    """What lies between the sides of the one kink is more than a pass may leave."""
    x = {"a": np.random.default_rng(0).normal(size=3_000)}
    x["a"][7] = 0.0

    def f(x):
        return np.sum(np.sin(x["a"])) + np.maximum(x["a"][7], 0)

    right = np.cos(x["a"])
    right[7] += 0.3
    assert run(f, x, {"a": right}).verdict == Verdict.INCONCLUSIVE
