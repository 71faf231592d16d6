"""`gradient-oracle check graph.json`, `check model.onnx`, `check LayerNormalization`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from oracle.commands import files
from oracle.commands.files import FileProblem
from oracle.values import Array

NAMED = ("parameters", "inputs", "targets")
"""Files that hold inputs of a graph, under their names."""

TAKES = {
    *NAMED,
    *("gradient", "cotangent", "attribute"),
    *("compute_dtype", "accumulation_dtype", "store_dtype", "scale"),
}
"""What the check of a graph may be told."""

_ARGUMENTS = {
    "compute_dtype": "compute",
    "accumulation_dtype": "accumulate",
    "store_dtype": "store",
}
"""Arguments of the client by the options that have other names."""

_DERIVED = re.compile(r"(?:d|g|grad)_?(.+)|(.+?)[._]?grad", re.IGNORECASE)


class Subject(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """What is checked: a function by its name, a file with a graph, or an operator."""

    name = "subject"

    def __init__(self, functions: tuple[str, ...]) -> None:
        self.functions = functions

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Return the name or the path."""
        text = str(value)
        if text in self.functions or re.fullmatch(r"[A-Z]\w*", text):
            return text
        if Path(text).suffix in {".json", ".onnx"}:
            if not Path(text).is_file():
                self.fail(f"there is no file {text}", param, ctx)
            return text
        known = ", ".join(self.functions)
        forms = f"{known}, a graph in .json, a model in .onnx, or an operator such as Gemm"
        return self.fail(f"{text!r} is not one of {forms}", param, ctx)

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """Return what the usage line shows."""
        return "FUNCTION|GRAPH.json|MODEL.onnx|OPERATOR"


def net_of(subject: str) -> Any:
    """Return what the client takes for a net: nodes, a model, or the name of an operator.

    Raises
    ------
    FileProblem
        If the file cannot be read.
    """
    path = Path(subject)
    if path.suffix == ".onnx":
        import gradient_oracle

        try:
            return gradient_oracle.onnx.load(path)
        except gradient_oracle.OracleError as error:
            raise FileProblem(str(error)) from error
    if path.suffix == ".json":
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise FileProblem(f"cannot read {path}: {error}") from error
        if not isinstance(document, dict | list):
            raise FileProblem(f"{path} must hold a list of nodes, or a dict with nodes and outputs")
        return document
    return subject


def check(
    net: Any,
    paths: Mapping[str, Path],
    options: Mapping[str, Any],
    oracle: Any,
    *,
    dtype: str | None = None,
) -> Any:
    """Return the report on what files hold."""
    inputs, gradient, cotangent = read(net, paths, dtype)
    told = {_ARGUMENTS.get(n, n): value for n, value in options.items() if n != "attribute"}
    named = attributes(options.get("attribute", ()))
    return oracle.check(net, inputs, gradient, cotangent=cotangent, attributes=named, **told)


def read(net: Any, paths: Mapping[str, Path], dtype: str | None) -> tuple[Any, ...]:
    """Return inputs, gradient and cotangent of files.

    A gradient of X may be called dX or X_grad. JSON writes 1.0 as 1: what has a gradient is
    floating.

    Raises
    ------
    FileProblem
        If a file is missing, or cannot be read.
    """
    given = [name for name in NAMED if name in paths]
    inputs = {n: a for name in given for n, a in files.read_tensors(paths[name]).items()}
    known = {*inputs, *getattr(net, "initializers", {})}
    candidate = files.read_tensors(paths["gradient"])
    gradient: Any = {_name(n, known): _floating(a, dtype) for n, a in candidate.items()}
    if len(candidate) == 1 and not set(gradient) <= known:
        # An array alone has the name of its file.
        (gradient,) = gradient.values()
    for name in gradient if isinstance(gradient, dict) else inputs:
        if name in inputs and any(paths[source].suffix == ".json" for source in given):
            inputs[name] = _floating(inputs[name], None)
    cotangent = None
    if "cotangent" in paths:
        weights = files.read_tensors(paths["cotangent"])
        cotangent = next(iter(weights.values())) if len(weights) == 1 else weights
    return inputs, gradient, cotangent


def _name(name: str, known: set[str]) -> str:
    found = _DERIVED.fullmatch(name)
    meant = (found[1] or found[2]) if found else name
    return name if name in known or meant not in known else meant


def _floating(array: Array, dtype: str | None) -> Array:
    if dtype is not None:
        return array.astype(dtype)
    return array.astype("float64") if array.dtype.kind in "iu" else array


def attributes(given: tuple[str, ...]) -> dict[str, Any] | None:
    """Return attributes that are written NAME=VALUE; a value is a number, a list, or a text.

    Raises
    ------
    FileProblem
        If one has no value.
    """
    found: dict[str, Any] = {}
    for item in given:
        name, equals, text = item.partition("=")
        if not name or not equals:
            raise FileProblem(f"--attribute must be NAME=VALUE, got {item!r}")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found or None
