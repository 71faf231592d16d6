"""Where rounding is coarse, or numbers are few, what merely fits is not named."""

import numpy as np
import pytest

from oracle.checking import closed_form
from oracle.checking.backward import backward, forward, softmax
from oracle.checking.probes import probe
from oracle.diagnosis.tensors import merged
from oracle.findings import FindingKind as Kind
from oracle.values import Finding, TwoLayerNetParameters
from tests.checking.explained import HALF, found, kinds


def network(seed, sizes, scale=1.0):
    """A case of these N, D, H and K, and its forward pass."""
    N, D, H, K = sizes
    rng = np.random.default_rng([seed, *sizes])
    W1, b1, W2, b2 = (scale * rng.normal(size=shape) for shape in ((D, H), (H,), (H, K), (K,)))
    case = TwoLayerNetParameters(W1, b1, W2, b2), rng.normal(size=(N, D)), rng.integers(0, K, N)
    return case, forward(*case, delta=0.0)


def kept(p, samples):
    return backward(p, output=p.output_error * np.isin(np.arange(p.N), samples)[:, None])


PLAIN = {
    "W1 is not computed": (lambda p: backward(p) | {"W1": 0 * p.W1}, {Kind.ZERO_TENSOR}),
    "columns reversed": (
        lambda p: backward(p) | {"W1": backward(p)["W1"][:, ::-1]},
        {Kind.PERMUTED},
    ),
    "the last sample is dropped": (
        lambda p: kept(p, range(p.N - 1)),
        {Kind.DROPPED_SAMPLES},
    ),
    "the squared error's delta": (
        lambda p: backward(p, output=p.output_error * p.y * (1 - p.y)),
        {Kind.SOFTMAX_JACOBIAN},
    ),
    "no mean": (lambda p: {n: g * p.N for n, g in backward(p).items()}, {Kind.MISSING_BATCH_MEAN}),
    "the parameters": (
        lambda p: {n: getattr(p, n) for n in ("W1", "b1", "W2", "b2")},
        {Kind.STALE_BUFFER},
    ),
    "biases twice": (
        lambda p: {n: g * (2 if n[0] == "b" else 1) for n, g in backward(p).items()},
        {Kind.TENSOR_FACTOR},
    ),
}


@pytest.mark.parametrize("accumulation", [None, "float32"])
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", PLAIN)
def test_plain_bugs_are_named_in_half_precision(name, dtype, accumulation):
    """A budget of the size of the gradient lets almost anything fit: it has to explain as well."""
    spoil, expected = PLAIN[name]
    for seed in range(4):
        case = probe("standard", dtype, seed)
        gradient = spoil(forward(*case, delta=0.0))
        assert kinds(found(case, gradient, dtype, accumulation_dtype=accumulation)) == expected, (
            seed
        )


def unheard_of(p):
    """Bugs that no table holds."""
    right, rng = backward(p), np.random.default_rng(4)
    noise = {n: g * (1 + 0.5 * rng.normal(size=g.shape)) for n, g in right.items()}
    return {
        "noise": noise,
        "random": {n: np.abs(g).max() * rng.normal(size=g.shape) for n, g in right.items()},
        "cosine of dY": backward(p, output=np.cos(7 * p.a2) / p.N),
        "roots": {n: np.sign(g) * np.sqrt(np.abs(g)) for n, g in right.items()},
        "W1 of random inputs": right | {"W1": rng.normal(size=p.x.shape).T @ (p.y @ p.W2.T) / 5},
        "a tenth of noise in W2": right | {"W2": right["W2"] + 0.1 * rng.normal(size=p.W2.shape)},
        "ranks": {n: np.argsort(g, axis=None).reshape(g.shape) / g.size for n, g in right.items()},
    }


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", unheard_of(forward(*probe(), delta=0.0)))
def test_what_nobody_writes_gets_no_name_in_any_type(name, dtype):
    """Unexplained is an answer, in half precision the one that is due more often."""
    for seed in range(6):
        case = probe("standard", dtype, seed)
        gradient = unheard_of(forward(*case, delta=0.0))[name]
        assert kinds(found(case, gradient, dtype)) == {Kind.UNEXPLAINED}, seed


@pytest.mark.parametrize("seed", range(5))
def test_with_two_classes_no_weights_of_the_samples_are_read_off(seed):
    """Every row of dY is a multiple of (1, -1): weights fit whatever it is."""
    case, p = network(seed, (3, 4, 5, 2))
    other = softmax(np.sin(3 * p.a2))
    assert kinds(found(case, backward(p, output=(other - p.t) / p.N))) == {Kind.UNEXPLAINED}


