"""The document's networks and losses as graphs, and the plans of them."""

from __future__ import annotations

import numpy as np

from oracle.graphs.graph import Graph, Node, Plan, plan
from oracle.values import Array, TwoLayerNetParameters


def two_layer_net(parameters: TwoLayerNetParameters, x: Array, t: Array, delta: float) -> Plan:
    """Return the loss of softmax(sigmoid(x W1 + b1) W2 + b2); inputs "W1", "b1", "W2", "b2"."""
    graph = Graph(
        (
            Node("Gemm", ("x", "W1", "b1"), ("a1",)),
            Node("Sigmoid", ("a1",), ("z1",)),
            Node("Gemm", ("z1", "W2", "b2"), ("a2",)),
            Node("SoftmaxCrossEntropyError", ("a2", "t"), ("loss",), {"delta": delta}),
        ),
        ("W1", "b1", "W2", "b2", "x", "t"),
        ("loss",),
        "two-layer net",
    )
    return plan(graph, {**parameters.tensors(), "x": np.atleast_2d(x), "t": _targets(x, t)})


def simple_net(W: Array, x: Array, t: Array, delta: float) -> Plan:
    """Return the loss of softmax(x W); input "W"."""
    graph = Graph(
        (
            Node("Gemm", ("x", "W"), ("a",)),
            Node("SoftmaxCrossEntropyError", ("a", "t"), ("loss",), {"delta": delta}),
        ),
        ("W", "x", "t"),
        ("loss",),
        "simple net",
    )
    return plan(graph, {"W": W, "x": np.atleast_2d(x), "t": _targets(x, t)})


def mean_squared_error(y: Array, t: Array) -> Plan:
    """Return ½ Σ (y - t)²; input "y"."""
    graph = Graph(
        (Node("MeanSquaredError", ("y", "t"), ("loss",)),),
        ("y", "t"),
        ("loss",),
        "mean squared error",
    )
    return plan(graph, {"y": y, "t": t})


def cross_entropy_error(y: Array, t: Array, delta: float) -> Plan:
    """Return -1/N Σ t log(y + delta); input "y"."""
    graph = Graph(
        (Node("CrossEntropyError", ("y", "t"), ("loss",), {"delta": delta}),),
        ("y", "t"),
        ("loss",),
        "cross-entropy error",
    )
    return plan(graph, {"y": y, "t": t})


def _targets(x: Array, t: Array) -> Array:
    """Return targets of a batch; those of one sample are a batch of one."""
    if x.ndim == 2:
        return t
    return np.atleast_1d(t) if np.issubdtype(t.dtype, np.integer) else np.atleast_2d(t)
