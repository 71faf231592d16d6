"""`gradient-oracle check` of graphs, models and operators in files, and `operators`."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
from click.testing import CliRunner

from oracle.commands import operators
from oracle.commands.check import command
from tests.client.nets import INPUTS, NODES, by_hand

LOSS, GRADIENT = by_hand()
X = INPUTS["x"]


@pytest.fixture
def files(tmp_path):
    """Return a folder with the small net, its inputs and its gradient."""
    (tmp_path / "graph.json").write_text(json.dumps({"nodes": NODES, "name": "small net"}))
    np.savez(tmp_path / "inputs.npz", **INPUTS)
    np.savez(tmp_path / "gradient.npz", **GRADIENT)
    return tmp_path


def run(folder, subject, /, *options, **files):
    named = [f"--{name.replace('_', '-')}={folder / file}" for name, file in files.items()]
    return CliRunner().invoke(command, [str(subject), *named, *options])


def test_a_graph_is_checked(files):
    """The verdict is the exit code, and the report names the graph."""
    graph = files / "graph.json"
    done = run(files, graph, inputs="inputs.npz", gradient="gradient.npz")
    assert (done.exit_code, done.output[:16]) == (0, "PASS  small net:"), done.output
    wrong = {f"d{name}": 5 * array for name, array in GRADIENT.items()}
    np.savez(files / "wrong.npz", **wrong)
    done = run(files, graph, "--json", inputs="inputs.npz", gradient="wrong.npz")
    report = json.loads(done.output)
    assert (done.exit_code, report["verdict"]) == (1, "fail")
    assert [tensor["name"] for tensor in report["known"]["tensors"]] == ["W1", "b1", "W2"]


def test_inputs_may_be_in_several_files_and_in_json(files):
    """An array without a name has that of its file, and JSON has no types."""
    parameters = {name: INPUTS[name].tolist() for name in GRADIENT}
    (files / "parameters.json").write_text(json.dumps(parameters))
    np.save(files / "x.npy", X)
    np.save(files / "t.npy", INPUTS["t"])
    single = {name: array.astype(np.float32).tolist() for name, array in GRADIENT.items()}
    (files / "gradient.json").write_text(json.dumps(single))
    where = {"parameters": "parameters.json", "inputs": "x.npy", "targets": "t.npy"}
    graph = files / "graph.json"
    done = run(files, graph, "--dtype=float32", gradient="gradient.json", **where)
    assert done.exit_code == 0, done.output
    types = [f"--{name}-dtype=float64" for name in ("compute", "accumulation")]
    options = ["--dtype=float32", *types, "--store-dtype=bfloat16", "--json"]
    done = run(files, graph, *options, gradient="gradient.json", **where)
    assert json.loads(done.output)["known"]["accumulation_data_type"] == "float64"
    done = run(files, graph, gradient="gradient.json", **where)
    assert done.exit_code == 1
    assert "use --dtype=float32" in done.output
    whole = {"nodes": [{"op_type": "Relu", "inputs": ["x"], "outputs": ["y"]}]}
    (files / "relu.json").write_text(json.dumps(whole))
    (files / "x.json").write_text("[1, -2, 3]")
    (files / "dx.json").write_text("[1, 0, 1]")
    done = run(files, files / "relu.json", inputs="x.json", gradient="dx.json")
    assert done.exit_code == 0, done.output


def test_one_operator_is_checked(files):
    """By its name, with attributes and a cotangent."""
    dy = np.arange(30.0).reshape(5, 6)
    np.savez(files / "ab.npz", A=X, B=INPUTS["W1"].T)
    np.savez(files / "dab.npz", A=0.5 * dy @ INPUTS["W1"].T, B_grad=0.5 * dy.T @ X)
    np.save(files / "dy.npy", dy)
    where = {"inputs": "ab.npz", "gradient": "dab.npz", "cotangent": "dy.npy"}
    page = files / "report.html"
    options = ["--attribute=transB=1", "--attribute=alpha=0.5", f"--report={page}"]
    done = run(files, "Gemm", *options, **where)
    assert (done.exit_code, done.output[:10]) == (0, "PASS  Gemm"), done.output
    text = page.read_text()
    assert "--attribute=transB=1 --attribute=alpha=0.5" in text
    assert shlex.quote(f"--cotangent={files / 'dy.npy'}") in text
    half = run(files, "Gemm", "--attribute=transB=1", "--scale=0.5", **where)
    assert half.exit_code == 0, half.output


def test_a_model_of_onnx_is_checked(files):
    """Its weights are those of the file."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "W1", "b1"], ["y"])],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [5, 4])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, [5, 6])],
        [numpy_helper.from_array(INPUTS[name], name) for name in ("W1", "b1")],
    )
    onnx.save(helper.make_model(graph), files / "layer.onnx")
    np.save(files / "x.npy", X)
    np.savez(files / "g.npz", W1=np.repeat(X.sum(0)[:, None], 6, 1), b1=np.full(6, 5.0))
    done = run(files, files / "layer.onnx", inputs="x.npy", gradient="g.npz")
    assert (done.exit_code, done.output[:11]) == (0, "PASS  layer"), done.output
    (files / "broken.onnx").write_bytes(b"no model")
    done = run(files, files / "broken.onnx", inputs="x.npy", gradient="g.npz")
    assert (done.exit_code, "be a file with a model of ONNX" in done.output) == (3, True)


