"""Every way of writing the same gradient, operation by operation in each type, stays in budget."""

from __future__ import annotations

from dataclasses import dataclass, replace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oracle.checking import derivatives
from oracle.values import TwoLayerNetParameters
from tests.checking import budgets as budget
from tests.checking.budgets import arithmetic

NARROW = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
TYPES = {**NARROW, "float32": np.float32, "float64": np.float64}


def wide(a, b):
    """Sum in float32 and round once, as matrix units do; the types' own product if wider."""
    if a.dtype.itemsize > 2:
        return a @ b
    return (a.astype(np.float32) @ b.astype(np.float32)).astype(a.dtype)


def serial(a, b):
    total = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for i in range(a.shape[1]):
        total = total + a[:, i : i + 1] * b[i : i + 1]
    return total


def backwards(a, b):
    return serial(a[:, ::-1], b[::-1])


def pairwise(a, b):
    n = a.shape[1]
    if n == 1:
        return a * b
    return pairwise(a[:, : n // 2], b[: n // 2]) + pairwise(a[:, n // 2 :], b[n // 2 :])


SUMS = {"wide": wide, "serial": serial, "backwards": backwards, "pairwise": pairwise}


@dataclass(frozen=True)
class Form:
    """How a backward pass is written."""

    sums: str
    sigmoid: str
    slope: str
    softmax: str
    output: str


forms = st.builds(
    Form,
    sums=st.sampled_from(list(SUMS)),
    sigmoid=st.sampled_from(["quotient", "tanh", "stable"]),
    slope=st.sampled_from(["z(1-z)", "z-z²", "quotient"]),
    softmax=st.sampled_from(["quotient", "logsumexp"]),
    output=st.sampled_from(["y-t", "logarithm", "jacobian"]),
)


def function(f, a):
    """Evaluate f as libraries do for two-byte types: in float32, rounded once."""
    return f(a.astype(np.float32)).astype(a.dtype) if a.dtype.itemsize == 2 else f(a)


def flushed(a):
    """Return zero for subnormal numbers, as processors in their fast mode do but for float16."""
    if a.dtype == np.float16:
        return a
    return np.where(np.abs(a) < ml_dtypes.finfo(a.dtype).tiny, 0, a).astype(a.dtype)


def backpropagate(form, p, x, t, delta):
    """Return the gradient with a rounding after every operation."""
    product, real = SUMS[form.sums], x.dtype.type
    one, half, N = real(1), real(0.5), real(len(x))

    def total(a, axis):
        ones = np.ones((a.shape[axis], 1), a.dtype)
        return product(a, ones) if axis else product(np.ascontiguousarray(a.T), ones).T

    a = product(x, p.W1) + p.b1
    decay = function(np.exp, -np.abs(a))
    z = {
        "quotient": lambda: one / (one + function(np.exp, -a)),
        "tanh": lambda: half * (one + function(np.tanh, half * a)),
        "stable": lambda: np.where(a >= 0, one, decay) / (one + decay),
    }[form.sigmoid]()
    s = product(z, p.W2) + p.b2
    shifted = s - s.max(axis=1, keepdims=True)
    weights = function(np.exp, shifted)
    if form.softmax == "quotient":
        y = weights / total(weights, 1)
    else:
        y = function(np.exp, shifted - function(np.log, total(weights, 1)))
    T = np.eye(s.shape[1])[t].astype(x.dtype)
    chosen = np.take_along_axis(y, t[:, None], 1)
    if form.output == "logarithm":
        dy = -T / N / (chosen + real(delta))
        g2 = y * (dy - total(y * dy, 1))
    elif form.output == "jacobian" and delta:
        jacobian = y * (T - flushed(chosen))
        jacobian = np.where(T == 0, -flushed(y * chosen), jacobian)
        g2 = jacobian * (-one / (chosen + real(delta))) / N
    elif delta:
        g2 = chosen / (chosen + real(delta)) * (y - T) / N
    else:
        g2 = (y - T) / N
    slope = {
        "z(1-z)": lambda: z * (one - z),
        "z-z²": lambda: z - z * z,
        "quotient": lambda: decay / ((one + decay) * (one + decay)),
    }[form.slope]()
    g1 = product(g2, np.ascontiguousarray(p.W2.T)) * slope
    columns = np.ascontiguousarray
    return {
        "W1": product(columns(x.T), g1),
        "b1": total(g1, 0)[0],
        "W2": product(columns(z.T), g2),
        "b2": total(g2, 0)[0],
    }


networks = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32),
        "scale": st.floats(-2.0, 1.3).map(lambda e: 10.0**e),
        "N": st.integers(1, 64),
        "sizes": st.sampled_from([(20, 10, 5), (64, 20, 10), (1, 1, 2), (3, 2, 1)]),
    }
)
saturated = {"seed": 1, "scale": 1.0, "N": 1, "sizes": (64, 20, 10)}


