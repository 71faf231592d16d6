"""Every known bug gets its own name, and what is not known gets none."""

import numpy as np
import pytest

from oracle.checking import closed_form
from oracle.checking.backward import backward, forward, output_error, softmax
from oracle.checking.diagnosis import explain_tensors, explain_two_layer_net
from oracle.checking.probes import probe
from oracle.checking.wrong_gradients import CORRECT_GRADIENTS, WRONG_GRADIENTS
from oracle.diagnosis.comparison import Comparison
from oracle.findings import FindingKind as Kind
from oracle.values import DELTA, TwoLayerNetParameters

UNITS = {"float64": 2.0**-53, "float32": 2.0**-24}


def compare(parameters, x, t, gradient, dtype="float64"):
    """A candidate beside the gradient, with a crude allowance for rounding."""
    reference = backward(forward(parameters, x, t, delta=DELTA))
    share = 1000 * UNITS[dtype]
    allowed = {n: np.full(g.shape, share * np.abs(g).max()) for n, g in reference.items()}
    candidate = {n: np.asarray(g, dtype=dtype) for n, g in gradient.items()}
    return Comparison(candidate, reference, allowed, UNITS[dtype])


@pytest.mark.parametrize("dtype", UNITS)
@pytest.mark.parametrize("bug", WRONG_GRADIENTS, ids=lambda bug: bug.name)
def test_every_wrong_gradient_is_named_rightly_on_probes(bug, dtype):
    """A wrong name sends people to the wrong line."""
    for seed in range(5):
        case = probe("standard", dtype, seed)
        gradient = bug.compute(forward(*case, delta=0.0, dtype=dtype))
        if gradient is None:
            continue
        comparison = compare(*case, gradient, dtype)
        assert not all(comparison.within(n) for n in gradient)
        zero = {Kind.ZERO_TENSOR} if any(not np.any(g) for g in gradient.values()) else set()
        found = explain_two_layer_net(*case, comparison, delta=DELTA)
        assert found[0].kind in {*bug.named, *zero}


@pytest.mark.parametrize(("name", "compute"), CORRECT_GRADIENTS)
def test_correct_gradients_agree_with_each_other(name, compute):
    """The order of summation is no bug."""
    case = probe()
    comparison = compare(*case, compute(forward(*case, delta=DELTA)))
    assert all(comparison.within(n) for n in comparison.candidate), name


def held_out(p):
    """Bugs that no table holds, each with the codes that may name it."""
    mask = (np.arange(p.z1.size).reshape(p.z1.shape) % 3 > 0) * 1.5
    clipped = {n: np.clip(g, -0.05, 0.05) for n, g in backward(p).items()}
    right = backward(p)
    focal = (1 - (p.y * p.t).sum(axis=1, keepdims=True)) ** 2
    twice = np.array([2.0, 1, 1, 1, 1])[:, None]
    unknown = {Kind.UNEXPLAINED}
    return {
        "dropout mask": (
            backward(p, derivative=p.z1 * (1 - p.z1) * mask),
            {Kind.WRONG_ACTIVATION_DERIVATIVE},
        ),
        "noise in dA1": (backward(p, derivative=np.sin(1e4 * p.a1 + 7 * p.x[:, :1])), unknown),
        "W2 scaled": (backward(p, weights=p.W2 * 0.9), {Kind.TENSOR_FACTOR}),
        "clipping": (clipped, {Kind.CLIPPED, Kind.SINGLE_ENTRIES}),
        "focal": (backward(p, output=p.output_error * focal), {Kind.SAMPLE_WEIGHTS}),
        "twice": (backward(p, output=p.output_error * twice), {Kind.SAMPLE_WEIGHTS}),
        "N/(N-1)": ({n: g * 1.25 for n, g in right.items()}, {Kind.CONSTANT_FACTOR}),
        "other labels": (
            backward(p, output=(p.y - np.eye(3)[[1, 1, 0, 2, 0]]) / p.N),
            {Kind.WRONG_TARGETS},
        ),
    }


@pytest.mark.parametrize("name", sorted(held_out(forward(*probe(), delta=DELTA))))
def test_a_bug_that_is_not_in_the_library_is_not_given_a_wrong_name(name):
    """Unexplained is an answer; a wrong name is worse than none."""
    for seed in range(5):
        case = probe(seed=seed)
        gradient, kinds = held_out(forward(*case, delta=DELTA))[name]
        found = explain_two_layer_net(*case, compare(*case, gradient), delta=DELTA)
        assert {f.kind for f in found} <= kinds | {Kind.UNEXPLAINED}


def test_an_ambiguous_factor_says_so():
    """Where N equals K, one number has two causes."""
    case = probe()
    gradient = {n: 5 * g for n, g in backward(forward(*case, delta=DELTA)).items()}
    (finding,) = explain_tensors(compare(*case, gradient), {"N": 5, "K": 5})
    assert finding.kind is Kind.MISSING_BATCH_MEAN
    assert "N or K, which are equal here" in finding.message


