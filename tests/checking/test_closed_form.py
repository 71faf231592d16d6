"""Verdicts: right gradients pass, every kind of wrong one fails with its cause."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oracle.checking import closed_form, derivatives, known
from oracle.findings import FindingKind, InconclusiveReason
from oracle.reporting import text
from oracle.values import InvalidInput, ReferenceKind, TwoLayerNetParameters, Verdict


def network(seed=0, scale=0.5, dtype=np.float64, N=7):
    rng = np.random.default_rng(seed)
    shapes = [(5, 3), (3,), (3, 4), (4,)]
    parameters = TwoLayerNetParameters(
        *((rng.normal(size=s) * scale).astype(dtype) for s in shapes)
    )
    return parameters, rng.normal(size=(N, 5)).astype(dtype), rng.integers(0, 4, N)


@given(
    seed=st.integers(0, 2**32),
    scale=st.floats(0.01, 20.0),
    dtype=st.sampled_from(["float64", "float32"]),
)
def test_exact_gradient_rounded_to_its_type_passes(seed, scale, dtype):
    case = network(seed, scale, dtype)
    exact = derivatives.two_layer_net(*case).tensors
    candidate = {name: tensor.astype(dtype) for name, tensor in exact.items()}
    report = closed_form.check_two_layer_net(*case, candidate)
    assert report.verdict is not Verdict.FAIL
    assert report.budget_used <= 1.0


@given(seed=st.integers(0, 2**32), name=st.sampled_from(["W1", "b1", "W2", "b2"]))
def test_error_above_the_detection_limit_fails(seed, name):
    """The limit is a promise: twice as much in one entry is seen."""
    case = network(seed)
    exact = dict(derivatives.two_layer_net(*case).tensors)
    passed = closed_form.check_two_layer_net(*case, exact)
    exact[name] = exact[name].copy()
    exact[name].flat[0] += 2.0 * passed.detection_limit * np.abs(exact[name]).max()
    report = closed_form.check_two_layer_net(*case, exact)
    assert passed.verdict is Verdict.PASS
    assert report.verdict is Verdict.FAIL
    assert report.findings


def test_a_bug_on_top_of_an_ignored_delta_is_not_taken_for_its_doing():
    """The tensors that are right but for delta are told from those that the bug changes."""
    case = network(scale=3.0)
    textbook = derivatives.two_layer_net(*case, delta=0.0).tensors
    wrong = dict(textbook) | {"W1": textbook["W1"] / 2}
    report = closed_form.check_two_layer_net(*case, wrong)
    assert report.notes == ("b1, W2 and b2 are right for delta=0; delta=1e-07 was asked for.",)
    assert closed_form.check_two_layer_net(*case, wrong, delta=0.0).notes == ()


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda g: g.pop("b1"), FindingKind.MISSING_TENSOR),
        (lambda g: g.update(W1=g["W1"].T), FindingKind.SHAPE_MISMATCH),
        (lambda g: g.update(b2=g["b2"][:1]), FindingKind.SHAPE_MISMATCH),
        (lambda g: g.update(b2=g["b2"].astype("float32")), FindingKind.DTYPE_MISMATCH),
        (lambda g: g.update(W2=g["W2"] * np.nan), FindingKind.NOT_FINITE),
    ],
)
def test_form_faults_are_findings_and_never_broadcast(change, kind):
    case = network()
    gradient = dict(derivatives.two_layer_net(*case).tensors)
    change(gradient)
    report = closed_form.check_two_layer_net(*case, gradient)
    assert report.verdict is Verdict.FAIL
    assert report.findings[0].kind is kind


def test_the_tensor_of_another_type_is_the_one_that_is_named():
    """Wherever it stands: three of four have the type that was meant."""
    case = network()
    for name in ("W1", "b1", "W2", "b2"):
        gradient = dict(derivatives.two_layer_net(*case).tensors)
        gradient[name] = gradient[name].astype("float32")
        (finding,) = closed_form.check_two_layer_net(*case, gradient).findings
        assert finding.message == f"{name} is float32, the other tensors are float64"


def test_names_and_types_that_mean_nothing_are_refused():
    case = network()
    gradient = dict(derivatives.two_layer_net(*case).tensors)
    with pytest.raises(InvalidInput, match="W3"):
        closed_form.check_two_layer_net(*case, {**gradient, "W3": gradient["W1"]})
    whole = {name: np.zeros(tensor.shape, int) for name, tensor in gradient.items()}
    with pytest.raises(InvalidInput, match="float16 or bfloat16"):
        closed_form.check_two_layer_net(*case, whole)


def test_budget_that_hides_everything_is_inconclusive():
    """A gradient below what float16 can hold: agreement would mean nothing."""
    W, x = np.array([[60.0, 0.0]], np.float16), np.array([1.0], np.float16)
    zero = {"W": np.zeros((1, 2), np.float16)}
    report = closed_form.check_simple_net(W, x, np.array([0]), zero, accumulation_dtype="float16")
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reason is InconclusiveReason.VACUOUS_BUDGET


def test_one_hidden_tensor_makes_a_check_inconclusive():
    """In float16 throughout layer 1 may be anything here, however well layer 2 agrees."""
    rng = np.random.default_rng(0)
    shapes = [(5, 3), (3,), (3, 4), (4,)]
    parameters = TwoLayerNetParameters(
        *((rng.normal(size=s) * 3e-4).astype(np.float16) for s in shapes)
    )
    x, t = rng.normal(size=(16, 5)).astype(np.float16), rng.integers(0, 4, 16)
    exact = derivatives.two_layer_net(parameters, x, t).tensors
    candidate = {name: tensor.astype(np.float16) for name, tensor in exact.items()}
    report = closed_form.check_two_layer_net(
        parameters, x, t, candidate, accumulation_dtype="float16"
    )
    hidden = [t.name for t in report.tensors if t.verdict is Verdict.INCONCLUSIVE]
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reason is InconclusiveReason.VACUOUS_BUDGET
    assert 0 < len(hidden) < 4
    assert f"may halve {hidden[0]}" in report.summary
    assert "right" in report.summary.split(";")[0]
    assert "accumulation_dtype" in report.notes[0]


@pytest.mark.parametrize("scale", [0.01, 0.1, 1.0])
def test_pass_in_half_precision_excludes_half_the_gradient(scale):
    """What passes in bfloat16 fails if halved, negated, zero or N times too large."""
    case = network(scale=scale, dtype=ml_dtypes.bfloat16, N=32)
    exact = derivatives.two_layer_net(*case).tensors

    def check(name, factor):
        candidate = {n: g.astype(ml_dtypes.bfloat16) for n, g in exact.items()}
        candidate[name] = (factor * exact[name]).astype(ml_dtypes.bfloat16)
        return closed_form.check_two_layer_net(*case, candidate, accumulation_dtype="float32")

    told = [t for t in check("W1", 1.0).tensors if t.verdict is Verdict.PASS]
    assert {"W2", "b2"} <= {t.name for t in told}
    assert all(tensor.detection_limit < 1.0 for tensor in told)
    wrong = {(t.name, c): check(t.name, c).verdict for t in told for c in (0.5, -1.0, 0.0, 32.0)}
    assert set(wrong.values()) == {Verdict.FAIL}


def test_zero_is_the_right_gradient_of_saturated_outputs():
    """A gradient of 1e-40 is zero in float32; one of 1e-3 is wrong there."""
    W, x = np.array([[100.0, 0.0]], np.float32), np.array([1.0], np.float32)
    zero = np.zeros((1, 2), np.float32)
    report = closed_form.check_simple_net(W, x, np.array([0]), {"W": zero})
    assert report.verdict is Verdict.PASS
    assert "zero" in report.summary
    assert report.notes
    wrong = closed_form.check_simple_net(W, x, np.array([0]), {"W": zero + np.float32(1e-3)})
    assert wrong.verdict is Verdict.FAIL


def test_a_pass_names_the_tensors_that_it_cannot_tell_from_zero():
    """Nobody takes "right" for more than was seen: behind saturated units there is nothing."""
    rng = np.random.default_rng(15)
    shapes = [(20, 10), (10,), (10, 5), (5,)]
    made = (20 * rng.normal(size=s) for s in shapes)
    parameters = TwoLayerNetParameters(*(a.astype(np.float32) for a in made))
    x, t = rng.normal(size=(4, 20)).astype(np.float32), rng.integers(0, 5, 4)
    exact = derivatives.two_layer_net(parameters, x, t, delta=0.0).tensors
    candidate = {name: tensor.astype(np.float32) for name, tensor in exact.items()}
    report = closed_form.check_two_layer_net(parameters, x, t, candidate, delta=0.0)
    assert report.summary == (
        "the gradient is right in W2 and b2; W1 and b1 are zero within the rounding of float32, "
        "as they must be"
    )


def test_wrong_gradient_that_is_almost_zero_fails_without_a_warning():
    """Hypotheses about a gradient of 1e-217 are too large by infinity, and its square is zero."""
    rng = np.random.default_rng(0)
    shapes = [(7, 5), (5,), (5, 4), (4,)]
    parameters = TwoLayerNetParameters(*(rng.normal(size=s) * 1e4 for s in shapes))
    case = parameters, rng.normal(size=(6, 7)), rng.integers(0, 4, 6)
    exact = derivatives.two_layer_net(*case).tensors
    zero = {name: np.zeros_like(tensor) for name, tensor in exact.items()}
    wrong = zero | {"W2": exact["W2"] * np.arange(4), "b2": exact["b2"]}
    assert closed_form.check_two_layer_net(*case, wrong).verdict is Verdict.FAIL


EXTREMES = st.sampled_from([1e-320, 1e-200, 1e-160, 1e-20, 1.0, 1.0, 1e20, 1e150, 1e300])


@settings(max_examples=60)
@given(
    scales=st.tuples(*[EXTREMES] * 9),
    delta=st.sampled_from([0.0, 1e-320, 1e-7, 1.0, 1e308]),
    seed=st.integers(0, 2**32),
)
@example(scales=(1.0,) * 9, delta=1e308, seed=0)
@example(scales=(*[1e-320] * 3, 1e20, 1e-320, 1e-200, 1e-320, 1e-200, 1e-320), delta=1e-7, seed=0)
def test_whatever_the_numbers_a_finite_gradient_gets_a_verdict(scales, delta, seed):
    """A diagnosis whose fits leave float64 is no error: the verdict does not hang on it."""
    rng = np.random.default_rng(seed)
    shapes = [(3, 5), (5,), (5, 2), (2,)]
    parts = [rng.normal(size=s) * c for s, c in zip(shapes, scales[:4], strict=True)]
    parameters = TwoLayerNetParameters(*parts)
    x, t = rng.normal(size=(4, 3)) * scales[8], rng.integers(0, 2, 4)
    names = parameters.tensors()
    wrong = {
        n: rng.normal(size=names[n].shape) * c for n, c in zip(names, scales[4:8], strict=True)
    }
    try:
        report = closed_form.check_two_layer_net(parameters, x, t, wrong, delta=delta)
    except InvalidInput:
        return  # A layer that overflows is told as the caller's.
    assert bool(report.findings) == (report.verdict is Verdict.FAIL)


def test_summary_is_one_sentence_and_no_finding_is_said_twice():
    """On one sample many causes look alike, and the list of them is no headline."""
    case = network(N=1)
    gradient = dict(derivatives.two_layer_net(*case).tensors)
    report = closed_form.check_two_layer_net(*case, {n: -g for n, g in gradient.items()})
    assert report.findings[0].message.lower().startswith(report.summary)
    assert ". " not in report.summary
    assert str(text.render(report)).lower().count(report.summary) == 1


def test_losses_and_simple_net_pass_when_right_and_fail_when_wrong():
    rng = np.random.default_rng(5)
    y, t = rng.random((3, 4)), np.array([0, 3, 1])
    W, x = rng.normal(size=(2, 4)), rng.normal(size=(3, 2))
    cases = [
        (derivatives.mean_squared_error, closed_form.check_mean_squared_error, (y, y**2)),
        (derivatives.cross_entropy_error, closed_form.check_cross_entropy_error, (y, t)),
        (derivatives.simple_net, closed_form.check_simple_net, (W, x, t)),
    ]
    for gradient, check, inputs in cases:
        exact = gradient(*inputs).tensors
        assert check(*inputs, exact).verdict is Verdict.PASS
        wrong = {name: tensor * (1 + 1e-9) for name, tensor in exact.items()}
        assert check(*inputs, wrong).verdict is Verdict.FAIL


def test_bound_takes_over_above_the_size_of_balls(monkeypatch):
    rng = np.random.default_rng(6)
    y, t = rng.random((3, 4)), np.array([0, 3, 1])
    W, x = rng.normal(size=(2, 4)), rng.normal(size=(3, 2))
    monkeypatch.setattr(known, "ENCLOSURE_LIMIT", 0)
    answers = [
        derivatives.two_layer_net(*network()),
        derivatives.simple_net(W, x, t),
        derivatives.mean_squared_error(y, y**2),
        derivatives.cross_entropy_error(y, t),
    ]
    assert {answer.kind for answer in answers} == {ReferenceKind.DERIVED_BOUND}
    assert all(answer.exact_radius < 1e-12 for answer in answers)


def test_cross_entropy_without_guard_needs_positive_predictions():
    with pytest.raises(InvalidInput, match="delta"):
        derivatives.cross_entropy_error(np.array([0.0, 1.0]), np.array(0), delta=0.0)
    with pytest.raises(InvalidInput, match="negative"):
        derivatives.cross_entropy_error(np.array([-1.0, 1.0]), np.array(0))
