"""Ties of a maximum: each of the usual conventions is right, and they are counted."""

from __future__ import annotations

import numpy as np
import pytest

from oracle.arithmetic.float64 import Float64Numbers
from oracle.operators.table import OPERATORS


@pytest.mark.parametrize(("kink", "first", "last"), [(1.0, 1, 0), (0.0, 0, 1), (0.5, 0.5, 0.5)])
def test_a_tie_of_a_maximum_goes_to_the_first_the_last_or_both(kink, first, last):
    pool = OPERATORS["MaxPool"]
    attributes = pool.complete({"kernel_shape": [2], "strides": [2], "pads": [1, 1]})
    X, dY = np.array([[[-1.0, 3.0, 3.0, 0.0]]]), np.array([[[2.0, 4.0, 8.0]]])
    xp = Float64Numbers(kink)
    found = pool.vjp(xp, [dY], [X], attributes)["X"]
    assert np.array_equal(found, [[[2.0, 4.0 * first, 4.0 * last, 8.0]]])
    assert xp.kinks == 1
