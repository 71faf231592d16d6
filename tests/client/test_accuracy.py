"""Functions of limited accuracy: what a solver's tolerance leaves fails no right gradient."""

from __future__ import annotations

import gradient_oracle
import numpy as np
import pytest

X = np.linspace(0.5, 1.5, 8)


def solved(tolerance):
    """Return sum sqrt(x) by iterations that stop at a relative tolerance, as solvers do."""

    def f(x):
        total = 0.0
        for value in x:
            low, high = 0.0, 2.0
            while high - low > tolerance * high:
                middle = (low + high) / 2
                low, high = (middle, high) if middle * middle < value else (low, middle)
            total += low
        return total

    return f


@pytest.mark.parametrize("tolerance", [1e-8, 1e-10])
def test_a_stated_accuracy_lets_a_right_gradient_pass_and_no_wrong_one(oracle, tolerance):
    right, f = 0.5 / np.sqrt(X), solved(tolerance)
    told = {"f_accuracy": tolerance, "resolution": 0.05}
    assert oracle.check_gradient(f, X, right, **told).verdict != "fail"
    assert oracle.check_gradient(f, X, 1.5 * right, **told).verdict == "fail"


def test_an_accuracy_widens_the_limits(embedded):
    f, right = (lambda x: np.sum(np.sin(x))), np.cos(X)
    plain = embedded.check_gradient(f, X, right)
    coarse = embedded.check_gradient(f, X, right, f_accuracy=1e-7)
    assert coarse.measurement.noise == pytest.approx(1e-7 * f(X))
    assert plain.detection_limit < 0.1 * coarse.detection_limit


@pytest.mark.parametrize("accuracy", [-1e-3, 1.0, np.nan, "much"])
def test_an_accuracy_that_is_none_is_refused(oracle, accuracy):
    with pytest.raises(gradient_oracle.InvalidRequest) as caught:
        oracle.check_gradient(np.sum, X, np.ones(8), f_accuracy=accuracy)
    assert caught.value.argument == "f_accuracy"
