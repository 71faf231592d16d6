"""Nets of known operators, in every form that a caller may give them in, by every client."""

from __future__ import annotations

import functools
import json

import gradient_oracle
import numpy as np
import pytest

from tests.client.nets import INPUTS, NODES, by_hand, net

LOSS, GRADIENT = by_hand()
X = INPUTS["x"]


def close(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name] == pytest.approx(array, abs=1e-14)


@pytest.mark.parametrize("form", [net, NODES, {"nodes": NODES, "outputs": ["loss"]}])
def test_a_net_has_a_value_an_exact_gradient_and_a_verdict(oracle, form):
    """A function of ops and a list of nodes are one net."""
    assert oracle.value(form, INPUTS) == pytest.approx(LOSS, rel=1e-14)
    exact = oracle.gradient(form, INPUTS)
    assert set(exact) == {"x", "W1", "b1", "W2"}
    close({name: exact[name] for name in GRADIENT}, GRADIENT)
    assert exact.proven
    assert 0 < exact.radius < 1e-15
    assert exact.kinks == 0
    assert oracle.check(form, INPUTS, GRADIENT).passed
    report = oracle.check(form, INPUTS, {**GRADIENT, "W1": 3 * GRADIENT["W1"]})
    assert (report.verdict, report.findings[0].tensor) == ("fail", "W1")
    single = {name: array.astype(np.float32) for name, array in GRADIENT.items()}
    assert oracle.check(form, INPUTS, single).detection_limit > 1e-8


def test_some_of_the_gradients_will_do(oracle):
    """Those that are given are checked, and those that are wanted computed."""
    assert oracle.check(net, INPUTS, {"W2": GRADIENT["W2"]}).entries == 18
    assert list(oracle.gradient(net, INPUTS, wanted=["b1"])) == ["b1"]
    report = oracle.check(net, INPUTS, {"W2": GRADIENT["W2"], "b1": None})
    assert (report.findings[0].kind, report.findings[0].tensor) == ("missing_tensor", "b1")


def test_one_operator_has_the_names_of_onnx(oracle):
    """Optional inputs are left out, attributes are a dict."""
    a, b = X, INPUTS["W2"][:3, :]
    inputs = {"A": a, "B": b, "C": None}
    attributes = {"transB": 1, "alpha": 0.5}
    with pytest.raises(Exception, match="must have 4 columns as B of Gemm"):
        oracle.value("Gemm", inputs, attributes=attributes)
    inputs["B"] = b = INPUTS["W1"].T
    assert oracle.value("Gemm", inputs, attributes=attributes) == pytest.approx(0.5 * a @ b.T)
    dy = np.arange(30.0).reshape(5, 6)
    expected = {"A": 0.5 * dy @ b, "B": 0.5 * dy.T @ a}
    found = oracle.gradient("Gemm", inputs, attributes=attributes, cotangent=dy)
    close(found, expected)
    assert oracle.check("Gemm", inputs, expected, attributes=attributes, cotangent=dy).passed
    assert not oracle.check("Gemm", inputs, expected, attributes=attributes).passed


def test_an_array_is_the_gradient_of_the_only_floating_input(oracle):
    """Labels have none."""
    t = np.array([0, 2, 1, 1, 0])
    y = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)
    da = (y - np.eye(4)[t]) / 5
    assert oracle.check("SoftmaxCrossEntropyLoss", {"scores": X, "labels": t}, da).passed
    assert oracle.check("Relu", {"X": X}, (X > 0) * 1.0).passed


def test_outputs_come_back_as_the_net_returns_them(oracle):
    """A tuple, or a dict; the cotangent has the same form."""

    def both(ops, x):
        return ops.Relu(x), ops.Sigmoid(x)

    def named(ops, x):
        relu, sigmoid = both(ops, x)
        return {"relu": relu, "sigmoid": sigmoid}

    relu, s = np.maximum(X, 0), 1 / (1 + np.exp(-X))
    first, second = oracle.value(both, {"x": X})
    assert (first, second) == (pytest.approx(relu), pytest.approx(s))
    assert oracle.value(named, {"x": X})["sigmoid"] == pytest.approx(s)
    dx = 3 * s * (1 - s)
    weights = np.full(X.shape, 3.0)
    for form, cotangent in ((both, (None, weights)), (named, {"sigmoid": weights})):
        assert oracle.gradient(form, {"x": X}, cotangent=cotangent)["x"] == pytest.approx(dx)
        assert oracle.check(form, {"x": X}, {"x": dx}, cotangent=cotangent).passed
    twice = oracle.value(lambda ops, x: [ops.Relu(x)] * 2, {"x": X})
    assert len(twice) == 2
    nodes = [*NODES[:2], {"op_type": "Sigmoid", "inputs": ["a1"], "outputs": ["s"]}]
    several = {"nodes": nodes, "outputs": ["z1", "s"]}
    inputs = {name: INPUTS[name] for name in ("x", "W1", "b1")}
    assert list(oracle.value(several, inputs)) == ["z1", "s"]


def test_a_parameter_that_is_used_twice_gets_the_sum(oracle):
    """As a weight that two layers share."""

    def tied(ops, x, W):
        return ops.Gemm(ops.Gemm(x, W), W, transB=1)

    x, W = X, INPUTS["W1"]
    ones = np.ones((5, 4))
    expected = x.T @ (ones @ W) + ones.T @ (x @ W)
    assert oracle.gradient(tied, {"x": x, "W": W})["W"] == pytest.approx(expected)


