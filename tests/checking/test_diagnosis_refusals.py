"""What several causes would look like is given the name of none; plain causes keep theirs."""

import numpy as np
import pytest

from oracle.checking import closed_form
from oracle.checking.backward import Pass, backward, forward, sigmoid, softmax
from oracle.checking.probes import probe
from oracle.diagnosis.comparison import Comparison
from oracle.diagnosis.returned import in_place_of_parameters
from oracle.findings import FindingKind as Kind
from oracle.values import TwoLayerNetParameters, Verdict
from tests.checking.explained import found, kinds

UNKNOWN = {Kind.UNEXPLAINED}


def network(seed, sizes, scale=1.0, dtype="float64"):
    """A case of these N, D, H and K, and its forward pass."""
    N, D, H, K = sizes
    rng = np.random.default_rng(seed)
    made = (scale * rng.normal(size=s) for s in ((D, H), (H,), (H, K), (K,)))
    parameters = TwoLayerNetParameters(*(a.astype(dtype) for a in made))
    case = parameters, rng.normal(size=(N, D)).astype(dtype), rng.integers(0, K, N)
    return case, forward(*case, delta=0.0)


def at(case, gradient, step):
    """The gradient at the parameters plus a step times a gradient."""
    moved = (w + step * gradient[n] for n, w in case[0].tensors().items())
    return backward(forward(TwoLayerNetParameters(*moved), *case[1:], delta=0.0))


@pytest.fixture
def case():
    return probe("standard", "float64", 0)


def test_a_sum_of_gradients_of_one_batch_is_no_other_forward_pass(case):
    """The classes of each balance and W1 is x.T @ dA1 in each, so they do in the sum."""
    right = backward(forward(*case, delta=0.0))
    before = at(case, right, 0.1)
    two = at(case, before, 0.1)
    for share in (1.0, 0.9):
        sums = {n: g + share * before[n] + share**2 * two[n] for n, g in right.items()}
        assert kinds(found(case, sums)) == UNKNOWN


def test_a_gradient_of_other_parameters_is_named_by_the_step_between():
    """One step length is fitted and some hundred numbers check it."""
    case, p = network(3, (6, 9, 7, 4))
    right = backward(p)
    (stale,) = found(case, at(case, right, 0.3))
    assert (stale.kind, stale.evidence["step"]) == (Kind.STALE_BUFFER, pytest.approx(0.3))
    added = {n: g + right[n] for n, g in at(case, right, 0.3).items()}
    (twice,) = found(case, added)
    assert (twice.kind, twice.evidence["step"]) == (Kind.ACCUMULATED, pytest.approx(0.3))


def test_a_stale_or_accumulated_layer_is_no_other_derivative(case):
    """Any dA1 is dY @ W2.T times something."""
    right = backward(forward(*case, delta=0.0))
    before = at(case, right, 0.1)
    for layer in (before, {n: g + right[n] for n, g in before.items()}):
        assert kinds(found(case, right | {n: layer[n] for n in ("W1", "b1")})) == UNKNOWN


def test_rounded_weights_are_no_other_derivative():
    """Beside the right derivative, what rounding adds looks smooth."""
    case, p = network(1, (10, 10, 10, 10))
    rounded = backward(p, weights=p.W2.astype("float16").astype("float64"))
    assert Kind.WRONG_ACTIVATION_DERIVATIVE not in kinds(found(case, rounded))


@pytest.mark.parametrize("at_which", ["every", "rolled"])
def test_the_derivative_of_other_samples_is_named(case, at_which):
    p = forward(*case, delta=0.0)
    slope = p.z1 * (1 - p.z1)
    used = np.roll(slope, 1, axis=1) if at_which == "rolled" else slope.mean(axis=0) + 0 * slope
    findings = found(case, backward(p, derivative=used))
    assert kinds(findings) == {Kind.WRONG_ACTIVATION_DERIVATIVE}


@pytest.mark.parametrize("weight", [1e-4, 1e-3])
def test_a_small_term_of_the_loss_is_not_called_a_lack_of_precision(case, weight):
    """The rows of its dY sum to zero, as those of no rounding do."""
    p = forward(*case, delta=0.0)
    level = (p.y * np.log(p.y)).sum(axis=1, keepdims=True)
    spoilt = p.output_error + weight * p.y * (np.log(p.y) - level) / p.N
    assert kinds(found(case, backward(p, output=spoilt))) == UNKNOWN
    narrow, small = probe("standard", "float32", 0), np.float32(weight)
    q = forward(*narrow, delta=0.0, dtype="float32")
    level = (q.y * np.log(q.y)).sum(axis=1, keepdims=True)
    spoilt = q.output_error + small * q.y * (np.log(q.y) - level) / np.float32(q.N)
    findings = found(narrow, backward(q, output=spoilt), "float32")
    assert Kind.LOW_PRECISION not in kinds(findings)


