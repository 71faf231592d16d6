"""A graph that does not fit is refused with the node and what it must be, before any work."""

from __future__ import annotations

import numpy as np
import pytest

from oracle.graphs.graph import Graph, Node, plan
from oracle.operators.table import OPERATORS
from oracle.values import InvalidInput
from tests.graphs.refused import INPUTS, NODES, REFUSED


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_a_graph_that_does_not_fit_is_refused_at_its_place(case):
    """The place is a path in the graph, and the text says the operator and what it must be."""
    with pytest.raises(InvalidInput) as caught:
        plan(case.graph(), case.inputs)
    assert caught.value.argument == case.place
    assert case.says in str(caught.value)


@pytest.mark.parametrize(
    ("names", "inputs", "says"),
    [
        (("x", ""), {"x": 1.0, "": 1.0}, "have names, got an empty one"),
        (("x", "x"), {"x": 1.0}, "have names that differ, got 'x' twice"),
        (("x", "y"), {"x": 1.0}, "hold y, got x"),
        (("x",), {"x": 1.0, "y": 1.0}, r"hold nothing but inputs of the graph \(x\), got y"),
    ],
)
def test_inputs_have_the_names_of_the_graph(names, inputs, says):
    """What is given is what is declared, once each."""
    arrays = {name: np.array(value) for name, value in inputs.items()}
    with pytest.raises(InvalidInput, match=says):
        plan(Graph((Node("Relu", ("x",), ("y",)),), names, ("y",)), arrays)


def test_a_graph_has_an_output():
    """Without one there is nothing to be differentiated."""
    with pytest.raises(InvalidInput, match="`outputs` must name at least one tensor"):
        plan(Graph(NODES, tuple(INPUTS), ()), INPUTS)


HOSTILE = ["", "text", -(2**63), 2**63 - 1, 7, 0.5, -1e300, (), (0, 0), (9, -9), (0.5,), ("a", "b")]
KEYS = [(name, key) for name, one in OPERATORS.items() for key in one.signature.attributes]


@pytest.mark.parametrize(("name", "key"), KEYS, ids=["-".join(key) for key in KEYS])
@pytest.mark.parametrize("value", HOSTILE, ids=repr)
def test_any_attribute_fits_or_is_refused(name, key, value):
    """A type, an axis or a size that makes no sense is an error of the caller, at its attribute."""
    from oracle.graphs.probe import of_operator

    case = of_operator(OPERATORS[name], "float64", 0)
    (node,) = case.graph.nodes
    changed = Node(name, node.inputs, node.outputs, {**node.attributes, key: value})
    place = "nodes[0]."
    try:
        plan(Graph((changed,), case.graph.inputs, case.graph.outputs), case.inputs)
    except InvalidInput as error:
        place = error.argument
    assert place.startswith("nodes[0].")


def test_what_fits_is_planned_with_shapes_and_what_can_be_differentiated():
    """Labels are whole numbers, and so are not differentiated."""
    found = plan(Graph(NODES, tuple(INPUTS), ("loss",)), INPUTS)
    assert found.shapes["a2"] == (5, 2)
    assert found.differentiable == ("x", "W1", "b1", "W2")
