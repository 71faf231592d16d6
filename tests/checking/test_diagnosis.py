"""Every known bug gets its own name, and what is not known gets none."""

import numpy as np
import pytest

from oracle.checking.backward import backward, forward
from oracle.checking.comparison import Comparison
from oracle.checking.diagnosis import explain_tensors, explain_two_layer_net
from oracle.checking.probes import SIZES, probe
from oracle.checking.wrong_gradients import CORRECT_GRADIENTS, WRONG_GRADIENTS
from oracle.findings import FindingKind as Kind
from oracle.values import DELTA

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
        assert explain_two_layer_net(*case, comparison, delta=DELTA)[0].kind in bug.named


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
        "dropout mask": (backward(p, derivative=p.z1 * (1 - p.z1) * mask), unknown),
        "softplus derivative": (backward(p, derivative=np.log1p(np.exp(p.a1))), unknown),
        "W2 scaled": (backward(p, weights=p.W2 * 0.9), {Kind.TENSOR_FACTOR}),
        "clipping": (clipped, unknown),
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


def test_probes_have_pairwise_different_sizes_and_the_same_numbers_in_every_type():
    """A probe tells sizes apart, and no type rounds it."""
    assert len(set(SIZES)) == len(SIZES)
    wide, x, labels = probe("saturated", "float64", 3)
    for dtype in ("float32", "float16", "bfloat16"):
        narrow, narrow_x, narrow_labels = probe("saturated", dtype, 3)
        np.testing.assert_array_equal(narrow_x.astype(np.float64), x)
        np.testing.assert_array_equal(narrow_labels, labels)
        for name, values in narrow.tensors().items():
            np.testing.assert_array_equal(values.astype(np.float64), wide.tensors()[name])


def test_a_gradient_of_zeros_is_called_that_even_for_one_sample():
    """A batch of one with its sample left out is zero too, but zeros need no such story."""
    case = probe("single")
    gradient = {n: 0 * g for n, g in backward(forward(*case, delta=DELTA)).items()}
    found = explain_two_layer_net(*case, compare(*case, gradient), delta=DELTA)
    assert {f.kind for f in found} == {Kind.ZERO_TENSOR}
