"""What is neither passed nor failed where the steps are too coarse, or the slopes have no limit."""

import numpy as np
import pytest

from oracle.findings import FindingKind, InconclusiveReason
from oracle.values import Verdict
from tests.checking.black_box.caller import run


def entropy(x):
    a = x["a"]
    if np.any(a < 0):
        raise FloatingPointError("log of a negative number")
    return float((a[a > 0] * np.log(a[a > 0])).sum())


@pytest.mark.parametrize("x", [[0.0, 1.0], [0.0, 0.5, 0.5], [0.0]])
def test_an_infinite_slope_on_one_side_is_no_factor(x):
    """That of x log x at 0 is: differences over smaller steps grow without end."""
    a = np.array(x)
    gradient = np.where(a > 0, 1 + np.log(np.where(a > 0, a, 1)), 0)
    report = run(entropy, {"a": a}, {"a": gradient})
    assert report.verdict == Verdict.INCONCLUSIVE
    assert report.reason == InconclusiveReason.RESOLUTION
    assert "settle" in report.summary


def test_a_finite_slope_on_one_side_is_measured():
    """That of x + x^1.5 at 0 is 1, though f has no values below."""

    def f(x):
        if np.any(x["a"] < 0):
            raise FloatingPointError("root of a negative number")
        return float((x["a"] + x["a"] ** 1.5).sum())

    assert run(f, {"a": np.zeros(2)}, {"a": np.ones(2)}).verdict == Verdict.PASS
    assert run(f, {"a": np.zeros(2)}, {"a": np.array([1, 0.5])}).verdict == Verdict.FAIL


@pytest.mark.parametrize("gradient", [[1.0, 1, 0], [0.0, 0, 0]])
def test_what_contradicts_at_a_kink_is_no_noise(gradient):
    """A maximum of equal entries has no noise: where its sides are is what stays open."""

    def largest(x):
        return float(x["a"].max())

    report = run(largest, {"a": np.array([1.0, 1, 0])}, {"a": np.array(gradient)})
    assert report.verdict != Verdict.PASS
    assert report.reason in {None, InconclusiveReason.KINK}


def test_entries_of_different_scales_condemn_no_gradient():
    """In float32 the steps that the largest entry resolves are too coarse for the smallest."""
    verdicts = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        scales = (10.0 ** rng.uniform(-4, 4, 6)).astype(np.float32)
        x = (rng.normal(size=6) * scales).astype(np.float32)

        def f(x, scales=scales):
            return np.sin(x["a"] / scales).sum() * np.float32(1e-5)

        gradient = (np.cos(x.astype(float) / scales) / scales * 1e-5).astype(np.float32)
        verdicts.append(run(f, {"a": x}, {"a": gradient}, seed=seed % 5).verdict)
    assert Verdict.FAIL not in verdicts


@pytest.mark.parametrize(("w", "seed"), [(1000, 54), (5000, 7), (5000, 54)])
def test_a_step_across_many_turns_passes_no_entry(w, seed):
    """Over such a step the difference is nearly zero, and so was what the gradient says."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rng.integers(1, 8)).astype(np.float32)

    def f(x):
        return np.sin(np.float32(w) * x["a"]).sum() + np.square(x["a"]).sum()

    right = w * np.cos(w * x.astype(float)) + 2 * x
    wrong = right.copy()
    wrong[-1] = 0
    assert run(f, {"a": x}, {"a": right.astype(np.float32)}, seed=seed).verdict != Verdict.FAIL
    assert run(f, {"a": x}, {"a": wrong.astype(np.float32)}, seed=seed).verdict != Verdict.PASS


def test_a_factor_near_1_is_not_called_1():
    x = np.linspace(0.3, 1.2, 5)

    def f(x):
        return float(np.sin(x["a"]).sum())

    report = run(f, {"a": x}, {"a": np.cos(x) * (1 + 2e-9)}, resolution=1e-12)
    if report.verdict is Verdict.FAIL and report.findings[0].kind is FindingKind.TENSOR_FACTOR:
        assert "1 +2e-09 times" in report.findings[0].message


def test_of_a_constant_function_no_note_speaks_of_infinity():
    report = run(lambda _: 1.0, {"a": np.ones(1)}, {"a": np.zeros(1)})
    assert report.verdict == Verdict.PASS
    assert not any("inf" in note for note in report.notes)
