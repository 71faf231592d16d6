"""`gradient-oracle info`: what a server says about itself."""

import click
import gradient_oracle


@click.command()
@click.option("--address", help="HOST:PORT of the server.")
def command(address: str | None) -> None:
    """Print version and limits of a running server."""
    try:
        with gradient_oracle.connect(address, timeout=10) as oracle:
            click.echo(str(oracle.info()))
    except gradient_oracle.OracleError as error:
        raise click.ClickException(str(error)) from None
