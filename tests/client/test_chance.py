"""Functions that draw random numbers are told so after few evaluations."""

from __future__ import annotations

import numpy as np
import pytest

X = np.linspace(-1, 1, 40)


@pytest.mark.parametrize("seed", range(5))
def test_dropout_is_noticed_early(embedded, seed):
    """Before what is wrong is looked for, which would take two thousand evaluations."""
    rng, calls = np.random.default_rng(seed), []

    def f(x):
        calls.append(1)
        return 2 * np.sum(np.square(x)[rng.random(x.size) > 0.5])

    report = embedded.check_gradient(f, X, 2 * X)
    assert (report.verdict, report.reason) == ("inconclusive", "not_deterministic")
    assert "Fix the random seed" in str(report)
    assert report.measurement.evaluations == len(calls) - 1 <= 300


def test_little_chance_hides_no_large_error(embedded):
    """A sum whose order varies differs by rounding: the check goes on."""
    rng = np.random.default_rng(0)

    def f(x):
        return np.sum(np.square(x)) * (1 + 1e-12 * rng.normal())

    assert embedded.check_gradient(f, X, 4 * X).verdict == "fail"
    assert embedded.check_gradient(f, X, 2 * X, resolution=0.1).reason != "not_deterministic"


def test_a_function_that_is_constant_is_no_chance(embedded):
    assert embedded.check_gradient(lambda _: 1.0, X, 0 * X).reason != "not_deterministic"
