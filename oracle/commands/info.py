"""`gradient-oracle info`: what a server says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
import gradient_oracle

from oracle.commands.options import Command, Fault, Seconds, identity


@click.command(cls=Command)
@click.option(
    "--address",
    envvar="GRADIENT_ORACLE_ADDRESS",
    show_envvar=True,
    default="127.0.0.1:50051",
    help="HOST:PORT of the server.",
)
@click.option("--timeout", default=10.0, type=Seconds(0, min_open=True), help="Seconds to wait.")
@click.option("--embedded", is_flag=True, help="Ask a server inside this process instead.")
@identity
def command(address: str, timeout: float, *, embedded: bool, access: Mapping[str, Any]) -> None:
    """Print what a server says about itself.

    That is its version, its limits, the libraries that compute, and its functions.

    Exits with 3 if it does not answer.
    """
    try:
        with (
            gradient_oracle.embedded()
            if embedded
            else gradient_oracle.connect(address, timeout=timeout, **access)
        ) as oracle:
            info = oracle.info()
    except gradient_oracle.OracleError as error:
        raise Fault(str(error)) from None
    limits = info.limits
    lines = [
        f"gradient-oracle {info.version}",
        f"Python {info.python_version}, NumPy {info.numpy_version}",
        f"{info.blas or 'unknown BLAS'}, threads: {info.blas_threads}",
        f"python-flint {info.flint_version}",
        f"largest message: {limits.max_message_bytes} bytes",
        f"longest call: {limits.max_call_seconds:g} s",
        f"calls at a time: {limits.compute_slots}, waiting: {limits.max_waiting_calls}",
        f"trainings at a time: {limits.max_trainings}, conversations: {limits.max_conversations}",
        f"silence in a conversation: {limits.max_idle_seconds:g} s",
        f"dimensions of a tensor: {limits.max_rank}, numbers of a layer: {limits.max_numbers}, "
        f"entries of a function's x: {limits.max_entries}",
        "functions:",
        *(f"  {name}" for name in info.functions),
    ]
    click.echo("\n".join(lines))
