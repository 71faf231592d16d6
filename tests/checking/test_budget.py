"""The budgets against balls: a correct evaluation never leaves them, a wrong one does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.checking import derivatives
from oracle.values import InvalidInput, TwoLayerNetParameters
from tests.checking import budgets as budget
from tests.checking.budgets import arithmetic


def network(seed, scale, dtype, N):
    rng = np.random.default_rng(seed)
    shapes = [(11, 6), (6,), (6, 5), (5,)]
    parameters = TwoLayerNetParameters(
        *((rng.normal(size=s) * scale).astype(dtype) for s in shapes)
    )
    return parameters, rng.normal(size=(N, 11)).astype(dtype), rng.integers(0, 5, N)


def serial_product(a, b):
    """Sum one term after the other, as a C loop does."""
    total = np.zeros((a.shape[0], b.shape[1]), dtype=a.dtype)
    for i in range(a.shape[1]):
        total += a[:, i : i + 1] * b[i : i + 1]
    return total


def backpropagate(p, x, t, delta, *, classes=5):
    """Compute in the dtype of the inputs, from log(y + delta) backwards."""
    dtype = x.dtype.type
    with np.errstate(over="ignore", under="ignore"):
        z = dtype(1) / (dtype(1) + np.exp(-(serial_product(x, p.W1) + p.b1)))
        s = serial_product(z, p.W2) + p.b2
        w = np.exp(s - s.max(axis=1, keepdims=True))
        y = w / w.sum(axis=1, keepdims=True)
        dy = -np.eye(classes, dtype=dtype)[t] / (y + dtype(delta)) / dtype(len(t))
        g2 = y * (dy - (y * dy).sum(axis=1, keepdims=True))
        g1 = serial_product(g2, p.W2.T) * z * (dtype(1) - z)
        return {
            "W1": serial_product(x.T, g1),
            "b1": g1.sum(axis=0),
            "W2": serial_product(z.T, g2),
            "b2": g2.sum(axis=0),
        }


@given(
    seed=st.integers(0, 2**32),
    scale=st.floats(1e-3, 50.0),
    dtype=st.sampled_from([np.float64, np.float32]),
    N=st.integers(1, 40),
    delta=st.sampled_from([1e-7, 1e-3]),
)
def test_correct_gradients_stay_within_their_budget(seed, scale, dtype, N, delta):
    """The bound holds for a serial sum and the cancelling form of the loss's derivative."""
    parameters, x, t = network(seed, scale, dtype, N)
    candidate = backpropagate(parameters, x, t, delta)
    exact = derivatives.two_layer_net(parameters, x, t, delta=delta)
    how = arithmetic(np.dtype(dtype).name)
    allowed = budget.two_layer_net(parameters, x, t, how, delta=delta).budget
    for name, tensor in candidate.items():
        error = np.abs(tensor.astype(np.float64) - exact.tensors[name])
        assert np.all(error <= allowed[name] + exact.radius[name])


@given(seed=st.integers(0, 2**32), scale=st.floats(1e-3, 50.0), N=st.integers(1, 40))
def test_derived_bound_holds_the_exact_gradient(seed, scale, N):
    """Above the size of balls the bound at u = 2^-53 takes their place."""
    parameters, x, t = network(seed, scale, np.float64, N)
    exact = derivatives.two_layer_net(parameters, x, t)
    ours = budget.two_layer_net(parameters, x, t, arithmetic("float64"), delta=1e-7)
    for name, tensor in ours.tensors.items():
        error = np.abs(tensor - exact.tensors[name])
        assert np.all(error <= ours.budget[name] + exact.radius[name])


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-12), ("float32", 1e-3)])
@pytest.mark.parametrize("scale", [0.01, 0.1, 1.0])
def test_budget_is_tight(dtype, limit, scale):
    """A budget that hides a wrong gradient is worth nothing."""
    parameters, x, t = network(1, scale, dtype, 32)
    evaluation = budget.two_layer_net(parameters, x, t, arithmetic(dtype), delta=1e-7)
    for name, allowed in evaluation.budget.items():
        assert allowed.max() <= limit * np.abs(evaluation.tensors[name]).max()


def test_inputs_that_the_type_cannot_hold_widen_the_budget():
    """A float32 candidate of float64 inputs began with rounded inputs."""
    how = arithmetic("float32")
    y, t = np.array([1.0 / 3.0]), np.array([1.0 / 3.0])
    rounded = np.float64(np.float32(1.0 / 3.0)) - t
    assert np.all(np.abs(rounded) <= budget.mean_squared_error(y, t, how)["y"])
    held = y.astype(np.float32)
    assert np.all(budget.mean_squared_error(held, held, how)["y"] <= 1e-37)


