"""The document's functions that `gradient-oracle check` knows: what files they need, and read."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oracle.commands import files
from oracle.commands.files import FileProblem
from oracle.values import Array


@dataclass(frozen=True)
class Read:
    """What files hold: the inputs of a check, the gradient, and what their author should know."""

    inputs: tuple[Any, ...]
    gradient: Any
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Function:
    """A function that `check` knows: the files that it needs, and what they ask of a client."""

    method: str
    needs: tuple[str, ...]
    read: Callable[[Mapping[str, Path], bool], Read]


def _two_layer_net(paths: Mapping[str, Path], column_major: bool) -> Read:
    net, names = files.read_net(paths["parameters"])
    x, t = files.read_numbers(paths["inputs"]), files.read_array(paths["targets"])
    gradient, gradient_names = files.read_gradient(paths["gradient"], names)
    notes = _incomplete(paths["gradient"]) if len(gradient) < len(net) else ()
    shapes = files.net_shapes(net, x)
    gradient = files.arranged(gradient, shapes, column_major=column_major, stored=net)
    net = files.arranged(net, shapes, column_major=column_major)
    x = files.arranged({"x": x}, shapes, column_major=column_major)["x"]
    targets = _targets(t, shapes["x"], net["b2"].size, column_major)
    notes += _of_targets(t, targets)
    # Under the names of the files, which the report explains then.
    return Read((names.give(net), x, targets), gradient_names.give(gradient), notes)


def _incomplete(path: Path) -> tuple[str, ...]:
    """Say what else is there, for a tensor that is missing may only be misnamed."""
    return (f"{path} holds {files.held(path)}.",)


def _simple_net(paths: Mapping[str, Path], column_major: bool) -> Read:
    W, gradient = files.read_numbers(paths["parameters"]), files.read_numbers(paths["gradient"])
    x, t = files.read_numbers(paths["inputs"]), files.read_array(paths["targets"])
    # x is (N, D), W (D, K) and t (N,) or (N, K), so the sizes give N, or its square.
    square = x.size * t.size // max(W.size, 1)
    labels = t.size in x.shape and (t.dtype.kind in "iu" or math.isqrt(square) not in x.shape)
    N = t.size if labels else math.isqrt(square)
    N = N if x.ndim == 2 else 1
    D = x.size // max(N, 1)
    K = W.size // max(D, 1)
    shapes = {"W": (D, K), "x": (N, D) if x.ndim == 2 else (D,)}
    gradient, W = (
        files.arranged({"W": a}, shapes, column_major=column_major, stored={"W": W})["W"]
        for a in (gradient, W)
    )
    x = files.arranged({"x": x}, shapes, column_major=column_major)["x"]
    targets = _targets(t, shapes["x"], K, column_major)
    return Read((W, x, targets), gradient, _of_targets(t, targets))


def _loss(paths: Mapping[str, Path], column_major: bool) -> Read:
    y, t = files.read_numbers(paths["predictions"]), files.read_array(paths["targets"])
    gradient = files.read_numbers(paths["gradient"])
    if t.dtype.kind in "iu" and t.ndim == 1 and y.ndim == 2:
        shapes = {"y": (t.size, y.size // max(t.size, 1))}
        gradient, y = (
            files.arranged({"y": a}, shapes, column_major=column_major, stored={"y": y})["y"]
            for a in (gradient, y)
        )
    return Read((y, t), gradient)


def _targets(t: Array, x_shape: tuple[int, ...], K: int, column_major: bool) -> Array:
    """Return labels or rows of targets as the sizes tell them apart, whichever type they have."""
    N = x_shape[0] if len(x_shape) == 2 else 1
    whole = t.dtype.kind in "iu" or (K > 1 and bool((np.isfinite(t) & (np.floor(t) == t)).all()))
    if t.size == max(N, *t.shape) == N and whole:
        return _labels(t.reshape(-1), K)
    if t.size != N * K and t.ndim < 2:
        return t
    return files.arranged({"t": t}, {"t": (N, K)}, column_major=column_major)["t"]


def _of_targets(t: Array, taken: Array) -> tuple[str, ...]:
    """Say so if numbers were taken for labels whose type or shape is another in Python."""
    if taken.ndim == 2 or taken.dtype.kind == "f" or (t.dtype.kind != "f" and t.ndim == 1):
        return ()
    return (f"The targets are {t.dtype} of shape {t.shape}: taken for labels.",)


def _labels(t: Array, K: int) -> Array:
    if t.size and t.min() >= 1 and t.max() == K:
        raise FileProblem(f"labels must count from 0 to {K - 1}, these go up to {K}: subtract 1")
    return t.astype(np.int64)


_NET = ("parameters", "inputs", "targets", "gradient")
_LOSS = ("predictions", "targets", "gradient")

FUNCTIONS = {
    "two-layer-net": Function("check_two_layer_net", _NET, _two_layer_net),
    "simple-net": Function("check_simple_net", _NET, _simple_net),
    "cross-entropy-error": Function("check_cross_entropy_error", _LOSS, _loss),
    "mean-squared-error": Function("check_mean_squared_error", _LOSS, _loss),
}


def check(
    asked: Function,
    paths: Mapping[str, Path],
    options: Mapping[str, Any],
    oracle: Any,
    *,
    column_major: bool = False,
    dtype: str | None = None,
) -> Any:
    """Return the report on what files hold, with what their author should know."""
    held = asked.read(paths, column_major)
    gradient = held.gradient if dtype is None else _in(held.gradient, dtype)
    report = getattr(oracle, asked.method)(*held.inputs, gradient, **options)
    return functools.reduce(lambda noted, note: noted.noted(note), held.notes, report)


def _in(gradient: Any, dtype: str) -> Any:
    if isinstance(gradient, Mapping):
        return {name: array.astype(dtype) for name, array in gradient.items()}
    return gradient.astype(dtype)


def as_column_major(report: Any, check: Callable[..., Any], *, dtype: str | None) -> str:
    """Say so if the other memory order makes the gradient right, or right in more tensors.

    A fault is named only in the order in which the files were written.
    """
    from gradient_oracle import OracleError

    try:
        other = check(column_major=True, dtype=dtype)
    except OracleError:
        return ""
    if other.passed:
        return "Read as column-major the gradient is right: use --order=column-major."
    if _wrong(other) < _wrong(report) or (_unexplained(report) and not _unexplained(other)):
        said = str(other).splitlines()[0].partition(": ")[2]
        return f"Try --order=column-major: read so, {said}"
    return ""


def _wrong(report: Any) -> int:
    return sum(tensor.verdict.value == "fail" for tensor in report.tensors)


def _unexplained(report: Any) -> bool:
    return any(finding.kind == "unexplained" for finding in report.findings)
