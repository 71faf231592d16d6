"""Laws of the service: it is glue, so that an answer is that of the function, bit for bit.

They hold for a server of the session only: another machine's BLAS and libm may round otherwise.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.checking import derivatives
from oracle.reference import (
    activations,
    losses,
    mini_batch,
    numerical,
    simple_net,
    structured,
    training,
    two_layer_net,
)
from oracle.values import TwoLayerNetParameters
from tests.strategies import batches, scores, seeds, simple_nets, sizes, two_layer_nets

DELTAS = st.sampled_from([0.0, 1e-7, 1e-2])


@pytest.fixture(scope="module")
def oracle(request, functions):
    if request.config.getoption("--gradient-oracle-address"):
        pytest.skip("a server elsewhere may round otherwise")
    return functions


def identical(found, expected):
    if isinstance(expected, TwoLayerNetParameters):
        expected = expected.tensors()
    if isinstance(expected, dict):
        return all(identical(found[name], array) for name, array in expected.items())
    found, expected = np.asarray(found), np.asarray(expected)
    return (found.dtype, found.shape) == (expected.dtype, expected.shape) and (
        found.tobytes() == expected.tobytes()
    )


@given(scores())
def test_activations(oracle, a):
    """Sigmoid and softmax."""
    assert identical(oracle.sigmoid(a), activations.sigmoid(a))
    assert identical(oracle.softmax(a), activations.softmax(a))


@given(batches(), DELTAS)
def test_losses(oracle, batch, delta):
    """Both losses and their gradients, with labels and with one-hot targets."""
    y, t = batch
    soft = np.eye(y.shape[1])[t]
    assert identical(oracle.mean_squared_error(y, soft), losses.mean_squared_error(y, soft))
    for targets in (t, soft):
        found = oracle.cross_entropy_error(y, targets, delta=delta)
        assert identical(found, losses.cross_entropy_error(y, targets, delta=delta))
        slope = derivatives.cross_entropy_error(y, targets, delta=delta).tensors["y"]
        found = oracle.cross_entropy_error_gradient(y, targets, delta=delta)
        assert identical(found, slope)


@given(simple_nets())
def test_simple_net(oracle, case):
    """Scores, loss and both gradients."""
    net = oracle.simple_net
    assert identical(net.predict(*case[:2]), simple_net.predict(*case[:2]))
    assert identical(net.loss(*case), simple_net.loss(*case))
    assert identical(net.numerical_gradient(*case), structured.simple_net(*case))
    assert identical(net.gradient(*case), derivatives.simple_net(*case).tensors["W"])


@given(two_layer_nets())
def test_two_layer_net(oracle, case):
    """Probabilities, loss, accuracy and both gradients."""
    p, x, t = case
    net, local = oracle.two_layer_net, (TwoLayerNetParameters(**p), x, t)
    assert identical(net.predict(p, x), two_layer_net.predict(*local[:2]))
    assert identical(net.loss(*case), two_layer_net.loss(*local))
    assert identical(net.accuracy(*case), two_layer_net.accuracy(*local))
    assert identical(net.numerical_gradient(*case), structured.two_layer_net(*local))
    exact = derivatives.two_layer_net(*local).tensors
    assert identical(net.gradient(*case), dict(exact))


@given(sizes, sizes, seeds)
def test_what_is_drawn(oracle, train_size, batch_size, seed):
    """Mini-batches and initial weights."""
    drawn = mini_batch.draw(train_size, batch_size, seed=seed)
    assert identical(oracle.mini_batch(train_size, batch_size, seed=seed), drawn)
    made = two_layer_net.init(train_size, batch_size, 3, seed=seed)
    assert identical(oracle.two_layer_net.init(train_size, batch_size, 3, seed=seed), made)


@settings(max_examples=10)
@given(two_layer_nets(), seeds)
def test_training(oracle, case, seed):
    """The last parameters and their loss."""
    p, x, t = case
    options = {"step_num": 3, "batch_size": 2, "seed": seed}
    *_, result = oracle.two_layer_net.train(p, x, t, **options)
    *_, (_, loss, trained) = training.train(TwoLayerNetParameters(**p), x, t, **options)
    assert identical(result, trained)
    assert identical(result.loss, loss)


@given(scores())
def test_gradient_of_a_function_of_the_caller(oracle, x):
    """f is evaluated at the same points, whoever lists them."""

    def f(p):
        return float(np.sin(p).sum())

    assert identical(oracle.numerical_gradient(f, x), numerical.numerical_gradient(f, x))
    assert identical(
        oracle.gradient_descent(f, x, lr=0.1, step_num=2),
        numerical.gradient_descent(f, x, lr=0.1, step_num=2),
    )
