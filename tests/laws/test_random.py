"""Laws of what is drawn: another language makes the same numbers from the contract alone.

The generator is written here once more, in plain integers, from the words of the contract.
"""

from __future__ import annotations

import math

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from tests.strategies import sizes

WORD = 2**64
seeds = st.integers(0, WORD - 1)


def splitmix(seed, number):
    z = (seed + (number + 1) * 0x9E3779B97F4A7C15) % WORD
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
    return z ^ (z >> 31)


def gaussian(seed, count):
    numbers = []
    for pair in range(0, count, 2):
        u, v = ((splitmix(seed, pair + i) >> 11) / 2**53 for i in range(2))
        radius = math.sqrt(-2 * math.log1p(-u))
        numbers += [radius * math.cos(2 * math.pi * v), radius * math.sin(2 * math.pi * v)]
    return np.array(numbers[:count])


@example(train_size=10**6, batch_size=5, seed=WORD - 1)
@example(train_size=2**63 - 1, batch_size=5, seed=2**63 + 1)
@given(st.integers(1, 10**6), st.integers(1, 50), seeds)
def test_mini_batch_is_that_of_the_contract(functions, train_size, batch_size, seed):
    """Index i is (output i * train_size) >> 64."""
    expected = [splitmix(seed, i) * train_size >> 64 for i in range(batch_size)]
    assert functions.mini_batch(train_size, batch_size, seed=seed).tolist() == expected


def test_a_large_mini_batch_is_that_of_the_contract(functions):
    """Index i is that of output i, however many come before it."""
    found = functions.mini_batch(1000, 70_000, seed=3)
    assert len(found) == 70_000
    places = [*range(100), *range(65_500, 65_600), *range(69_900, 70_000)]
    assert found[places].tolist() == [splitmix(3, i) * 1000 >> 64 for i in places]


@given(st.integers(1, 5), seeds)
def test_mini_batch_draws_with_replacement(functions, train_size, seed):
    """As the document's np.random.choice does, so that a batch may exceed the training set."""
    drawn = functions.mini_batch(train_size, train_size + 1, seed=seed)
    assert len(drawn) == train_size + 1
    assert set(drawn.tolist()) <= set(range(train_size))


def test_mini_batch_reaches_every_sample_alike(functions):
    """10 000 draws of 10: each count is within 6 standard deviations of 1000."""
    counts = np.bincount(functions.mini_batch(10, 10_000, seed=1), minlength=10)
    assert np.abs(counts - 1000).max() < 6 * math.sqrt(10_000 * 0.1 * 0.9)


@example(d=2, h=3, k=2, seed=WORD - 1)
@given(sizes, sizes, sizes, seeds)
def test_init_is_that_of_the_contract(functions, d, h, k, seed):
    """W1, then W2, in C order from one stream; the functions of two libraries differ by ulps."""
    made = functions.two_layer_net.init(d, h, k, weight_init_std=1.0, seed=seed)
    expected = gaussian(seed, d * h + h * k)
    found = np.concatenate([made["W1"].ravel(), made["W2"].ravel()])
    assert np.abs(found - expected).max() < 1e-13
    assert made["W1"].shape == (d, h)
    assert made["W2"].shape == (h, k)


@given(sizes, sizes, sizes, seeds)
def test_init_leaves_the_biases_zero(functions, d, h, k, seed):
    """As the document does."""
    made = functions.two_layer_net.init(d, h, k, seed=seed)
    assert made["b1"].tolist() == [0.0] * h
    assert made["b2"].tolist() == [0.0] * k


@given(seeds, st.integers(-10, 10))
def test_init_scales_with_its_standard_deviation(functions, seed, power):
    """A power of two scales without rounding."""
    unit = functions.two_layer_net.init(3, 4, 2, weight_init_std=1.0, seed=seed)
    scaled = functions.two_layer_net.init(3, 4, 2, weight_init_std=2.0**power, seed=seed)
    assert all(np.array_equal(scaled[name], 2.0**power * unit[name]) for name in unit)


@given(seeds)
def test_the_standard_deviation_is_that_of_the_document(functions, seed):
    """0.01 if not told otherwise."""
    unset = functions.two_layer_net.init(3, 4, 2, seed=seed)
    told = functions.two_layer_net.init(3, 4, 2, weight_init_std=0.01, seed=seed)
    assert all(np.array_equal(unset[name], told[name]) for name in told)


def test_weights_are_gaussian(functions):
    """Mean, variance and fourth moment of 50 000 numbers within 6 of their standard errors."""
    w = functions.two_layer_net.init(500, 100, 1, weight_init_std=1.0, seed=3)["W1"]
    bound = 6 / math.sqrt(w.size)
    assert abs(w.mean()) < bound
    assert abs((w**2).mean() - 1) < bound * math.sqrt(2)
    assert abs((w**4).mean() - 3) < bound * math.sqrt(96)
