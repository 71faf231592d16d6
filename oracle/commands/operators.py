"""`gradient-oracle operators`: what a graph may hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from oracle.commands.answer import client
from oracle.commands.options import Command, Fault, identity, server_address


@click.command(cls=Command, short_help="List the operators, or show one.")
@click.argument("name", required=False)
@server_address
@identity
def command(name: str | None, *, address: str | None, access: Mapping[str, Any]) -> None:
    """List the operators that graphs may hold, or show one with its formulas.

    Of each the list has how it is called, its formula, the types of gradients that are checked, and
    the codes of the mistakes that are known by name.
    """
    from gradient_oracle import OracleError

    try:
        with client(address, access) as oracle:
            served = oracle.info().operators
    except OracleError as error:
        raise Fault(str(error)) from None
    if name is not None and name not in served:
        near = served.near(name)
        raise Fault(f"no operator {name!r} is served" + (f"; {near} is one" if near else ""))
    shown = [served[name]] if name else served.values()
    click.echo("\n\n".join(str(operator) if name else _short(operator) for operator in shown))


def _short(operator: Any) -> str:
    lines = [operator.signature(), *operator.formulas]
    lines.append(f"gradients in {', '.join(operator.dtypes)}")
    if operator.codes:
        lines.append(f"known mistakes: {', '.join(operator.codes)}")
    return "\n    ".join(lines)
