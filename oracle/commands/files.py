"""Files that programs in other languages write: their forms, names and memory orders."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from oracle.values import Array

FORMS = ".safetensors, .npz, .npy, .json or a folder of .npy"

NET = ("W1", "b1", "W2", "b2")


class FileProblem(click.ClickException):
    """A file that does not hold what the check needs."""

    exit_code = 3


def read_tensors(path: Path) -> dict[str, Array]:
    """Return the named arrays of a file or a folder; an array without a name has that of the file.

    Raises
    ------
    FileProblem
        If it has another form, or cannot be read.
    """
    try:
        if path.is_dir():
            return {file.stem: np.load(file, allow_pickle=False) for file in path.glob("*.npy")}
        if path.suffix == ".npy":
            return {path.stem: np.load(path, allow_pickle=False)}
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        if path.suffix == ".json":
            return _json_tensors(json.loads(path.read_text(encoding="utf-8")), path.stem)
        if path.suffix == ".safetensors":
            from safetensors.numpy import load_file

            return dict(load_file(path))
    except ImportError as error:
        raise FileProblem(
            "reading .safetensors needs: pip install 'gradient-oracle[files]'"
        ) from error
    except Exception as error:
        raise FileProblem(f"cannot read {path}: {error}") from error
    raise FileProblem(f"{path} must be {FORMS}")


def _json_tensors(document: Any, name: str) -> dict[str, Array]:
    if not isinstance(document, dict) or _is_typed_array(document):
        document = {name: document}
    return {str(key): _json_array(value) for key, value in document.items()}


def _json_array(value: Any) -> Array:
    array = np.array(list(value.values()) if _is_typed_array(value) else value)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"arrays of numbers are needed, got {str(value)[:40]}")
    return array


def _is_typed_array(value: Any) -> bool:
    """Tell whether this is how JavaScript writes a Float32Array: {"0": 0.5, "1": 2}."""
    return isinstance(value, dict) and bool(value) and list(value) == [*map(str, range(len(value)))]


def read_array(path: Path) -> Array:
    """Return the only array of a file.

    Raises
    ------
    FileProblem
        If the file has another form, cannot be read, or holds several arrays.
    """
    arrays = read_tensors(path)
    if len(arrays) != 1:
        raise FileProblem(f"{path} must hold one array, got {', '.join(arrays) or 'none'}")
    return next(iter(arrays.values()))


def read_numbers(path: Path) -> Array:
    """Return the only array of a file, floating: JSON writes 1.0 as 1."""
    return floating(read_array(path), path)


def read_net(path: Path) -> dict[str, Array]:
    """Return the four arrays of a two-layer net, floating."""
    return {name: floating(a, path) for name, a in named(read_tensors(path), path).items()}


def read_targets(path: Path) -> Array:
    """Return labels, or rows of one-hot or soft targets; JSON writes the rows as integers."""
    array = read_array(path)
    return floating(array, path) if array.ndim > 1 else array


def floating(array: Array, path: Path) -> Array:
    """Return an array of a JSON file as float64, and any other one as it is."""
    return array.astype(np.float64) if path.suffix == ".json" else array


def named(arrays: Mapping[str, Array], path: Path) -> dict[str, Array]:
    """Return the arrays as W1, b1, W2, b2, whatever the case of their names.

    Two layers in PyTorch's names, `fc1.weight` and `fc1.bias` or `0.weight` and `0.bias` say, are
    taken in the order in which their shapes follow each other, and their (out, in) weights are
    transposed.

    Raises
    ------
    FileProblem
        If one of the four is missing; the message lists what the file holds.
    """
    canonical = {name.lower(): name for name in NET}
    found = {canonical[n.lower()]: array for n, array in arrays.items() if n.lower() in canonical}
    found = found or _pytorch(arrays)
    missing = [name for name in NET if name not in found]
    if missing:
        held = ", ".join(f"{name} {arrays[name].shape}" for name in sorted(arrays)) or "nothing"
        raise FileProblem(
            f"{path} must hold W1, b1, W2, b2, or the weight and bias of two layers; "
            f"missing {', '.join(missing)}, got {held}"
        )
    return found


def _pytorch(arrays: Mapping[str, Array]) -> dict[str, Array]:
    layers = sorted(name.removesuffix(".weight") for name in arrays if name.endswith(".weight"))
    if len(layers) != 2 or len(arrays) != 4 or any(f"{n}.bias" not in arrays for n in layers):
        return {}
    first, second = layers
    if _follows(arrays, first, second) and not _follows(arrays, second, first):
        first, second = second, first
    return {
        "W1": arrays[f"{first}.weight"].T,
        "b1": arrays[f"{first}.bias"],
        "W2": arrays[f"{second}.weight"].T,
        "b2": arrays[f"{second}.bias"],
    }


def _follows(arrays: Mapping[str, Array], layer: str, before: str) -> bool:
    """Tell whether what `before` gives fits what `layer` takes, in (out, in) weights."""
    return arrays[f"{layer}.weight"].shape[-1:] == arrays[f"{before}.bias"].shape


def net_shapes(net: Mapping[str, Array], x: Array) -> dict[str, tuple[int, ...]]:
    """Return the shapes that the sizes of a two-layer net's arrays allow, x among them."""
    H, K = net["b1"].size, net["b2"].size
    D = net["W1"].size // max(H, 1)
    return {
        "W1": (D, H),
        "b1": (H,),
        "W2": (H, K),
        "b2": (K,),
        "x": (x.size // max(D, 1), D) if x.shape != (D,) else (D,),
    }


def arranged(
    arrays: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]], *, column_major: bool
) -> dict[str, Array]:
    """Return arrays with the shapes that they should have, where their sizes allow it.

    A flat array and a bias of shape (1, H) or (H, 1) are given their shape. A matrix whose shape is
    turned over is transposed, which is how a column-major program and one with (out, in) weights
    look; square ones go with the others. `column_major` reads every matrix in that order instead,
    whichever shape it states.
    """
    turned = {name for name, array in arrays.items() if _turned(array, shapes[name])}
    right = {n for n, a in arrays.items() if a.ndim == 2 and a.shape == shapes[n] != a.T.shape}
    if turned and not right:
        turned |= {name for name, array in arrays.items() if array.ndim == 2}
    made = {}
    for name, array in arrays.items():
        shape = shapes[name]
        if array.size != math.prod(shape):
            made[name] = array
        elif column_major:
            made[name] = array.reshape(-1).reshape(shape, order="F")
        elif _is_flat(array):
            made[name] = array.reshape(shape)
        else:
            made[name] = array.T if name in turned else array
    return made


def _turned(array: Array, shape: tuple[int, ...]) -> bool:
    return array.ndim == 2 and array.shape == shape[::-1] != shape


def _is_flat(array: Array) -> bool:
    return array.ndim <= 1 or array.size == max(array.shape)
