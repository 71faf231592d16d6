"""Laws of the losses.

A sum of n terms in float64 is off by at most (n - 1) u times the sum of their sizes, u = 2^-53, in
any order (Higham, section 4.2); every term adds a few u of its own. `rounding` allows 16 (n + 8) u
of the size for the two sides together.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.strategies import EPSILON, batches, generators, scores, sizes

DELTA = 1e-7


def rounding(terms, size):
    return 8 * (terms + 8) * EPSILON * (abs(size) + 1e-300)


Y = np.array([0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0])
T = np.eye(10)[2]


def test_squared_error_of_a_recognised_digit(functions):
    """By hand: (0.01 + 0.0025 + 0.16 + 0.0025 + 0.01 + 0.01) / 2."""
    assert abs(functions.mean_squared_error(Y, T) - 0.0975) <= rounding(10, 1.0)


def test_cross_entropy_of_a_recognised_digit(functions):
    """The logarithm is the natural one, and delta is 1e-7."""
    found = functions.cross_entropy_error(Y, np.int64(2))
    assert abs(found + math.log(0.6 + DELTA)) <= rounding(1, 1.0)


@pytest.mark.parametrize("value", [0.0, 1e-9, 1e-7])
def test_delta_is_that_of_the_document(functions, value):
    """A probability of zero costs -log(1e-7); an ulp of 1e-7 moves that by less than an eps."""
    found = functions.cross_entropy_error(np.array([value, 0.5]), np.int64(0))
    assert abs(found + math.log(value + 1e-7)) <= rounding(1, 17.0)


@example(difference=212.22339628465897)
@given(difference=st.floats(-1e3, 1e3))
def test_squared_error_is_half_a_square(functions, difference):
    """Half of one rounded square, exactly (a product: the power function may round otherwise)."""
    found = functions.mean_squared_error(np.array([difference]), np.array([0.0]))
    assert found == 0.5 * (difference * difference)


def test_one_hot_integers_are_numbers_of_the_squared_error(functions):
    """As the document writes them, [0, 0, 1, 0 ...]; the squared error has no labels to confuse."""
    one_hot = T.astype(int)
    assert functions.mean_squared_error(Y, one_hot) == functions.mean_squared_error(Y, T)


@given(batches(), st.sampled_from(["float32", "float16"]))
def test_narrow_types_are_exact_numbers(functions, batch, dtype):
    """A float32 is a float64 with fewer digits; the arithmetic is that of float64."""
    y, t = batch[0].astype(dtype), batch[1]
    wide = y.astype(np.float64)
    zeros = np.zeros_like(y)
    assert functions.cross_entropy_error(y, t) == functions.cross_entropy_error(wide, t)
    assert functions.mean_squared_error(y, zeros) == functions.mean_squared_error(
        wide, zeros.astype(np.float64)
    )


@st.composite
def pairs(draw):
    y = draw(scores())
    return y, draw(generators()).normal(size=y.shape)


@given(pairs())
def test_squared_error_is_never_negative(functions, pair):
    """It is a sum of squares."""
    assert functions.mean_squared_error(*pair) >= 0


@given(scores())
def test_squared_error_is_zero_at_equality(functions, y):
    """Every difference is exactly zero."""
    assert functions.mean_squared_error(y, y.copy()) == 0


@given(pairs())
def test_squared_error_is_positive_off_equality(functions, pair):
    """One different entry is enough."""
    y, _ = pair
    t = y.copy()
    t.flat[0] += 1.0
    assert functions.mean_squared_error(y, t) > 0


@given(pairs())
def test_squared_error_is_symmetric(functions, pair):
    """y - t and t - y differ in sign alone, which squaring removes exactly."""
    y, t = pair
    assert functions.mean_squared_error(y, t) == functions.mean_squared_error(t, y)


@given(pairs(), st.integers(-1000, 1000))
def test_squared_error_ignores_translation(functions, pair, shift):
    """Only differences count; numbers on a grid of 1/1024 are shifted without rounding."""
    y, t = (np.round(part * 1024) / 1024 for part in pair)
    moved = functions.mean_squared_error(y + shift, t + shift)
    assert moved == functions.mean_squared_error(y, t)


@example(pair=(np.ones((2, 3)), np.zeros((2, 3))), power=400)
@given(pairs(), st.integers(-400, 400))
def test_squared_error_scales_with_the_square(functions, pair, power):
    """A power of two scales without rounding, as long as float64 holds the square."""
    y, t = pair
    scaled = functions.mean_squared_error(y * 2.0**power, t * 2.0**power)
    assert scaled == 4.0**power * functions.mean_squared_error(y, t)


def test_squared_error_above_the_largest_number_is_infinite(functions):
    """As IEEE arithmetic has it, and the contract says."""
    assert functions.mean_squared_error(np.array([1e200]), np.array([0.0])) == math.inf


@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_integers_of_any_size_are_targets(functions, dtype):
    """What a byte does not hold is no smaller number."""
    t = np.array([-300, 1000, 70_000])
    found = functions.mean_squared_error(np.zeros(3), t.astype(dtype))
    assert found == functions.mean_squared_error(np.zeros(3), t.astype(float))


@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_labels_beyond_a_byte_are_labels(functions, dtype):
    """There may be more than 256 classes; -log of the one that is not like the others tells."""
    y = np.full((1, 300), 0.25)
    y[0, 299] = 0.5
    found = functions.cross_entropy_error(y, np.array([299], dtype))
    assert abs(found + math.log(0.5 + DELTA)) <= rounding(1, 1.0)


@given(pairs())
def test_squared_error_adds_over_a_split(functions, pair):
    """Nothing is divided by N, so that parts add."""
    y, t = (np.vstack([part, part + 1]) for part in pair)
    whole = functions.mean_squared_error(y, t)
    parts = functions.mean_squared_error(y[:1], t[:1]) + functions.mean_squared_error(y[1:], t[1:])
    assert abs(whole - parts) <= rounding(y.size, whole)


@given(batches())
def test_labels_and_one_hot_targets_agree(functions, batch):
    """The document's two variants are one function."""
    y, labels = batch
    one_hot = np.eye(y.shape[1])[labels]
    a = functions.cross_entropy_error(y, labels)
    size = np.abs(np.log(y[np.arange(len(y)), labels] + DELTA)).mean()
    assert abs(a - functions.cross_entropy_error(y, one_hot)) <= rounding(y.size, size)


