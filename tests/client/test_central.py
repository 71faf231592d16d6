"""A numerical gradient is judged as the central difference that it is."""

from __future__ import annotations

import gradient_oracle
import numpy as np
import pytest

X = {"W": np.linspace(-1.5, 1.5, 12).reshape(3, 4), "b": np.array([0.5, -0.25])}


def f(p):
    return np.sum(np.sin(3 * p["W"]) * p["W"]) + np.sum(np.exp(p["b"]))


def derivative(p):
    s, c = np.sin(3 * p["W"]), np.cos(3 * p["W"])
    return {"W": s + 3 * p["W"] * c, "b": np.exp(p["b"])}


def differences(f, p, h, *, ends=(1, -1), over=2):
    """Return (f(x + a h) - f(x + b h)) / (over h), as a listing of the document would."""
    result = {name: np.zeros_like(array) for name, array in p.items()}
    moved = {name: array.copy() for name, array in p.items()}
    for name, array in p.items():
        for index in np.ndindex(array.shape):
            values = []
            for end in ends:
                moved[name][index] = array[index] + end * h
                values.append(f(moved))
            moved[name][index] = array[index]
            result[name][index] = (values[0] - values[1]) / (over * h)
    return result


@pytest.mark.parametrize("h", [1e-2, 1e-4])
def test_the_oracles_own_numerical_gradient_passes_its_check(oracle, h):
    """Whose truncation, at h = 1e-2, is what the check of a derivative fails."""
    numerical = oracle.numerical_gradient(f, X, h=h)
    report = oracle.check_gradient(f, X, numerical, method="central", h=h)
    assert report.passed
    assert report.entries == 14
    assert report.detection_limit < 1e-7
    assert not oracle.check_gradient(f, X, numerical).passed


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_loop_of_the_callers_passes_in_its_type(embedded, dtype):
    p = {name: array.astype(dtype) for name, array in X.items()}
    claimed = differences(f, p, dtype(2**-7))
    assert embedded.check_gradient(f, p, claimed, method="central", h=2**-7).passed


@pytest.mark.parametrize(
    ("claimed", "kind", "said"),
    [
        (differences(f, X, 1e-2, ends=(1, 0), over=1), "unexplained", "the difference to one side"),
        (differences(f, X, 1e-2, over=1), "tensor_factor", "2 times the central difference"),
        (differences(f, X, 2e-2), "single_entries", "differs from the central difference"),
        (derivative(X), "single_entries", "differs from the central difference"),
    ],
)
def test_what_is_another_difference_fails_and_is_named(embedded, claimed, kind, said):
    """Another step, another divisor, one side, and the derivative itself: none is this one."""
    report = embedded.check_gradient(f, X, claimed, method="central", h=1e-2)
    assert report.verdict == "fail"
    assert kind in [finding.kind for finding in report.findings]
    assert said in " ".join(str(report).split())


def test_one_wrong_entry_is_found(embedded):
    claimed = differences(f, X, 1e-4)
    claimed["W"][2, 1] += 1e-4
    report = embedded.check_gradient(f, X, claimed, method="central")
    assert [entry.index for entry in report.findings[0].entries] == [(2, 1)]
    assert report.findings[0].tensor == "W"


def test_a_sample_of_the_entries_is_no_pass(embedded):
    """What was not looked at may be wrong; what was looked at and is wrong fails."""
    x = np.linspace(-1, 1, 3000)

    def g(x):
        return np.sum(x**3)

    claimed = embedded.numerical_gradient(g, x)
    report = embedded.check_gradient(g, x, claimed, method="central")
    assert (report.verdict, report.reason) == ("inconclusive", "budget_spent")
    assert "max_evaluations=" in str(report)
    assert report.measurement.evaluations <= 2000
    whole = {"method": "central", "max_evaluations": 7000}
    assert embedded.check_gradient(g, x, claimed, **whole).passed
    assert embedded.check_gradient(g, x, 2 * claimed, method="central").verdict == "fail"


def test_what_has_no_difference_is_inconclusive(embedded):
    def log(x):
        return np.log(x[0]) if x[0] > 0 else np.nan

    report = embedded.check_gradient(log, np.array([5e-5]), np.array([1e4]), method="central")
    assert (report.verdict, report.reason) == ("inconclusive", "domain")
    rng = np.random.default_rng(0)
    report = embedded.check_gradient(
        lambda x: x[0] + rng.normal(), np.ones(1), np.ones(1), method="central"
    )
    assert report.verdict == "inconclusive"


@pytest.mark.parametrize(
    ("options", "argument"),
    [({"method": "forward"}, "method"), ({"method": "central", "h": 0}, "h")],
)
def test_a_method_that_is_none_is_refused(oracle, options, argument):
    with pytest.raises(gradient_oracle.InvalidRequest) as caught:
        oracle.check_gradient(f, X, derivative(X), **options)
    assert caught.value.argument == argument