def test_what_is_said_of_every_tensor_holds_in_every_tensor():
    """Where a tensor is not explained, a factor is said of the others alone."""
    everywhere = 0
    for seed in range(20):
        case, _ = network(seed, (8, 5, 4, 3), 20.0, "float32")
        p = forward(*case, delta=0.0, dtype="float32")
        first = (p.y - p.t) * (np.arange(p.N) == 0)[:, None].astype("float32")
        candidate = {n: g.astype("float32") for n, g in backward(p, output=first).items()}
        report = closed_form.check_two_layer_net(*case, candidate, delta=0.0)
        text = " ".join(f.message for f in report.findings)
        everywhere += "every tensor" in text and "None of the known" in text
    assert not everywhere


def test_a_bias_that_rounding_hides_is_matched_with_no_sum(case):
    """Everything agrees with next to nothing."""
    p = forward(*case, delta=0.0)
    gradient = backward(p, weights=np.ones_like(p.W2))
    assert np.abs(gradient["b1"]).max() < 1e-15
    assert kinds(found(case, gradient)) == UNKNOWN
    right = backward(p)
    hidden = right | {"b1": 1e-17 * np.random.default_rng(0).normal(size=right["b1"].shape)}
    assert kinds(found(case, hidden)) == UNKNOWN


def test_the_inputs_of_w2_without_b1_and_a_negative_in_the_other_order_are_named(case):
    p = forward(*case, delta=0.0)
    right = backward(p)
    without = right | {"W2": sigmoid(p.x @ p.W1).T @ p.output_error}
    assert kinds(found(case, without)) == {Kind.WRONG_INPUTS}
    negative = right | {"W1": -right["W1"].T.reshape(right["W1"].shape)}
    (finding,) = found(case, negative)
    assert finding.kind is Kind.TRANSPOSED
    assert "opposite sign" in finding.message


def test_with_one_hidden_unit_plain_causes_win():
    """There the W2 of the backward pass is a factor of W1 and b1."""
    case, p = network(1, (6, 6, 1, 3))
    right = backward(p)
    decayed = {n: g + 0.1 * getattr(p, n) for n, g in right.items()}
    assert kinds(found(case, decayed)) == {Kind.WEIGHT_DECAY}
    scaled = {n: g * (1.3 if n[1] == "1" else 1.0) for n, g in right.items()}
    assert kinds(found(case, scaled)) == {Kind.TENSOR_FACTOR}


def test_with_two_classes_plain_causes_win():
    """There the binary cross-entropy is a multiple of y - t, and reversed columns a sign."""
    case, p = network(2, (64, 8, 6, 2))
    right = backward(p)
    each = {n: g / np.linalg.norm(g) for n, g in right.items()}
    assert kinds(found(case, each)) <= {Kind.TENSOR_FACTOR, Kind.UNEXPLAINED}
    decayed = {n: g + 0.1 * getattr(p, n) for n, g in right.items()}
    assert kinds(found(case, decayed)) == {Kind.WEIGHT_DECAY}


def test_a_right_tensor_is_not_blamed():
    """Two signs that cancel in b1 are not what its code does."""
    case, p = network(2, (64, 8, 6, 2))
    g = backward(p)
    mixed = {"W1": 0 * g["W1"], "b1": g["b1"], "W2": -g["W2"], "b2": 2 * g["b2"]}
    findings = found(case, mixed)
    assert kinds(findings) == {Kind.TENSOR_FACTOR, Kind.ZERO_TENSOR}
    assert not any("b1" in f.tensor for f in findings)


def test_a_sign_in_the_jacobian_of_the_softmax_is_called_that(case):
    p = forward(*case, delta=0.0)
    (finding,) = found(case, backward(p, output=-(p.t + p.y) / p.N))
    assert finding.kind is Kind.SOFTMAX_JACOBIAN
    assert "(-y - t) / N" in finding.message


def test_combinations_of_the_right_errors_are_said_within_rounding_only():
    """Three directions of dA1 hold nearly all of it, and of W1 with some columns doubled."""
    for seed in range(4):
        case = probe("standard", "float64", seed)
        right = backward(forward(*case, delta=0.0))
        right["W1"][:, 3:] *= 2
        assert kinds(found(case, right)) == UNKNOWN


