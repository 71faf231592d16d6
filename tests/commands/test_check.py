"""`gradient-oracle check` on files that other programs write."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import gradient_oracle
import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

from oracle.commands.check import command

NET = ("parameters", "inputs", "targets", "gradient")
LOSS = ("predictions", "targets", "gradient")


@pytest.fixture(scope="module")
def net():
    rng = np.random.default_rng(3)
    parameters = {
        "W1": rng.normal(size=(5, 3)),
        "b1": rng.normal(size=3),
        "W2": rng.normal(size=(3, 2)),
        "b2": rng.normal(size=2),
    }
    x, t = rng.normal(size=(4, 5)), np.array([0, 1, 1, 0])
    with gradient_oracle.embedded() as client:
        gradient = client.two_layer_net.gradient(parameters, x, t)
        return parameters, x, t, {name: np.array(values) for name, values in gradient.items()}


def check(folder, net, *options, factor=1.0, save=np.savez, suffix="npz"):
    """Write the net to files and check them."""
    parameters, x, t, gradient = net
    wrong = {name: factor * values for name, values in gradient.items()}
    if save is save_file:
        save_file(parameters, folder / "p.safetensors")
        save_file(wrong, folder / "g.safetensors")
    else:
        np.savez(folder / "p.npz", **parameters)
        np.savez(folder / "g.npz", **wrong)
    np.save(folder / "x.npy", x)
    np.save(folder / "t.npy", t)
    arguments = ["two-layer-net", "--inputs", folder / "x.npy", "--targets", folder / "t.npy"]
    arguments += ["--parameters", folder / f"p.{suffix}", "--gradient", folder / f"g.{suffix}"]
    return CliRunner().invoke(command, [str(argument) for argument in [*arguments, *options]])


def test_the_verdict_is_the_exit_code(tmp_path, net):
    """A shell reads 0 and 1."""
    assert check(tmp_path, net).exit_code == 0
    done = check(tmp_path, net, factor=4.0, save=save_file, suffix="safetensors")
    assert (done.exit_code, done.output[:4]) == (1, "FAIL")


def test_the_report_as_json_is_json(tmp_path, net):
    """For programs."""
    assert json.loads(check(tmp_path, net, "--json").output)["verdict"] == "pass"


def test_quiet_prints_nothing(tmp_path, net):
    """The exit code answers."""
    assert check(tmp_path, net, "--quiet").output == ""


@pytest.mark.parametrize("layers", [("fc1", "fc2"), ("0", "2"), ("hidden", "classifier")])
def test_weights_under_pytorch_names_are_turned(tmp_path, net, layers):
    """`nn.Linear` stores (out, in); the order of the layers is that of their shapes."""
    first, second = layers
    names = {"W1": f"{first}.weight", "b1": f"{first}.bias"}
    names |= {"W2": f"{second}.weight", "b2": f"{second}.bias"}
    parameters, x, t, gradient = net
    torch_net = tuple(
        {names[name]: np.ascontiguousarray(values.T) for name, values in tree.items()}
        for tree in (parameters, gradient)
    )
    assert check(tmp_path, (torch_net[0], x, t, torch_net[1])).exit_code == 0


def test_a_missing_tensor_is_named(tmp_path, net):
    """Exit code 3 and what the file must hold."""
    parameters, *rest = net
    done = check(tmp_path, ({name: parameters[name] for name in ("W1", "b1", "W2")}, *rest))
    assert (done.exit_code, "missing b2" in done.output) == (3, True)


def turned(values):
    return values.T


def shapeless(values):
    return values.reshape(-1)


def biases_as_rows(values):
    return np.atleast_2d(values)


def column_by_column(values):
    return values.ravel(order="F").reshape(values.shape)


@pytest.mark.parametrize("inputs_too", [False, True])
@pytest.mark.parametrize("write", [turned, shapeless, biases_as_rows])
def test_layouts_are_told_apart_by_their_shapes(tmp_path, net, write, inputs_too):
    """Julia and Fortran write (H, D); some write vectors as matrices, and C may write no shape."""
    parameters, x, t, gradient = net
    written = tuple({n: write(v) for n, v in tree.items()} for tree in (parameters, gradient))
    x, t = (write(x), write(t)) if inputs_too else (x, t)
    done = check(tmp_path, (written[0], x, t, written[1]))
    assert done.exit_code == 0, done.output


def test_a_column_major_buffer_under_a_row_major_shape_is_read_when_asked(tmp_path, net):
    """Shapes cannot tell; a failure says that the other order would pass."""
    parameters, x, t, gradient = net
    written = [{n: column_by_column(v) for n, v in tree.items()} for tree in (parameters, gradient)]
    case = (written[0], column_by_column(x), t, written[1])
    done = check(tmp_path, case)
    assert (done.exit_code, "use --order=column-major" in done.output) == (1, True)
    assert check(tmp_path, case, "--order=column-major").exit_code == 0


def test_a_transposed_gradient_is_not_mended(tmp_path, net):
    """Only what the parameters do too is a layout; the rest is the bug that is looked for."""
    parameters, x, t, gradient = net
    done = check(tmp_path, (parameters, x, t, gradient | {"W1": gradient["W1"].T}))
    assert done.exit_code == 1


def write_json(path, value):
    def plain(values):
        return {str(n): float(v) for n, v in enumerate(values)} if flat else values.tolist()

    flat = not isinstance(value, dict) and value.ndim == 1
    tree = {n: v.tolist() for n, v in value.items()} if isinstance(value, dict) else plain(value)
    # JavaScript writes 1.0 as 1.
    path.write_text(json.dumps(tree).replace(".0,", ",").replace(".0]", "]"), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("one_hot", [False, True])
def test_json_of_another_language_is_read(tmp_path, net, one_hot):
    """Whole numbers, typed arrays and one-hot rows come as JavaScript writes them."""
    parameters, x, t, gradient = net
    targets = tmp_path / "t.json"
    targets.write_text(json.dumps((np.eye(2, dtype=int)[t] if one_hot else t).tolist()))
    arguments = ["two-layer-net", "--targets", str(targets)]
    arguments += ["--parameters", write_json(tmp_path / "p.json", parameters)]
    arguments += ["--inputs", write_json(tmp_path / "x.json", x)]
    arguments += ["--gradient", write_json(tmp_path / "g.json", gradient)]
    assert CliRunner().invoke(command, arguments).exit_code == 0
    narrow = {name: values.astype(np.float32) for name, values in gradient.items()}
    write_json(tmp_path / "g.json", narrow)
    assert CliRunner().invoke(command, arguments).exit_code == 1
    assert CliRunner().invoke(command, [*arguments, "--dtype=float32"]).exit_code == 0


def test_a_folder_of_arrays_is_read(tmp_path, net):
    """A .npy file is easy to write in any language, a .npz one is not."""
    parameters, x, t, gradient = net
    for folder, tree in (("p", parameters), ("g", gradient)):
        (tmp_path / folder).mkdir()
        for name, values in tree.items():
            np.save(tmp_path / folder / f"{name}.npy", values)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "t.npy", t)
    arguments = ["two-layer-net", "--inputs", f"{tmp_path}/x.npy", "--targets", f"{tmp_path}/t.npy"]
    arguments += ["--parameters", f"{tmp_path}/p", "--gradient", f"{tmp_path}/g"]
    page = tmp_path / "report.html"
    assert CliRunner().invoke(command, [*arguments, f"--report={page}"]).exit_code == 0
    assert f"{tmp_path}/g/b2.npy" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("layout", [np.asarray, turned, shapeless, column_by_column])
@pytest.mark.parametrize("one_hot", [False, True])
def test_a_simple_net_is_checked(tmp_path, layout, one_hot):
    """The document's example has W of 2 x 3."""
    rng = np.random.default_rng(1)
    W, x, t = rng.normal(size=(2, 3)), rng.normal(size=(5, 2)), np.array([0, 2, 1, 1, 0])
    with gradient_oracle.embedded() as client:
        gradient = client.simple_net.gradient(W, x, t)
    targets = layout(np.eye(3)[t]) if one_hot else t
    for name, values in zip("Wxtg", (layout(W), layout(x), targets, layout(gradient)), strict=True):
        np.save(tmp_path / f"{name}.npy", values)
    if layout is shapeless:
        np.save(tmp_path / "x.npy", x)
    arguments = ["simple-net", "--parameters", f"{tmp_path}/W.npy", "--inputs", f"{tmp_path}/x.npy"]
    arguments += ["--targets", f"{tmp_path}/t.npy", "--gradient", f"{tmp_path}/g.npy"]
    arguments += ["--order=column-major"] if layout is column_by_column else []
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("function", ["cross-entropy-error", "mean-squared-error"])
@pytest.mark.parametrize("layout", [np.asarray, turned])
@pytest.mark.parametrize("one_hot", [False, True])
def test_the_losses_are_checked(tmp_path, function, layout, one_hot):
    """The derivative by y, for labels or rows of targets."""
    if function == "mean-squared-error" and not one_hot:
        pytest.skip("it has no labels")
    y, t = np.tile([0.6, 0.4], (4, 1)), np.array([0, 1, 1, 0])
    targets = np.eye(2)[t] if one_hot else t
    with gradient_oracle.embedded() as client:
        gradient = getattr(client, function.replace("-", "_") + "_gradient")(y, targets)
    if layout is turned and not one_hot:
        y, gradient = y.T, gradient.T
    for name, values in zip("ytg", (y, targets, gradient), strict=True):
        np.save(tmp_path / f"{name}.npy", values)
    arguments = [function, "--predictions", f"{tmp_path}/y.npy", "--targets", f"{tmp_path}/t.npy"]
    done = CliRunner().invoke(command, [*arguments, "--gradient", f"{tmp_path}/g.npy"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["two-layer-net"], "needs --parameters, --inputs, --targets, --gradient"),
        (["mean-squared-error", "--delta=0", *(f"--{n}=." for n in LOSS)], "takes no --delta"),
        (["simple-net", *(f"--{n}=." for n in (*NET, "predictions"))], "takes no --predictions"),
    ],
)
def test_what_a_function_needs_is_said(arguments, said):
    """In one line, with 3 as the exit code."""
    done = CliRunner().invoke(command, arguments)
    assert (done.exit_code, said in done.output) == (3, True)