@pytest.mark.parametrize(
    ("dtype", "sums"), [("int32", None), ("float32", "float16"), ("float64", "float80")]
)
def test_arithmetic_must_be_known_and_sums_not_narrower(dtype, sums):
    with pytest.raises(InvalidInput):
        arithmetic(dtype, sums)


def test_wider_sums_narrow_the_budget():
    parameters, x, t = network(2, 0.1, np.float16, 32)
    narrow, wide = (
        budget.two_layer_net(parameters, x, t, arithmetic("float16", sums), delta=0.0)
        for sums in ("float16", "float32")
    )
    assert np.all(wide.budget["W1"] < narrow.budget["W1"])


def test_slope_of_the_sigmoid_may_underflow():
    """z = exp(-87.5) is flushed to zero by some float32 kernels, and back @ W2^T may be large."""
    parameters = TwoLayerNetParameters(
        *(np.array(a, np.float32) for a in ([[-87.5]], [0.0], [[30.0, -30.0]], [0.0, 0.0]))
    )
    x, t = np.array([[1.0]], np.float32), np.array([0])
    how = arithmetic("float32")
    evaluation = budget.two_layer_net(parameters, x, t, how, delta=0.0)
    assert np.all(np.abs(evaluation.tensors["W1"]) <= evaluation.budget["W1"])


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-12), ("float32", 1e-3)])
@pytest.mark.parametrize("scale", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("N", [16, 256])
def test_budget_is_tight_for_the_network_of_the_document(dtype, limit, scale, N):
    rng = np.random.default_rng(4)
    shapes = [(784, 50), (50,), (50, 10), (10,)]
    parameters = TwoLayerNetParameters(
        *((rng.normal(size=s) * scale).astype(dtype) for s in shapes)
    )
    x, t = rng.random((N, 784)).astype(dtype), rng.integers(0, 10, N)
    evaluation = budget.two_layer_net(parameters, x, t, arithmetic(dtype), delta=1e-7)
    for name, allowed in evaluation.budget.items():
        assert allowed.max() <= limit * np.abs(evaluation.tensors[name]).max()


def test_budget_survives_squares_that_underflow():
    """A hidden unit with slope 1e-157 has errors whose squares are zero in float64."""
    rng = np.random.default_rng(0)
    parameters = TwoLayerNetParameters(
        rng.normal(size=(64, 4)) * 0.1,
        np.array([-360.0, -500.0, 0.0, 360.0]),
        rng.normal(size=(4, 3)),
        np.zeros(3),
    )
    x, t = rng.random((20, 64)), rng.integers(0, 3, 20)
    candidate = backpropagate(parameters, x, t, 0.0, classes=3)
    exact = derivatives.two_layer_net(parameters, x, t, delta=0.0)
    allowed = budget.two_layer_net(parameters, x, t, arithmetic("float64"), delta=0.0)
    for name, tensor in candidate.items():
        error = np.abs(tensor - exact.tensors[name])
        assert np.all(error <= allowed.budget[name] + exact.radius[name])


@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.tuples(st.integers(1, 40), st.sampled_from([1, 2, 7, 20]), st.integers(2, 9)),
    scale=st.floats(0.01, 1.0),
    dtype=st.sampled_from(["float64", "float32"]),
)
def test_at_ordinary_weights_the_budget_is_a_small_share_of_what_does_not_cancel(
    seed, sizes, scale, dtype
):
    """Rounding follows the terms: a sum of them that cancels is what makes a share large."""
    rng = np.random.default_rng(seed)
    samples, hidden, classes = sizes
    shapes = ((12, hidden), (hidden,), (hidden, classes), (classes,))
    parameters = TwoLayerNetParameters(*(scale * rng.uniform(-1, 1, size=s) for s in shapes))
    x, t = rng.uniform(-1, 1, size=(samples, 12)), rng.integers(0, classes, samples)
    how = arithmetic(dtype)
    rounding = budget.two_layer_net(parameters, x, t, how, delta=1e-7)
    most = {"float64": 1e-12, "float32": 1e-3}[dtype]
    for name, bound in rounding.budget.items():
        assert bound.max() <= most * rounding.scale[name], name