def test_functions_of_each_entry_are_not_called_accumulated():
    """They raise the rank of W1 as other batches do; two classes still balance."""
    case, p = network(2, (2, 4, 4, 2), 0.5)
    step = {n: np.cbrt(g) for n, g in backward(p).items()}
    assert Kind.ACCUMULATED not in kinds(found(case, step))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_where_rounding_exceeds_the_gradient_random_numbers_are_nothing(dtype):
    """What is allowed of a hypothesis is no measure of what was sent."""
    for seed in range(8):
        case, p = network(seed, (8, 5, 4, 3), 30.0, "float32")
        rng = np.random.default_rng([seed, 1])
        candidate = {n: rng.normal(size=g.shape) for n, g in backward(p).items()}
        said = kinds(found(case, candidate, dtype, delta=1e-7))
        assert not said & {Kind.STALE_BUFFER, Kind.DELTA_IGNORED}


def test_a_hypothesis_larger_than_what_was_sent_does_not_fit():
    """Its rounding would be allowed to be as large as the candidate."""
    rng = np.random.default_rng(0)
    sent, right, parameters = ({"W": c * rng.normal(size=(4, 4))} for c in (1.0, 0.1, 30.0))
    comparison = Comparison(sent, right, {"W": np.full((4, 4), 0.05)}, 1e-7)
    assert not comparison.fits("W", parameters["W"])
    assert not in_place_of_parameters(parameters, comparison)


def test_a_small_bias_shares_the_decay_of_the_others(case):
    """Three numbers are few to fit two to, and enough to check two."""
    p = forward(*case, delta=0.0)
    decayed = {n: p.N * (g + 0.02 * getattr(p, n)) for n, g in backward(p).items()}
    assert Kind.UNEXPLAINED not in kinds(found(case, decayed))


def test_what_every_buffer_began_with_is_told(case):
    right = backward(forward(*case, delta=0.0))
    (finding,) = found(case, {n: g + 1 for n, g in right.items()})
    assert finding.kind is Kind.ACCUMULATED
    assert kinds(found(case, right | {"b2": right["b2"] + 1})) == UNKNOWN


def test_a_tensor_that_is_right_where_it_is_not_zero_is_called_that(case):
    right = backward(forward(*case, delta=0.0))
    kept = np.random.default_rng(0).random(right["W1"].shape) > 0.5
    (finding,) = found(case, right | {"W1": right["W1"] * kept})
    assert (finding.kind, finding.tensor) == (Kind.SINGLE_ENTRIES, "W1")


def test_equal_weights_of_the_samples_are_a_factor(case):
    p = forward(*case, delta=0.0)
    findings = found(case, backward(p) | {"W2": 1.004 * backward(p)["W2"]})
    assert kinds(findings) == {Kind.TENSOR_FACTOR}


@pytest.mark.parametrize("which", ["noise", "normalised", "dropout", "float16"])
def test_another_z1_is_named_where_it_explains_all_tensors(which):
    """dA1 has as many numbers as z1; those of W2 and b2 are left to check it."""
    case, p = network(5, (6, 12, 8, 3))
    rng = np.random.default_rng(0)
    z1 = {
        "noise": sigmoid(p.a1 + 0.1 * rng.normal(size=p.a1.shape)),
        "normalised": sigmoid((p.a1 - p.a1.mean(axis=0)) / p.a1.std(axis=0)),
        "dropout": p.z1 * (rng.random(p.z1.shape) > 0.3) / 0.7,
        "float16": p.z1.astype("float16").astype("float64"),
    }[which]
    a2 = z1 @ p.W2 + p.b2
    other = Pass(p.x, p.t, p.W1, p.W2, p.b1, p.b2, p.a1, z1, a2, softmax(a2), 0.0)
    expected = Kind.LOW_PRECISION if which == "float16" else Kind.WRONG_FORWARD
    assert kinds(found(case, backward(other))) == {expected}


def test_a_pass_says_nothing_of_tensors_that_rounding_may_nearly_hide():
    """An error of four fifths of the largest entry is no small one."""
    named = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        case, _ = network(0, (4, 40, 2, 5), 0.5, "float32")
        x = (80 * rng.normal(size=(4, 40))).astype("float32")
        case = case[0], x, rng.integers(0, 5, 4)
        p = forward(*case, delta=0.0)
        candidate = {n: g.astype("float32") for n, g in backward(p).items()}
        report = closed_form.check_two_layer_net(*case, candidate, delta=0.0)
        if report.verdict is not Verdict.PASS:
            continue
        hidden = [t.name for t in report.tensors if t.detection_limit > 0.5]
        assert all(any(name in note for note in report.notes) for name in hidden)
        assert ("in every tensor" in report.summary) == (not hidden)
        named += any(0.5 < t.detection_limit < 1 for t in report.tensors)
    assert named
