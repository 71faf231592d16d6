"""The generator that other languages repeat."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from oracle import splitmix

seeds = st.integers(min_value=0, max_value=2**64 - 1)
ranges = st.tuples(st.integers(0, 300), st.integers(0, 300)).map(sorted)


def reference_outputs(seed: int, count: int) -> list[int]:
    """The published algorithm with its running state, in integers of any size."""
    state, made = seed, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        made.append(z ^ (z >> 31))
    return made


@given(seed=seeds, bounds=ranges)
def test_a_range_of_outputs_is_that_part_of_the_published_sequence(seed, bounds):
    """The generator counts: output i depends on the seed and on i alone."""
    begin, end = bounds
    assert splitmix.outputs(seed, begin, end).tolist() == reference_outputs(seed, end)[begin:]


@given(seed=seeds, bounds=ranges)
def test_a_sign_does_not_depend_on_the_range_that_it_is_asked_in(seed, bounds):
    """A probe of a part of a tensor moves its entries as a probe of the whole does."""
    begin, end = bounds
    whole = splitmix.positive_signs(seed, 0, end)
    np.testing.assert_array_equal(splitmix.positive_signs(seed, begin, end), whole[begin:])


@given(seed=seeds, index=st.integers(0, 1000))
def test_a_sign_is_the_bit_that_the_contract_names(seed, index):
    """Bit i mod 64 of output i div 64."""
    word = reference_outputs(seed, index // 64 + 1)[-1]
    assert splitmix.positive_signs(seed, index, index + 1)[0] == bool(word >> (index % 64) & 1)