def written(sigmoid):
    """Write all but the sigmoid in the usual way, with wide sums."""
    return Form("wide", sigmoid, "z(1-z)", "quotient", "y-t")


@given(
    form=forms,
    dtype=st.sampled_from(list(TYPES)),
    case=networks,
    delta=st.sampled_from([0.0, 1e-7, 1e-3]),
)
@example(form=written("tanh"), dtype="float16", case=saturated, delta=0.0)
@example(form=written("quotient"), dtype="float16", case=saturated, delta=0.0)
@example(form=written("tanh"), dtype="bfloat16", case=saturated | {"N": 32}, delta=0.0)
@example(
    form=replace(written("quotient"), output="jacobian"),
    dtype="float32",
    case={"seed": 5, "scale": 10.0, "N": 3, "sizes": (6, 10, 12)},
    delta=1e-7,
)
def test_every_form_stays_within_its_budget(form, dtype, case, delta):
    """Overflow to NaN is a fault of its own; overflow to a finite answer is rounding."""
    D, H, K = case["sizes"]
    rng, scale, N = np.random.default_rng(case["seed"]), case["scale"], case["N"]
    held = TYPES[dtype]
    delta = float(held(delta))
    shapes = [(D, H), (H,), (H, K), (K,)]
    parameters = TwoLayerNetParameters(*((rng.normal(size=s) * scale).astype(held) for s in shapes))
    x, t = rng.normal(size=(N, D)).astype(held), rng.integers(0, K, N)
    assert_within_budget(form, dtype, parameters, x, t, delta=delta)


def assert_within_budget(form, dtype, parameters, x, t, *, delta):
    with np.errstate(all="ignore"):
        candidate = backpropagate(form, parameters, x, t, delta)
    if not all(np.isfinite(g.astype(np.float64)).all() for g in candidate.values()):
        return
    sums = "float32" if form.sums == "wide" and dtype in NARROW else None
    how = arithmetic(dtype, sums)
    exact = derivatives.two_layer_net(parameters, x, t, delta=delta)
    allowed = budget.two_layer_net(parameters, x, t, how, delta=delta).budget
    for name, tensor in candidate.items():
        error = np.abs(tensor.astype(np.float64) - exact.tensors[name])
        assert np.all(error <= allowed[name] + exact.radius[name])


FEW = {
    "0 or 1": lambda rng, shape: (rng.random(shape) < 0.3).astype(float),
    "two, of mean 0": lambda rng, shape: ((rng.random(shape) < 0.3) - 0.3) / 0.46,
    "three": lambda rng, shape: rng.choice([-0.7, 0.1, 0.3], size=shape),
    "one in each column": lambda rng, shape: np.tile(rng.normal(size=shape[1]), (shape[0], 1)),
    "one": lambda _, shape: np.full(shape, 0.1),
    "any": lambda rng, shape: rng.normal(size=shape),
}


@pytest.mark.timeout(600)
@given(
    form=forms,
    dtype=st.sampled_from(["float32", "float64"]),
    kinds=st.tuples(st.sampled_from(list(FEW)), st.sampled_from(list(FEW))),
    seed=st.integers(0, 2**32),
    sizes=st.sampled_from([(N, 400, 10, 5) for N in (1, 8, 64)]),
)
@example(
    form=Form("serial", "quotient", "z(1-z)", "quotient", "y-t"),
    dtype="float32",
    kinds=("two, of mean 0", "one in each column"),
    seed=23,
    sizes=(64, 784, 50, 10),
)
def test_sums_of_few_different_numbers_stay_within_their_budget(form, dtype, kinds, seed, sizes):
    """Of equal terms the same is lost each time, and the same in every sample: it adds up."""
    rng, held = np.random.default_rng(seed), TYPES[dtype]
    N, D, H, K = sizes
    shapes = {"W1": (D, H), "b1": (1, H), "W2": (H, K), "b2": (1, K)}
    drawn = {name: FEW["any"](rng, shape) for name, shape in shapes.items()}
    drawn["W1"] = FEW[kinds[1]](rng, shapes["W1"])
    values = {name: tensor.astype(held) for name, tensor in drawn.items()}
    parameters = TwoLayerNetParameters(
        values["W1"], 0 * values["b1"][0], values["W2"], values["b2"][0]
    )
    x = FEW[kinds[0]](rng, (N, D)).astype(held)
    assert_within_budget(form, dtype, parameters, x, rng.integers(0, K, N), delta=0.0)