@pytest.mark.parametrize("seed", range(5))
def test_one_number_is_no_multiple_of_another(seed):
    """For two classes b2 = (b, -b) is always some factor times the right one, known or not."""
    case, p = network(seed, (4, 3, 4, 2))
    right = backward(p)
    wrong = right | {"b2": 8.14 * right["b2"]}
    assert kinds(found(case, wrong)) == {Kind.UNEXPLAINED}
    assert kinds(found(case, right | {"b2": -right["b2"]})) == {Kind.TENSOR_FACTOR}


def test_one_sample_of_two_classes_makes_every_mistake_in_dy_a_factor():
    """That is said, and no cause."""
    case, p = network(0, (1, 3, 4, 2))
    (finding,) = found(case, backward(p, output=softmax(3 * p.a2) - p.t))
    assert finding.kind is Kind.UNEXPLAINED
    assert "looks like a factor" in finding.message


@pytest.mark.parametrize("seed", range(4))
def test_rows_that_sum_to_zero_are_not_taken_for_those_of_other_inputs(seed):
    """dY has the rank K - 1: other targets, mixed, give rows that it spans as well."""
    case, p = network(seed, (5, 11, 7, 3))
    mixed = 0.6 * p.t + 0.4 * np.roll(p.t, 2, axis=0)
    assert Kind.WRONG_INPUTS not in kinds(found(case, backward(p, output=(p.y - mixed) / p.N)))


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("rows", [slice(2, 9), slice(10, None), slice(0, 6)])
def test_rows_of_zeros_are_a_fact_that_needs_no_digits(rows, dtype):
    """However many they are."""
    case = probe("standard", dtype, 1)
    gradient = backward(forward(*case, delta=0.0))
    gradient["W1"][rows] = 0
    (finding,) = found(case, gradient, dtype)
    assert finding.kind is Kind.SINGLE_ENTRIES
    assert "all zero" in finding.message


def at_initialisation(seed, samples=12, dtype="float64"):
    """A network as the document initialises it: z1 is 0.5 and y is 0.1, but for a hundredth."""
    rng = np.random.default_rng(seed)
    W1, W2 = 0.01 * rng.normal(size=(60, 20)), 0.01 * rng.normal(size=(20, 10))
    x = rng.random((samples, 60)) * (rng.random((samples, 60)) < 0.3)
    parameters = TwoLayerNetParameters(
        *(a.astype(dtype) for a in (W1, np.zeros(20), W2, np.zeros(10)))
    )
    return parameters, x.astype(dtype), rng.integers(0, 10, samples)


@pytest.mark.parametrize("seed", range(3))
def test_at_initialisation_smooth_functions_of_y_are_no_targets(seed):
    """K numbers for each class fit them, but for the cube of how much y varies."""
    case = at_initialisation(seed, 40, "float32")
    p = forward(*case, delta=0.0, dtype="float64")
    other = softmax(np.abs(p.a2) + p.a2**2)
    findings = found(case, backward(p, output=(other - p.t) / p.N), "float32")
    assert Kind.WRONG_TARGETS not in kinds(findings)


def test_signs_are_said_for_all_tensors_and_random_signs_are_not_explained():
    """The sum of the rows of W1 is odd or even as their number is, and never a sign."""
    case = at_initialisation(0)
    right = backward(forward(*case, delta=0.0))
    (finding,) = found(case, {n: np.sign(g) for n, g in right.items()})
    assert finding.kind is Kind.CLIPPED
    assert "signs of the gradient only" in finding.message
    rng = np.random.default_rng(1)
    random = {n: rng.choice([-1.0, 1.0], size=g.shape) for n, g in right.items()}
    assert kinds(found(case, random)) == {Kind.UNEXPLAINED}


@pytest.mark.parametrize("delta", [0.0, 1e-7])
def test_parameters_after_a_step_are_one_finding(delta):
    """W - 0.1 g holds the gradient, its sign, a factor and a decay of 1: that is one step."""
    case = at_initialisation(1)
    p = forward(*case, delta=0.0)
    stepped = {n: getattr(p, n) - 0.1 * g for n, g in backward(p).items()}
    (finding,) = found(case, stepped, delta=delta)
    assert finding.kind is Kind.STALE_BUFFER
    assert "a step of 0.1 times the gradient" in finding.message