def test_a_wrong_usage_is_not_a_verdict():
    """Usage is 3 too: 2 would say inconclusive."""
    assert CliRunner().invoke(command, ["two-layer-net"]).exit_code == 3


def test_the_page_says_how_to_repeat_the_check(tmp_path, net):
    """The command, the digests of the files and the versions are in it."""
    page = tmp_path / "report.html"
    done = check(tmp_path, net, "--report", str(page), "--quiet", factor=4.0)
    text = page.read_text(encoding="utf-8")
    assert (done.exit_code, done.output) == (1, "")
    assert "FAIL" in text
    assert "gradient-oracle check two-layer-net --parameters=" in text
    assert hashlib.sha256((tmp_path / "x.npy").read_bytes()).hexdigest() in text


@pytest.mark.parametrize(
    ("make", "suffix"),
    [
        ("cc -O2 -o net {}/two_layer_net.c -lm && ./net", "safetensors"),
        ("node {}/two_layer_net.mjs", "json"),
    ],
)
def test_the_examples_in_other_languages_are_checked(tmp_path, make, suffix):
    """A column-major float32 program in C and one in JavaScript, right and then wrong."""
    if shutil.which(make.split()[0]) is None:
        pytest.skip(f"no {make.split()[0]}")
    options = zip(NET, "pxtg", strict=True)
    arguments = [f"--{name}={tmp_path / letter}.{suffix}" for name, letter in options]
    for argument, verdict in (("", "PASS"), ("wrong", "FAIL")):
        line = f"{make.format(Path(__file__).parents[1] / 'examples')} {argument}"
        subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, check=True)
        done = CliRunner().invoke(command, ["two-layer-net", *arguments])
        assert done.output.startswith(verdict), done.output
    assert "every tensor is 6 times too large: N" in done.output
