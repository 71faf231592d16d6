"""`gradient-oracle check`: check a gradient that another program wrote to files."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from oracle.commands import check_graph, document
from oracle.commands.answer import client, conclude, reproduction
from oracle.commands.document import FUNCTIONS
from oracle.commands.files import FileProblem
from oracle.commands.options import Command, identity, report_page, server_address
from oracle.values import DELTA

_FILE = click.Path(exists=True, path_type=Path)
_TYPE = click.Choice(["float64", "float32", "float16", "bfloat16"])
_TARGETS = (
    "t: for each sample a label, a whole number of any type, (N,) or (N, 1); or a row, (N, K), "
    "one-hot or soft. For the losses labels are integers (N,), and rows have the shape of y."
)


@click.command(cls=Command, short_help="Check a gradient that is in files.")
@click.argument("subject", type=check_graph.Subject(tuple(FUNCTIONS)))
@click.option("--parameters", type=_FILE, help="W1, b1, W2, b2; or the one W of a simple net.")
@click.option("--inputs", type=_FILE, help="x, of shape (N, D); of a graph all inputs by name.")
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
    type=_TYPE,
    help="What sums were accumulated in, if it is wider than the gradient, as kernels of half "
    "precision do.",
)
@click.option("--cotangent", type=_FILE, help="Of a graph: what the backward pass began with.")
@click.option(
    "--attribute",
    "attribute",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of an operator: epsilon=1e-5, say. Any number of times.",
)
@click.option("--compute-dtype", type=_TYPE, help="Of a graph: what operations were computed in.")
@click.option(
    "--store-dtype",
    type=_TYPE,
    help="Of a graph: what tensors were stored in, if it is narrower than the gradient.",
)
@click.option("--scale", type=float, help="Of a graph: by what the loss was scaled.")
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
    subject: str,
    order: str,
    dtype: str | None,
    as_json: bool,
    page: Path | None,
    quiet: bool,
    address: str | None,
    access: Mapping[str, Any],
    **given: Any,
) -> None:
    """Check a gradient that is in files: .safetensors, .npz, .npy, .json or a folder of .npy.

    The document's nets take --parameters, --inputs, --targets and --gradient; its losses take
    --predictions, --targets and --gradient.

    A graph of operators, in JSON or as a model of ONNX, or one operator by its name, takes
    --inputs and --gradient under the names of its inputs; `gradient-oracle operators` lists what
    it may hold.

    Exit code: 0 pass, 1 fail, 2 inconclusive, 3 usage error, or a file
    or server that cannot be used.
    """
    given = {name: value for name, value in given.items() if value not in (None, ())}
    if order != "auto":
        given["order"] = order
    _require_known(subject, given)
    paths = {name: value for name, value in given.items() if isinstance(value, Path)}
    options = {n: value for n, value in given.items() if n not in paths and n != "order"}
    check: Callable[..., Any]
    if subject in FUNCTIONS:
        paths = {name: paths[name] for name in FUNCTIONS[subject].needs}
        check = functools.partial(document.check, FUNCTIONS[subject], paths, options)
    else:
        check = functools.partial(check_graph.check, check_graph.net_of(subject), paths, options)

    from gradient_oracle import OracleError

    order_of = {"column_major": True} if order == "column-major" else {}
    try:
        with client(address, access) as oracle:
            report = check(oracle, dtype=dtype, **order_of)
            if report.verdict == "fail" and not quiet:
                again = functools.partial(check, oracle)
                if dtype is None and paths["gradient"].suffix == ".json":
                    report = report.noted(_as_float32(functools.partial(again, **order_of)))
                if order == "auto" and subject in FUNCTIONS:
                    report = report.noted(document.as_column_major(report, again, dtype=dtype))
    except OracleError as error:
        raise FileProblem(str(error)) from error
    reproduce = reproduction(subject, paths, {"dtype": dtype, **given})
    conclude(report, reproduce, as_json=as_json, page=page, quiet=quiet)


def _require_known(subject: str, given: Mapping[str, Any]) -> None:
    """Raise unless what is checked has the files that it needs, and no option that it lacks."""
    takes = check_graph.TAKES
    needs: tuple[str, ...] = ("gradient",)
    if subject in FUNCTIONS:
        needs = FUNCTIONS[subject].needs
        takes = {*needs, "order", "accumulation_dtype", "delta"}
        takes -= {"delta"} if subject == "mean-squared-error" else set()
    absent = [_option(name) for name in needs if name not in given]
    surplus = [_option(name) for name in given if name not in takes]
    if absent or surplus:
        problem = f"needs {', '.join(absent)}" if absent else f"takes no {', '.join(surplus)}"
        raise FileProblem(f"{subject} {problem}")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _as_float32(check: Callable[..., Any]) -> str:
    """Say so if the numbers of a file that knows no types are right for float32, or nothing."""
    right = check(dtype="float32").passed
    return "Read as float32 the gradient is right: use --dtype=float32." if right else ""
