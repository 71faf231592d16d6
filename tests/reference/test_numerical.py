"""What the wire does not show of the numerical gradient: its two halves, and what it refuses."""

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
from oracle.values import InvalidInput
from tests.strategies import scores

H = 1e-4


def square(x):
    return float(np.sum(x**2))


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


@given(scores())
def test_descent_leaves_its_start(x):
    """The listing changes init_x in place."""
    before = x.copy()
    gradient_descent(square, x, step_num=2)
    assert np.array_equal(x, before)


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
