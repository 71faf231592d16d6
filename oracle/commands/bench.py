"""`gradient-oracle bench`: this project beside what a user would use instead, in one run."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from oracle.commands.options import Command

PARTS = ("gradients", "wire", "starting")
PINNED = {
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
"""One thread of linear algebra for everybody, in this process and in those that it starts."""


@click.command("bench", cls=Command, short_help="Measure gradients, calls and starts.")
@click.option("--quick", is_flag=True, help="Fewer runs; slow peers on a sample of parameters.")
@click.option("--part", type=click.Choice(PARTS), multiple=True, help="Only these parts.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option(
    "--markdown",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write a page of tables to this file.",
)
def command(*, quick: bool, part: tuple[str, ...], as_json: bool, markdown: Path | None) -> None:
    """Measure gradients, calls and starts beside torch, JAX, SciPy and bare gRPC.

    Peers that are not installed are left out with a word. A full run takes some minutes.
    """
    # Before NumPy is loaded: BLAS reads it once.
    os.environ.update(PINNED)
    from oracle.benchmark import table

    rows = []
    machine = _machine()
    if not as_json:
        click.echo(machine)
    section = ""
    for measure in _measurements(part or PARTS):
        for row in measure(quick=quick):
            rows.append(row)
            if as_json:
                continue
            if row.section != section:
                section = row.section
                click.echo(f"\n{section}")
            click.echo(table.line(row))
    if as_json:
        click.echo(json.dumps(table.machine_readable(machine, rows), indent=2))
    if markdown is not None:
        markdown.write_text(table.markdown(machine, rows), encoding="utf-8")


def _measurements(parts: tuple[str, ...]) -> Iterator[Callable[..., Iterator]]:  # type: ignore[type-arg]
    from oracle.benchmark import gradients, starting, wire

    known = {"gradients": gradients.rows, "wire": wire.rows, "starting": starting.rows}
    for part in parts:
        yield known[part]


def _machine() -> str:
    import numpy as np

    return (
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}; BLAS on one thread."
    )
