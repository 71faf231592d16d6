"""Laws of the numerical gradient of a function that only the caller can evaluate.

A value of f is off by a few eps of its size, and so is x + h; the difference divides that by 2h.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import EPSILON, scores, sizes

H = 1e-4


def square(x):
    return float(np.sum(x**2))


def cube(x):
    return float(np.sum(x**3))


def noise(size, largest, h=H):
    return 16 * (size + 8) * EPSILON * (largest + 1) / h


def listing(f, x):
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
def test_exact_for_quadratics(functions, x):
    """The central difference has no error of truncation below the third degree."""
    error = functions.numerical_gradient(square, x) - 2 * x
    assert np.abs(error).max() <= noise(x.size, square(x))


def test_every_coordinate_has_its_own_slope(functions):
    """Far more than are asked for at a time: with h = 1, sums of small integers are exact."""
    x, weights = np.zeros((7, 50)), np.arange(350.0).reshape(7, 50)
    found = functions.numerical_gradient(lambda p: float(np.sum(weights * p)), x, h=1.0)
    assert np.array_equal(found, weights)


@given(sizes, st.sampled_from([0.5, 1.0, 2.0]))
def test_off_by_the_square_of_h_for_cubes(functions, size, h):
    """((x + h)^3 - (x - h)^3) / 2h = 3 x^2 + h^2; small integers and halves round nothing."""
    x = np.arange(size, dtype=float)
    assert np.array_equal(functions.numerical_gradient(cube, x, h=h), 3 * x**2 + h**2)


def test_h_is_that_of_the_document(functions):
    """At zero the difference of a cube is h^2 = 1e-8, which tells h."""
    assert functions.numerical_gradient(cube, np.zeros(3)) == pytest.approx([H**2] * 3)


@given(scores())
def test_linear_in_f(functions, x):
    """Twice f, exactly, has twice the gradient."""
    twice = functions.numerical_gradient(lambda p: 2 * square(p), x)
    assert np.array_equal(twice, 2 * functions.numerical_gradient(square, x))


@given(scores())
def test_zero_for_a_constant(functions, x):
    """Equal values differ by nothing."""
    assert not functions.numerical_gradient(lambda _: 3.0, x).any()


@given(scores())
def test_bit_for_bit_the_listing(functions, x):
    """For vectors the document's own loop is the definition."""
    flat = x.ravel()
    assert np.array_equal(functions.numerical_gradient(square, flat), listing(square, flat.copy()))


@given(scores())
def test_shape_changes_no_number(functions, x):
    """The listing takes vectors; a matrix is the same numbers in C order."""
    matrix, vector = (functions.numerical_gradient(square, p) for p in (x, x.ravel()))
    assert matrix.shape == x.shape
    assert np.allclose(matrix.ravel(), vector, rtol=0, atol=noise(x.size, square(x)))


@given(scores())
def test_input_untouched_when_f_raises(functions, x):
    """The listing leaves the caller's array changed."""
    before = x.copy()

    def fails(_):
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        functions.numerical_gradient(fails, x)
    assert np.array_equal(x, before)


@settings(max_examples=5)
@given(st.integers(0, 1000))
def test_accuracy_has_no_slope(functions, seed):
    """The document's own argument for a loss: small changes move no sample over the line.

    Scores of at most 12 summands move by less than h; the samples are chosen further from ties.
    """
    rng = np.random.default_rng(seed)
    w, samples = rng.normal(size=(4, 3)), rng.normal(size=(20, 4))
    ranked = np.sort(samples @ w, axis=1)
    x = samples[ranked[:, -1] - ranked[:, -2] > 0.01]
    t = rng.integers(0, 3, size=len(x))
    assert not functions.numerical_gradient(
        lambda p: float(np.mean(np.argmax(x @ p, axis=1) == t)), w
    ).any()


@given(scores())
@settings(max_examples=10)
def test_descent_is_repeated_gradients(functions, x):
    """x <- x - lr * numerical_gradient(f, x), as often as told."""
    before, expected = x.copy(), x.copy()
    for _ in range(3):
        expected -= 0.1 * functions.numerical_gradient(square, expected)
    found = functions.gradient_descent(square, x, lr=0.1, step_num=3)
    assert np.array_equal(found, expected)
    assert np.array_equal(x, before)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_a_descent_of_no_step_ends_where_it_starts(functions, dtype):
    """Bit for bit, whatever the type: negative zero and subnormal numbers included."""
    x = np.array([-0.0, 0.0, 1.5, -2.5, float(ml_dtypes.finfo(dtype).smallest_subnormal)], dtype)
    found = functions.gradient_descent(square, x, step_num=0, h=0.25)
    assert (found.dtype, found.tobytes()) == (x.dtype, x.tobytes())


def test_descent_of_the_document(functions):
    """The document's example: from (-3, 4) to the minimum of x0^2 + x1^2 in 100 steps of 0.1."""
    found = functions.gradient_descent(square, np.array([-3.0, 4.0]), lr=0.1, step_num=100)
    assert np.abs(found).max() < 1e-8


def test_descent_diverges_when_the_learning_rate_is_too_large(functions):
    """The document's counterexample, lr = 10: rounding alone leaves a huge number."""
    found = functions.gradient_descent(square, np.array([-3.0, 4.0]), lr=10.0, step_num=100)
    assert np.abs(found).max() > 1e10


def test_descent_hardly_moves_when_the_learning_rate_is_too_small(functions):
    """The document's other counterexample, lr = 1e-10."""
    start = np.array([-3.0, 4.0])
    found = functions.gradient_descent(square, start, lr=1e-10, step_num=100)
    assert np.abs(found - start).max() < 1e-6
