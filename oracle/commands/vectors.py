"""`gradient-oracle vectors`: exact gradients in files, for tests that run without a server."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np

from oracle.arithmetic.balls import enclose
from oracle.arithmetic.dtypes import arithmetic
from oracle.checking import known, probes
from oracle.commands.options import Command, Fault
from oracle.document import nets
from oracle.graphs.evaluation import forward
from oracle.graphs.graph import Plan
from oracle.reference.targets import distribution
from oracle.values import DELTA, Array

SCHEMA_VERSION = 1
"""Raised when a field or a tensor changes its meaning or goes away."""

FORMATS = ("json", "npz", "safetensors")


@dataclass(frozen=True)
class Case:
    """One set of inputs of one function, with all that a correct implementation must give.

    `tensors` holds, by name, `inputs/...`, `loss`, `loss_radius`, and for each tensor of the
    gradient `gradient/...`, `radius/...` and `allowed.DTYPE/...`.
    """

    name: str
    function: str
    delta: float | None
    tensors: Mapping[str, Array]
    detection_limits: Mapping[str, float | None]


def cases(seed: int = 0) -> list[Case]:
    """Return the cases, the same for the same seed on every machine.

    Parameters
    ----------
    seed : int
        Seed of the inputs, as for `probes.probe`.

    Returns
    -------
    list of Case
        Every input is a number that float64, float32, float16 and bfloat16 all hold.
    """
    made = [
        _two_layer_net("two_layer_net", "standard", DELTA, seed),
        _two_layer_net("two_layer_net_textbook", "standard", 0.0, seed),
        _two_layer_net("two_layer_net_single", "single", DELTA, seed),
        _two_layer_net("two_layer_net_saturated", "saturated", DELTA, seed),
        _two_layer_net("two_layer_net_one_hot", "standard", DELTA, seed, one_hot=True),
        _simple_net(seed),
    ]
    return [*made, *_losses(seed)]


def _two_layer_net(
    name: str, variant: str, delta: float, seed: int, *, one_hot: bool = False
) -> Case:
    parameters, x, t = probes.probe(variant, "float64", seed)
    if one_hot:
        t = np.eye(parameters.b2.size)[t]
    plan = nets.two_layer_net(parameters, x, t, delta)
    return _case(name, "two_layer_net", delta, plan, tuple(parameters.tensors()))


def _simple_net(seed: int) -> Case:
    parameters, x, t = probes.probe("standard", "float64", seed)
    W = np.concatenate([parameters.W2, parameters.W2[:4] / 2])
    plan = nets.simple_net(W, x, t, DELTA)
    return _case("simple_net", "simple_net", DELTA, plan, ("W",))


def _losses(seed: int) -> list[Case]:
    _, x, t = probes.probe("standard", "float64", seed)
    weights = np.abs(x[:, :3])
    # Rows of multiples of 1/256 that sum to 1, as probabilities do.
    y = np.floor(256 * weights / weights.sum(axis=1, keepdims=True)) / 256
    y[:, 0] += 1.0 - y.sum(axis=1)
    cross = nets.cross_entropy_error(y, t, DELTA)
    square = nets.mean_squared_error(y, distribution(t, 3))
    return [
        _case("cross_entropy_error", "cross_entropy_error", DELTA, cross, ("y",)),
        _case("mean_squared_error", "mean_squared_error", None, square, ("y",)),
    ]


def _case(
    name: str, function: str, delta: float | None, plan: Plan, names: tuple[str, ...]
) -> Case:
    asked = known.known(plan, wanted=names)
    enclosed, _ = enclose(lambda xp: {"loss": forward(xp, plan)["loss"]})
    gradient, _ = known.reference(asked)
    tensors: dict[str, Array] = {f"inputs/{key}": array for key, array in plan.inputs.items()}
    tensors["loss"] = enclosed.tensors["loss"]
    tensors["loss_radius"] = enclosed.radius["loss"]
    for key, array in gradient.tensors.items():
        tensors[f"gradient/{key}"] = array
        tensors[f"radius/{key}"] = gradient.radius[key]
    limits: dict[str, float | None] = {}
    for dtype in probes.DTYPES:
        rounding = known.evaluation(asked, arithmetic(dtype)).budget
        shares = []
        for key, array in gradient.tensors.items():
            allowed = rounding[key] + gradient.radius[key]
            tensors[f"allowed.{dtype}/{key}"] = allowed
            shares.append(float(allowed.max() / np.abs(array).max()))
        # Where rounding alone hides an entry of the size of the largest, agreement means nothing.
        limits[dtype] = max(shares) if max(shares) < 1.0 else None
    return Case(name, function, delta, tensors, limits)


def to_json(case: Case) -> bytes:
    """Return the case as JSON: each number as the shortest decimal that reads back, and as hex."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "name": case.name,
        "function": case.function,
        "delta": case.delta,
        "tensors": {name: _json_tensor(array) for name, array in case.tensors.items()},
    }
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def _json_tensor(array: Array) -> dict[str, Any]:
    values = array.ravel().tolist()
    tensor = {"dtype": str(array.dtype), "shape": list(array.shape), "values": values}
    if array.dtype.kind == "f":
        tensor["hex"] = [value.hex() for value in values]
    return tensor


def to_npz(case: Case) -> bytes:
    """Return the case as .npz; `np.savez` would write the time of day into it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in case.tensors.items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, np.asarray(array, order="C"))
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), entry.getvalue())
    return file.getvalue()


def to_safetensors(case: Case) -> bytes:
    """Return the case as .safetensors."""
    from safetensors.numpy import save

    return save({name: np.asarray(array, order="C") for name, array in case.tensors.items()})


_WRITERS = {"json": to_json, "npz": to_npz, "safetensors": to_safetensors}


@click.command(cls=Command, short_help="Write test vectors into a folder.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--format",
    "formats",
    type=click.Choice(FORMATS),
    multiple=True,
    default=FORMATS,
    show_default=True,
    help="May be repeated.",
)
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=0, show_default=True)
def command(folder: Path, formats: tuple[str, ...], seed: int) -> None:
    """Write test vectors into FOLDER: inputs, losses and exact gradients, the same every time.

    A tensor of a gradient computed in DTYPE is right if |yours - gradient| <= allowed.DTYPE in
    every entry. manifest.json lists the cases, vectors.schema.json describes the files.
    """
    if "safetensors" in formats and not find_spec("safetensors"):
        raise Fault(
            "writing .safetensors needs: pip install safetensors; "
            "the others are written by: --format=json --format=npz"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.FileError(str(folder), error.strerror or "cannot be made") from error
    listed = []
    for case in cases(seed):
        files = {}
        for name in formats:
            content = _WRITERS[name](case)
            (folder / f"{case.name}.{name}").write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            files[name] = {"file": f"{case.name}.{name}", "sha256": digest}
        listed.append(
            {
                "name": case.name,
                "function": case.function,
                "delta": case.delta,
                "detection_limits": case.detection_limits,
                "files": files,
            }
        )
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "generator": f"gradient-oracle {version('gradient-oracle')}",
        "seed": seed,
        "rule": "abs(candidate - gradient) <= allowed.DTYPE, entry by entry",
        "cases": listed,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    schema = resources.files("oracle.commands").joinpath("vectors.schema.json").read_bytes()
    (folder / "vectors.schema.json").write_bytes(schema)
    click.echo(f"{len(listed)} cases in {folder}, {', '.join(formats)}")
