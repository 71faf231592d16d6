"""`gradient-oracle serve`: run the server."""

from __future__ import annotations

import signal
import threading

import click

from oracle.service.server import Server, Settings


@click.command()
@click.option("--address", default="127.0.0.1:50051", show_default=True, help="HOST:PORT.")
@click.option("--allow-remote", is_flag=True, help="Serve an address that is not loopback.")
def command(address: str, allow_remote: bool) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    try:
        server = Server(Settings(address, allow_remote=allow_remote))
    except (RuntimeError, ValueError) as error:
        raise click.ClickException(f"cannot serve {address}: {error}") from None
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server.start()
    click.echo(f"listening on {server.address}")
    stop.wait()
    server.stop(grace=5)
