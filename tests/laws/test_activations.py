"""Laws of sigmoid and softmax.

An exponential is within 2 ulp, a sum of K terms within K u of itself, a quotient within u:
8 (K + 8) eps covers both sides of every law on numbers up to 1.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import EPSILON, generators, scores

LARGEST = float(np.finfo(np.float64).max)


def close(a, b, terms):
    return np.abs(np.asarray(a) - b).max() <= 8 * (terms + 8) * EPSILON


@given(scores())
def test_softmax_rows_sum_to_one(functions, a):
    """They are probabilities."""
    assert close(functions.softmax(a).sum(axis=-1), 1.0, a.shape[1])


@given(scores())
def test_softmax_is_never_negative(functions, a):
    """They are probabilities."""
    assert functions.softmax(a).min() >= 0


@given(scores(), st.integers(-1000, 1000))
def test_softmax_ignores_a_shift(functions, a, shift):
    """The factor exp(shift) cancels; a grid of 1/1024 is shifted without rounding."""
    grid = np.round(a * 1024) / 1024
    assert close(functions.softmax(grid + shift), functions.softmax(grid), a.shape[1])


@given(scores(), generators())
def test_softmax_follows_a_permutation(functions, a, rng):
    """Classes have no order."""
    order = rng.permutation(a.shape[1])
    assert close(functions.softmax(a[:, order]), functions.softmax(a)[:, order], a.shape[1])


@given(scores())
def test_softmax_keeps_the_order_of_scores(functions, a):
    """The exponential grows, so that sorted scores have sorted probabilities."""
    assert (np.diff(functions.softmax(np.sort(a, axis=1)), axis=1) >= 0).all()


@given(scores())
def test_softmax_rows_are_independent(functions, a):
    """The last axis alone is summed over."""
    assert close(functions.softmax(a)[0], functions.softmax(a[0]), a.shape[1])


def test_softmax_does_not_overflow(functions):
    """The largest finite floats are valid scores."""
    assert functions.softmax(np.array([LARGEST, -LARGEST, 0.0])).tolist() == [1.0, 0.0, 0.0]


@given(scores())
def test_softmax_of_two_classes_is_the_sigmoid_of_their_difference(functions, a):
    """exp(a) / (exp(a) + exp(0)) = 1 / (1 + exp(-a))."""
    flat = a.ravel()
    two = functions.softmax(np.stack([flat, np.zeros_like(flat)], axis=1))
    assert close(two[:, 0], functions.sigmoid(flat), 2)


@given(scores())
def test_sigmoid_is_symmetric(functions, a):
    """s(a) + s(-a) = 1."""
    assert close(functions.sigmoid(a) + functions.sigmoid(-a), 1.0, 2)


@given(scores())
def test_sigmoid_grows(functions, a):
    """Up to one ulp of the largest value, which is rounding."""
    assert (np.diff(functions.sigmoid(np.sort(a.ravel()))) >= -EPSILON).all()


@pytest.mark.parametrize(("a", "expected"), [(LARGEST, 1.0), (-LARGEST, 0.0), (0.0, 0.5)])
def test_sigmoid_does_not_overflow(functions, a, expected):
    """The largest finite floats are valid, and no warning is given."""
    assert functions.sigmoid(np.array([a]))[0] == expected


@given(scores())
def test_sigmoid_keeps_the_shape(functions, a):
    """It acts on every entry alone."""
    assert functions.sigmoid(a).shape == a.shape


def test_sigmoid_of_a_number_is_a_number(functions):
    """No axis at all is a shape too, which is not that of one entry in a row."""
    assert functions.sigmoid(np.float64(0.0)).shape == ()


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_sigmoid_of_a_narrow_type_is_that_of_its_numbers(functions, dtype):
    """Two bytes are five bits of exponent, or eight: the type says which."""
    a = np.array([-2.5, -1.0, 0.15625, 3.0], dtype)
    assert np.array_equal(functions.sigmoid(a), functions.sigmoid(a.astype(np.float64)))