NET = {"inputs": "inputs.npz", "gradient": "gradient.npz"}
FAULTS = [
    ("missing.json", (), NET, "there is no file"),
    ("two-layer", (), NET, "a graph in .json, a model in .onnx, or an operator such as Gemm"),
    ("graph.json", (), {"inputs": "inputs.npz"}, "needs --gradient"),
    ("graph.json", (), {"gradient": "gradient.npz"}, "must be an input of the graph"),
    ("graph.json", ("--delta=0",), NET, "takes no --delta"),
    ("graph.json", ("--order=column-major",), NET, "takes no --order"),
    ("Gemm", ("--attribute=transB",), NET, "--attribute must be NAME=VALUE, got 'transB'"),
    ("Gemm", (), NET, "hold A, an input of Gemm"),
    ("Relux", (), NET, "Relu is one"),
    ("two-layer-net", ("--scale=2",), NET, "needs --parameters"),
    ("broken.json", (), NET, "cannot read"),
    ("text.json", (), NET, "must hold a list of nodes"),
]


@pytest.mark.parametrize(("subject", "options", "where", "says"), FAULTS)
def test_what_does_not_fit_is_no_verdict(files, subject, options, where, says):
    """One line, and the code 3."""
    (files / "broken.json").write_text("{")
    (files / "text.json").write_text('"text"')
    path = files / subject if subject.endswith(".json") else subject
    done = run(files, path, *options, **where)
    assert done.exit_code == 3
    assert says in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_the_operators_are_listed_and_one_is_shown():
    """The list has the formula, the attributes, the types and the codes; one has its sentences."""
    listed = CliRunner().invoke(operators.command, []).output
    assert "Gemm(A, B, [C], *, alpha=1.0, beta=1.0, transA=0, transB=0) -> Y\n" in listed
    assert "    dA' = alpha dY B'ᵀ" in listed
    assert "    gradients in float64, float32, float16, bfloat16\n" in listed
    assert "    known mistakes: bias_reduction, " in listed
    one = CliRunner().invoke(operators.command, ["Gemm"]).output
    assert "wrong_weights: the error goes back through the weights without their transpose" in one
    unknown = CliRunner().invoke(operators.command, ["Gem"])
    assert (unknown.exit_code, "Gemm is one" in unknown.output) == (3, True)
    nobody = CliRunner().invoke(operators.command, ["--address=127.0.0.1:1"])
    assert (nobody.exit_code, "no oracle at" in nobody.output) == (3, True)
