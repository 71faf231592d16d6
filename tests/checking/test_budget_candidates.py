"""Gradients as users compute them, in C, PyTorch and JAX, stay within their budgets."""

from __future__ import annotations

import ctypes
import shutil
import subprocess

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.checking import closed_form, survey
from oracle.values import TwoLayerNetParameters, Verdict
from tests.checking import budgets as budget
from tests.checking.budgets import arithmetic

LOOP = r"""
#include <math.h>
#include <stdlib.h>
void gradient(int N, int D, int H, int K, const REAL *x, const int *t, const REAL *W1,
              const REAL *b1, const REAL *W2, const REAL *b2, REAL delta, int from_the_logarithm,
              REAL *dW1, REAL *db1, REAL *dW2, REAL *db2)
{
    REAL *z = malloc(sizeof(REAL) * H);
    REAL *y = malloc(sizeof(REAL) * K), *g = malloc(sizeof(REAL) * K);
    for (int n = 0; n < N; n++, x += D) {
        for (int j = 0; j < H; j++) {
            REAL a = b1[j];
            for (int i = 0; i < D; i++) a += x[i] * W1[i * H + j];
            z[j] = 1 / (1 + EXP(-a));
        }
        REAL top = -INFINITY, total = 0;
        for (int k = 0; k < K; k++) {
            y[k] = b2[k];
            for (int j = 0; j < H; j++) y[k] += z[j] * W2[j * K + k];
            if (y[k] > top) top = y[k];
        }
        for (int k = 0; k < K; k++) total += y[k] = EXP(y[k] - top);
        for (int k = 0; k < K; k++) y[k] /= total;
        REAL slope = -1 / (y[t[n]] + delta) / N, mean = y[t[n]] * slope;
        for (int k = 0; k < K; k++)
            if (from_the_logarithm) g[k] = y[k] * ((k == t[n] ? slope : 0) - mean);
            else g[k] = y[t[n]] / (y[t[n]] + delta) * (y[k] - (k == t[n])) / N;
        for (int k = 0; k < K; k++) db2[k] += g[k];
        for (int j = 0; j < H; j++) {
            REAL back = 0;
            for (int k = 0; k < K; k++) {
                dW2[j * K + k] += z[j] * g[k];
                back += g[k] * W2[j * K + k];
            }
            REAL e = back * z[j] * (1 - z[j]);
            db1[j] += e;
            for (int i = 0; i < D; i++) dW1[i * H + j] += x[i] * e;
        }
    }
    free(z); free(y); free(g);
}
"""
"""One loop inside the other: every sum runs from its first term to its last."""

REALS = {
    "float32": (ctypes.c_float, ["-DREAL=float", "-DEXP=expf"]),
    "float64": (ctypes.c_double, ["-DREAL=double", "-DEXP=exp"]),
}

networks = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32),
        "scale": st.floats(-2.0, 1.3).map(lambda e: 10.0**e),
        "N": st.integers(1, 64),
        "sizes": st.sampled_from([(5, 4, 3), (20, 10, 5), (64, 32, 10), (1, 1, 2)]),
        "inputs": st.sampled_from(["normal", "uniform", "binary", "ones", "copies"]),
        "weights": st.sampled_from(["normal", "normal", "positive", "constant", "mirrored"]),
    }
)


def network(dtype, *, seed, scale, N, sizes, inputs, weights):
    """Random networks, and those whose samples, terms or hidden units err alike."""
    D, H, K = sizes
    rng = np.random.default_rng(seed)
    x = {
        "normal": rng.normal(size=(N, D)),
        "uniform": rng.random((N, D)),
        "binary": rng.integers(0, 2, (N, D)),
        "ones": np.ones((N, D)),
        "copies": np.tile(rng.normal(size=(1, D)), (N, 1)),
    }[inputs]
    tensors = {"W1": (D, H), "b1": (H,), "W2": (H, K), "b2": (K,)}
    values = {n: scale * rng.normal(size=shape) for n, shape in tensors.items()}
    if weights == "positive":
        values = {n: np.abs(a) for n, a in values.items()}
    elif weights == "constant":
        values = {n: np.full_like(a, scale) for n, a in values.items()}
    elif weights == "mirrored":
        half = H // 2
        for name, axis in (("W1", 1), ("b1", 0), ("W2", 0)):
            view = np.moveaxis(values[name], axis, 0)
            view[half : 2 * half] = -view[:half]
    parameters = TwoLayerNetParameters(**{n: a.astype(dtype) for n, a in values.items()})
    return parameters, x.astype(dtype), rng.integers(0, K, N)


