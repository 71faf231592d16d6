"""Whatever a graph holds, it is answered or refused; and a right gradient of it never fails."""

from __future__ import annotations

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.gradcheck.v1 import graph_pb2 as pb
from oracle.gradcheck.v1 import report_pb2
from oracle.operators.table import OPERATORS
from oracle.wire import attributes, tensors

SHAPES = [(), (1,), (3,), (2, 3), (3, 2), (1, 3), (2, 2), (2, 3, 4), (2, 1, 3, 3), (0,), (2, 0)]
ODD = [
    0,
    1,
    -1,
    7,
    2**63 - 1,
    0.5,
    1e300,
    "",
    "mean",
    "sum",
    "none",
    (),
    (0,),
    (1, 0),
    (-5,),
    (0.5,),
]


def an_array(rng):
    shape = SHAPES[rng.integers(len(SHAPES))]
    kind = rng.integers(8)
    if kind == 0:
        return rng.integers(-2, 4, size=shape)
    if kind == 1:
        return np.asarray(rng.normal(size=shape) > 0)
    if kind == 2:
        return np.zeros(shape)
    scale = 10.0 ** rng.integers(-300, 300) if kind == 3 else 1.0
    return np.asarray(rng.normal(size=shape) * scale)


def a_node(rng, k, known):
    operator = list(OPERATORS.values())[rng.integers(len(OPERATORS))]
    signature = operator.signature
    count = len(signature.inputs) + rng.integers(2) - rng.integers(2)
    given = {
        name: ODD[rng.integers(len(ODD))] if rng.random() < 0.5 else default
        for name, default in signature.attributes.items()
        if isinstance(default, int | float | str) and rng.random() < 0.3
    }
    return pb.Node(
        op_type=operator.name,
        inputs=[known[rng.integers(len(known))] for _ in range(count)],
        outputs=[f"o{k}_{j}" for j in range(len(signature.outputs))],
        attributes=attributes.encode(given),
    )


def a_request(seed):
    """A graph of up to three nodes, of any operators, with any attributes, at any inputs."""
    rng = np.random.default_rng(seed)
    inputs = {f"i{k}": an_array(rng) for k in range(rng.integers(1, 4))}
    nodes, known = [], list(inputs)
    for k in range(rng.integers(1, 4)):
        nodes.append(a_node(rng, k, known))
        known += nodes[-1].outputs
    graph = pb.Graph(nodes=nodes, outputs=nodes[-1].outputs[:1])
    return {"graph": graph, "inputs": tensors.encode(inputs)}


def answered(call, method, **request):
    """The answer, or None if the request is refused; any other error is one of the server."""
    try:
        return call(f"GraphService/{method}", **request)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
            raise
        return None


WRONG = (
    lambda g: -2 * g,
    np.zeros_like,
    np.abs,
    np.flip,
    lambda g: g + 1.0,
    lambda g: g.reshape(-1),
)


@given(seed=st.integers(0, 2**32))
def test_any_graph_is_answered_or_refused(call, seed):
    """Its value, its gradient, the check of the right gradient, and those of wrong ones."""
    request = a_request(seed)
    answered(call, "Evaluate", **request)
    exact = answered(call, "Differentiate", **request)
    if exact is None:
        return
    right = answered(call, "Check", **request, gradient=exact.gradient)
    assert right is None or right.report.verdict != report_pb2.VERDICT_FAIL, right.report.text
    gradient = tensors.decode(exact.gradient, "gradient")
    for change in WRONG:
        with np.errstate(all="ignore"):
            wrong = {name: change(array) for name, array in gradient.items()}
        answered(call, "Check", **request, gradient=tensors.encode(wrong))


@pytest.mark.parametrize("name", OPERATORS)
def test_a_wrong_gradient_of_any_operator_is_judged(call, name):
    """On its own probe: noise that nothing explains is a failure, and no error of the server."""
    probe = call("GraphService/Probe", op_type=name, seed=1)
    request = {"graph": probe.graph, "inputs": probe.inputs, "cotangents": probe.cotangents}
    exact = tensors.decode(call("GraphService/Differentiate", **request).gradient, "gradient")
    rng = np.random.default_rng(2)
    noise = {
        n: g * rng.uniform(0.5, 2.0, g.shape) + rng.normal(size=g.shape) for n, g in exact.items()
    }
    report = call("GraphService/Check", **request, gradient=tensors.encode(noise)).report
    assert report.verdict == report_pb2.VERDICT_FAIL
