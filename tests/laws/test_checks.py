"""Laws of verdicts: the right gradient passes in every type, and a visible error does not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import batches, generators, simple_nets, two_layer_nets

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
    assert functions.check_two_layer_net(p, x, t, gradient).verdict == "fail"


@given(st.integers(0, 100), st.sampled_from([1.0, 2.0, -1.0]))
def test_a_function_of_the_caller_is_measured(functions, seed, factor):
    """A smooth function in float64: its gradient passes, twice and minus it fail."""
    x = np.random.default_rng(seed).normal(size=8)
    report = functions.check_gradient(lambda p: float(np.sin(p).sum()), x, factor * np.cos(x))
    assert report.verdict == ("pass" if factor == 1 else "fail")
