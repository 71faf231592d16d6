"""Wrong derivatives of the losses get their names, under any factor; what is unknown gets none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.checking import closed_form
from oracle.checking.backward import softmax
from oracle.findings import FindingKind as Kind
from oracle.values import Verdict

LABELS = np.array([0, 2, 1, 1, 3, 0, 2])
T = np.eye(4)[LABELS]
D = 1e-7


def probabilities(seed=0, dtype="float64"):
    return softmax(np.random.default_rng(seed).normal(size=(7, 4))).astype(dtype)


def kinds(report):
    assert report.verdict is Verdict.FAIL
    return {finding.kind for finding in report.findings}


CROSS_ENTROPY = {
    "through the softmax": (Kind.SOFTMAX_JACOBIAN, lambda y: y - T),
    "softmax twice": (Kind.SOFTMAX_TWICE, lambda y: softmax(y) - T),
    "softmax of y": (Kind.SOFTMAX_TWICE, lambda y: -T / (softmax(y) + D)),
    "no logarithm": (Kind.WRONG_FORWARD, lambda y: -T + 0 * y),
    "1 / y twice": (Kind.WRONG_FORWARD, lambda y: -T / y**2),
    "y + delta multiplied": (Kind.WRONG_FORWARD, lambda y: -T * (y + D)),
    "labels written in sorted order": (
        Kind.WRONG_TARGETS,
        lambda y: -np.eye(4)[sorted(LABELS)] / y,
    ),
    "any label": (
        Kind.WRONG_TARGETS,
        lambda y: -np.eye(4)[[1, 2, 1, 3, 0, 0, 2]] / (y + D),
    ),
    "smoothed": (Kind.WRONG_TARGETS, lambda y: -(0.9 * T + 0.025) / (y + D)),
    "every class": (Kind.WRONG_TARGETS, lambda y: -1 / (y + D)),
    "labels as numbers": (Kind.WRONG_TARGETS, lambda y: -LABELS[:, None] / (y + D)),
    "exchanged": (Kind.WRONG_TARGETS, lambda y: -y / (T + D)),
    "the last sample is left out": (
        Kind.DROPPED_SAMPLES,
        lambda y: -T / (y + D) * (np.arange(7) < 6)[:, None],
    ),
    "a delta of 0.001": (Kind.WRONG_FORWARD, lambda y: -T / (y + 1e-3)),
    "cut off at 0.3": (Kind.UNEXPLAINED, lambda y: -T / np.clip(y, 0.3, 1)),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("factor", [1.0, 7.0, -1.0])
@pytest.mark.parametrize("name", sorted(CROSS_ENTROPY))
def test_a_wrong_cross_entropy_gets_its_name_and_its_factor(name, factor, dtype):
    """The mean over the batch may be missing besides."""
    kind, wrong = CROSS_ENTROPY[name]
    for seed in range(3):
        y = probabilities(seed, dtype)
        candidate = (factor * wrong(y.astype(np.float64)) / len(y)).astype(dtype)
        found = kinds(closed_form.check_cross_entropy_error(y, LABELS, {"y": candidate}))
        also = {7.0: Kind.MISSING_BATCH_MEAN, -1.0: Kind.SIGN_FLIPPED}.get(factor)
        unnamed = kind is Kind.UNEXPLAINED
        assert found == ({kind} if factor == 1 or unnamed else {kind, also}), seed


def test_where_y_is_zero_a_cut_off_logarithm_is_told_from_delta():
    """-t / max(y, delta) is -t / y but for what is below delta."""
    y = probabilities()
    y[2, 1] = D / 4
    candidate = -T / np.maximum(y, D) / len(y)
    found = closed_form.check_cross_entropy_error(y, T, {"y": candidate})
    assert kinds(found) == {Kind.CLIPPED}
    y[2, 1] = 0.0
    candidate = np.where(T > 0, -T / (y + D), 0) / len(y)
    assert closed_form.check_cross_entropy_error(y, T, {"y": candidate}).verdict is Verdict.PASS


def test_one_sample_of_the_cross_entropy_leaves_only_factors_that_mean_something():
    """A single number is any multiple of another."""
    y = np.array([0.25, 0.5, 0.25])
    right = -np.array([0, 1.0, 0]) / (y + D)
    assert kinds(
        closed_form.check_cross_entropy_error(y, np.array(1), {"y": 1.2345678 * right})
    ) == {Kind.UNEXPLAINED}
    assert kinds(closed_form.check_cross_entropy_error(y, np.array(1), {"y": 2 * right})) == {
        Kind.CONSTANT_FACTOR
    }


SQUARED = {
    "nothing subtracted": (Kind.WRONG_TARGETS, lambda y, _: y),
    "added": (Kind.WRONG_TARGETS, lambda y, t: y + t),
    "broadcast": (Kind.WRONG_TARGETS, lambda y, t: 7 * y - t.sum(axis=0)),
    "the sample before": (Kind.WRONG_TARGETS, lambda y, t: y - np.roll(t, 1, 0)),
    "absolute error": (Kind.WRONG_FORWARD, lambda y, t: np.sign(y - t)),
    "the square itself": (Kind.WRONG_FORWARD, lambda y, t: (y - t) ** 2),
    "a sigmoid's slope": (Kind.SOFTMAX_JACOBIAN, lambda y, t: (y - t) * y * (1 - y)),
    "Huber": (Kind.CLIPPED, lambda y, t: np.clip(y - t, -0.4, 0.4)),
    "weights": (Kind.SAMPLE_WEIGHTS, lambda y, t: np.linspace(0.2, 3, 7)[:, None] * (y - t)),
    "a sample is left out": (
        Kind.DROPPED_SAMPLES,
        lambda y, t: (y - t) * (np.arange(7) != 3)[:, None],
    ),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("name", sorted(SQUARED))
def test_a_wrong_squared_error_gets_its_name(name, soft, dtype):
    """Whether the targets are one-hot or any numbers."""
    kind, wrong = SQUARED[name]
    y = probabilities(0, dtype)
    t = (probabilities(1) if soft else T).astype(dtype)
    candidate = wrong(y.astype(np.float64), t.astype(np.float64)).astype(dtype)
    report = closed_form.check_mean_squared_error(y, t, {"y": candidate})
    assert kind in kinds(report)
    assert Kind.UNEXPLAINED not in kinds(report)


@given(
    seed=st.integers(0, 2**32 - 1),
    samples=st.integers(1, 6),
    classes=st.integers(2, 5),
    size=st.sampled_from([1e-3, 0.3, 10.0]),
    dtype=st.sampled_from(["float64", "float32"]),
)
def test_noise_has_no_name(seed, samples, classes, size, dtype):
    """A name that fits anything says nothing."""
    rng = np.random.default_rng(seed)
    y = softmax(rng.normal(size=(samples, classes))).astype(dtype)
    t = np.eye(classes, dtype=dtype)[rng.integers(0, classes, samples)]
    noise = 1 + size * rng.normal(size=y.shape)
    for check, right in (
        (closed_form.check_cross_entropy_error, -t / y / samples),
        (closed_form.check_mean_squared_error, y - t),
    ):
        report = check(y, t, {"y": (right * noise).astype(dtype)})
        assert kinds(report) <= {Kind.UNEXPLAINED, Kind.SINGLE_ENTRIES}


def test_a_large_loss_and_odd_shapes_are_explained_too():
    """From the numbers alone, where hypotheses would take seconds."""
    y = np.linspace(0.1, 0.9, 2**18 + 2).reshape(-1, 2)
    report = closed_form.check_mean_squared_error(y, y**2, {"y": 2 * (y - y**2)})
    assert kinds(report) == {Kind.CONSTANT_FACTOR}
    report = closed_form.check_cross_entropy_error(
        y, np.ones(len(y), np.int64), {"y": 2 * (y - y**2)}
    )
    assert Kind.UNEXPLAINED in kinds(report)
    cube = np.linspace(0.1, 0.9, 24).reshape(2, 3, 4)
    report = closed_form.check_mean_squared_error(cube, cube**2, {"y": cube})
    assert kinds(report) == {Kind.WRONG_TARGETS}
    one = np.array(0.5)
    report = closed_form.check_mean_squared_error(one, one / 2, {"y": one})
    assert report.verdict is Verdict.FAIL
