"""Laws of the numerical gradient and of gradient descent, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from oracle.reference import mini_batch, two_layer_net
from oracle.reference.numerical import (
    combine,
    gradient_descent,
    numerical_gradient,
    perturbed_points,
)
from oracle.values import InvalidInput, TwoLayerNetParameters
from tests.strategies import EPSILON, scores, seeds, sizes, two_layer_nets

H = 1e-4


def square(x):
    return float(np.sum(x**2))


def noise(size, f_size):
    """Rounding of two values of f, summed over `size` entries, and of x + h, over 2h."""
    return 16 * (size + 8) * EPSILON * (f_size + 1) / H


def literal(f, x):
    grad = np.zeros_like(x)
    for idx in range(x.size):
        tmp_val = x[idx]
        x[idx] = tmp_val + H
        fxh1 = f(x)
        x[idx] = tmp_val - H
        fxh2 = f(x)
        grad[idx] = (fxh1 - fxh2) / (2 * H)
        x[idx] = tmp_val
    return grad


@given(scores())
def test_exact_for_quadratics(x):
    """The central difference has no error of truncation below the third degree."""
    assert np.abs(numerical_gradient(square, x) - 2 * x).max() <= noise(x.size, square(x))


@given(scores())
def test_linear_in_f(x):
    """Twice f, exactly, has twice the gradient."""
    twice = numerical_gradient(lambda p: 2 * square(p), x)
    assert np.array_equal(twice, 2 * numerical_gradient(square, x))


@given(scores())
def test_zero_for_a_constant(x):
    """Equal values differ by nothing."""
    assert not numerical_gradient(lambda _: 3.0, x).any()


@given(scores())
def test_bit_for_bit_the_listing(x):
    """For vectors the document's own loop is the definition."""
    flat = x.ravel()
    assert np.array_equal(numerical_gradient(square, flat), literal(square, flat.copy()))


@given(scores())
def test_combine_undoes_the_split(x):
    """Listing the points and combining the values is the whole."""
    values = [(square(a), square(b)) for a, b in perturbed_points(x)]
    assert np.array_equal(combine(values, x), numerical_gradient(square, x))


@given(scores())
def test_input_untouched_when_f_raises(x):
    """The listing leaves the caller's array changed."""
    before = x.copy()

    def fails(p):
        p += 1
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        numerical_gradient(fails, x)
    assert np.array_equal(x, before)


def test_accuracy_has_no_slope():
    """The document's own argument for a loss: small changes move no sample over the line."""
    p = two_layer_net.init(4, 3, 3, weight_init_std=1.0, seed=1)
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(20, 4)), rng.integers(0, 3, size=20)

    def f(w):
        return two_layer_net.accuracy(TwoLayerNetParameters(w, p.b1, p.W2, p.b2), x, t)

    assert not numerical_gradient(f, p.W1).any()


@given(scores())
def test_descent_leaves_its_start(x):
    """The listing changes init_x in place."""
    before = x.copy()
    gradient_descent(square, x, step_num=2)
    assert np.array_equal(x, before)


def test_descent_finds_the_minimum():
    """Every step shrinks x by 1 - 2 lr."""
    x = gradient_descent(square, np.array([-3.0, 4.0]), lr=0.1, step_num=100)
    assert np.abs(x).max() < 1e-8


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("x", lambda: numerical_gradient(square, np.array([1, 2]))),
        ("x", lambda: numerical_gradient(square, np.array([np.nan]))),
        ("h", lambda: numerical_gradient(square, np.array([1.0]), h=0.0)),
        ("h", lambda: numerical_gradient(square, np.array([1.0]), h=-1e-4)),
        ("h", lambda: numerical_gradient(square, np.array([1e15]))),
        ("f", lambda: numerical_gradient(lambda p: p, np.array([1.0, 2.0]))),
        ("lr", lambda: gradient_descent(square, np.array([1.0]), lr=0.0)),
        ("step_num", lambda: gradient_descent(square, np.array([1.0]), step_num=0)),
        ("batch_size", lambda: mini_batch.draw(3, 0)),
        ("input_size", lambda: two_layer_net.init(0, 1, 1)),
    ],
)
def test_refused(argument, call):
    """Each precondition names its argument."""
    with pytest.raises(InvalidInput) as caught:
        call()
    assert caught.value.argument == argument


@given(sizes, sizes, seeds)
def test_indices_are_in_range(train_size, batch_size, seed):
    """The product with an output below 2^64 stays below train_size."""
    drawn = mini_batch.draw(train_size, batch_size, seed=seed)
    assert drawn.shape == (batch_size,)
    assert drawn.min() >= 0
    assert drawn.max() < train_size


@given(two_layer_nets(), seeds)
def test_training_can_be_repeated(case, seed):
    """Everything random follows from the seed."""
    p, x, t = case
    runs = [
        list(
            two_layer_net.train(
                TwoLayerNetParameters(**p), x, t, step_num=3, seed=seed, method="analytic"
            )
        )
        for _ in range(2)
    ]
    assert [loss for _, loss, _ in runs[0]] == [loss for _, loss, _ in runs[1]]
