"""Wrong gradients of the simple net get their names, at the loss's delta and without it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.checking import closed_form, derivatives
from oracle.checking.backward import softmax
from oracle.findings import FindingKind as Kind
from oracle.values import Verdict

LABELS = np.array([0, 2, 1, 1, 3, 0])
T = np.eye(4)[LABELS]


def case(seed=0, samples=6, inputs=7, classes=4):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(inputs, classes)), rng.normal(size=(samples, inputs))


def kinds(report):
    assert report.verdict is Verdict.FAIL
    return {finding.kind for finding in report.findings}


def of_error(change):
    return lambda W, x: x.T @ change(softmax(x @ W), x @ W)


WRONG = {
    "right but for the factor": (None, of_error(lambda y, _: y - T)),
    "no target": (Kind.WRONG_TARGETS, of_error(lambda y, _: y)),
    "labels in reverse": (Kind.WRONG_TARGETS, of_error(lambda y, _: y - T[::-1])),
    "labels that belong to no table": (
        Kind.WRONG_TARGETS,
        of_error(lambda y, _: y - np.eye(4)[[3, 1, 2, 0, 0, 1]]),
    ),
    "smoothed": (Kind.WRONG_TARGETS, of_error(lambda y, _: y - 0.9 * T - 0.025)),
    "softmax twice": (Kind.SOFTMAX_TWICE, of_error(lambda y, _: softmax(y) - T)),
    "softmax over the batch": (Kind.SOFTMAX_AXIS, of_error(lambda _, a: softmax(a, 0) - T)),
    "no softmax": (Kind.WRONG_FORWARD, of_error(lambda _, a: a - T)),
    "a temperature": (Kind.WRONG_FORWARD, of_error(lambda _, a: softmax(0.7 * a) - T)),
    "(y - t) y": (Kind.SOFTMAX_JACOBIAN, of_error(lambda y, _: (y - T) * y)),
    "another polynomial": (Kind.SOFTMAX_JACOBIAN, of_error(lambda y, _: (y - T) * (1 + y**2))),
    "weights": (
        Kind.SAMPLE_WEIGHTS,
        of_error(lambda y, _: (y - T) * np.array([3, 1, 2, 0.5, 1, 1])[:, None]),
    ),
    "two samples missing": (
        Kind.DROPPED_SAMPLES,
        of_error(lambda y, _: (y - T) * np.array([1, 0, 1, 0, 1, 1])[:, None]),
    ),
    "x squared": (Kind.WRONG_INPUTS, lambda W, x: (x**2).T @ (softmax(x @ W) - T)),
    "x halved throughout": (
        Kind.WRONG_FORWARD,
        lambda W, x: x.T / 2 @ (softmax(x @ W / 2) - T),
    ),
}


@pytest.mark.parametrize("delta", [1e-7, 0.0])
@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_wrong_gradient_gets_its_name(name, delta):
    """It starts from the textbook's (y - t) / N, whatever delta is asked for."""
    kind, wrong = WRONG[name]
    for seed in range(3):
        W, x = case(seed)
        factor = -1 if kind is None else 1
        report = closed_form.check_simple_net(
            W, x, LABELS, {"W": factor * wrong(W, x) / 6}, delta=delta
        )
        assert kinds(report) == {kind or Kind.SIGN_FLIPPED}, seed
        for finding in report.findings:
            assert finding.tensor in {"", "W"}
            assert not {"W1", "W2", "a2", "z1"} & set((finding.message + finding.remedy).split())


@pytest.mark.parametrize("name", ["softmax twice", "no target", "no softmax"])
def test_a_mistake_is_found_beneath_a_missing_mean(name):
    """A factor of N does not hide the stage that is wrong."""
    kind, wrong = WRONG[name]
    W, x = case()
    report = closed_form.check_simple_net(W, x, LABELS, {"W": wrong(W, x)})
    assert kinds(report) == {kind, Kind.MISSING_BATCH_MEAN}


def test_another_delta_than_was_asked_for_is_said():
    """The gradient of the document's loss, where the textbook's was asked for."""
    W, x = case()
    right = derivatives.simple_net(W, x, LABELS).tensors["W"]
    report = closed_form.check_simple_net(W, x, LABELS, {"W": right}, delta=0.0)
    (finding,) = report.findings
    assert finding.kind is Kind.WRONG_FORWARD
    assert "1e-07" in finding.message


def test_rows_of_many_inputs_are_sampled_first():
    """A mistake of a large layer is named too, and zeros are zeros."""
    W, x = case(3, inputs=300)
    report = closed_form.check_simple_net(
        W, x, LABELS, {"W": x.T @ (softmax(softmax(x @ W)) - T) / 6}
    )
    assert kinds(report) == {Kind.SOFTMAX_TWICE}
    report = closed_form.check_simple_net(W, x, LABELS, {"W": 0 * W})
    assert kinds(report) == {Kind.ZERO_TENSOR}


@given(
    seed=st.integers(0, 2**32 - 1),
    samples=st.integers(1, 8),
    inputs=st.integers(1, 8),
    classes=st.integers(2, 5),
    size=st.sampled_from([1e-3, 0.3, 10.0]),
)
def test_noise_has_no_name(seed, samples, inputs, classes, size):
    """A name that fits anything says nothing; a matrix of one row has little else than a name."""
    rng = np.random.default_rng(seed)
    W, x = case(seed, samples, inputs + 1, classes)
    t = rng.integers(0, classes, samples)
    right = derivatives.simple_net(W, x, t).tensors["W"]
    noise = {"W": right * (1 + size * rng.normal(size=W.shape))}
    report = closed_form.check_simple_net(W, x, t, noise)
    assert kinds(report) == {Kind.UNEXPLAINED}
