"""`gradient-oracle check` on files that other programs write."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import gradient_oracle
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from oracle.commands import files
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


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (lambda g: {name: 4 * values for name, values in g.items()}, "4 times too large"),
        (lambda g: g | {"b1": g["b1"] + [0.1, 0.3, 0.2]}, "the gradient is wrong in b1"),
    ],
)
def test_a_bug_in_a_column_major_buffer_is_told_from_its_order(tmp_path, net, planted, said):
    """Two faults at once hide each other: the second is named beside the first."""
    parameters, x, t, gradient = net
    written = [
        {n: column_by_column(v) for n, v in tree.items()}
        for tree in (parameters, planted(gradient))
    ]
    done = check(tmp_path, (written[0], column_by_column(x), t, written[1]))
    hint = next(line for line in done.output.splitlines() if "--order=column-major" in line)
    assert (done.exit_code, said in hint) == (1, True), done.output


def test_a_bug_in_row_major_files_gets_no_hint_of_another_order(tmp_path, net):
    """The hint would send its reader astray."""
    parameters, x, t, gradient = net
    wrong = gradient | {"W1": gradient["W1"] + np.arange(15).reshape(5, 3)}
    done = check(tmp_path, (parameters, x, t, wrong))
    assert (done.exit_code, "column-major" in done.output) == (1, False)


def test_a_file_that_states_its_column_major_order_is_read_so_under_the_option_too(tmp_path, net):
    """Julia writes .npy in Fortran order with the right shape, and its users find the option."""
    parameters, x, t, gradient = net
    trees = [{n: np.asfortranarray(v) for n, v in tree.items()} for tree in (parameters, gradient)]
    case = (trees[0], np.asfortranarray(x), t, trees[1])
    for option in ("--order=auto", "--order=column-major"):
        assert check(tmp_path, case, option).exit_code == 0


def test_the_fault_of_a_turned_gradient_is_told_in_the_shapes_of_its_program(tmp_path, net):
    """A program that writes (H, D) for its W1 of (D, H), and one dW1 of (H, D)."""
    parameters, x, t, gradient = net
    wrong = gradient | {"W1": gradient["W1"].T}
    trees = [{n: v.T for n, v in tree.items()} for tree in (parameters, wrong)]
    done = check(tmp_path, (trees[0], x.T, t, trees[1]))
    assert "W1 has the shape (3, 5), its parameter has (5, 3)" in done.output
    assert "W2" not in done.output


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


def shaped(values, dtype="float64"):
    array = np.asarray(values)
    return {"dtype": dtype, "shape": [*array.shape], "values": array.ravel().tolist()}


def typed(values):
    return dict(enumerate(values.tolist())) if values.ndim == 1 else [typed(row) for row in values]


@pytest.mark.parametrize("form", [shaped, typed])
def test_arrays_of_json_may_state_their_shape_or_be_typed(tmp_path, net, form):
    """As `vectors` writes them, and as JavaScript writes a list of Float64Array."""
    parameters, x, t, gradient = net
    trees = ({n: form(v) for n, v in tree.items()} for tree in (parameters, gradient))
    arguments = ["two-layer-net"]
    for name, tree in zip(NET, (next(trees), form(x), form(t), next(trees)), strict=True):
        (tmp_path / f"{name}.json").write_text(json.dumps(tree), encoding="utf-8")
        arguments.append(f"--{name}={tmp_path / name}.json")
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    single = {n: shaped(np.float32(v), "float32") for n, v in gradient.items()}
    (tmp_path / "gradient.json").write_text(json.dumps(single), encoding="utf-8")
    assert "entries in float32" in CliRunner().invoke(command, arguments).output


def test_a_gradient_of_nan_from_javascript_is_a_finding(tmp_path, net):
    """It writes NaN as null; that is what broke, and no fault of the file."""
    check(tmp_path, net)
    nulls = {n: v.tolist() for n, v in net[3].items()} | {"b2": [None, None]}
    (tmp_path / "g.json").write_text(json.dumps(nulls), encoding="utf-8")
    arguments = [
        f"--{n}={tmp_path / f}"
        for n, f in zip(NET, ("p.npz", "x.npy", "t.npy", "g.json"), strict=True)
    ]
    done = CliRunner().invoke(command, ["two-layer-net", *arguments])
    assert (done.exit_code, "b2 holds 2 of 2 entries that are not finite" in done.output) == (
        1,
        True,
    )


@pytest.mark.parametrize("which", [0, 3])
def test_a_file_with_a_third_layer_is_another_network(tmp_path, net, which):
    """As in Python: to check the first two layers in silence would check another net."""
    trees = list(net)
    trees[which] = trees[which] | {"W3": np.ones((2, 2)), "b3": np.ones(2)}
    done = check(tmp_path, tuple(trees))
    assert done.exit_code == 3
    assert "unexpected W3, b3: the two-layer net has W1, b1, W2, b2" in done.output


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("p.pt", "torch.load('{}', weights_only=True)"),
        ("p.csv", "numpy.loadtxt('{}', delimiter=',')"),
        ("p.mat", "scipy.io.loadmat('{}')"),
    ],
)
def test_a_file_of_another_form_is_refused_with_the_line_that_converts_it(
    tmp_path, net, name, said
):
    """The reader has the file, and need not look for what reads it."""
    check(tmp_path, net)
    (tmp_path / name).write_text("1,2\n3,4\n")
    arguments = [f"--{n}={tmp_path / name}" for n in NET]
    done = CliRunner().invoke(command, ["two-layer-net", *arguments])
    assert done.exit_code == 3
    line = said.format(tmp_path / name)
    assert line in done.output.replace("'\"'\"'", "'"), done.output


def test_the_line_that_converts_a_table_works(tmp_path):
    """It is run as it is printed."""
    table = tmp_path / "x.csv"
    table.write_text("1,2\n3,4\n")
    done = CliRunner().invoke(command, ["two-layer-net", *(f"--{n}={table}" for n in NET)])
    line = done.output.partition("this makes one: ")[2].replace("python", sys.executable, 1)
    subprocess.run(["/bin/sh", "-c", line], check=True)
    assert np.array_equal(np.load(tmp_path / "x.npy"), [[1, 2], [3, 4]])


@pytest.mark.parametrize("name", ["d{}", "D_{}", "grad_{}", "{}_grad", "{}.grad"])
def test_the_tensors_of_a_gradient_may_be_named_as_derivatives(tmp_path, net, name):
    """The parameters may lie in the same file."""
    parameters, x, t, gradient = net
    named = {name.format(n): v for n, v in gradient.items()}
    assert check(tmp_path, (parameters, x, t, named | parameters)).exit_code == 0


@pytest.mark.parametrize(
    "form",
    [
        lambda t: np.eye(2, dtype=np.int32)[t],
        lambda t: np.eye(2, dtype=bool)[t],
        lambda t: np.asfortranarray(np.eye(2, dtype=np.uint8)[t]),
        lambda t: t.astype(np.float32),
        lambda t: t.astype(np.uint8)[:, np.newaxis],
        lambda t: t.astype(float)[np.newaxis],
    ],
)
def test_targets_may_have_any_type_that_their_program_has(tmp_path, net, form):
    """One number for each sample is a label, one for each class a one-hot row."""
    parameters, x, t, gradient = net
    done = check(tmp_path, (parameters, x, form(t), gradient))
    assert done.exit_code == 0, done.output


def test_labels_that_count_from_one_are_told_so(tmp_path, net):
    """Julia, Fortran and Octave count so."""
    parameters, x, t, gradient = net
    done = check(tmp_path, (parameters, x, t + 1, gradient))
    assert (done.exit_code, "must count from 0 to 1" in done.output) == (3, True)


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


def test_float32_numbers_in_json_are_known_for_what_they_are(tmp_path, net):
    """JSON has no types: the hint is part of the report, in every form of it."""
    narrow = {name: values.astype(np.float32).tolist() for name, values in net[3].items()}
    (tmp_path / "g.json").write_text(json.dumps(narrow))
    check(tmp_path, net)
    arguments = ["two-layer-net", "--inputs", "x.npy", "--targets", "t.npy", "--parameters"]
    arguments = [str(tmp_path / a) if "." in a else a for a in [*arguments, "p.npz"]]
    arguments += ["--gradient", str(tmp_path / "g.json")]
    done = CliRunner().invoke(command, [*arguments, "--json"])
    assert done.exit_code == 1
    assert "use --dtype=float32" in json.loads(done.output)["notes"][0]
    assert CliRunner().invoke(command, [*arguments, "--dtype=float32"]).exit_code == 0


def test_a_report_that_cannot_be_written_is_not_a_verdict(tmp_path, net):
    """The verdict is printed all the same; a folder that is not there yet is made."""
    page = tmp_path / "folder" / "page.html"
    assert check(tmp_path, net, "--report", page).exit_code == 0
    assert page.read_text().startswith("<!doctype html>")
    done = check(tmp_path, net, "--report", page / "below a file.html")
    assert (done.exit_code, done.output[:4]) == (3, "PASS")
    assert "cannot write" in done.output


def test_a_report_far_from_any_folder_is_a_slip_of_the_pen(tmp_path, net, monkeypatch):
    """Nothing is computed and nothing made, but for a CI that names folders where it works."""
    page = tmp_path / "no" / "such" / "page.html"
    done = check(tmp_path, net, "--report", page)
    assert (done.exit_code, "PASS" in done.output) == (3, False)
    assert "there is no folder" in " ".join(done.output.split())
    assert not (tmp_path / "no").exists()
    monkeypatch.chdir(tmp_path)
    assert check(tmp_path, net, "--report=no/such/page.html").exit_code == 0
    assert page.exists()


@pytest.mark.parametrize("names", ["{}", "d{}", "layers"])
def test_a_gradient_that_lacks_a_tensor_gets_the_verdict(tmp_path, net, names):
    """As over gRPC and in a test: a finding, beside what the file holds."""
    parameters, x, t, gradient = net
    layers = {"W1": "fc1.weight", "b1": "fc1.bias", "W2": "fc2.weight", "b2": "fc2.bias"}
    if names == "layers":
        parameters, gradient = (
            {layers[n]: v.T for n, v in tree.items()} for tree in (parameters, gradient)
        )
    else:
        gradient = {names.format(n): v for n, v in gradient.items()}
    missing = list(gradient)[-1]
    held = {n: v for n, v in gradient.items() if n != missing}
    done = check(tmp_path, (parameters, x, t, held), "--json")
    report = json.loads(done.output)
    assert (done.exit_code, report["verdict"]) == (1, "fail")
    assert [finding["kind"] for finding in report["findings"]] == ["missing_tensor"]
    for name, values in held.items():
        assert f"{name} {values.shape}" in report["notes"][0]


def test_a_gradient_of_unknown_names_is_no_verdict(tmp_path, net):
    """It may be another file."""
    parameters, x, t, _ = net
    for other in ({"loss": np.ones(3)}, {}):
        done = check(tmp_path, (parameters, x, t, other))
        assert (done.exit_code, "must map W1, b1, W2, b2" in done.output) == (3, True)


@pytest.mark.parametrize(
    ("form", "told"),
    [
        (lambda t: t.astype(np.float32), "The targets are float32 of shape (4,): taken for labels"),
        (lambda t: t[:, np.newaxis] / 1.0, "The targets are float64 of shape (4, 1): taken for"),
        (lambda t: t, ""),
        (lambda t: np.eye(2)[t], ""),
    ],
)
def test_floating_labels_are_read_and_told(tmp_path, net, form, told):
    """Other languages have no other type; somebody may have meant something else."""
    parameters, x, t, gradient = net
    done = check(tmp_path, (parameters, x, form(t), gradient))
    assert done.exit_code == 0, done.output
    assert told in done.output
    assert ("taken for labels" in done.output) == bool(told)


def test_what_sums_were_accumulated_in_may_be_said(tmp_path, net):
    """A gradient in half precision, as kernels that add in float32 leave it."""
    parameters, x, t, gradient = net
    half = {name: values.astype(np.float16) for name, values in gradient.items()}
    page = tmp_path / "report.html"
    options = ("--accumulation-dtype=float32", f"--report={page}")
    done = check(tmp_path, (parameters, x, t, half), *options)
    assert (done.exit_code, "accumulated in float32" in done.output) == (0, True)
    assert options[0] in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", ["npy", "npz", "json", "safetensors"])
@given(data=st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_a_problem_of_the_file(tmp_path, suffix, data):
    """Whatever is damaged in it: no traceback, and never a verdict."""
    path = tmp_path / f"damaged.{suffix}"
    array = {"a": np.arange(6.0).reshape(2, 3)}
    {
        "npy": lambda: np.save(path, array["a"]),
        "npz": lambda: np.savez_compressed(path, **array),
        "json": lambda: path.write_text(json.dumps({"a": {"shape": [2, 3], "values": [0.5] * 6}})),
        "safetensors": lambda: save_file(array, path),
    }[suffix]()
    good = path.read_bytes()
    at = data.draw(st.integers(0, len(good) - 1))
    kept = data.draw(st.integers(at, len(good)))
    path.write_bytes(good[:at] + data.draw(st.binary(max_size=4)) + good[kept:])
    with contextlib.suppress(files.FileProblem):
        files.read_tensors(path)


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
    assert "6 is N, the batch size: the mean over the batch is missing" in done.output
