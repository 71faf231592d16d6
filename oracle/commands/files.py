"""Files that programs in other languages write: their forms, names and memory orders."""

from __future__ import annotations

import json
import math
import shlex
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import read_array as read_array_format

from oracle.commands.options import Fault
from oracle.values import Array
from oracle.wire.names import NET, Names, UnknownNames, listed, recognised

FORMS = ".safetensors, .npz, .npy, .json or a folder of .npy"


class FileProblem(Fault):
    """A file that does not hold what the check needs."""


DAMAGED = (
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What readers raise about a file that is damaged, or is another one than its name says."""


def read_tensors(path: Path) -> dict[str, Array]:
    """Return the named arrays of a file or a folder; an array without a name has that of the file.

    Raises
    ------
    FileProblem
        If it has another form, or cannot be read.
    """
    read = _read_folder if path.is_dir() else _READERS.get(path.suffix)
    if read is None:
        raise FileProblem(f"{path} must be {FORMS}{_converted(path)}")
    try:
        found = read(path)
    except DAMAGED as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise FileProblem(f"cannot read {path}: {why}") from error
    require_printable(found, str(path))
    return found


def require_printable(names: Iterable[str], source: str) -> None:
    """Raise if a name would move the cursor of a terminal, or begin a line that a CI reads."""
    for name in names:
        if not name.isprintable():
            remedy = "a name holds printable characters only; rename it"
            raise FileProblem(f"{source} holds an array named {name!r}: {remedy}")


_CONVERSIONS = {
    "npy": "numpy.save({new!r}, {read})",
    "npz": "numpy.savez({new!r}, **{read})",
    "safetensors": "safetensors.torch.save_file({read}, {new!r})",
}
_TORCH = ("safetensors", "torch, safetensors.torch", "torch.load({old!r}, weights_only=True)")
_TABLE = ("npy", "numpy", "numpy.loadtxt({old!r}, delimiter={comma!r})")
_OTHER_FORMS = {
    ".pt": _TORCH,
    ".pth": _TORCH,
    ".bin": _TORCH,
    ".csv": _TABLE,
    ".tsv": _TABLE,
    ".txt": _TABLE,
    ".mat": (
        "npz",
        "numpy, scipy.io",
        "{{k: v for k, v in scipy.io.loadmat({old!r}).items() if k[0] != '_'}}",
    ),
    ".h5": (
        "npz",
        "numpy, h5py",
        "{{k: v[()] for k, v in h5py.File({old!r}).items()}}",
    ),
    ".pkl": ("npz", "numpy, pickle", "pickle.load(open({old!r}, 'rb'))"),
}
"""What other files can be made into: the form, what to import, and what reads them."""


def _converted(path: Path) -> str:
    """Return the line of Python that makes one of the forms of a file, or "" if none is known."""
    if path.suffix.lower() not in _OTHER_FORMS:
        return ""
    form, modules, read = _OTHER_FORMS[path.suffix.lower()]
    comma = {".csv": ",", ".tsv": "\t"}.get(path.suffix.lower())
    source = read.format(old=str(path), comma=comma)
    made = _CONVERSIONS[form].format(new=str(path.with_suffix(f".{form}")), read=source)
    return f"; this makes one: python -c {shlex.quote(f'import {modules}; {made}')}"


def _read_folder(path: Path) -> dict[str, Array]:
    return {file.stem: _read_npy(file)[file.stem] for file in sorted(path.glob("*.npy"))}


def _read_npy(path: Path) -> dict[str, Array]:
    with path.open("rb") as file:
        return {path.stem: read_array_format(file, allow_pickle=False)}


def _read_npz(path: Path) -> dict[str, Array]:
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as file:
                arrays[name.removesuffix(".npy")] = read_array_format(file, allow_pickle=False)
    return arrays


def _read_json(path: Path) -> dict[str, Array]:
    return _json_tensors(json.loads(path.read_text(encoding="utf-8")), path.stem)


def _read_safetensors(path: Path) -> dict[str, Array]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise FileProblem("reading .safetensors needs: pip install safetensors") from error
    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise ValueError(str(error)) from error


_READERS: Mapping[str, Callable[[Path], dict[str, Array]]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".json": _read_json,
    ".safetensors": _read_safetensors,
}


def _json_tensors(document: Any, name: str) -> dict[str, Array]:
    if not isinstance(document, dict) or is_typed_array(document) or _is_shaped(document):
        document = {name: document}
    return {str(key): _json_array(value) for key, value in document.items()}


def _json_array(value: Any) -> Array:
    if _is_shaped(value):
        flat = np.array(numbers(value["values"]), dtype=value.get("dtype"))
        return flat.reshape(value["shape"])
    try:
        array = np.array(numbers(value))
    except ValueError as error:
        raise ValueError("its rows have different lengths") from error
    if array.dtype.kind not in "iuf":
        raise ValueError(f"arrays of numbers are needed, got {str(value)[:40]}")
    return array


def numbers(value: Any) -> Any:
    """Return nested lists of numbers; JavaScript writes NaN and the infinities as null."""
    if is_typed_array(value):
        value = list(value.values())
    if isinstance(value, list):
        return [numbers(entry) for entry in value]
    return math.nan if value is None else value


def _is_shaped(value: Any) -> bool:
    """Tell whether this is how `vectors` writes an array: {"shape": [2, 3], "values": [...]}."""
    return isinstance(value, dict) and {"shape", "values"} <= value.keys()


def is_typed_array(value: Any) -> bool:
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


def read_net(path: Path) -> tuple[dict[str, Array], Names]:
    """Return the four arrays of a two-layer net, floating, and what the file calls them."""
    arrays, names = named(read_tensors(path), path)
    missing = [name for name in NET if name not in arrays]
    if missing:
        raise FileProblem(
            f"{path} must hold W1, b1, W2, b2; missing {', '.join(missing)}, got {held(path)}"
        )
    return {name: floating(array, path) for name, array in arrays.items()}, names


def read_gradient(path: Path, of: Names) -> tuple[dict[str, Array], Names]:
    """Return the gradient of a two-layer net, of which some arrays may be missing.

    That of W1 may be called dW1 or W1_grad, or as the parameters that it is a gradient `of`.
    """
    found, names = named(read_tensors(path), path, of)
    return {name: floating(array, path) for name, array in found.items()}, names


def held(path: Path) -> str:
    """Return the names and shapes of what a file holds, for a message."""
    return listed({name: array.shape for name, array in read_tensors(path).items()})


def floating(array: Array, path: Path) -> Array:
    """Return whole numbers of a JSON file as float64, and any other array as it is."""
    whole = path.suffix == ".json" and array.dtype.kind in "iu"
    return array.astype(np.float64) if whole else array


def named(
    arrays: Mapping[str, Array], path: Path, like: Names | None = None
) -> tuple[dict[str, Array], Names]:
    """Return arrays as W1, b1, W2, b2, and what they are called.

    Raises
    ------
    FileProblem
        If nothing says what they are, or there are others; the message lists what the file holds.
    """
    try:
        # A gradient without any array is another file rather than one that lacks them all.
        shapes = {name: array.shape for name, array in arrays.items()}
        names = recognised(shapes, like if shapes else None)
    except UnknownNames as problem:
        raise FileProblem(f"{path} {problem}") from problem
    return names.take(arrays), names


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
    arrays: Mapping[str, Array],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    column_major: bool,
    stored: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """Return arrays with the shapes that they should have, where their sizes allow it.

    A flat array and a bias of shape (1, H) or (H, 1) are given their shape. A matrix whose shape is
    turned over is transposed, which is how a column-major program and one with (out, in) weights
    look; square ones go with the others. `column_major` takes the memory of every matrix in that
    order instead, whichever shape it states.

    A gradient is treated as its parameters are, which are then `stored`, and not for itself: a
    tensor in another shape than its parameter is a fault, and stays one.
    """
    stored = stored or arrays
    turned = {name for name, array in stored.items() if _turned(array, shapes[name])}
    right = {n for n, a in stored.items() if a.ndim == 2 and a.shape == shapes[n] != a.T.shape}
    if turned and not right:
        turned |= {name for name, array in stored.items() if array.ndim == 2}
    made = {}
    for name, array in arrays.items():
        shape = shapes[name]
        fits = array.shape == stored[name].shape and array.size == math.prod(shape)
        if fits and column_major:
            # "A": a file that says itself that it is column-major is not turned once more.
            made[name] = array.reshape(-1, order="A").reshape(shape, order="F")
        elif fits and _is_flat(array):
            made[name] = array.reshape(shape)
        else:
            made[name] = array.T if name in turned else array
    return made


def _turned(array: Array, shape: tuple[int, ...]) -> bool:
    return array.ndim == 2 and array.shape == shape[::-1] != shape


def _is_flat(array: Array) -> bool:
    return array.ndim <= 1 or array.size == max(array.shape)
