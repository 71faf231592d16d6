"""`gradient-oracle vectors`: exact gradients in files, for tests that run without a server."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import flint
import numpy as np

from oracle.checking import budget, derivatives, probes
from oracle.checking.arithmetic import Arithmetic, arithmetic
from oracle.checking.budget import Evaluation
from oracle.commands.options import Command, Fault
from oracle.enclosure.balls import Ball, ball_matrix, enclose, product, softmax
from oracle.reference.targets import distribution
from oracle.values import DELTA, Array, ReferenceGradient, never_stop

SCHEMA_VERSION = 1
"""Raised when a field or a tensor changes its meaning or goes away."""

FORMATS = ("json", "npz", "safetensors")

Evaluate = Callable[[Arithmetic], Evaluation]


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

    def scores() -> list[Ball]:
        hidden = product(x, ball_matrix(parameters.W1), never_stop)
        biases = parameters.b1.tolist() * len(x)
        z = [1 / (1 + (-(a + b)).exp()) for a, b in zip(hidden, biases, strict=True)]
        raw = flint.arb_mat(len(x), parameters.b1.size, z) * ball_matrix(parameters.W2)
        biases = parameters.b2.tolist() * len(x)
        return [s + b for s, b in zip(raw.entries(), biases, strict=True)]

    return _case(
        name,
        "two_layer_net",
        delta,
        {**parameters.tensors(), "x": x, "t": t},
        loss=_cross_entropy(scores, distribution(t, parameters.b2.size), delta),
        gradient=derivatives.two_layer_net(parameters, x, t, delta=delta),
        evaluate=lambda how: budget.two_layer_net(parameters, x, t, how, delta=delta),
    )


def _simple_net(seed: int) -> Case:
    parameters, x, t = probes.probe("standard", "float64", seed)
    W = np.concatenate([parameters.W2, parameters.W2[:4] / 2])
    return _case(
        "simple_net",
        "simple_net",
        DELTA,
        {"W": W, "x": x, "t": t},
        loss=_cross_entropy(
            lambda: product(x, ball_matrix(W), never_stop), distribution(t, W.shape[1]), DELTA
        ),
        gradient=derivatives.simple_net(W, x, t, delta=DELTA),
        evaluate=lambda how: budget.simple_net(W, x, t, how, delta=DELTA),
    )


def _losses(seed: int) -> list[Case]:
    _, x, t = probes.probe("standard", "float64", seed)
    weights = np.abs(x[:, :3])
    # Rows of multiples of 1/256 that sum to 1, as probabilities do.
    y = np.floor(256 * weights / weights.sum(axis=1, keepdims=True)) / 256
    y[:, 0] += 1.0 - y.sum(axis=1)
    targets = distribution(t, 3)
    rows = [(p, w) for p, w in zip(y.ravel().tolist(), targets.ravel().tolist(), strict=True)]
    cross = _case(
        "cross_entropy_error",
        "cross_entropy_error",
        DELTA,
        {"y": y, "t": t},
        loss=lambda: sum(-w * (flint.arb(p) + DELTA).log() for p, w in rows if w) / len(y),
        gradient=derivatives.cross_entropy_error(y, t, delta=DELTA),
        evaluate=lambda how: Evaluation({}, budget.cross_entropy_error(y, t, how, delta=DELTA)),
    )
    square = _case(
        "mean_squared_error",
        "mean_squared_error",
        None,
        {"y": y, "t": targets},
        loss=lambda: sum((flint.arb(p) - w) ** 2 for p, w in rows) / 2,
        gradient=derivatives.mean_squared_error(y, targets),
        evaluate=lambda how: Evaluation({}, budget.mean_squared_error(y, targets, how)),
    )
    return [cross, square]


def _cross_entropy(
    scores: Callable[[], list[Ball]], targets: Array, delta: float
) -> Callable[[], Ball]:
    def loss() -> Ball:
        entries, (samples, classes) = scores(), targets.shape
        total = flint.arb(0)
        for n, row in enumerate(targets.tolist()):
            y = softmax(entries[n * classes : (n + 1) * classes])
            total -= sum(w * (p + delta).log() for p, w in zip(y, row, strict=True) if w)
        return total / samples

    return loss


def _case(
    name: str,
    function: str,
    delta: float | None,
    inputs: Mapping[str, Array],
    *,
    loss: Callable[[], Ball],
    gradient: ReferenceGradient,
    evaluate: Evaluate,
) -> Case:
    enclosed = enclose(lambda: {"loss": [loss()]}, {"loss": ()}, never_stop)
    tensors: dict[str, Array] = {f"inputs/{key}": array for key, array in inputs.items()}
    tensors["loss"] = enclosed.tensors["loss"]
    tensors["loss_radius"] = enclosed.radius["loss"]
    for key, array in gradient.tensors.items():
        tensors[f"gradient/{key}"] = array
        tensors[f"radius/{key}"] = gradient.radius[key]
    limits: dict[str, float | None] = {}
    for dtype in probes.DTYPES:
        rounding = evaluate(arithmetic(dtype)).budget
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
