"""What the strategies for users' own property tests draw."""

from __future__ import annotations

import numpy as np
from gradient_oracle.strategies import two_layer_nets
from hypothesis import given


@given(case=two_layer_nets())
def test_a_drawn_network_fits_its_batch(case):
    """x @ W1 + b1 and z @ W2 + b2 are defined, and every label names a class."""
    scores = np.tanh(case.x @ case.params["W1"] + case.params["b1"]) @ case.params["W2"]
    scores = scores + case.params["b2"]
    assert scores.shape == (len(case.t), case.params["b2"].size)
    assert 0 <= case.t.min() <= case.t.max() < scores.shape[1]


@given(case=two_layer_nets(dtype="float32"))
def test_the_dtype_is_the_one_that_was_asked_for(case):
    """A float32 check is a question of its own."""
    assert {array.dtype for array in (*case.params.values(), case.x)} == {np.dtype(np.float32)}
