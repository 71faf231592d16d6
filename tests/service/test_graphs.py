"""GraphService over a socket: values, exact gradients, verdicts, probes and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from oracle.gradcheck.v1 import graph_pb2 as pb
from oracle.gradcheck.v1 import report_pb2, tensor_pb2
from oracle.graphs.graph import Graph
from oracle.operators.table import OPERATORS
from oracle.service.graph_requests import encode_graph
from oracle.wire import attributes, tensor, tensors
from tests.graphs.refused import INPUTS, NODES, REFUSED

EVALUATE, DIFFERENTIATE = "GraphService/Evaluate", "GraphService/Differentiate"
CHECK, PROBE = "GraphService/Check", "GraphService/Probe"
RNG = np.random.default_rng(1)
VALUES = {n: a if n == "t" else RNG.normal(size=a.shape) for n, a in INPUTS.items()}
NET = encode_graph(Graph(NODES, tuple(VALUES), ("loss",), "small net"))
GRAPH = {"graph": NET, "inputs": tensors.encode(VALUES)}


def node(op_type, inputs, outputs, **named):
    return pb.Node(
        op_type=op_type, inputs=inputs, outputs=outputs, attributes=attributes.encode(named)
    )


def one(op_type, inputs, outputs=("Y",), **named):
    """The graph of one node, which is all that a request has to hold."""
    return pb.Graph(nodes=[node(op_type, inputs, outputs, **named)])


def expected():
    """The loss and its gradient, as a person writes them."""
    x, W1, b1, W2, t = VALUES.values()
    a1 = x @ W1 + b1
    z1 = np.maximum(a1, 0)
    a2 = 2 * z1 @ W2
    y = np.exp(a2) / np.exp(a2).sum(axis=1, keepdims=True)
    loss = -np.log(y[np.arange(5), t]).mean()
    da2 = (y - np.eye(2)[t]) / 5
    da1 = 2 * da2 @ W2.T * (a1 > 0)
    return loss, {"x": da1 @ W1.T, "W1": x.T @ da1, "b1": da1.sum(0), "W2": 2 * z1.T @ da2}


LOSS, GRADIENT = expected()


def test_outputs_are_evaluated(call):
    """Unless outputs are named, there is one: the first of the last node."""
    (found,) = call(EVALUATE, **GRAPH).outputs
    assert (found.name, tensor.decode(found.tensor)) == ("loss", pytest.approx(LOSS, rel=1e-12))
    named = pb.Graph(nodes=NET.nodes, outputs=["a2", "z1"])
    answer = tensors.decode(call(EVALUATE, graph=named, inputs=GRAPH["inputs"]).outputs, "outputs")
    assert {name: array.shape for name, array in answer.items()} == {"a2": (5, 2), "z1": (5, 3)}
    unnamed = pb.Graph(nodes=NET.nodes)
    assert call(EVALUATE, graph=unnamed, inputs=GRAPH["inputs"]).outputs[0].name == "loss"


def test_the_gradient_is_exact_and_says_how_certain_it_is(call):
    """Of all inputs that can be differentiated, or of those that are wanted."""
    answer = call(DIFFERENTIATE, **GRAPH)
    found = tensors.decode(answer.gradient, "gradient")
    assert list(found) == ["x", "W1", "b1", "W2"]
    for name, array in found.items():
        assert array == pytest.approx(GRADIENT[name], abs=1e-15)
    assert answer.certainty.reference_kind == report_pb2.REFERENCE_KIND_ENCLOSURE
    assert 0 < answer.certainty.radius < 1e-15
    assert answer.kinks == 0
    some = call(DIFFERENTIATE, **GRAPH, wanted=["W2"]).gradient
    assert [item.name for item in some] == ["W2"]


def test_cotangents_weigh_the_outputs(call):
    """Without any each is 1, and if there are some, the others do not count."""
    x = np.array([-1.0, 2.0, 3.0])
    graph = pb.Graph(
        nodes=[node("Relu", ["x"], ["y"]), node("Sigmoid", ["x"], ["z"])], outputs=["y", "z"]
    )
    request = {"graph": graph, "inputs": tensors.encode({"x": x})}
    s = 1 / (1 + np.exp(-x))

    def gradient(**cotangents):
        sent = tensors.encode({name: np.array(c) for name, c in cotangents.items()})
        (item,) = call(DIFFERENTIATE, **request, cotangents=sent).gradient
        return tensor.decode(item.tensor)

    assert gradient() == pytest.approx((x > 0) + s * (1 - s))
    assert gradient(y=[1.0, 2.0, 3.0]) == pytest.approx([0, 2, 3])
    assert gradient(y=[0, 1, 0], z=[0.0, 0.0, 2.0])[1:] == pytest.approx([1, 2 * s[2] * (1 - s[2])])


def test_an_input_that_is_read_twice_gets_the_sum(call):
    """As a weight that two layers share does."""
    graph = pb.Graph(nodes=[node("Gemm", ["A", "A"], ["Y"], transB=1)])
    a = np.array([[1.0, 2.0]])
    (item,) = call(DIFFERENTIATE, graph=graph, inputs=tensors.encode({"A": a})).gradient
    assert tensor.decode(item.tensor) == pytest.approx(2 * a)


def test_kinks_are_counted(call):
    """Where the argument of a ReLU is 0 the mean of both slopes is given."""
    inputs = tensors.encode({"X": np.array([0.0, 1.0, 0.0])})
    answer = call(DIFFERENTIATE, graph=one("Relu", ["X"]), inputs=inputs)
    assert answer.kinks == 2
    assert tensor.decode(answer.gradient[0].tensor).tolist() == [0.5, 1.0, 0.5]


@pytest.mark.parametrize("method", [EVALUATE, DIFFERENTIATE, CHECK])
@pytest.mark.parametrize("x", [[-1.0], [0.0]])
def test_where_a_node_has_no_value_it_is_named(call, method, x):
    """There is no gradient either, whatever the formula of the derivative gives."""
    graph = pb.Graph(
        nodes=[node("Identity", "X", "Z"), node("Log", "Z", "Y"), node("Neg", "Y", "W")]
    )
    request = {"graph": graph, "inputs": tensors.encode({"X": np.array(x)})}
    if method == CHECK:
        request["gradient"] = tensors.encode({"X": np.array([1.0])})
    failed = call.failure(method, **request)
    assert (failed.code, failed.field) == ("INVALID_ARGUMENT", "graph.nodes[1]")
    assert "have a value that float64 holds, as Log computes it" in failed.text


def test_an_infinity_on_the_way_is_none_in_the_end(call):
    """1 / (1 + e^1000) is 0 in float64, and its slope in exact arithmetic is not."""
    graph = pb.Graph(
        nodes=[node("Exp", "X", "E"), node("Add", "EO", "S"), node("Div", "OS", "Y")], outputs=["Y"]
    )
    inputs = tensors.encode({"X": np.array(1000.0), "O": np.array(1.0)})
    assert tensor.decode(call(EVALUATE, graph=graph, inputs=inputs).outputs[0].tensor) == 0
    answer = call(DIFFERENTIATE, graph=graph, inputs=inputs, wanted=["X"])
    assert abs(tensor.decode(answer.gradient[0].tensor)) < 1e-300


def test_a_gradient_is_checked_whole_or_in_part(call):
    """A wrong tensor is found; the report has the name of the graph."""
    right = call(CHECK, **GRAPH, gradient=tensors.encode(GRADIENT)).report
    assert (right.verdict, right.subject) == (report_pb2.VERDICT_PASS, "small net")
    some = {"W2": GRADIENT["W2"].astype(np.float32)}
    report = call(CHECK, **GRAPH, gradient=tensors.encode(some)).report
    assert report.verdict == report_pb2.VERDICT_PASS
    assert [item.name for item in report.known.tensors] == ["W2"]
    wrong = call(CHECK, **GRAPH, gradient=tensors.encode({"W2": 5 * GRADIENT["W2"]})).report
    assert wrong.verdict == report_pb2.VERDICT_FAIL
    missing = [*tensors.encode(some), tensor_pb2.NamedTensor(name="b1")]
    found = call(CHECK, **GRAPH, gradient=missing).report.findings[0]
    assert (found.code, found.tensor) == ("missing_tensor", "b1")


def test_the_arithmetic_of_the_candidate_is_taken_into_account(call):
    """A loss that is scaled, sums that are wider, and activations that are stored in half."""
    scaled = {name: 1024 * array for name, array in GRADIENT.items()}
    request = {**GRAPH, "gradient": tensors.encode(scaled)}
    assert call(CHECK, **request).report.verdict == report_pb2.VERDICT_FAIL
    how = pb.GraphArithmetic(scale=1024)
    assert call(CHECK, **request, arithmetic=how).report.verdict == report_pb2.VERDICT_PASS
    single = {name: array.astype(np.float32) for name, array in GRADIENT.items()}
    request = {**GRAPH, "gradient": tensors.encode(single)}
    limits = [
        call(CHECK, **request, arithmetic=how).report.known.detection_limit
        for how in (
            pb.GraphArithmetic(compute_data_type=1, accumulation_data_type=1),
            pb.GraphArithmetic(accumulation_data_type=1),
            pb.GraphArithmetic(),
            pb.GraphArithmetic(store_data_type=4, stored=["z1"]),
            pb.GraphArithmetic(store_data_type=4),
        )
    ]
    assert limits == sorted(limits)
    assert len(set(limits)) == 5


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_has_a_probe_that_can_be_differentiated(call, name):
    """The server draws it, in any type, and the same one for the same seed."""
    probe = call(PROBE, op_type=name, data_type=tensor_pb2.DATA_TYPE_FLOAT32, seed=3)
    assert probe == call(PROBE, op_type=name, data_type=tensor_pb2.DATA_TYPE_FLOAT32, seed=3)
    again = {"graph": probe.graph, "inputs": probe.inputs}
    answer = call(DIFFERENTIATE, **again, cotangents=probe.cotangents)
    assert answer.gradient
    assert call(
        CHECK, **again, cotangents=probe.cotangents, gradient=answer.gradient
    ).report.verdict
    if len(probe.graph.outputs) == 1:
        shape = tuple(call(EVALUATE, **again).outputs[0].tensor.shape)
        assert shape == tuple(probe.cotangents[0].tensor.shape)


def test_a_graph_has_a_probe_in_given_shapes(call):
    """Floating numbers are normally distributed, whole ones are below what is asked for."""
    wanted = [
        pb.TensorSpec(name=n, shape=a.shape, **({"data_type": 5, "below": 2} if n == "t" else {}))
        for n, a in VALUES.items()
    ]
    probe = call(PROBE, graph=NET, inputs=wanted, seed=1)
    found = tensors.decode(probe.inputs, "inputs")
    assert {n: a.shape for n, a in found.items()} == {n: a.shape for n, a in VALUES.items()}
    assert set(found["t"].tolist()) == {0, 1}
    assert tensor.decode(probe.cotangents[0].tensor) == 1.0


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_a_graph_that_does_not_fit_is_refused_with_its_field(call, case):
    """As in the tests of graphs, with the path in the request."""
    request = {"graph": encode_graph(case.graph()), "inputs": tensors.encode(case.inputs)}
    failed = call.failure(EVALUATE, **request)
    assert (failed.code, failed.field) == ("INVALID_ARGUMENT", f"graph.{case.place}")
    assert case.says in failed.text


def named(name="x", array=np.ones((5, 4))):  # noqa: B008 - never written
    return tensor_pb2.NamedTensor(name=name, tensor=None if array is None else tensor.encode(array))


NOT_FINITE = [named("x", np.full((5, 4), np.nan)), *GRAPH["inputs"][1:]]
WIDE = {
    "graph": one("Gemm", "AB"),
    "inputs": [named("A", np.ones((6000, 1))), named("B", np.ones((1, 6000)))],
}
NO_BYTES = {"gradient": [{"name": "x", "tensor": {"data_type": 1}}]}
NARROW_SUMS = {"arithmetic": {"accumulation_data_type": 2}}


def spec(**fields):
    return {"inputs": [{"name": "x", **fields}]}


INVALID = [
    ("inputs[5].name", "got 'x' twice", EVALUATE, {"inputs": [*GRAPH["inputs"], named()]}),
    ("inputs[5].name", "got none", EVALUATE, {"inputs": [*GRAPH["inputs"], named("")]}),
    ("inputs[5].tensor", "be set", EVALUATE, {"inputs": [*GRAPH["inputs"], named("y", None)]}),
    ("inputs[0].tensor", "be finite", EVALUATE, {"inputs": NOT_FINITE}),
    ("graph.nodes[0].outputs[0]", "max_numbers", EVALUATE, WIDE),
    ("cotangents[0].name", "output of the graph (loss)", DIFFERENTIATE, {"cotangents": [named()]}),
    ("cotangents[0].tensor", "shape () of loss", DIFFERENTIATE, {"cotangents": [named("loss")]}),
    ("cotangents[0].tensor", "finite", CHECK, {"cotangents": [named("loss", np.array(np.inf))]}),
    ("wanted[0]", "on which the outputs depend (x, W1", DIFFERENTIATE, {"wanted": ["t"]}),
    ("gradient", "hold at least one tensor", CHECK, {}),
    ("gradient[0].name", "(x, W1, b1, W2), got 't'", CHECK, {"gradient": [named("t")]}),
    ("gradient[1].name", "'x' twice", CHECK, {"gradient": [named(), named()]}),
    ("gradient[0].tensor.data", "bytes", CHECK, NO_BYTES),
    ("arithmetic.stored[0]", "a tensor of the graph", CHECK, {"arithmetic": {"stored": ["z3"]}}),
    ("arithmetic.scale", "not 0", CHECK, {"arithmetic": {"scale": 0}}),
    ("arithmetic.compute_data_type", "be one of", CHECK, {"arithmetic": {"compute_data_type": 5}}),
    ("arithmetic.compute_data_type", "narrower", CHECK, {"arithmetic": {"compute_data_type": 2}}),
    ("arithmetic.accumulation_data_type", "narrower", CHECK, NARROW_SUMS),
    ("op_type", "served", PROBE, {"op_type": "Relux"}),
    ("subject", "be set", PROBE, {"graph": None}),
    ("inputs", "empty", PROBE, {"op_type": "Relu", "inputs": [{"name": "x"}]}),
    ("inputs[1].name", "twice", PROBE, {"inputs": [{"name": "x"}, {"name": "x"}]}),
    ("inputs[0].shape", "negative", PROBE, spec(shape=[-1])),
    ("inputs[0].shape", "max_numbers", PROBE, spec(shape=[2**40, 2**40])),
    ("inputs[0].below", "at least 1", PROBE, spec(data_type=5, below=0)),
    ("data_type", "be one of", PROBE, {"op_type": "Relu", "data_type": 5}),
]  # fmt: skip


@pytest.mark.parametrize(("field", "says", "method", "changed"), INVALID)
def test_what_else_does_not_fit_is_refused_with_its_field(call, field, says, method, changed):
    """Before any work, with the path in the request."""
    request = {"graph": NET} if method == PROBE and "op_type" not in changed else {}
    request |= {} if method == PROBE else GRAPH
    if method == CHECK and field != "gradient":
        request["gradient"] = tensors.encode(GRADIENT)
    failed = call.failure(method, **(request | changed))
    assert (failed.code, failed.field) == ("INVALID_ARGUMENT", field)
    assert says in failed.text


@pytest.mark.parametrize(
    ("field", "attribute"),
    [
        ("graph.nodes[0].attributes[0].name", pb.Attribute(int_value=1)),
        ("graph.nodes[0].attributes[0]", pb.Attribute(name="alpha")),
        (
            "graph.nodes[0].attributes[0].tensor.data",
            pb.Attribute(name="alpha", tensor={"data_type": 1}),
        ),
    ],
)
def test_an_attribute_that_is_none_is_refused(call, field, attribute):
    """It has a name and a value, and a tensor among them is one."""
    bad = pb.Node(op_type="Gemm", inputs=["x", "W1"], outputs=["Y"], attributes=[attribute])
    request = {"graph": pb.Graph(nodes=[bad]), "inputs": GRAPH["inputs"]}
    assert call.failure(EVALUATE, **request).field == field


def test_an_answer_that_no_message_holds_is_refused_beforehand(serve):
    """The sizes follow from the shapes."""
    with serve(max_message_bytes=100_000) as narrow:
        inputs = tensors.encode({"A": np.ones((200, 1)), "B": np.ones((1, 200))})
        failed = narrow.failure(EVALUATE, graph=one("Gemm", "AB"), inputs=inputs)
        assert failed.field == "graph.outputs"
        assert "max_message_bytes" in failed.text
        assert narrow.code(DIFFERENTIATE, graph=one("Gemm", "AB"), inputs=inputs) == "OK"


def test_the_server_lists_its_operators(call):
    """A new one is in the list by being in the table."""
    listed = call("ServerService/GetServerInfo", described=["Gemm"]).operators
    assert [item.name for item in listed] == sorted(OPERATORS)
    gemm = next(item for item in listed if item.name == "Gemm")
    assert [(i.name, i.optional) for i in gemm.inputs] == [("A", False), ("B", False), ("C", True)]
    assert {item.name: attributes.value(item.default, "") for item in gemm.attributes} == {
        "alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0,
    }  # fmt: skip
    assert "bias_reduction" in {slip.code for slip in gemm.slips}
    assert gemm.formula.startswith("Gemm (ONNX 13): Y = alpha A' B' + beta C")
    assert len(gemm.data_types) == 4
    assert {item.name for item in listed if item.formula or item.slips} == {"Gemm"}
    assert call("ServerService/GetServerInfo").ByteSize() < 16_000 + 300 * len(OPERATORS)
    assert call.failure("ServerService/GetServerInfo", described=["a"]).field == "described[0]"
    loss = next(item for item in listed if item.name == "SoftmaxCrossEntropyLoss")
    assert [(item.name, item.constant) for item in loss.inputs][:2] == [
        ("scores", False), ("labels", True),
    ]  # fmt: skip
