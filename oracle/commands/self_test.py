"""`gradient-oracle self-test`: known wrong and known correct gradients through the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from oracle.commands.options import Command, Fault, identity, server_address


@click.command("self-test", cls=Command, short_help="Check wrong and right gradients.")
@click.option("--batch", "N", default=5, show_default=True, type=click.IntRange(1), help="N")
@click.option("--inputs", "D", default=11, show_default=True, type=click.IntRange(1), help="D")
@click.option("--hidden", "H", default=7, show_default=True, type=click.IntRange(1), help="H")
@click.option("--outputs", "K", default=3, show_default=True, type=click.IntRange(1), help="K")
@click.option(
    "--dtype",
    default="float64",
    show_default=True,
    type=click.Choice(["float64", "float32"]),
    help="arithmetic of the gradients",
)
@click.option("--weight-scale", default=1.0, show_default=True, help="weights are below this")
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**64 - 1),
    help="seed of the case",
)
@click.option("--rows", is_flag=True, help="print every gradient, not only those that went wrong")
@server_address
@identity
def command(
    *,
    N: int,
    D: int,
    H: int,
    K: int,
    dtype: str,
    weight_scale: float,
    seed: int,
    rows: bool,
    address: str | None,
    access: Mapping[str, Any],
) -> None:
    """Run known wrong and known correct gradients through the verdict.

    Exit code: 1 if a visible wrong gradient passed, a correct one failed, or one got a wrong name;
    3 usage error, or a server that cannot be used.
    """
    import gradient_oracle

    from oracle.commands.answer import client

    try:
        with client(address, access) as oracle:
            result = oracle.self_test(
                batch_size=N,
                input_size=D,
                hidden_size=H,
                output_size=K,
                dtype=dtype,
                weight_scale=weight_scale,
                seed=seed,
            )
    except gradient_oracle.OracleError as error:
        raise Fault(str(error)) from error
    for row in result.rows:
        if rows or (row.right and not row.named_rightly):
            found = ", ".join(row.found) or "-"
            hidden = "" if row.visible or not row.right else "  (below the detection limit)"
            click.echo(f"{row.verdict:12}  {row.name:45}  {found}{hidden}")
    click.echo(str(result))
    bad = result.detected < result.wrong or result.misnamed or result.false_alarms
    raise SystemExit(1 if bad else 0)
