"""Laws of training: it is the document's loop over functions that have laws of their own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.laws.test_random import splitmix
from tests.strategies import generators, seeds, two_layer_nets

STEPS = 3


def trained(functions, case, **options):
    *progress, result = functions.two_layer_net.train(*case, step_num=STEPS, **options)
    return progress, result


@st.composite
def trainings(draw):
    """A network, samples, and targets of either form, of which soft ones weigh every class."""
    params, x, t = draw(two_layer_nets())
    if draw(st.booleans()):
        t = draw(generators()).random((len(x), len(params["b2"])))
    return params, x, t


@pytest.mark.parametrize("method", ["numerical", "analytic"])
@settings(max_examples=10)
@given(trainings(), seeds, st.integers(1, 5))
def test_training_is_the_loop_of_the_document(functions, method, case, seed, size):
    """Draw a mini-batch, take its gradient, move against it; sums may be rounded otherwise.

    With h = 0.1 the two methods differ by far more than rounding, and with delta = 0.01 its loss
    from that of the document.
    """
    params, x, t = case
    net, losses, delta, h = functions.two_layer_net, [], 0.01, 0.1
    for step in range(STEPS):
        chosen = functions.mini_batch(len(x), size, seed=splitmix(seed, step))
        batch = (params, x[chosen], t[chosen])
        losses.append(net.loss(*batch, delta=delta))
        if method == "numerical":
            slope = net.numerical_gradient(*batch, h=h, delta=delta)
        else:
            slope = net.gradient(*batch, delta=delta)
        params = {name: params[name] - 0.5 * slope[name] for name in params}
    options = {"batch_size": size, "lr": 0.5, "seed": seed, "method": method}
    progress, result = trained(functions, case, **options, h=h, delta=delta, report_every=1)
    assert [event.step for event in progress] == [1, 2, 3]
    assert np.abs(np.subtract([event.loss for event in progress], losses)).max() < 1e-9
    assert all(np.abs(result[name] - params[name]).max() < 1e-9 for name in params)


@settings(max_examples=10)
@given(two_layer_nets(), seeds)
def test_training_can_be_repeated(functions, case, seed):
    """Everything random follows from the seed."""
    first, second = (trained(functions, case, batch_size=2, seed=seed)[1] for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


@settings(max_examples=10)
@given(two_layer_nets())
def test_training_follows_the_slope_downhill(functions, case):
    """A batch that is the whole set, one sample, has its loss lowered by a small step."""
    params, x, t = case
    alone = (params, x[:1], t[:1])
    before = functions.two_layer_net.loss(*alone)
    result = trained(functions, alone, batch_size=1, lr=1e-3, method="analytic")[1]
    assert functions.two_layer_net.loss(result, x[:1], t[:1]) <= before + 1e-12
