"""The balls against derivations that share nothing with them."""

from __future__ import annotations

from decimal import Decimal, localcontext

import flint
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.arithmetic.balls import PROVEN, enclose
from oracle.checking.derivatives import (
    cross_entropy_error,
    mean_squared_error,
    simple_net,
    two_layer_net,
)
from oracle.values import ReferenceKind, TwoLayerNetParameters


def network(seed, scale):
    D, H, K, N = 5, 3, 4, 7
    rng = np.random.default_rng(seed)
    shapes = [(D, H), (H,), (H, K), (K,)]
    parameters = TwoLayerNetParameters(*(rng.normal(size=s) * scale for s in shapes))
    return parameters, rng.normal(size=(N, D)), rng.integers(0, K, N)


def complex_loss(parameters, x, t, delta):
    z = 1 / (1 + np.exp(-(x @ parameters["W1"] + parameters["b1"])))
    weights = np.exp(z @ parameters["W2"] + parameters["b2"])
    y = weights / weights.sum(axis=1, keepdims=True)
    return -np.log(y[np.arange(len(t)), t] + delta).mean()


@given(seed=st.integers(0, 2**32), scale=st.sampled_from([1e-3, 0.1, 1.0, 3.0]))
def test_two_layer_gradient_is_the_complex_step(seed, scale):
    """Im L(p + ih) / h has no cancellation, and knows nothing of the backward pass."""
    parameters, x, t = network(seed, scale)
    gradient = two_layer_net(parameters, x, t).tensors
    for name, tensor in parameters.tensors().items():
        for index in np.ndindex(tensor.shape):
            moved = {**parameters.tensors(), name: tensor.astype(complex)}
            moved[name][index] += 1e-40j
            slope = complex_loss(moved, x, t, 1e-7).imag / 1e-40
            assert abs(slope - gradient[name][index]) <= 1e-12 * np.abs(gradient[name]).max()


def test_two_layer_gradient_is_proven_and_rounded_when_outputs_saturate():
    """Probabilities of 1e-300 keep their relative precision in balls."""
    parameters, x, t = network(3, 300.0)
    answer = two_layer_net(parameters, x, t)
    assert answer.kind is ReferenceKind.ENCLOSURE
    assert answer.correctly_rounded
    assert answer.exact_radius < PROVEN


def test_simple_net_gradient_is_the_decimal_one_when_outputs_saturate():
    """Two classes: dW = x (y_0 - t_0) w, with 1 - y formed as exp(-a) / (1 + exp(-a))."""
    W, x = np.array([[690.0, -0.5]]), np.array([1.0])
    answer = simple_net(W, x, np.array([0]), delta=1e-7)
    with localcontext() as context:
        context.prec = 400
        small = 1 / (1 + Decimal("690.5").exp())
        y = 1 - small
        exact = float(small * y / (y + Decimal.from_float(1e-7)))
    np.testing.assert_array_equal(answer.tensors["W"], [[-exact, exact]])
    assert 0.0 < exact < 1e-299


def test_simple_net_gradient_gives_the_document_its_digits():
    """They are those of the loss without delta; the weights are printed to 8 digits."""
    W = np.array([[0.47355232, 0.9977393, 0.84668094], [0.85557411, 0.03563661, 0.69422093]])
    answer = simple_net(W, np.array([0.6, 0.9]), np.array([0.0, 0.0, 1.0]), delta=0.0)
    printed = [[0.21924763, 0.14356247, -0.36281009], [0.32887144, 0.2153437, -0.54421514]]
    np.testing.assert_allclose(answer.tensors["W"], printed, rtol=0, atol=2e-8)


@given(seed=st.integers(0, 2**32), delta=st.sampled_from([0.0, 1e-7, 0.5]))
def test_soft_targets_of_one_class_are_labels(seed, delta):
    """A one-hot distribution says the same as its label."""
    parameters, x, t = network(seed, 1.0)
    labels = two_layer_net(parameters, x, t, delta=delta).tensors
    one_hot = two_layer_net(parameters, x, np.eye(4)[t], delta=delta).tensors
    for name in labels:
        np.testing.assert_array_equal(labels[name], one_hot[name])


def test_loss_gradients_are_correctly_rounded():
    """y - t and -t / (y + delta) / N are one and a few operations: decimal says the same."""
    y, t = np.array([[0.1, 0.9], [1e-30, 1.0]]), np.array([[0.3, 0.7], [1.0, 0.0]])
    np.testing.assert_array_equal(mean_squared_error(y, t).tensors["y"], y - t)
    answer = cross_entropy_error(y, t, delta=1e-7)
    with localcontext() as context:
        context.prec = 60
        exact = [
            [
                float(-Decimal(w) / (Decimal(p) + Decimal.from_float(1e-7)) / 2)
                for p, w in zip(*r, strict=True)
            ]
            for r in zip(y.tolist(), t.tolist(), strict=True)
        ]
    np.testing.assert_array_equal(answer.tensors["y"], exact)
    assert answer.correctly_rounded


def test_precision_is_given_back_when_a_computation_is_stopped():
    """python-flint keeps one precision for the process; a stopped caller must not leave its own."""

    class StoppedError(Exception):
        pass

    def stop(_):
        raise StoppedError

    before = flint.ctx.prec
    with pytest.raises(StoppedError):
        enclose(stop)
    assert flint.ctx.prec == before
