"""Checks of graphs of operators: right gradients pass, wrong ones fail, kinks have conventions."""

from __future__ import annotations

import numpy as np
import pytest

from oracle.checking import known
from oracle.document import nets
from oracle.graphs.graph import Graph, Node, plan
from oracle.values import InvalidInput, TwoLayerNetParameters, Verdict

RECTIFIED = Graph(
    (
        Node("Gemm", ("x", "W1", "b1"), ("a",)),
        Node("Relu", ("a",), ("z",)),
        Node("Gemm", ("z", "W2"), ("s",)),
        Node("SoftmaxCrossEntropyLoss", ("s", "t"), ("loss",)),
    ),
    ("x", "W1", "b1", "W2", "t"),
    ("loss",),
)


def inputs(seed=0, dtype="float64", zeros=False):
    rng = np.random.default_rng(seed)
    found = {
        "x": rng.normal(size=(7, 5)),
        "W1": rng.normal(size=(5, 6)),
        "b1": rng.normal(size=6),
        "W2": rng.normal(size=(6, 3)),
    }
    if zeros:
        found["x"][2] = 0.0
        found["b1"][:] = 0.0
    return {n: a.astype(dtype) for n, a in found.items()} | {"t": rng.integers(0, 3, 7)}


def backward(i, at_zero=0.0):
    one = i["x"].dtype.type
    a = i["x"] @ i["W1"] + i["b1"]
    z = np.maximum(a, 0)
    s = z @ i["W2"]
    e = np.exp(s - s.max(axis=1, keepdims=True))
    y = e / e.sum(axis=1, keepdims=True)
    d = (y - np.eye(3, dtype=one)[i["t"]]) / one(7)
    slope = np.where(a > 0, one(1), np.where(a == 0, one(at_zero), one(0)))
    da = d @ i["W2"].T * slope
    return {"W1": i["x"].T @ da, "b1": da.sum(axis=0), "W2": z.T @ d}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_right_gradient_passes_and_a_changed_entry_fails(dtype):
    """The limit says how small a change is seen."""
    for seed in range(5):
        given = inputs(seed, dtype)
        fits = plan(RECTIFIED, given)
        gradient = backward(given)
        report = known.check(fits, gradient)
        assert report.verdict is Verdict.PASS, report.summary
        assert report.detection_limit < (1e-12 if dtype == "float64" else 1e-3)
        for name, tensor in gradient.items():
            wrong = tensor.copy()
            wrong.flat[0] += 4 * report.detection_limit * np.abs(tensor).max()
            assert known.check(fits, gradient | {name: wrong}).verdict is Verdict.FAIL


@pytest.mark.parametrize("at_zero", [0.0, 0.5, 1.0])
def test_at_a_kink_each_convention_passes(at_zero):
    """Used everywhere, a slope of 0, 1/2 or 1 at 0 is right, and the report says which it was."""
    given = inputs(3, zeros=True)
    report = known.check(plan(RECTIFIED, given), backward(given, at_zero))
    assert report.verdict is Verdict.PASS
    assert f"as {at_zero:g}" in report.notes[-1]


def test_at_a_kink_another_slope_fails():
    """A slope outside of the conventions is a wrong one."""
    given = inputs(3, zeros=True)
    report = known.check(plan(RECTIFIED, given), backward(given, 2.0))
    assert report.verdict is Verdict.FAIL


def test_a_parameter_that_is_used_twice_gets_the_sum():
    """A tied weight has one gradient, of both uses; one use alone fails."""
    graph = Graph(
        (
            Node("Gemm", ("x", "W"), ("a",)),
            Node("Sigmoid", ("a",), ("z",)),
            Node("Gemm", ("z", "W"), ("b",)),
            Node("MeanSquaredError", ("b", "t"), ("loss",)),
        ),
        ("x", "W", "t"),
        ("loss",),
    )
    rng = np.random.default_rng(1)
    x, W, t = (rng.normal(size=s) for s in ((4, 3), (3, 3), (4, 3)))
    z = 1 / (1 + np.exp(-(x @ W)))
    d = z @ W - t
    below = x.T @ (d @ W.T * z * (1 - z))
    fits = plan(graph, {"x": x, "W": W, "t": t})
    assert known.check(fits, {"W": below + z.T @ d}).verdict is Verdict.PASS
    assert known.check(fits, {"W": z.T @ d}).verdict is Verdict.FAIL


def test_the_cotangent_is_part_of_the_question():
    """An operator alone is checked against Σ cotangent · output."""
    graph = Graph((Node("Sigmoid", ("X",), ("Y",)),), ("X",), ("Y",))
    rng = np.random.default_rng(2)
    X, dY = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    fits = plan(graph, {"X": X})
    y = 1 / (1 + np.exp(-X))
    right = {"X": dY * y * (1 - y)}
    assert known.check(fits, right, cotangents={"Y": dY}).verdict is Verdict.PASS
    assert known.check(fits, right).verdict is Verdict.FAIL
    with pytest.raises(InvalidInput, match="shape"):
        known.check(fits, right, cotangents={"Y": dY[:2]})


def test_small_graphs_are_proven_and_round_to_the_nearest():
    """For a float64 candidate the reference comes from balls where they are affordable."""
    rng = np.random.default_rng(0)
    parameters = TwoLayerNetParameters(*(rng.normal(size=s) for s in ((5, 4), (4,), (4, 3), (3,))))
    fits = nets.two_layer_net(parameters, rng.normal(size=(6, 5)), np.arange(6) % 3, 1e-7)
    exact, _ = known.reference(known.known(fits, wanted=("W1", "b2")))
    assert exact.correctly_rounded
    assert set(exact.tensors) == {"W1", "b2"}


def test_a_search_of_a_long_chain_ends(monkeypatch):
    """A count of derivatives bounds the diagnosis, and what was found by then is said."""
    from oracle.diagnosis import walk

    calls, part = [], walk.Question.part
    monkeypatch.setattr(walk, "MOST_DERIVATIVES", 2_000)
    monkeypatch.setattr(
        walk.Question, "part", lambda self, *given: calls.append(1) or part(self, *given)
    )
    nodes = tuple(Node("Tanh", (f"h{k}",), (f"h{k + 1}",)) for k in range(60))
    fits = plan(Graph(nodes, ("h0",), ("h60",)), {"h0": np.linspace(-1, 1, 12).reshape(3, 4)})
    exact, _ = known.reference(known.known(fits))
    report = known.check(fits, {"h0": np.sin(7e3 * exact.tensors["h0"])})
    assert report.verdict is Verdict.FAIL
    assert len(calls) <= 2_000