def test_a_gradient_of_zeros_is_called_that_even_for_one_sample():
    """A batch of one with its sample left out is zero too, but zeros need no such story."""
    case = probe("single")
    gradient = {n: 0 * g for n, g in backward(forward(*case, delta=DELTA)).items()}
    found = explain_two_layer_net(*case, compare(*case, gradient), delta=DELTA)
    assert {f.kind for f in found} == {Kind.ZERO_TENSOR}


def other_targets(p):
    return np.roll(p.t, 1, axis=1)


def changed(gradient, name, change):
    return gradient | {name: change(gradient[name])}


TWO_BUGS = {
    "other labels, no sigmoid derivative, summed": (
        lambda p: backward(
            p,
            output=output_error(p.y, other_targets(p), DELTA) * p.N,
            derivative=np.ones_like(p.z1),
        ),
        {Kind.WRONG_TARGETS, Kind.MISSING_ACTIVATION_DERIVATIVE, Kind.MISSING_BATCH_MEAN},
    ),
    "softmax twice, the mean in b1": (
        lambda p: changed(backward(p, output=(softmax(p.y) - p.t) / p.N), "b1", lambda g: g / p.N),
        {Kind.SOFTMAX_TWICE, Kind.BIAS_REDUCTION},
    ),
    "other labels beneath weight decay": (
        lambda p: changed(
            backward(p, output=output_error(p.y, other_targets(p), DELTA)),
            "W2",
            lambda g: g + 0.1 * p.W2,
        ),
        {Kind.WRONG_TARGETS, Kind.WEIGHT_DECAY},
    ),
    "another derivative, the opposite sign": (
        lambda p: {n: -g for n, g in backward(p, derivative=1 - p.z1).items()},
        {Kind.WRONG_ACTIVATION_DERIVATIVE, Kind.SIGN_FLIPPED},
    ),
}


@pytest.mark.parametrize("name", TWO_BUGS)
def test_bugs_in_different_stages_are_all_named(name):
    """Each stage is explained by itself, under any factor."""
    spoil, kinds = TWO_BUGS[name]
    for seed in range(5):
        case = probe(seed=seed)
        comparison = compare(*case, spoil(forward(*case, delta=DELTA)))
        found = explain_two_layer_net(*case, comparison, delta=DELTA)
        assert {finding.kind for finding in found} == kinds


def square(seed, size=4):
    """A case in which N, D, H and K are equal, so that no shape gives a mistake away."""
    rng = np.random.default_rng(seed)
    W1, W2, x = rng.normal(size=(3, size, size))
    b1, b2 = rng.normal(size=(2, size))
    return TwoLayerNetParameters(W1, b1, W2, b2), x, rng.permutation(size)


SQUARE_BUGS = {
    "b1 and b2 swapped": (lambda _, g: g | {"b1": g["b2"], "b2": g["b1"]}, Kind.SWAPPED_TENSORS),
    "W1 and W2 swapped": (lambda _, g: g | {"W1": g["W2"], "W2": g["W1"]}, Kind.SWAPPED_TENSORS),
    "W2 not transposed": (lambda p, _: backward(p, weights=p.W2.T), Kind.WRONG_WEIGHTS),
    "gradient of W2 transposed": (lambda _, g: g | {"W2": g["W2"].T}, Kind.TRANSPOSED),
    "W2 in place of its gradient": (lambda p, g: g | {"W2": p.W2}, Kind.STALE_BUFFER),
}


@pytest.mark.parametrize("name", SQUARE_BUGS)
def test_where_all_sizes_are_equal_places_are_still_told_apart(name):
    """No shape betrays a swap or a transposition in square matrices: the numbers do."""
    spoil, kind = SQUARE_BUGS[name]
    for seed in range(5):
        case = square(seed)
        p = forward(*case, delta=DELTA)
        found = explain_two_layer_net(*case, compare(*case, spoil(p, backward(p))), delta=DELTA)
        assert {f.kind for f in found} == {kind}


def test_one_over_n_or_k_is_a_factor_with_both_causes_where_they_are_equal():
    """1/N twice and a mean over the classes give the same numbers for N = K."""
    case = square(0)
    right = backward(forward(*case, delta=DELTA))
    comparison = compare(*case, {n: g / 4 for n, g in right.items()})
    (finding,) = explain_tensors(comparison, {"N": 4, "K": 4})
    assert finding.kind is Kind.CONSTANT_FACTOR
    assert "1/N or 1/K" in finding.message
    assert "classes" in finding.message
    (finding,) = explain_tensors(comparison, {"N": 4, "K": 5})
    assert finding.kind is Kind.EXTRA_BATCH_MEAN


