"""`gradient-oracle check`: check a gradient that another program wrote to files."""

from __future__ import annotations

import functools
import hashlib
import math
import platform
import shlex
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import click
import numpy as np

from oracle.commands import files
from oracle.commands.files import FileProblem
from oracle.commands.options import Command, identity, report_page, server_address
from oracle.values import DELTA, Array

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 2}
"""Exit codes by verdict; a file, a usage or a connection at fault is 3."""


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


def client(address: str | None, access: Mapping[str, Any]) -> AbstractContextManager[Any]:
    """Return the client of a server at `address`, or of one that is started for this command."""
    import gradient_oracle

    if address:
        return gradient_oracle.connect(address, **access)
    return gradient_oracle.embedded()


def versions() -> str:
    """Return what the numbers of a report may depend on."""
    return (
        f"gradient-oracle {version('gradient-oracle')}, NumPy {np.__version__}, "
        f"Python {platform.python_version()}"
    )


def conclude(
    report: Any, reproduce: Mapping[str, str], *, as_json: bool, page: Path | None, quiet: bool
) -> NoReturn:
    """Print the report, write it where it was asked for, and end with the code of its verdict.

    Raises
    ------
    FileProblem
        If it cannot be printed or written.
    """
    try:
        if not quiet:
            if as_json:
                click.echo(report.to_json())
            else:
                report.show()
        if page is not None:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(report.to_html(reproduce), encoding="utf-8")
    except OSError as error:
        where = error.filename or "the report"
        raise FileProblem(f"cannot write {where}: {error.strerror}") from error
    raise SystemExit(EXIT_CODES[report.verdict])


def _reproduction(paths: Mapping[str, Path], **options: str | float | None) -> dict[str, str]:
    context = click.get_current_context()
    given = {**paths, **{name: value for name, value in options.items() if value is not None}}
    asked = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    read = [
        file
        for path in paths.values()
        for file in (sorted(path.glob("*.npy")) if path.is_dir() else [path])
    ]
    digests = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file}" for file in read]
    return {
        "Command": shlex.join(["gradient-oracle", "check", context.params["function"], *asked]),
        "Files (SHA-256)": "\n".join(digests),
        "Versions": versions(),
    }


_FILE = click.Path(exists=True, path_type=Path)
_TARGETS = (
    "t: for each sample a label, a whole number of any type, (N,) or (N, 1); or a row, (N, K), "
    "one-hot or soft. For the losses labels are integers (N,), and rows have the shape of y."
)


@click.command(cls=Command, short_help="Check a gradient that is in files.")
@click.argument("function", type=click.Choice(list(FUNCTIONS)))
@click.option("--parameters", type=_FILE, help="W1, b1, W2, b2; or the one W of a simple net.")
@click.option("--inputs", type=_FILE, help="x, of shape (N, D).")
@click.option("--predictions", type=_FILE, help="y, of shape (N, K) or (K,), for the losses.")
@click.option("--targets", type=_FILE, help=_TARGETS)
@click.option("--gradient", type=_FILE, help="The gradient to check, named alike, or dW1 ...")
@click.option(
    "--order",
    type=click.Choice(["auto", "column-major"]),
    default="auto",
    show_default=True,
    help="Memory order of the matrices; auto goes by their shapes.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float64", "float32", "float16"]),
    help="What the gradient was computed in, if its file does not say so, as JSON does not.",
)
@click.option(
    "--accumulation-dtype",
    type=click.Choice(["float64", "float32", "float16", "bfloat16"]),
    help="What sums were accumulated in, if it is wider than the gradient, as kernels of half "
    "precision do.",
)
@click.option(
    "--delta", type=float, help=f"In log(y + delta); {DELTA:g} unless given, 0 for the plain log."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@report_page
@click.option("--quiet", is_flag=True, help="Print nothing; the exit code answers.")
@server_address
@identity
def command(
    *,
    function: str,
    order: str,
    dtype: str | None,
    accumulation_dtype: str | None,
    delta: float | None,
    as_json: bool,
    page: Path | None,
    quiet: bool,
    address: str | None,
    access: Mapping[str, Any],
    **given: Path | None,
) -> None:
    """Check a gradient that is in files: .safetensors, .npz, .npy, .json or a folder of .npy.

    The nets take --parameters, --inputs, --targets and --gradient; the losses take --predictions,
    --targets and --gradient.

    Exit code: 0 pass, 1 fail, 2 inconclusive, 3 a usage, a file or a connection at fault.
    """
    asked = FUNCTIONS[function]
    paths = {name: path for name, path in given.items() if path is not None}
    absent = [f"--{name}" for name in asked.needs if name not in paths]
    surplus = [f"--{name}" for name in paths if name not in asked.needs]
    if absent or surplus:
        problem = f"needs {', '.join(absent)}" if absent else f"takes no {', '.join(surplus)}"
        raise FileProblem(f"{function} {problem}")
    if delta is not None and function == "mean-squared-error":
        raise FileProblem("mean-squared-error takes no --delta")
    paths = {name: paths[name] for name in asked.needs}
    options: dict[str, Any] = {} if delta is None else {"delta": delta}
    options["accumulation_dtype"] = accumulation_dtype

    from gradient_oracle import OracleError

    def check(oracle: Any, *, column_major: bool, dtype: str | None) -> Any:
        held = asked.read(paths, column_major)
        gradient = held.gradient if dtype is None else _in(held.gradient, dtype)
        report = getattr(oracle, asked.method)(*held.inputs, gradient, **options)
        return functools.reduce(lambda noted, note: noted.noted(note), held.notes, report)

    try:
        with client(address, access) as oracle:
            report = check(oracle, column_major=order == "column-major", dtype=dtype)
            if report.verdict == "fail" and not quiet:
                again = functools.partial(check, oracle)
                if dtype is None and paths["gradient"].suffix == ".json":
                    report = report.noted(_as_float32(again, column_major=order == "column-major"))
                if order == "auto":
                    report = report.noted(_as_column_major(report, again, dtype=dtype))
    except OracleError as error:
        raise FileProblem(str(error)) from error
    reproduce = _reproduction(
        paths, order=order, dtype=dtype, accumulation_dtype=accumulation_dtype, delta=delta
    )
    conclude(report, reproduce, as_json=as_json, page=page, quiet=quiet)


def _in(gradient: Any, dtype: str) -> Any:
    if isinstance(gradient, Mapping):
        return {name: array.astype(dtype) for name, array in gradient.items()}
    return gradient.astype(dtype)


def _as_float32(check: Callable[..., Any], *, column_major: bool) -> str:
    """Say so if the numbers of a file that knows no types are right for float32, or nothing."""
    right = check(column_major=column_major, dtype="float32").passed
    return "Read as float32 the gradient is right: use --dtype=float32." if right else ""


def _as_column_major(report: Any, check: Callable[..., Any], *, dtype: str | None) -> str:
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
