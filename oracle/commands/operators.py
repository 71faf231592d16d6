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
            if name is None:
                shown = [_short(operator) for operator in oracle.operators().values()]
            else:
                shown = [str(operator) for operator in oracle.operators([name]).values()]
    except OracleError as error:
        raise Fault(str(error)) from None
    click.echo("\n\n".join(shown))


def _short(operator: Any) -> str:
    lines = [operator.signature(), *operator.formulas]
    lines.append(f"gradients in {', '.join(operator.dtypes)}")
    if operator.codes:
        lines.append(f"known mistakes: {', '.join(operator.codes)}")
    return "\n    ".join(lines)