@given(batches())
def test_cross_entropy_is_bounded_below(functions, batch):
    """Probabilities are at most 1, within an ulp or two."""
    assert functions.cross_entropy_error(*batch) >= -math.log1p(DELTA) - 64 * EPSILON


@given(sizes, sizes)
def test_certainty_costs_minus_log_of_one_plus_delta(functions, n, k):
    """The bound is reached: delta makes the loss of a perfect answer slightly negative."""
    y = np.zeros((n, k))
    y[:, 0] = 1.0
    value = functions.cross_entropy_error(y, np.zeros(n, dtype=np.int64))
    assert abs(value + math.log1p(DELTA)) <= 8 * EPSILON


@given(batches(), batches())
def test_cross_entropy_is_the_weighted_mean_of_parts(functions, first, second):
    """The error is a mean over samples."""
    width = min(first[0].shape[1], second[0].shape[1])
    parts = [(y[:, :width], np.minimum(t, width - 1)) for y, t in (first, second)]
    (y1, t1), (y2, t2) = parts
    whole = functions.cross_entropy_error(np.vstack([y1, y2]), np.concatenate([t1, t2]))
    a, b = functions.cross_entropy_error(y1, t1), functions.cross_entropy_error(y2, t2)
    mean = (len(y1) * a + len(y2) * b) / (len(y1) + len(y2))
    assert abs(whole - mean) <= rounding(len(y1) + len(y2), -math.log(DELTA))


