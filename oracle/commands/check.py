"""`gradient-oracle check`: check a gradient that another program wrote to files."""

from __future__ import annotations

import hashlib
import platform
import shlex
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import click
import numpy as np

from oracle.reporting import html
from oracle.values import Array

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 2}
"""Exit codes by verdict; a file, a usage or a connection at fault is 3."""

_USAGE = 3
_TENSORS = ("W1", "b1", "W2", "b2")


class FileProblem(click.ClickException):
    """A file that does not hold what the check needs."""

    exit_code = _USAGE


class CheckCommand(click.Command):
    """A command whose usage errors exit with 3, so that 2 can mean inconclusive."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the arguments."""
        try:
            return super().make_context(*args, **extra)
        except click.UsageError as error:
            raise FileProblem(error.format_message()) from error


def read_tensors(path: Path) -> dict[str, Array]:
    """Return the named arrays of a .npz or .safetensors file.

    Raises
    ------
    FileProblem
        If the file has another form, or cannot be read.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        if path.suffix == ".safetensors":
            from safetensors.numpy import load_file

            return dict(load_file(path))
    except ImportError as error:
        raise FileProblem(
            "reading .safetensors needs: pip install 'gradient-oracle[files]'"
        ) from error
    except Exception as error:
        raise FileProblem(f"cannot read {path}: {error}") from error
    raise FileProblem(f"{path} must be .npz or .safetensors")


def read_array(path: Path) -> Array:
    """Return the array of a .npy file, or the only one of a .npz or .safetensors file.

    Raises
    ------
    FileProblem
        If the file has another form, cannot be read, or holds several arrays.
    """
    if path.suffix == ".npy":
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise FileProblem(f"cannot read {path}: {error}") from error
    arrays = read_tensors(path)
    if len(arrays) != 1:
        raise FileProblem(f"{path} must hold one array, got {', '.join(arrays) or 'none'}")
    return next(iter(arrays.values()))


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
    canonical = {name.lower(): name for name in _TENSORS}
    found = {canonical[n.lower()]: array for n, array in arrays.items() if n.lower() in canonical}
    found = found or _pytorch(arrays)
    missing = [name for name in _TENSORS if name not in found]
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


def require_row_major(parameters: Mapping[str, Array], inputs: Array, path: Path) -> None:
    """Raise if the shapes are those that a column-major program writes.

    Raises
    ------
    FileProblem
        If both matrices are turned over against the inputs.
    """
    W1, W2, b1, b2 = (parameters[name] for name in ("W1", "W2", "b1", "b2"))
    if inputs.ndim != 2 or W1.ndim != 2 or W2.ndim != 2:
        return
    turned = (b1.size, inputs.shape[1]) == W1.shape and (b2.size, b1.size) == W2.shape
    if turned and W1.shape[0] != W1.shape[1]:
        raise FileProblem(
            f"W1 in {path} must be (D, H) = {W1.shape[::-1]}, got {W1.shape}: the file is "
            "column-major (Julia, Fortran) or holds (out, in) weights; write transposed matrices"
        )


def client(address: str | None) -> AbstractContextManager[Any]:
    """Return the client of a server at `address`, or of one that is started for this command."""
    import gradient_oracle

    return gradient_oracle.connect(address) if address else gradient_oracle.embedded()


def versions() -> str:
    """Return what the numbers of a report may depend on."""
    return (
        f"gradient-oracle {version('gradient-oracle')}, NumPy {np.__version__}, "
        f"Python {platform.python_version()}"
    )


def conclude(
    report: Any, reproduce: Mapping[str, str], *, as_json: bool, page: Path | None, quiet: bool
) -> NoReturn:
    """Write the report where it was asked for, and end with the exit code of its verdict."""
    if page is not None:
        page.write_text(html.render(report.value, reproduce=reproduce), encoding="utf-8")
    if not quiet:
        click.echo(report.to_json() if as_json else str(report))
    raise SystemExit(EXIT_CODES[report.verdict])


def _reproduction(files: Sequence[Path]) -> dict[str, str]:
    context = click.get_current_context()
    digests = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path}" for path in files]
    options = [
        f"--{name.replace('_', '-')}={context.params[name]}"
        for name in ("parameters", "inputs", "targets", "gradient", "delta")
    ]
    command_line = shlex.join(["gradient-oracle", "check", context.params["function"], *options])
    return {
        "Command": command_line,
        "Files (SHA-256)": "\n".join(digests),
        "Versions": versions(),
    }


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(cls=CheckCommand)
@click.argument("function", type=click.Choice(["two-layer-net"]))
@click.option("--parameters", required=True, type=_FILE, help="W1, b1, W2, b2.")
@click.option("--inputs", required=True, type=_FILE, help="x, of shape (N, D).")
@click.option("--targets", required=True, type=_FILE, help="t: labels (N,) or one-hot (N, K).")
@click.option("--gradient", required=True, type=_FILE, help="The gradient to check, named alike.")
@click.option("--delta", type=float, default=1e-7, show_default=True, help="In log(y + delta).")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option(
    "--report",
    "page",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also write the report as a self-contained HTML page.",
)
@click.option("--quiet", is_flag=True, help="Print nothing; the exit code answers.")
@click.option("--address", help="Server to ask, HOST:PORT; without it one is started.")
def command(
    *,
    function: str,  # noqa: ARG001 - there is one function so far, and its name is its choice
    parameters: Path,
    inputs: Path,
    targets: Path,
    gradient: Path,
    delta: float,
    as_json: bool,
    page: Path | None,
    quiet: bool,
    address: str | None,
) -> None:
    """Check a gradient that is in files: .npz or .safetensors, and .npy for single arrays.

    Exit code: 0 pass, 1 fail, 2 inconclusive, 3 a usage, a file or a connection at fault.
    """
    values = named(read_tensors(parameters), parameters)
    x, t = read_array(inputs), read_array(targets)
    require_row_major(values, x, parameters)
    candidate = named(read_tensors(gradient), gradient)

    from gradient_oracle import OracleError

    try:
        with client(address) as oracle:
            report = oracle.check_two_layer_net(values, x, t, candidate, delta=delta)
    except OracleError as error:
        raise FileProblem(str(error)) from error
    files = [parameters, inputs, targets, gradient]
    conclude(report, _reproduction(files), as_json=as_json, page=page, quiet=quiet)