@pytest.fixture(scope="module", params=["off", "fast"], ids=["plain", "fused"])
def loops(request, tmp_path_factory):
    """Compile the loop, without and with fused multiply-add."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("loop")
    source = folder / "loop.c"
    source.write_text(LOOP)
    libraries = {}
    for name, (_, macros) in REALS.items():
        library = folder / f"{name}.so"
        options = [
            "-O2",
            "-march=native",
            f"-ffp-contract={request.param}",
            *macros,
            "-shared",
            "-fPIC",
        ]
        command = [compiler, *options, "-o", str(library), str(source), "-lm"]
        subprocess.run(command, check=True)
        libraries[name] = ctypes.CDLL(str(library))
    return libraries


def run_loop(library, parameters, x, t, delta, *, from_the_logarithm):
    real = REALS[x.dtype.name][0]
    N, D = x.shape
    H, K = parameters.W2.shape
    gradient = {n: np.zeros_like(a) for n, a in parameters.tensors().items()}
    labels = t.astype(np.int32)
    arrays = [x, labels, *map(np.ascontiguousarray, parameters.tensors().values())]
    pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (*arrays, *gradient.values())]
    library.gradient(N, D, H, K, *pointers[:6], real(delta), int(from_the_logarithm), *pointers[6:])
    return gradient


@given(
    case=networks,
    dtype=st.sampled_from(["float32", "float64"]),
    delta=st.sampled_from([1e-7, 1e-3]),
    from_the_logarithm=st.booleans(),
)
def test_loops_in_c_pass(loops, case, dtype, delta, from_the_logarithm):
    """Serial sums are the worst order that people use."""
    inputs = network(dtype, **case)
    candidate = run_loop(loops[dtype], *inputs, delta, from_the_logarithm=from_the_logarithm)
    report = closed_form.check_two_layer_net(*inputs, candidate, delta=delta)
    assert report.verdict is Verdict.PASS, (report.budget_used, report.summary)


@pytest.mark.parametrize("weight", [0.0, 0.3])
@pytest.mark.parametrize("N", [256, 4096])
def test_equal_outputs_pass_in_a_large_batch(loops, weight, N):
    """Zero weights give all samples one output, and a sum of equal terms errs alike every time."""
    shapes = [(3, 4), (4,), (4, 10), (10,)]
    parameters = TwoLayerNetParameters(*(np.full(s, weight, np.float32) for s in shapes))
    x, t = np.ones((N, 3), np.float32), np.sort(np.arange(N) % 10)
    candidate = run_loop(loops["float32"], parameters, x, t, 1e-7, from_the_logarithm=False)
    report = closed_form.check_two_layer_net(parameters, x, t, candidate)
    assert report.verdict is Verdict.PASS, report.budget_used


@given(
    case=networks,
    dtype=st.sampled_from(["float64", "float32", "float16", "bfloat16"]),
    delta=st.sampled_from([0.0, 1e-7]),
)
def test_torch_passes(case, dtype, delta):
    """Autograd through softmax and log; half precision sums in float32.

    Half precision may be inconclusive, and an overflow in it is the candidate's own.
    """
    torch = pytest.importorskip("torch")
    held = np.dtype(getattr(ml_dtypes, dtype, dtype))
    delta = float(held.type(delta))
    parameters, x, t = network(held, **case)

    def tensor(a):
        return torch.tensor(a.astype(np.float64)).to(getattr(torch, dtype))

    leaves = {n: tensor(a).requires_grad_() for n, a in parameters.tensors().items()}
    z = torch.sigmoid(tensor(x) @ leaves["W1"] + leaves["b1"])
    scores = z @ leaves["W2"] + leaves["b2"]
    labels = torch.tensor(t)
    if delta == 0.0:
        loss = torch.nn.functional.cross_entropy(scores, labels)
    else:
        y = torch.softmax(scores, 1)
        loss = -torch.log(y[torch.arange(len(t)), labels] + delta).mean()
    loss.backward()
    candidate = {n: leaf.grad.double().numpy().astype(held) for n, leaf in leaves.items()}
    if not all(np.isfinite(g.astype(np.float64)).all() for g in candidate.values()):
        assert dtype not in {"float32", "float64"}
        return
    sums = "float32" if held.itemsize == 2 else None
    report = closed_form.check_two_layer_net(
        parameters, x, t, candidate, delta=delta, accumulation_dtype=sums
    )
    right = {Verdict.PASS, Verdict.INCONCLUSIVE} if sums else {Verdict.PASS}
    assert report.verdict in right, (report.budget_used, report.summary)


@settings(max_examples=8)
@given(case=networks, delta=st.sampled_from([0.0, 1e-7]))
def test_jax_passes(case, delta):
    """Compiled by XLA, with its own exp, its own order of sums and log-softmax."""
    jax = pytest.importorskip("jax")
    parameters, x, t = network("float32", **case)

    def loss(tensors):
        z = jax.nn.sigmoid(x @ tensors["W1"] + tensors["b1"])
        scores = z @ tensors["W2"] + tensors["b2"]
        if delta == 0.0:
            return -jax.nn.log_softmax(scores)[np.arange(len(t)), t].mean()
        return -jax.numpy.log(jax.nn.softmax(scores)[np.arange(len(t)), t] + delta).mean()

    candidate = {n: np.asarray(g) for n, g in jax.grad(loss)(parameters.tensors()).items()}
    report = closed_form.check_two_layer_net(parameters, x, t, candidate, delta=delta)
    assert report.verdict is Verdict.PASS, (report.budget_used, report.summary)


@pytest.mark.parametrize("scale", [0.01, 0.1, 0.5])
def test_budget_of_float16_with_wide_sums_is_not_vacuous(scale):
    """Functions are rounded once; bfloat16, 8 times coarser, may still be inconclusive here."""
    case = {"seed": 3, "scale": scale, "N": 32, "sizes": (20, 10, 5)}
    parameters, x, t = network("float16", **case, inputs="normal", weights="normal")
    how = arithmetic("float16", "float32")
    evaluation = budget.two_layer_net(parameters, x, t, how, delta=0.0)
    for name, allowed in evaluation.budget.items():
        assert allowed.max() < survey.HALVED * np.abs(evaluation.tensors[name]).max()