@given(batches(), generators())
def test_cross_entropy_ignores_the_order_of_samples(functions, batch, rng):
    """A sum does not know its order, but for rounding."""
    y, t = batch
    order = rng.permutation(len(y))
    change = functions.cross_entropy_error(y[order], t[order]) - functions.cross_entropy_error(y, t)
    assert abs(change) <= rounding(len(y), -math.log(DELTA))


@given(batches(), generators())
def test_cross_entropy_ignores_the_names_of_classes(functions, batch, rng):
    """Renaming classes in scores and labels alike picks the same probabilities."""
    y, t = batch
    order = rng.permutation(y.shape[1])
    renamed = functions.cross_entropy_error(y[:, order], np.argsort(order)[t])
    assert renamed == functions.cross_entropy_error(y, t)


@given(batches())
def test_cross_entropy_falls_when_the_target_gains(functions, batch):
    """The logarithm grows."""
    y, t = batch
    better = y.copy()
    better[0, t[0]] += 0.5
    assert functions.cross_entropy_error(better, t) < functions.cross_entropy_error(y, t)


@given(batches())
def test_cross_entropy_ignores_the_other_classes(functions, batch):
    """With labels only the target's probability is looked at."""
    y, t = batch
    other = np.full_like(y, 0.25)
    other[np.arange(len(y)), t] = y[np.arange(len(y)), t]
    assert functions.cross_entropy_error(other, t) == functions.cross_entropy_error(y, t)


@given(batches())
def test_one_sample_is_a_batch_of_one(functions, batch):
    """A vector is one sample, N = 1."""
    y, t = batch
    batch_of_one = functions.cross_entropy_error(y[:1], t[:1])
    assert functions.cross_entropy_error(y[0], np.int64(t[0])) == batch_of_one
    assert functions.cross_entropy_error(y[0], t[:1]) == batch_of_one


@given(batches())
def test_cross_entropy_falls_as_delta_grows(functions, batch):
    """Delta adds to every probability."""
    large = functions.cross_entropy_error(*batch, delta=1e-2)
    assert large < functions.cross_entropy_error(*batch, delta=1e-7)


@given(batches())
def test_cross_entropy_doubles_with_its_targets(functions, batch):
    """It is linear in soft targets, and doubling rounds nothing."""
    y, t = batch
    soft = np.eye(y.shape[1])[t]
    assert functions.cross_entropy_error(y, 2 * soft) == 2 * functions.cross_entropy_error(y, soft)


@given(pairs())
def test_gradient_of_the_squared_error_is_the_difference(functions, pair):
    """y - t, which float64 rounds once."""
    y, t = pair
    assert np.array_equal(functions.mean_squared_error_gradient(y, t), y - t)


@given(batches(), generators(), st.sampled_from([0.0, DELTA, 1e-2]))
def test_gradient_of_the_cross_entropy(functions, batch, rng, delta):
    """-t / (y + delta) / N: four roundings here, one there."""
    y, t = batch
    one_hot, soft = np.eye(y.shape[1])[t], rng.random(y.shape)
    for targets, weights in ((t, one_hot), (one_hot, one_hot), (soft, soft)):
        expected = -weights / (y + delta) / len(y)
        found = functions.cross_entropy_error_gradient(y, targets, delta=delta)
        assert np.all(np.abs(found - expected) <= 4 * EPSILON * np.abs(expected))


@given(batches(), st.sampled_from([DELTA, 1e-2]))
def test_gradient_of_the_cross_entropy_is_its_slope(functions, batch, delta):
    """The central difference with h = y / 1000 is off by a relative h^2 / 3 y^2."""
    y, t = batch
    index = (0, t[0])
    h = y[index] / 1000
    sides = []
    for step in (h, -h):
        moved = y.copy()
        moved[index] += step
        sides.append(functions.cross_entropy_error(moved, t, delta=delta))
    slope = (sides[0] - sides[1]) / (2 * h)
    exact = functions.cross_entropy_error_gradient(y, t, delta=delta)[index]
    assert abs(slope - exact) <= 1e-6 * abs(exact) + rounding(len(y), 17.0) / h
