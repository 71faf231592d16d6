"""Half precision: right gradients pass, errors that do not average out fail in the mean."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from oracle.arithmetic.dtypes import arithmetic
from oracle.checking import known, mean
from oracle.document import nets
from oracle.values import TwoLayerNetParameters, Verdict

KINDS = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16}


def case(seed, kind, scale=0.5, sizes=(11, 7, 5), N=40):
    rng = np.random.default_rng(seed)
    D, H, K = sizes
    P = {"W1": rng.normal(size=(D, H)), "b1": rng.normal(size=H)}
    P |= {"W2": rng.normal(size=(H, K)), "b2": rng.normal(size=K)}
    P = {n: (scale * a).astype(kind) for n, a in P.items()}
    return P, rng.normal(size=(N, D)).astype(kind), rng.integers(0, K, N)


def kernel(P, x, t, kind):
    """Compute in float32 and store every tensor in half precision, as kernels do."""

    def stored(a):
        return a.astype(np.float32).astype(kind).astype(np.float32)

    W = {n: a.astype(np.float32) for n, a in P.items()}
    x = x.astype(np.float32)
    z = stored(1 / (1 + np.exp(-stored(x @ W["W1"] + W["b1"]))))
    s = stored(z @ W["W2"] + W["b2"])
    e = np.exp(s - s.max(axis=1, keepdims=True))
    d = e / e.sum(axis=1, keepdims=True) - np.eye(s.shape[1], dtype=np.float32)[t]
    d = stored(d / np.float32(len(t)))
    da = stored(stored(d @ W["W2"].T) * z * (1 - z))
    found = {"W1": x.T @ da, "b1": da.sum(axis=0), "W2": z.T @ d, "b2": d.sum(axis=0)}
    return {n: a.astype(kind) for n, a in found.items()}


def asked(P, x, t):
    return nets.two_layer_net(TwoLayerNetParameters(**P), x, t, 0.0)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("scale", [0.01, 0.5, 2.0])
def test_a_right_kernel_passes_and_its_budget_is_near_its_error(dtype, scale):
    """What is stored is rounded independently; the budget is some times the largest error."""
    used = []
    for seed in range(6):
        P, x, t = case(seed, KINDS[dtype], scale)
        report = known.check(asked(P, x, t), kernel(P, x, t, KINDS[dtype]))
        assert report.verdict is Verdict.PASS, (seed, report.summary)
        assert "as a whole" in report.notes[-1]
        used += [tensor.budget_used for tensor in report.tensors]
    assert max(used) > 1 / 8


@pytest.mark.parametrize("dtype", KINDS)
def test_a_factor_that_entries_hide_fails_in_the_mean_by_name(dtype):
    """A tensor as a whole is known far better than its entries."""
    P, x, t = case(3, KINDS[dtype])
    plan = asked(P, x, t)
    gradient = kernel(P, x, t, KINDS[dtype])
    wrong = {n: (a.astype(np.float32) * 1.25).astype(a.dtype) for n, a in gradient.items()}
    report = known.check(plan, wrong)
    assert report.verdict is Verdict.FAIL
    assert report.findings[0].kind == "constant_factor"
    assert float(report.findings[0].evidence["factor"]) == pytest.approx(1.25, rel=0.05)


def test_equal_numbers_are_rounded_alike_and_others_are_not():
    """The move within a rounding step follows from the number, and from the run."""
    how = arithmetic("bfloat16")
    values = np.concatenate([np.full(5, 0.3337), np.linspace(1.0, 1.1, 200)])
    first, again = (mean.Emulated(how, seed).stored(values) for seed in (1, 2))
    assert len(set(first[:5])) == 1
    assert np.any(first != again)
    nearest = mean.Emulated(how, None).stored(values)
    assert np.all(np.abs(nearest - values) <= 2.0**-8 * values)


def test_the_quantile_bounds_the_tail_of_student_s_t():
    """Of 24 degrees of freedom 1e-3 lies beyond 3.4668 (tables of the distribution)."""
    assert 3.4668 < mean.student(1e-3) < 2 * 3.4668
    assert mean.student(1e-12) > mean.student(1e-9)