def test_arrays_in_the_net_are_constants(oracle):
    """They are read, not differentiated; whole numbers are numbers."""
    shift = np.array([1.0, 2.0, 3.0, 4.0])

    def shifted(ops, x):
        return ops.Gemm(x, np.eye(4), shift)

    assert oracle.value(shifted, {"x": X}) == pytest.approx(X + shift)
    assert list(oracle.gradient(shifted, {"x": X})) == ["x"]
    whole = oracle.gradient("Gemm", {"A": np.arange(6).reshape(2, 3), "B": np.ones((3, 2))})
    assert list(whole) == ["B"]


def test_the_arithmetic_of_the_candidate_may_be_said(oracle):
    """Scaled losses, wider sums, narrower activations, and what stays in registers."""
    scaled = {name: 4096 * array for name, array in GRADIENT.items()}
    assert not oracle.check(net, INPUTS, scaled).passed
    assert oracle.check(net, INPUTS, scaled, scale=4096).passed
    single = {name: array.astype(np.float32) for name, array in GRADIENT.items()}
    limits = [
        oracle.check(net, INPUTS, single, **options).detection_limit
        for options in (
            {"compute": "float64"},
            {"accumulate": "float64"},
            {},
            {"store": "bfloat16", "stored": ["Relu_1"]},
            {"store": "bfloat16"},
        )
    ]
    assert limits == sorted(limits)
    assert len(set(limits)) == 5


def test_a_probe_is_drawn_for_an_operator_and_for_a_net(oracle):
    """It is a case to compute on, in any type."""
    probe = oracle.probe("Gemm", dtype="float32", seed=3)
    assert {array.dtype.name for array in probe.inputs.values()} == {"float32"}
    again = {"cotangent": probe.cotangent, "attributes": probe.attributes}
    exact = oracle.gradient("Gemm", probe.inputs, **again)
    assert oracle.check("Gemm", probe.inputs, exact, **again).passed
    shapes = {name: array.shape for name, array in INPUTS.items()}
    drawn = oracle.probe(net, shapes, labels={"t": 3}, seed=1)
    assert {name: array.shape for name, array in drawn.inputs.items()} == shapes
    assert drawn.inputs["t"].max() == 2
    assert oracle.value(net, drawn.inputs) > 0


def test_the_server_tells_its_operators(oracle):
    """With how they are called, the formula, and the mistakes that are known."""
    listed = oracle.operators()
    assert set(listed) == set(oracle.info().operators)
    gemm = listed["Gemm"]
    assert gemm.call() == "Gemm(A, B, [C], *, alpha=1.0, beta=1.0, transA=0, transB=0)"
    assert "dA' = alpha dY B'ᵀ" in str(gemm)
    assert "bias_reduction" in gemm.codes
    (loss,) = oracle.operators(["SoftmaxCrossEntropyLoss"]).values()
    assert "Not differentiated: labels" in str(loss)
    with pytest.raises(gradient_oracle.InvalidRequest, match="`names` must be an operator that"):
        oracle.operators(["Relux"])


def test_a_mistake_that_only_one_operator_knows_has_its_code(oracle):
    """It is no number of the contract, and reaches the caller in words."""
    rng = np.random.default_rng(0)
    scale, dy = rng.normal(size=4), rng.normal(size=X.shape)
    r = 1 / np.sqrt(X.var(axis=1, keepdims=True) + 1e-5)
    h = (X - X.mean(axis=1, keepdims=True)) * r
    g = dy * scale
    wrong = {"X": r * (g - h * (g * h).mean(axis=1, keepdims=True))}
    inputs = {"X": X, "Scale": scale, "B": np.zeros(4)}
    report = oracle.check("LayerNormalization", inputs, wrong, cotangent=dy)
    assert [finding.kind for finding in report.findings] == ["mean_term_missing"]
    assert "mean_term_missing" in oracle.operators()["LayerNormalization"].codes
    assert json.loads(report.to_json())["findings"][0]["code"] == "mean_term_missing"


def test_a_report_has_the_name_of_the_net(embedded):
    """A lambda and an object have none."""

    def small(ops, x):
        return ops.Relu(x)

    class Net:
        def __call__(self, ops, x):
            return ops.Relu(x)

    gradient = (X > 0) * 1.0
    for form, name in (
        (small, "small"),
        (functools.partial(small), "small"),
        (lambda ops, x: ops.Relu(x), "net"),
        (Net(), "net"),
        ("Relu", "Relu"),
    ):
        inputs = {"X" if form == "Relu" else "x": X}
        assert embedded.check(form, inputs, gradient).subject == name


def test_arrays_of_torch_are_taken(oracle):
    """With their gradients from autograd, under the names of the net."""
    torch = pytest.importorskip("torch")
    held = {n: torch.tensor(a, requires_grad=a.dtype.kind == "f") for n, a in INPUTS.items()}
    hidden = torch.relu(held["x"] @ held["W1"] + held["b1"])
    torch.nn.functional.cross_entropy(2 * hidden @ held["W2"], held["t"]).backward()
    gradient = {name: one.grad for name, one in held.items() if name != "t"}
    assert oracle.check(net, held, gradient).passed
