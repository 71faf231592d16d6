"""Laws of the probe cases: their numbers come from the contract alone."""

from __future__ import annotations

import numpy as np
import pytest

from tests.laws.test_random import splitmix

SHAPES = {"W1": (11, 7), "b1": (7,), "W2": (7, 3), "b2": (3,), "x": (5, 11)}
NUMBERS = 163
LABELS = [2, 0, 1, 2, 2]
DRAWS = 10_000
"""Draws among which the fit one is looked for; all but one in a few hundred are not fit."""


def number(seed, place):
    """A multiple of 1/64 from -1 to 1, and never 0."""
    m = (splitmix(seed, place) >> 57) - 64
    return (m + 1 if m >= 0 else m) / 64


def draw(seed, first):
    """The numbers of the first draw that begins as a case does."""
    for r in range(DRAWS):
        if number(seed, NUMBERS * r) == first[0] and number(seed, NUMBERS * r + 1) == first[1]:
            numbers = [number(seed, NUMBERS * r + i) for i in range(NUMBERS)]
            if numbers[: len(first)] == list(first):
                return numbers
    raise AssertionError(f"no draw of seed {seed} begins with {first}")


@pytest.mark.parametrize("variant", ["standard", "saturated", "single"])
@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_a_probe_is_a_draw_of_the_contract(functions, variant, seed):
    """W1, b1, W2, b2 and x row by row; W2 is 16 times larger where outputs are to saturate."""
    probe = functions.two_layer_net.probe(variant=variant, seed=seed)
    expected = draw(seed, probe.params["W1"].ravel())
    samples = 1 if variant == "single" else 5
    scale = {"W2": 16.0} if variant == "saturated" else {}
    found = {**probe.params, "x": probe.x}
    for name, shape in SHAPES.items():
        count = int(np.prod(shape))
        part = scale.get(name, 1.0) * np.reshape(expected[:count], shape)
        assert np.array_equal(found[name], part[:samples] if name == "x" else part), name
        expected = expected[count:]
    assert probe.labels.tolist() == LABELS[:samples]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_probe_has_the_same_numbers_in_every_type(functions, dtype):
    """Each has at most 8 significant bits, which all types hold."""
    narrow, wide = (functions.two_layer_net.probe(dtype=d) for d in (dtype, "float64"))
    assert narrow.x.dtype == np.dtype(dtype)
    assert np.array_equal(narrow.x.astype(float), wide.x)
    for name, tensor in wide.params.items():
        assert np.array_equal(narrow.params[name].astype(float), tensor), name
