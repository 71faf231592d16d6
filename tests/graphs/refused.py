"""Graphs that are refused: a right one with one thing changed, the place, and what is said."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from oracle.graphs.graph import Graph, Node

INPUTS = {
    "x": np.ones((5, 4)),
    "W1": np.ones((4, 3)),
    "b1": np.ones(3),
    "W2": np.ones((3, 2)),
    "t": np.array([0, 1, 1, 0, 1]),
}
FIRST = Node("Gemm", ("x", "W1", "b1"), ("a1",), name="first")
RELU = Node("Relu", ("a1",), ("z1",))
SECOND = Node("Gemm", ("z1", "W2"), ("a2",), {"alpha": 2.0, "transB": 0})
LOSS = Node("SoftmaxCrossEntropyLoss", ("a2", "t"), ("loss",))
NODES = (FIRST, RELU, SECOND, LOSS)


@dataclass(frozen=True)
class Refused:
    """A graph that is refused at `place`, with a text that holds `says`."""

    place: str
    says: str
    nodes: tuple[Node, ...] = NODES
    outputs: tuple[str, ...] = ("loss",)
    inputs: dict[str, Any] = field(default_factory=lambda: INPUTS)

    def graph(self):
        return Graph(self.nodes, tuple(self.inputs), self.outputs)


def changed(k, **changes):
    """The nodes with one of them changed."""
    return (*NODES[:k], replace(NODES[k], **changes), *NODES[k + 1 :])


def given(**changes):
    """The inputs with some of them changed."""
    return {**INPUTS, **changes}


REFUSED = {
    "no node": Refused("nodes", "hold at least one node", ()),
    "an operator that nobody knows": Refused(
        "nodes[1].op_type", "an operator that is served, got 'Relux'; Relu is one",
        changed(1, operator="Relux"),
    ),
    "no operator": Refused("nodes[1].op_type", "got ''", changed(1, operator="")),
    "another domain": Refused(
        "nodes[0].domain", "be ai.onnx for Gemm 'first', or empty", changed(0, domain="com.acme")
    ),
    "too few inputs": Refused(
        "nodes[0].inputs", "hold 2 to 3 names, the inputs of Gemm 'first' (A, B, C), got 1",
        changed(0, inputs=("x",)),
    ),
    "too many inputs": Refused(
        "nodes[1].inputs", "hold 1 names, the inputs of Relu (X), got 2",
        changed(1, inputs=("a1", "a1")),
    ),
    "an input that is needed is left out": Refused(
        "nodes[0].inputs[0]", "as Gemm 'first' needs its A, got none",
        changed(0, inputs=("", "W1")),
    ),
    "no output": Refused(
        "nodes[1].outputs", "hold 1 names, the outputs of Relu (Y), got 0", changed(1, outputs=())
    ),
    "an output without a name": Refused(
        "nodes[1].outputs[0]", "have a name, as Relu writes it", changed(1, outputs=("",))
    ),
    "an unknown name": Refused(
        "nodes[2].inputs[1]",
        "be an input of the graph, or an output of an earlier node, as Gemm reads it, got 'W3'",
        changed(2, inputs=("z1", "W3")),
    ),
    "a cycle": Refused(
        "nodes[0].inputs[2]", "got 'z1', which nodes[1] computes",
        changed(0, inputs=("x", "W1", "z1")),
    ),
    "a node that reads itself": Refused(
        "nodes[1].inputs[0]", "got 'z1', which nodes[1] computes", changed(1, inputs=("z1",))
    ),
    "an output that is an input": Refused(
        "nodes[1].outputs[0]", "have a name of its own, as Relu writes it, got 'x' twice",
        changed(1, outputs=("x",)),
    ),
    "an output of two nodes": Refused(
        "nodes[2].outputs[0]", "got 'a1' twice", changed(2, outputs=("a1",))
    ),
    "labels that a node computes": Refused(
        "nodes[3].inputs[1]",
        "as SoftmaxCrossEntropyLoss does not differentiate labels, got 'z1', which a node computes",
        changed(3, inputs=("a2", "z1")),
    ),
    "an attribute that nobody knows": Refused(
        "nodes[2].attributes[1]",
        "be an attribute of Gemm (alpha, beta, transA, transB), got 'transC'",
        changed(2, attributes={"alpha": 1.0, "transC": 1}),
    ),
    "a text for a number": Refused(
        "nodes[2].attributes[0]", "be a number as alpha of Gemm, got 'two'",
        changed(2, attributes={"alpha": "two"}),
    ),
    "a number for a whole number": Refused(
        "nodes[2].attributes[0]", "be a whole number as transB of Gemm, got 0.5",
        changed(2, attributes={"transB": 0.5}),
    ),
    "a list for a number": Refused(
        "nodes[2].attributes[0]", "be a number as alpha of Gemm",
        changed(2, attributes={"alpha": (1,)}),
    ),
    "a number that is none": Refused(
        "nodes[2].attributes[0]", "be finite as alpha of Gemm, got nan",
        changed(2, attributes={"alpha": float("nan")}),
    ),
    "a value that is not served": Refused(
        "nodes[3].attributes[0]", "as reduction of SoftmaxCrossEntropyLoss",
        changed(3, attributes={"reduction": "product"}),
    ),
    "a matrix of another size": Refused(
        "nodes[2].inputs[1]", "must have 3 rows as B of Gemm, got shape (4, 2) of 'W2'",
        inputs=given(W2=np.ones((4, 2))),
    ),
    "a vector for a matrix": Refused(
        "nodes[0].inputs[0]", "be a matrix as A of Gemm 'first', got shape (4,) of 'x'",
        inputs=given(x=np.ones(4)),
    ),
    "a bias that does not broadcast": Refused(
        "nodes[0].inputs[2]", "broadcast to (5, 3) as C of Gemm 'first', got shape (4,) of 'b1'",
        inputs=given(b1=np.ones(4)),
    ),
    "no samples": Refused(
        "nodes[0].inputs[0]", "hold at least one number, as Gemm 'first' computes with it",
        inputs=given(x=np.ones((0, 4)), t=np.zeros(0, int)),
    ),
    "fewer labels than samples": Refused(
        "nodes[3].inputs[1]", "as labels of SoftmaxCrossEntropyLoss",
        inputs=given(t=np.array([0, 1])),
    ),
    "a label that is no class": Refused(
        "nodes[3].inputs[1]", "be from 0 to 1 as labels of",
        inputs=given(t=np.array([0, 1, 2, 0, 1])),
    ),
    "an output of the graph that nobody knows": Refused(
        "outputs[1]", "name a tensor of the graph, got 'accuracy'", outputs=("loss", "accuracy")
    ),
    "an output of the graph twice": Refused(
        "outputs", "name each tensor once, got loss, loss", outputs=("loss", "loss")
    ),
}  # fmt: skip
