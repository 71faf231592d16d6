"""`gradient-oracle serve`: run the server."""

from __future__ import annotations

import logging
import signal
import time

import click
from pythonjsonlogger.json import JsonFormatter

from oracle.service.gate import single_threaded_blas
from oracle.service.memory import keep_freed_memory
from oracle.service.server import CannotServe, Server, Settings

DEFAULT = Settings()


@click.command()
@click.option(
    "--address",
    default=DEFAULT.address,
    show_envvar=True,
    help="HOST:PORT to listen on; port 0 takes a free one.",
)
@click.option(
    "--allow-remote",
    is_flag=True,
    show_envvar=True,
    help="Serve an address that is not loopback. There is neither encryption nor a password.",
)
@click.option(
    "--max-message-bytes",
    default=DEFAULT.max_message_bytes,
    type=click.IntRange(2**16, 2**31 - 1),
    show_envvar=True,
    help="Largest message in either direction.",
)
@click.option(
    "--max-call-seconds",
    default=DEFAULT.max_call_seconds,
    type=click.FloatRange(0, min_open=True),
    show_envvar=True,
    help="Longest time for one call.",
)
@click.option(
    "--compute-slots",
    default=DEFAULT.compute_slots,
    type=click.IntRange(1),
    show_envvar=True,
    help="Calls that compute at the same time, each on one core.",
)
@click.option(
    "--max-waiting-calls",
    default=DEFAULT.max_waiting_calls,
    type=click.IntRange(0),
    show_envvar=True,
    help="Calls that may wait for a core; one more is refused.",
)
@click.option(
    "--reflection",
    is_flag=True,
    show_envvar=True,
    help="Describe the services to callers that ask.",
)
@click.option(
    "--grace",
    default=5.0,
    type=click.FloatRange(0),
    show_envvar=True,
    help="Seconds that running calls have to end after SIGTERM.",
)
@click.option(
    "--log-level",
    default="info",
    type=click.Choice(["debug", "info", "warning", "error"]),
    show_envvar=True,
    help="Least important line of the log, which goes to standard error, one JSON object a line.",
)
def command(grace: float, log_level: str, **settings: object) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Prints the address once it listens. Exits with 0 after a stop, with 1 if the address cannot be
    served, with 2 if an option is wrong.

    BLAS computes with one thread in this process: calls run beside each other instead.
    """
    keep_freed_memory()
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp=True,
        )
    )
    logging.basicConfig(level=log_level.upper(), handlers=[handler], force=True)
    try:
        server = Server(Settings(**settings))  # type: ignore[arg-type]
    except CannotServe as error:
        raise click.ClickException(f"cannot serve {settings['address']}: {error}") from None
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: signals.append(number))
    log = logging.getLogger(__name__)
    with single_threaded_blas():
        server.start()
        log.info("listening", extra={"address": server.address})
        click.echo(f"listening on {server.address}")
        # A signal may reach a thread of gRPC, which wakes no lock or sleep of this one.
        while not signals:
            time.sleep(0.1)
        log.info("stopping", extra={"signal": signal.Signals(signals[0]).name, "grace": grace})
        server.stop(grace)
    log.info("stopped")
