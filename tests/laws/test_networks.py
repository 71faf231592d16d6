"""Laws of the two networks.

Numbers are of size 1 and sizes at most 6, so that scores stay below about 100 and a loss below
-log(1e-7) < 17; each of the few dozen roundings moves a score by at most 100 eps. 1e-12 exceeds
that by a factor of a few, and is below any real difference. The central difference adds
h^2 f''' / 6 and eps |f| / h: 1e-5 covers third derivatives of up to some thousands.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import generators, simple_nets, two_layer_nets

ROUNDING = 1e-12
DIFFERENCE = 1e-5
DELTAS = st.sampled_from([1e-7, 1e-2])

W = np.array([[0.47355232, 0.9977393, 0.84668094], [0.85557411, 0.03563661, 0.69422093]])
X = np.array([0.6, 0.9])
T = np.array([0.0, 0.0, 1.0])


def test_scores_of_the_document(functions):
    """The weights are printed to 8 digits, so that the scores agree to about 1e-8."""
    predicted = functions.simple_net.predict(W, X)
    assert np.abs(predicted - [1.05414809, 0.63071653, 1.1328074]).max() < 2e-8
    assert np.argmax(predicted) == 2


def test_loss_of_the_document(functions):
    """The printed loss comes from a listing without delta: it differs by delta / y_t."""
    textbook = functions.simple_net.loss(W, X, T, delta=0)
    assert abs(textbook - 0.92806853663411326) < 2e-8


def test_gradient_of_the_document(functions):
    """The printed digits, which delta moves by less than 1.4e-7."""
    printed = [[0.21924763, 0.14356247, -0.36281009], [0.32887144, 0.2153437, -0.54421514]]
    assert np.abs(functions.simple_net.numerical_gradient(W, X, T) - printed).max() < 2e-7


@given(simple_nets(), st.integers(-10, 10))
def test_simple_scores_scale_with_the_input(functions, case, power):
    """The scores are linear in x, and a power of two rounds nothing."""
    w, x, _ = case
    scaled = functions.simple_net.predict(w, x * 2.0**power)
    assert np.array_equal(scaled, functions.simple_net.predict(w, x) * 2.0**power)


def test_scores_of_any_number_of_samples_are_exact(functions):
    """One weight of 1 copies the inputs: a large answer keeps every digit that a small one does."""
    x = np.linspace(-1, 1, 10_001).reshape(-1, 1)
    assert np.array_equal(functions.simple_net.predict(np.ones((1, 1)), x), x)


@given(simple_nets())
def test_simple_loss_is_softmax_and_cross_entropy(functions, case):
    """The network is its parts."""
    w, x, t = case
    y = functions.softmax(functions.simple_net.predict(w, x))
    parts = functions.cross_entropy_error(y, t)
    assert abs(functions.simple_net.loss(w, x, t) - parts) < ROUNDING


@given(simple_nets())
def test_simple_gradient_rows_sum_to_zero(functions, case):
    """Adding one number to all scores changes no probability."""
    rows = functions.simple_net.numerical_gradient(*case).sum(axis=1)
    assert np.abs(rows).max() < DIFFERENCE


@given(two_layer_nets(), generators())
def test_loss_ignores_the_order_of_hidden_units(functions, case, rng):
    """A hidden unit carries its weights with it."""
    p, x, t = case
    order = rng.permutation(len(p["b1"]))
    moved = {"W1": p["W1"][:, order], "b1": p["b1"][order], "W2": p["W2"][order], "b2": p["b2"]}
    net = functions.two_layer_net
    assert abs(net.loss(moved, x, t) - net.loss(p, x, t)) < ROUNDING


@given(two_layer_nets(), st.floats(-10, 10))
def test_loss_ignores_a_shift_of_b2(functions, case, shift):
    """Softmax does."""
    p, x, t = case
    net = functions.two_layer_net
    assert abs(net.loss({**p, "b2": p["b2"] + shift}, x, t) - net.loss(p, x, t)) < ROUNDING


@given(two_layer_nets())
def test_loss_ignores_duplication_of_the_batch(functions, case):
    """It is a mean."""
    p, x, t = case
    net = functions.two_layer_net
    twice = net.loss(p, np.vstack([x, x]), np.concatenate([t, t]))
    assert abs(twice - net.loss(p, x, t)) < ROUNDING


@given(two_layer_nets(), generators())
def test_loss_ignores_the_order_of_the_batch(functions, case, rng):
    """It is a mean."""
    p, x, t = case
    order = rng.permutation(len(x))
    net = functions.two_layer_net
    assert abs(net.loss(p, x[order], t[order]) - net.loss(p, x, t)) < ROUNDING


@given(two_layer_nets())
def test_predict_is_its_layers(functions, case):
    """softmax(sigmoid(x W1 + b1) W2 + b2), with the activations that have laws of their own."""
    p, x, _ = case
    z = functions.sigmoid(x @ p["W1"] + p["b1"])
    y = functions.softmax(z @ p["W2"] + p["b2"])
    assert np.abs(functions.two_layer_net.predict(p, x) - y).max() < ROUNDING


@given(two_layer_nets())
def test_loss_is_predict_and_cross_entropy(functions, case):
    """The network is its parts."""
    p, x, t = case
    net = functions.two_layer_net
    parts = functions.cross_entropy_error(net.predict(p, x), t)
    assert abs(net.loss(p, x, t) - parts) < ROUNDING


@given(two_layer_nets())
def test_accuracy_counts_the_largest_scores(functions, case):
    """Random scores have no ties."""
    p, x, t = case
    net = functions.two_layer_net
    hits = np.argmax(net.predict(p, x), axis=1) == t
    assert abs(net.accuracy(p, x, t) - hits.mean()) < ROUNDING


@given(two_layer_nets())
def test_the_first_of_equal_scores_counts(functions, case):
    """Without W2 and b2 all scores are zero, so that every sample is taken for class 0."""
    p, x, t = case
    flat = {**p, "W2": 0 * p["W2"], "b2": 0 * p["b2"]}
    found = functions.two_layer_net.accuracy(flat, x, t)
    assert abs(found - np.mean(t == 0)) < ROUNDING


@given(two_layer_nets())
def test_the_first_of_equal_targets_counts(functions, case):
    """Targets that prefer no class are met by class 0 alone."""
    p, x, _ = case
    undecided = np.full((len(x), len(p["b2"])), 0.5)
    net = functions.two_layer_net
    hits = np.argmax(net.predict(p, x), axis=1) == 0
    assert abs(net.accuracy(p, x, undecided) - hits.mean()) < ROUNDING


@given(two_layer_nets(), st.integers(1, 51))
def test_the_larger_of_two_scores_counts_however_near(functions, case, power):
    """With W2 = 0 the scores are b2: 1, and after it a number that float64 tells from 1."""
    p, x, _ = case
    near = {"W2": np.zeros((len(p["b1"]), 2)), "b2": np.array([1.0, 1.0 + 2.0**-power])}
    assert functions.two_layer_net.accuracy({**p, **near}, x, np.ones(len(x), int)) == 1


@given(two_layer_nets())
def test_one_sample_is_a_batch_of_one(functions, case):
    """A vector is one sample, N = 1, and its answer a vector."""
    p, x, t = case
    net = functions.two_layer_net
    assert net.predict(p, x[0]).shape == (len(p["b2"]),)
    assert abs(net.loss(p, x[0], np.int64(t[0])) - net.loss(p, x[:1], t[:1])) < ROUNDING


@given(two_layer_nets())
def test_predictions_are_probabilities(functions, case):
    """The last layer is softmax."""
    p, x, t = case
    y = functions.two_layer_net.predict(p, x)
    assert y.min() >= 0
    assert np.abs(y.sum(axis=1) - 1).max() < ROUNDING
    assert y.shape == (len(t), len(p["b2"]))


@given(two_layer_nets())
def test_accuracy_is_a_multiple_of_one_over_n(functions, case):
    """It counts samples."""
    share = functions.two_layer_net.accuracy(*case) * len(case[1])
    assert abs(share - round(share)) < ROUNDING
    assert 0 <= round(share) <= len(case[1])


@given(two_layer_nets())
def test_accuracy_ignores_monotone_maps_of_the_scores(functions, case):
    """Doubling W2 and b2 doubles the scores exactly, which keeps their order."""
    p, x, t = case
    doubled = {**p, "W2": 2 * p["W2"], "b2": 2 * p["b2"]}
    net = functions.two_layer_net
    assert net.accuracy(doubled, x, t) == net.accuracy(p, x, t)


@given(two_layer_nets())
def test_accuracy_takes_labels_and_one_hot_targets(functions, case):
    """Both say the same."""
    p, x, t = case
    net = functions.two_layer_net
    assert net.accuracy(p, x, np.eye(len(p["b2"]))[t]) == net.accuracy(p, x, t)


@given(two_layer_nets(), DELTAS)
def test_gradient_is_the_limit_of_the_central_difference(functions, case, delta):
    """Two ways to one derivative, with delta inside it."""
    net = functions.two_layer_net
    exact, central = (find(*case, delta=delta) for find in (net.gradient, net.numerical_gradient))
    assert all(np.abs(exact[name] - central[name]).max() < DIFFERENCE for name in exact)


@given(two_layer_nets(), DELTAS)
def test_numerical_gradient_is_that_of_the_loss(functions, case, delta):
    """Each entry is the difference of two losses; rounding of a loss below 17 is divided by 2h."""
    p, x, t = case
    net, h = functions.two_layer_net, 1e-2
    found = net.numerical_gradient(p, x, t, h=h, delta=delta)
    for name, index in (("W1", (0, 0)), ("b1", 0), ("W2", (0, 0)), ("b2", 0)):
        sides = []
        for step in (h, -h):
            moved = {**p, name: p[name].copy()}
            moved[name][index] += step
            sides.append(net.loss(moved, x, t, delta=delta))
        assert abs(found[name][index] - (sides[0] - sides[1]) / (2 * h)) < ROUNDING / h


@given(simple_nets(), DELTAS)
def test_simple_numerical_gradient_is_that_of_the_loss(functions, case, delta):
    """Each entry is the difference of two losses; rounding of a loss below 17 is divided by 2h."""
    w, x, t = case
    net, h = functions.simple_net, 1e-1
    found = net.numerical_gradient(w, x, t, h=h, delta=delta)
    sides = []
    for step in (h, -h):
        moved = w.copy()
        moved[-1, -1] += step
        sides.append(net.loss(moved, x, t, delta=delta))
    assert abs(found[-1, -1] - (sides[0] - sides[1]) / (2 * h)) < ROUNDING / h


@given(two_layer_nets(), generators(), DELTAS)
def test_gradient_of_soft_targets_is_the_slope_of_the_loss(functions, case, rng, delta):
    """Targets that are no labels count with their weights, whose sum of up to 6 scales the loss."""
    p, x, _ = case
    soft = rng.random((len(x), len(p["b2"])))
    net, h = functions.two_layer_net, 1e-4
    sides = [
        net.loss({**p, "b2": p["b2"] + step * np.eye(len(p["b2"]))[0]}, x, soft, delta=delta)
        for step in (h, -h)
    ]
    slope = (sides[0] - sides[1]) / (2 * h)
    for find in (net.gradient, net.numerical_gradient):
        assert abs(find(p, x, soft, delta=delta)["b2"][0] - slope) < 6 * DIFFERENCE


@given(simple_nets(), DELTAS)
def test_simple_gradient_is_the_limit_of_the_central_difference(functions, case, delta):
    """Two ways to one derivative, with delta inside it."""
    net = functions.simple_net
    exact, central = (find(*case, delta=delta) for find in (net.gradient, net.numerical_gradient))
    assert np.abs(exact - central).max() < DIFFERENCE


@given(two_layer_nets())
def test_gradient_ignores_duplication_of_the_batch(functions, case):
    """It is the gradient of a mean."""
    p, x, t = case
    net = functions.two_layer_net
    once, twice = net.gradient(p, x, t), net.gradient(p, np.vstack([x, x]), np.concatenate([t, t]))
    assert all(np.abs(once[name] - twice[name]).max() < ROUNDING for name in once)


@given(two_layer_nets())
def test_gradient_of_b2_sums_to_zero(functions, case):
    """Adding one number to all scores changes no probability."""
    assert abs(functions.two_layer_net.gradient(*case)["b2"].sum()) < ROUNDING
