"""`gradient-oracle check` on files that other programs write."""

from __future__ import annotations

import hashlib
import json

import gradient_oracle
import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

from oracle.commands.check import command


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


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: {name: p[name] for name in ("W1", "b1", "W2")}, "missing b2"),
        (lambda p: {name: values.T for name, values in p.items()}, "column-major"),
    ],
)
def test_a_file_at_fault_is_explained(tmp_path, net, change, said):
    """Exit code 3 and what the file must hold."""
    parameters, *rest = net
    done = check(tmp_path, (change(parameters), *rest))
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
