"""The verdict on gradients of functions that are known only by their values."""

import numpy as np
import pytest

from oracle.checking.black_box import judgement
from oracle.checking.black_box.conversation import CheckTask, Evaluation, TensorSpec
from oracle.findings import FindingKind
from oracle.splitmix import positive_signs
from oracle.values import Verdict


def run(f, x, g):
    """Answer a check with f evaluated here."""
    specs = tuple(
        TensorSpec(
            n, v.shape, str(v.dtype), v.size, float(np.abs(v).max()),
            float(np.mean(np.square(v, dtype=np.float64))), float(np.abs(g[n]).max()),
            float(np.linalg.norm(g[n])),
        )
        for n, v in x.items()
    )  # fmt: skip
    names = list(x)
    check = judgement.check(CheckTask(specs, str(np.asarray(f(x)).dtype)))
    answers = None
    while True:
        try:
            ask = check.send(answers)
        except StopIteration as stop:
            return stop.value
        answers = []
        for p in ask.probes:
            name = names[p.tensor]
            moved = x[name].copy().reshape(-1)
            signs = np.where(positive_signs(p.seed, p.begin, p.end), 1.0, -1.0)
            moved[p.begin : p.end] = moved[p.begin : p.end] + p.step * signs
            change = moved.astype(np.float64) - x[name].reshape(-1)
            predicted = float(change @ g[name].reshape(-1).astype(np.float64))
            value = float(f({**x, name: moved.reshape(x[name].shape)}))
            answers.append(Evaluation(value, predicted, float(np.abs(change).max())))


def problem(seed, dtype, scale=1.0, offset=0.0):
    """Return a smooth f, a point and the gradient."""
    rng = np.random.default_rng(seed)
    x = {"a": rng.normal(size=(5, 7)).astype(dtype), "b": rng.normal(size=3).astype(dtype)}

    def f(x):
        total = np.sum(np.sin(x["a"])) + np.sum(x["b"] ** 2) * np.tanh(x["a"][0, 0])
        return x["a"].dtype.type(scale * total + offset)

    a, b = x["a"].astype(float), x["b"].astype(float)
    ga = np.cos(a)
    ga[0, 0] += np.sum(b**2) / np.cosh(a[0, 0]) ** 2
    gb = 2 * b * np.tanh(a[0, 0])
    return f, x, {"a": (scale * ga).astype(dtype), "b": (scale * gb).astype(dtype)}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (1e-5, 0), (1e5, 0)])
def test_no_correct_gradient_fails(dtype, scale, offset):
    """The error bar covers rounding and truncation at every scale of the loss."""
    reports = [run(*problem(seed, dtype, scale, offset)) for seed in range(10)]
    assert Verdict.FAIL not in [r.verdict for r in reports]
    assert dtype == "float32" or all(r.verdict == Verdict.PASS for r in reports)
    assert all(r.measurement.evaluations <= 400 for r in reports)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_wrong_entry_is_found_and_located(dtype):
    """Every direction of signs sees one wrong entry at its full weight."""
    for seed in range(5):
        f, x, g = problem(seed, dtype)
        g["a"][2, 3] += 2
        report = run(f, x, g)
        assert report.verdict == Verdict.FAIL
        entries = [e.index for n in report.findings for e in n.entries]
        assert entries == [(2, 3)]


def test_a_factor_a_sign_and_a_zero_tensor_are_named():
    """The ratio of predicted to measured slope is the same in every direction."""
    cases = [(2, "TENSOR_FACTOR"), (-1, "SIGN_FLIPPED"), (0, "ZERO_TENSOR")]
    for factor, name in cases:
        f, x, g = problem(1, "float64")
        g["a"] = g["a"] * factor
        report = run(f, x, g)
        assert [n.kind for n in report.findings] == [FindingKind[name]]


@pytest.mark.parametrize("slope", [-1.0, 0.0, 0.4, 1.0])
def test_a_subgradient_passes_and_is_called_one(slope):
    """At a kink any slope between the one-sided ones is right."""
    x = {"a": np.zeros(1)}
    report = run(lambda x: np.abs(x["a"]).sum(), x, {"a": np.array([slope])})
    assert report.verdict == Verdict.PASS
    assert [n.kind for n in report.findings] == [FindingKind.SUBGRADIENT]
