"""What a report shows of a tensor as a map."""

from __future__ import annotations

import numpy as np
import pytest

from oracle.checking import closed_form


@pytest.mark.parametrize("shape", [(3, 4), (200, 130)])
def test_each_cell_of_a_wrong_tensor_holds_its_worst_entry(shape):
    """What was sent and what is right there, so that the pattern of the error can be seen."""
    y, t = np.random.default_rng(0).normal(size=(2, *shape))
    gradient = y - t
    gradient[-1, 2] += 0.5
    (tensor,) = closed_form.check_mean_squared_error(y, t, {"y": gradient}).tensors
    grid = tensor.budget_map
    assert len(grid.candidate) == len(grid.reference) == len(grid.cells) == grid.rows * grid.columns
    worst = int(np.argmax(grid.cells))
    assert (grid.candidate[worst], grid.reference[worst]) == (gradient[-1, 2], (y - t)[-1, 2])
    gaps = np.subtract(grid.candidate, grid.reference)
    assert np.count_nonzero(np.abs(gaps) > 0.1) == 1


def test_a_tensor_that_is_right_has_no_such_map():
    """Nobody looks at it, and it is sent."""
    y, t = np.random.default_rng(0).normal(size=(2, 3, 4))
    (tensor,) = closed_form.check_mean_squared_error(y, t, {"y": y - t}).tensors
    assert (tensor.budget_map.candidate, tensor.budget_map.reference) == ((), ())
