"""`gradient-oracle vectors`: what a project reads that has no oracle at hand."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

from oracle.commands import vectors
from oracle.reference import losses, simple_net, two_layer_net
from oracle.values import TwoLayerNetParameters


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("vectors"))


def write(folder: Path, *options: str) -> Path:
    done = CliRunner().invoke(vectors.command, [str(folder), *options])
    assert done.exit_code == 0, done.output
    return folder


def backward(inputs, delta, dtype):
    """The two-layer net's gradient as a textbook computes it, in `dtype`, with delta."""
    W1, b1, W2, b2, x = (inputs[name].astype(dtype) for name in ("W1", "b1", "W2", "b2", "x"))
    t = inputs["t"]
    targets = t.astype(dtype) if t.ndim == 2 else np.eye(len(b2), dtype=dtype)[t]
    z = 1 / (1 + np.exp(-(x @ W1 + b1)))
    scores = z @ W2 + b2
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    y = powers / powers.sum(axis=1, keepdims=True)
    ratio = targets / (y + np.asarray(delta, dtype=dtype))
    g2 = y * (np.sum(y * ratio, axis=1, keepdims=True) - ratio) / np.asarray(len(x), dtype=dtype)
    g1 = g2 @ W2.T * z * (1 - z)
    return {"W1": x.T @ g1, "b1": g1.sum(axis=0), "W2": z.T @ g2, "b2": g2.sum(axis=0)}


def part(case, prefix):
    """The tensors of one kind, by their last name."""
    return {
        name.partition("/")[2]: array
        for name, array in case.tensors.items()
        if name.startswith(f"{prefix}/")
    }


NETS = [case for case in vectors.cases() if case.function == "two_layer_net"]


@pytest.mark.parametrize("case", NETS, ids=lambda case: case.name)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_correct_gradient_is_within_what_is_allowed(case, dtype):
    """In the arithmetic that it names, computed by code that shares nothing with the oracle's."""
    exact, allowed = part(case, "gradient"), part(case, f"allowed.{dtype}")
    for name, values in backward(part(case, "inputs"), case.delta, dtype).items():
        assert values.dtype == dtype
        assert np.all(np.abs(values.astype(float) - exact[name]) <= allowed[name]), name


@pytest.mark.parametrize("case", NETS, ids=lambda case: case.name)
def test_a_wrong_gradient_is_not(case):
    """An error of four detection limits is outside, wherever it is put."""
    limit = case.detection_limits["float32"]
    if limit is None:
        return
    exact, allowed = part(case, "gradient"), part(case, "allowed.float32")
    for name, values in exact.items():
        assert np.all(4 * limit * np.abs(values).max() > allowed[name])


@pytest.mark.parametrize("case", vectors.cases(), ids=lambda case: case.name)
def test_the_loss_is_the_loss_of_the_reference(case):
    """Balls and float64 arithmetic agree to the last digits."""
    inputs = part(case, "inputs")
    x, t = inputs.get("x"), inputs["t"]
    if case.function == "two_layer_net":
        parameters = TwoLayerNetParameters(*(inputs[name] for name in ("W1", "b1", "W2", "b2")))
        loss = two_layer_net.loss(parameters, x, t, delta=case.delta)
    elif case.function == "simple_net":
        loss = simple_net.loss(inputs["W"], x, t, delta=case.delta)
    elif case.function == "cross_entropy_error":
        loss = losses.cross_entropy_error(inputs["y"], t, delta=case.delta)
    else:
        loss = losses.mean_squared_error(inputs["y"], t)
    assert loss == pytest.approx(float(case.tensors["loss"]), rel=1e-13)


def test_every_input_is_held_by_every_dtype():
    """So that nobody's inputs are rounded before the computation begins."""
    for case in vectors.cases():
        for name, array in part(case, "inputs").items():
            for dtype in (np.float16, ml_dtypes.bfloat16):
                assert np.array_equal(array, array.astype(dtype)), (case.name, name)


def test_the_files_are_the_same_every_time(folder, tmp_path):
    """They are committed, and a changed file means a changed number."""
    again = write(tmp_path)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
        p.name: p.read_bytes() for p in again.iterdir()
    }


def test_the_three_formats_hold_the_same_bits(folder):
    """Decimals, hexadecimals and bytes are three ways to write one number."""
    for case in vectors.cases():
        document = json.loads((folder / f"{case.name}.json").read_text(encoding="utf-8"))
        binary = load_file(folder / f"{case.name}.safetensors")
        with np.load(folder / f"{case.name}.npz") as archive:
            assert set(archive.files) == set(binary) == set(document["tensors"])
            for name, tensor in document["tensors"].items():
                values = np.array(tensor["values"], dtype=tensor["dtype"]).reshape(tensor["shape"])
                assert values.tobytes() == archive[name].tobytes() == binary[name].tobytes()
                assert values.shape == archive[name].shape == binary[name].shape
                for value, text in zip(values.ravel(), tensor.get("hex", ()), strict=False):
                    assert float.fromhex(text) == value


def test_the_manifest_lists_every_file_and_its_digest(folder):
    """A port checks what it downloaded."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    listed = {f["file"]: f["sha256"] for c in manifest["cases"] for f in c["files"].values()}
    others = {"manifest.json", "vectors.schema.json"}
    assert set(listed) == {path.name for path in folder.iterdir()} - others
    for name, digest in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_the_schema_names_every_field_and_every_tensor(folder):
    """The schema document and the files are kept in step."""
    definitions = json.loads((folder / "vectors.schema.json").read_text(encoding="utf-8"))["$defs"]
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert set(definitions["manifest"]["properties"]) == set(manifest)
    listed = definitions["manifest"]["properties"]["cases"]["items"]["properties"]
    patterns = definitions["case"]["properties"]["tensors"]["patternProperties"]
    for case in manifest["cases"]:
        assert set(listed) == set(case)
        assert case["function"] in definitions["function"]["enum"]
        document = json.loads((folder / f"{case['name']}.json").read_text(encoding="utf-8"))
        assert set(definitions["case"]["properties"]) == set(document)
        for name, tensor in document["tensors"].items():
            assert any(re.search(pattern, name) for pattern in patterns), name
            assert set(tensor) <= set(definitions["tensor"]["properties"])


def test_what_cannot_be_written_is_said_before_anything_is(tmp_path, monkeypatch):
    """A plain installation has no safetensors."""
    monkeypatch.setitem(sys.modules, "safetensors", None)
    folder = tmp_path / "vectors"
    done = CliRunner().invoke(vectors.command, [str(folder)])
    assert (done.exit_code, folder.exists()) == (3, False)
    assert "pip install safetensors" in done.output
    write(folder, "--format=json", "--format=npz")


def test_one_format_is_one_file_for_each_case(tmp_path):
    """A port reads one of them."""
    write(tmp_path, "--format", "json", "--seed", "3")
    assert {path.suffix for path in tmp_path.iterdir()} == {".json"}
