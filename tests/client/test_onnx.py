"""Models of ONNX: weights become inputs, and what is no model is refused."""

from __future__ import annotations

import subprocess
import sys

import gradient_oracle
import numpy as np
import pytest

from tests.client.nets import INPUTS, by_hand

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

LOSS, GRADIENT = by_hand()
X = {name: INPUTS[name] for name in ("x", "t")}


@pytest.fixture(scope="module")
def model():
    """Return the small net: two weights in the file, one in a node, and two open inputs."""
    nodes = [
        helper.make_node(
            "Constant", [], ["b1"], value=numpy_helper.from_array(INPUTS["b1"], "value")
        ),
        helper.make_node("Gemm", ["x", "W1", "b1"], ["a1"], name="first"),
        helper.make_node("Relu", ["a1"], ["z1"]),
        helper.make_node("Gemm", ["z1", "W2"], ["a2"], alpha=2.0),
        helper.make_node("SoftmaxCrossEntropyLoss", ["a2", "t"], ["loss"], reduction="mean"),
    ]
    graph = helper.make_graph(
        nodes,
        "small net",
        [
            helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["N", 4]),
            helper.make_tensor_value_info("t", TensorProto.INT64, ["N"]),
        ],
        [helper.make_tensor_value_info("loss", TensorProto.DOUBLE, [])],
        [numpy_helper.from_array(INPUTS[name], name) for name in ("W1", "W2")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(made)
    return made


@pytest.fixture
def path(model, tmp_path):
    onnx.save(model, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def test_a_model_is_a_net(oracle, path):
    """Its weights have gradients, and may be replaced by inputs."""
    net = gradient_oracle.onnx.load(path)
    assert oracle.value(net, X) == pytest.approx(LOSS, rel=1e-14)
    exact = oracle.gradient(net, X)
    assert set(exact) == {"x", "W1", "W2", "b1"}
    report = oracle.check(net, X, GRADIENT)
    assert (report.passed, report.subject) == (True, "net")
    other = oracle.value(net, {**X, "W2": 0 * INPUTS["W2"]})
    assert other == pytest.approx(np.log(3))


def test_a_model_that_is_loaded_already_will_do(oracle, model):
    """The object of the package itself."""
    report = oracle.check(model, X, {"W2": GRADIENT["W2"]})
    assert (report.passed, report.subject) == (True, "small net")
    assert oracle.value(model.graph, X) == pytest.approx(LOSS)


def test_a_number_of_a_file_is_the_one_that_was_meant():
    """A file keeps 1e-5 in float32, which is another number."""
    node = helper.make_node("Acme", ["x"], ["y"], epsilon=1e-5, ratios=[0.1, 0.5], mode="a")
    node.attribute.append(helper.make_attribute("names", ["p", "q"]))
    node.attribute.append(helper.make_attribute("axes", [0, -1]))
    value_info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy"]
    graph = helper.make_graph([node], "one", value_info[:1], value_info[1:])
    (found,) = gradient_oracle.onnx.of(graph).nodes
    held = {item.name: item for item in found.attributes}
    assert held["epsilon"].float_value == 1e-5
    assert list(held["ratios"].floats.values) == [0.1, 0.5]
    assert list(held["axes"].ints.values) == [0, -1]
    assert list(held["names"].strings.values) == ["p", "q"]
    assert held["mode"].string_value == "a"


def test_what_is_missing_or_unknown_is_named(embedded, path):
    """Inputs by their names, nodes by theirs."""
    net = gradient_oracle.onnx.load(path)
    for inputs, says in (
        ({"x": X["x"]}, "`inputs` must hold t, an input of net, got x"),
        ({**X, "W3": 1.0}, "hold inputs of net .*, got 'W3'"),
        ({**X, "x": np.ones((5, 3))}, r"`inputs\['W1'\]`|nodes\[0\].* 'first'"),
    ):
        with pytest.raises(gradient_oracle.InvalidRequest, match=says):
            embedded.value(net, inputs)


def test_what_is_no_model_is_refused(tmp_path):
    """A file that is not there, one with other bytes, and a node that holds a graph."""
    (tmp_path / "other.onnx").write_bytes(b"no model")
    for name in ("other.onnx", "missing.onnx"):
        with pytest.raises(gradient_oracle.InvalidRequest, match="be a file with a model of ONNX"):
            gradient_oracle.onnx.load(tmp_path / name)
    with pytest.raises(gradient_oracle.InvalidRequest, match="be a model of ONNX, got float"):
        gradient_oracle.onnx.of(1.0)
    inner = helper.make_graph([], "inner", [], [])
    node = helper.make_node("If", ["x"], ["y"], then_branch=inner)
    graph = helper.make_graph([node], "outer", [], [])
    with pytest.raises(gradient_oracle.InvalidRequest, match="then_branch of another type"):
        gradient_oracle.onnx.of(graph)


def test_without_the_package_the_remedy_is_said():
    """It is an extra, and nothing else needs it."""
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "import gradient_oracle\n"
        "try: gradient_oracle.onnx.load('net.onnx')\n"
        "except gradient_oracle.OracleError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "models of ONNX need: pip install 'gradient-oracle[onnx]'"