def test_rows_of_w1_moved_by_one_are_permuted_where_most_of_them_are_zero():
    """Zeros that meet zeros are not entries that are right."""
    parameters, x, t = at_initialisation(2, 3)
    x[:, 20:] = 0
    right = backward(forward(parameters, x, t, delta=0.0))
    moved = right | {"W1": np.roll(right["W1"], 1, axis=0)}
    (finding,) = found((parameters, x, t), moved)
    assert (finding.kind, finding.tensor) == (Kind.PERMUTED, "W1")


def test_another_batch_beside_this_one_is_not_called_another_batch():
    """As many samples as units leave no rank that would tell the two from each other."""
    case = at_initialisation(3, 30)
    p = forward(*case, delta=0.0)
    _, x, t = at_initialisation(4, 30)
    before = backward(forward(case[0], x, t, delta=0.0))
    both = {n: g + 0.9 * before[n] for n, g in backward(p).items()}
    assert kinds(found(case, both)) == {Kind.UNEXPLAINED}


def test_a_gradient_that_cancels_is_not_explained_by_what_is_as_small():
    """dY has rows that sum to zero: behind a W2 of ones nothing is left but rounding."""
    case = at_initialisation(5, 30)
    p = forward(*case, delta=0.0)
    findings = found(case, backward(p, weights=np.ones_like(p.W2)))
    assert kinds(findings) == {Kind.UNEXPLAINED}
    assert all("zero but for rounding" in finding.message for finding in findings)


def test_layer_1_is_not_explained_beside_a_dy_that_is_not_known():
    """Its derivative would be that of another error."""
    case = probe()
    p = forward(*case, delta=0.0)
    findings = found(case, backward(p, output=np.cos(7 * p.a2) / p.N, derivative=1 - p.z1))
    assert kinds(findings) == {Kind.UNEXPLAINED}


def test_a_factor_near_1_is_written_with_the_digits_that_differ():
    """The gradient is not "1 times the right one"."""
    case = probe()
    right = backward(forward(*case, delta=0.0))
    (finding,) = found(case, {n: g * (1 + 3e-8) for n, g in right.items()})
    assert "1 +3e-08 times" in finding.message
    assert "1 +3e-08" in finding.remedy


def test_one_sample_takes_no_factor_from_the_delta_that_is_left_out():
    """With delta its weight is 0.9999999; the opposite sign is all there is to say."""
    case = probe("single")
    right = backward(forward(*case, delta=0.0))
    findings = found(case, {n: -g for n, g in right.items()}, delta=1e-7)
    assert kinds(findings) == {Kind.SIGN_FLIPPED}


def test_tensors_that_are_wrong_alike_have_one_remedy_for_all():
    """A sentence names them all, code stands for each."""
    said = merged(
        [
            Finding(Kind.ZERO_TENSOR, n, f"{n} is all zeros.", f"Compute {n}.")
            for n in ("W1", "b1", "W2")
        ]
    )
    assert [(f.message, f.remedy) for f in said] == [
        ("W1, b1 and W2 are all zeros.", "Compute W1, b1 and W2.")
    ]
    coded = merged(
        [Finding(Kind.TRANSPOSED, n, f"{n} is transposed.", f"Return {n}.T.") for n in ("W1", "W2")]
    )
    assert [f.remedy for f in coded] == ["Return W1.T. Return W2.T."]


def test_bounds_are_told_from_signs():
    """A bias of two numbers that are cut off at 0.01 is not one of signs."""
    case = probe()
    gradient = backward(forward(*case, delta=0.0))
    low = min(np.abs(g).min() for g in gradient.values()) / 2
    findings = found(case, {n: np.clip(g, -low, low) for n, g in gradient.items()})
    assert kinds(findings) == {Kind.CLIPPED}
    assert all("cut off at" in finding.message for finding in findings)


@pytest.mark.parametrize("classes", [3, 4, 10])
def test_class_columns_in_reverse_are_permuted_in_a_loss_too(classes):
    """Most columns are zero in most rows, and some of them equal."""
    rng = np.random.default_rng(classes)
    y, t = rng.dirichlet(np.ones(classes), size=7), rng.integers(0, classes, 7)
    right = -np.eye(classes)[t] / (y + 1e-7) / 7
    candidate = {"y": np.ascontiguousarray(right[:, ::-1])}
    (finding,) = closed_form.check_cross_entropy_error(y, t, candidate).findings
    assert finding.kind is Kind.PERMUTED
    assert "in reverse order" in finding.message