@pytest.mark.parametrize("kept", [[0], [0, 1], [3], [2, 3, 4], [4]])
def test_a_tensor_summed_over_a_part_of_the_batch_says_which(kept):
    """A buffer that is overwritten instead of added to holds the last samples only."""
    case = probe()
    p = forward(*case, delta=DELTA)
    part = backward(p, output=p.output_error * np.isin(np.arange(p.N), kept)[:, None])
    comparison = compare(*case, backward(p) | {"W1": part["W1"]})
    (finding,) = explain_two_layer_net(*case, comparison, delta=DELTA)
    assert (finding.kind, finding.tensor) == (Kind.DROPPED_SAMPLES, "W1")
    for n in (kept[0], kept[-1]):
        assert str(n) in finding.message


@pytest.mark.parametrize(
    ("name", "kind"),
    [("dropout mask", Kind.WRONG_ACTIVATION_DERIVATIVE), ("noise in dA1", Kind.UNEXPLAINED)],
)
def test_an_unknown_derivative_is_located_and_named_if_it_may_be_one(name, kind):
    """The recovered factor says where to look; noise is not called a derivative."""
    case = probe()
    gradient, _ = held_out(forward(*case, delta=DELTA))[name]
    (finding,) = explain_two_layer_net(*case, compare(*case, gradient), delta=DELTA)
    assert (finding.kind, finding.tensor) == (kind, "W1")
    assert "z1 * (1 - z1)" in finding.remedy
    low, high = finding.evidence["smallest_factor"], finding.evidence["largest_factor"]
    if name == "dropout mask":
        assert low == pytest.approx(0, abs=1e-9)
        assert high <= 1.5 * 0.25 + 1e-9
    else:
        assert -1 <= low < high <= 1


@pytest.mark.parametrize("dtype", UNITS)
def test_the_weights_that_layer_1_used_need_no_table(dtype):
    """W1 and b1 are linear in the W2 of the backward pass, whatever it was."""
    rng = np.random.default_rng(1)
    case = probe("standard", dtype)
    p = forward(*case, delta=DELTA, dtype=dtype)
    gradient = backward(p, weights=rng.normal(size=p.W2.shape).astype(dtype))
    found = explain_two_layer_net(*case, compare(*case, gradient, dtype), delta=DELTA)
    assert [f.kind for f in found] == [Kind.WRONG_WEIGHTS]


SQUARED_ERROR = {
    "the half forgotten": (lambda y, t: 2 * (y - t), Kind.CONSTANT_FACTOR, "2"),
    "the mean taken": (lambda y, t: (y - t) / 5, Kind.EXTRA_BATCH_MEAN, "1/N"),
    "t - y": (lambda y, t: t - y, Kind.SIGN_FLIPPED, "sign"),
    "the mean over both": (lambda y, t: (y - t) / 15, Kind.CONSTANT_FACTOR, "1/(N K)"),
    "rows reversed": (lambda y, t: (y - t)[::-1], Kind.PERMUTED, "order"),
    "the square": (lambda y, t: (y - t) ** 2, Kind.WRONG_FORWARD, "no derivative"),
    "zeros": (lambda y, _: 0 * y, Kind.ZERO_TENSOR, "zeros"),
}


@pytest.mark.parametrize("name", SQUARED_ERROR)
def test_mistakes_in_the_squared_error_are_named(name):
    """dE/dy = y - t for E = sum (y - t)^2 / 2, with no mean."""
    spoil, kind, word = SQUARED_ERROR[name]
    rng = np.random.default_rng(2)
    y, t = rng.normal(size=(2, 5, 3))
    report = closed_form.check_mean_squared_error(y, t, {"y": spoil(y, t)})
    assert report.verdict == "fail"
    assert report.findings[0].kind is kind
    assert word in report.findings[0].message


CROSS_ENTROPY = {
    "no mean": (lambda y, t: -t / (y + DELTA), Kind.MISSING_BATCH_MEAN),
    "sign": (lambda y, t: t / (y + DELTA) / 5, Kind.SIGN_FLIPPED),
    "no delta": (lambda y, t: -t / y / 5, Kind.DELTA_IGNORED),
    "log10": (lambda y, t: -t / (y + DELTA) / 5 / np.log(10), Kind.CONSTANT_FACTOR),
}


@pytest.mark.parametrize("name", CROSS_ENTROPY)
def test_mistakes_in_the_cross_entropy_are_named(name):
    """dE/dy = -t / (y + delta) / N."""
    spoil, kind = CROSS_ENTROPY[name]
    rng = np.random.default_rng(3)
    y = rng.dirichlet(np.ones(3), size=5)
    labels = np.array([2, 0, 1, 2, 2])
    gradient = {"y": spoil(y, np.eye(3)[labels])}
    report = closed_form.check_cross_entropy_error(y, labels, gradient, delta=DELTA)
    assert report.verdict == "fail"
    assert report.findings[0].kind is kind
