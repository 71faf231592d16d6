"""Laws of verdicts: the right gradient passes in every type, and a visible error does not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import EPSILON, batches, generators, simple_nets, two_layer_nets

PROBLEMS = st.tuples(batches(), simple_nets(), two_layer_nets())
DTYPES = st.sampled_from(["float64", "float32", "float16"])


class Case(NamedTuple):
    """A check, what it is asked with, and the right answer by tensor."""

    check: str
    inputs: tuple
    gradient: dict

    def verdict(self, functions, gradient):
        """Ask with a gradient."""
        given = gradient if self.check == "check_two_layer_net" else next(iter(gradient.values()))
        return getattr(functions, self.check)(*self.inputs, given).verdict


def cases(functions, batch, simple, net):
    """Every kind of check with the oracle's own gradient."""
    y, t = batch
    exact = functions.cross_entropy_error_gradient
    soft = np.eye(y.shape[1])[t]
    return [
        Case("check_mean_squared_error", (y, soft), {"y": y - soft}),
        Case("check_cross_entropy_error", (y, t), {"y": exact(y, t)}),
        Case("check_simple_net", simple, {"W": functions.simple_net.gradient(*simple)}),
        Case("check_two_layer_net", net, functions.two_layer_net.gradient(*net)),
    ]


@given(PROBLEMS, DTYPES)
def test_the_right_gradient_never_fails(functions, problem, dtype):
    """Rounded once to a type it is as near as the type can be, which may be too coarse to tell."""
    for case in cases(functions, *problem):
        with np.errstate(over="ignore"):
            rounded = {name: tensor.astype(dtype) for name, tensor in case.gradient.items()}
        if all(np.isfinite(tensor).all() for tensor in rounded.values()):
            verdict = case.verdict(functions, rounded)
            assert verdict == "pass" or (verdict == "inconclusive" and dtype != "float64")


@given(PROBLEMS, generators(), st.sampled_from([2.0, -1.0, 1.01]))
def test_a_wrong_gradient_fails(functions, problem, rng, factor):
    """One tensor that is off by a factor of its largest entries is seen in float64."""
    for case in cases(functions, *problem):
        wrong = dict(case.gradient)
        name = rng.choice(sorted(wrong))
        largest = max(np.abs(tensor).max() for tensor in wrong.values())
        if np.abs(wrong[name]).max() > 1e-3 * largest > 0:
            wrong[name] = factor * wrong[name]
            assert case.verdict(functions, wrong) == "fail", case.check


@given(PROBLEMS)
def test_the_right_gradient_of_another_delta_passes(functions, problem):
    """Delta is part of the question, for a check as for a gradient."""
    (y, t), simple, net = problem
    found = [
        functions.check_cross_entropy_error(
            y, t, functions.cross_entropy_error_gradient(y, t, delta=0.1), delta=0.1
        ),
        functions.check_simple_net(
            *simple, functions.simple_net.gradient(*simple, delta=0.1), delta=0.1
        ),
        functions.check_two_layer_net(
            *net, functions.two_layer_net.gradient(*net, delta=0.1), delta=0.1
        ),
    ]
    assert [report.verdict for report in found] == ["pass"] * 3


@given(PROBLEMS, generators())
def test_an_entry_that_is_wrong_fails(functions, problem, rng):
    """Wherever it is: one that is off by the largest entry of all is no rounding."""
    for case in cases(functions, *problem):
        wrong = {name: tensor.copy() for name, tensor in case.gradient.items()}
        name = rng.choice(sorted(wrong))
        largest = max(np.abs(tensor).max() for tensor in wrong.values())
        wrong[name].flat[rng.integers(wrong[name].size)] += largest
        if largest > 0:
            assert case.verdict(functions, wrong) == "fail", case.check


@given(batches(), generators())
def test_a_difference_of_two_numbers_is_allowed_a_few_roundings(functions, batch, rng):
    """Subtraction rounds once, by half an ulp, and -t / (y + delta) / N four times.

    32 ulp are more than either needs in any order, and far below what a check would allow that
    had a tolerance of its own.
    """
    y, t = batch
    target = rng.random(y.shape)
    off = 1 + 32 * EPSILON
    exact = functions.cross_entropy_error_gradient(y, t)
    assert functions.check_mean_squared_error(y, target, off * (y - target)).verdict == "fail"
    assert functions.check_cross_entropy_error(y, t, off * exact).verdict == "fail"


@given(two_layer_nets())
def test_a_net_of_a_few_units_is_allowed_a_billionth_at_most(functions, net):
    """Some hundred roundings of 1e-16 each, of numbers of size 1 and sums of at most 6 terms."""
    exact = functions.two_layer_net.gradient(*net)
    wrong = {name: (1 + 1e-9) * tensor for name, tensor in exact.items()}
    if max(np.abs(tensor).max() for tensor in exact.values()) > 0:
        assert functions.check_two_layer_net(*net, wrong).verdict == "fail"


@given(two_layer_nets())
def test_a_wider_accumulation_leaves_less_to_rounding(functions, net):
    """Half precision that says that it is summed in float32 is allowed less."""
    gradient = {
        name: tensor.astype(np.float16)
        for name, tensor in functions.two_layer_net.gradient(*net).items()
    }
    plain = functions.check_two_layer_net(*net, gradient)
    wide = functions.check_two_layer_net(*net, gradient, accumulation_dtype="float32")
    assert plain.value.accumulation_dtype == "float16"
    assert wide.value.accumulation_dtype == "float32"
    assert not wide.detection_limit > plain.detection_limit


@given(PROBLEMS, st.sampled_from([np.nan, np.inf]))
def test_a_gradient_that_is_not_finite_fails(functions, problem, value):
    """No budget covers NaN."""
    for case in cases(functions, *problem):
        wrong = {name: np.full_like(tensor, value) for name, tensor in case.gradient.items()}
        assert case.verdict(functions, wrong) == "fail", case.check


def test_a_missing_tensor_fails(functions):
    """What was not sent was not right."""
    p = functions.two_layer_net.init(3, 4, 2, weight_init_std=1.0)
    x, t = np.ones((2, 3)), np.array([0, 1])
    gradient = dict(functions.two_layer_net.gradient(p, x, t))
    del gradient["b1"]
    report = functions.check_two_layer_net(p, x, t, gradient)
    assert report.verdict == "fail"
    assert [(f.kind, f.tensor) for f in report.findings] == [("missing_tensor", "b1")]


@given(st.integers(0, 100), st.sampled_from([1.0, 2.0, -1.0]))
def test_a_function_of_the_caller_is_measured(functions, seed, factor):
    """A smooth function in float64: its gradient passes, twice and minus it fail."""
    x = np.random.default_rng(seed).normal(size=8)
    report = functions.check_gradient(lambda p: float(np.sin(p).sum()), x, factor * np.cos(x))
    assert report.verdict == ("pass" if factor == 1 else "fail")
