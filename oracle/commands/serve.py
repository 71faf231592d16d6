"""`gradient-oracle serve`: run the server."""

from __future__ import annotations

import dataclasses
import logging
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
from pythonjsonlogger.json import JsonFormatter

from oracle.commands.options import Command, Fault, Seconds
from oracle.service.gate import single_threaded_blas
from oracle.service.memory import keep_freed_memory
from oracle.service.ports import CannotServe, WrongSetting, risks
from oracle.service.server import Server
from oracle.service.settings import Settings
from oracle.service.workers import Workers

DEFAULT = Settings()
File = click.Path(dir_okay=False)
_LOG = logging.getLogger(__name__)

SWITCH_INTERVAL = 0.001
"""Seconds that a thread in Python may go on while others wait; by default it is 5 ms.

A short answer takes several turns. Beside certified checks, the 99th percentile of health was 117
ms; with this, and blocks of 2 ms between two turns of exact arithmetic, it is 30 ms.
"""


STOPPING = 10.0
"""Seconds beyond the grace in which a server stops: half for gRPC, half for the interpreter."""

YEAR = 365 * 86_400.0


@click.command(cls=Command)
@click.option(
    "--address",
    default=DEFAULT.address,
    show_envvar=True,
    help="HOST:PORT to listen on; port 0 takes a free one.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    show_envvar=True,
    help="Port to listen on, instead of the one in --address.",
)
@click.option(
    "--allow-remote",
    is_flag=True,
    show_envvar=True,
    help="Serve an address that is not loopback even without encryption, when others read and "
    "change what is sent, and without tokens, when whoever reaches the port uses the server.",
)
@click.option(
    "--tls-certificate",
    type=File,
    default="",
    show_envvar=True,
    help="Encrypt: the certificate of this server and those that signed it, in PEM. It is read "
    "again when it changes, as all these files are.",
)
@click.option("--tls-key", type=File, default="", show_envvar=True, help="Its key, in PEM.")
@click.option(
    "--tls-client-ca",
    type=File,
    default="",
    show_envvar=True,
    help="Let only those clients in whose certificate one of these authorities has signed.",
)
@click.option(
    "--token-file",
    type=File,
    default="",
    show_envvar=True,
    help="Let only those callers in who send a token of this file, which docs/operating.md "
    "describes.",
)
@click.option(
    "--session-key-file",
    type=File,
    default="",
    show_envvar=True,
    help="Keys that replicas share, one a line, so that a conversation goes on at another; without "
    "it each server makes its own.",
)
@click.option(
    "--http-address",
    default="",
    show_envvar=True,
    help="HOST:PORT of the same methods over HTTP, in JSON, by the Connect protocol, with the same "
    "certificates, tokens and limits. Needs the extra `http`.",
)
@click.option(
    "--health-address",
    default="",
    show_envvar=True,
    help="HOST:PORT where grpc.health.v1 alone is served, without encryption, for probes.",
)
@click.option(
    "--metrics-address",
    default="",
    show_envvar=True,
    help="HOST:PORT where Prometheus reads the metrics; they hold no data of callers.",
)
@click.option(
    "--max-message-bytes",
    default=DEFAULT.max_message_bytes,
    type=click.IntRange(2**16, 2**31 - 1),
    show_envvar=True,
    help="Largest message in either direction.",
)
@click.option(
    "--max-memory-bytes",
    type=click.IntRange(2**24),
    show_envvar=True,
    help="Memory that all calls may take together in each process, as far as their sizes tell; one "
    "caller gets three quarters of it.  [default: three quarters of the machine's or the "
    "container's, divided among the workers]",
)
@click.option(
    "--max-call-seconds",
    default=DEFAULT.max_call_seconds,
    type=Seconds(0, min_open=True),
    show_envvar=True,
    help="Longest time for one call.",
)
@click.option(
    "--workers",
    default=1,
    type=click.IntRange(1, 256),
    show_envvar=True,
    help="Processes that share the port: many clients, each with a connection of its own, get more "
    "checks a second from as many processes as there are cores.",
)
@click.option(
    "--compute-slots",
    type=click.IntRange(1),
    show_envvar=True,
    help="Calls that compute at the same time, each on one core, in each process.  "
    "[default: the cores, divided among the workers]",
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
    type=Seconds(0),
    show_envvar=True,
    help="Seconds that running calls have to end after SIGTERM; a second one ends them at once.",
)
@click.option(
    "--log-level",
    default="info",
    type=click.Choice(["debug", "info", "warning", "error"]),
    show_envvar=True,
    help="Least important line of the log, which goes to standard error, one JSON object a line.",
)
def command(
    *,
    workers: int,
    grace: float,
    log_level: str,
    compute_slots: int | None,
    port: int | None,
    max_memory_bytes: int | None,
    **settings: Any,
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Prints the address once it listens. A second signal does not wait for running calls. Exits with
    0 after a stop, and with 3 if an option is wrong or the address cannot be bound to.

    BLAS computes with one thread in this process: calls run beside each other instead.
    """
    signals = begin(log_level)
    settings["compute_slots"] = compute_slots or max(1, DEFAULT.compute_slots // workers)
    if port is not None:
        settings["address"] = f"{settings['address'].rpartition(':')[0]}:{port}"
    settings["max_memory_bytes"] = max_memory_bytes or DEFAULT.max_memory_bytes // workers
    told = Settings(**settings)
    try:
        if workers == 1:
            serve(told, grace, signals)
        else:
            _several(workers, told, grace, log_level, signals)
    except CannotServe as error:
        where = f"cannot serve {told.address}: " if isinstance(error, WrongSetting) else ""
        raise Fault(f"{where}{error}") from None
    _LOG.info("stopped")


def begin(log_level: str) -> list[int]:
    """Set this process up to serve, and return where its signals to stop will be."""
    keep_freed_memory()
    sys.setswitchinterval(SWITCH_INTERVAL)
    _log_to_standard_error(log_level)
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: signals.append(number))
    return signals


def serve(settings: Settings, grace: float, signals: list[int]) -> None:
    """Serve in this process until there is a signal."""
    server = Server(settings)
    if server.http is not None:
        _LOG.info("listening to HTTP", extra={"address": server.http.address})
    if server.exposition is not None:
        _announce_metrics(server.exposition.address)
    for risk in risks(settings, encrypted=bool(settings.tls_certificate)):
        _LOG.warning(risk, extra={"address": server.address})
    with single_threaded_blas():
        server.start()
        _announce(server.address)
        # A signal may reach a thread of gRPC, which wakes no lock or sleep of this one.
        while not signals:
            time.sleep(0.1)
            if server.metrics is not None:
                server.metrics.sample()
        _announce_end(signals[0], grace)
        _end_at_last(grace + STOPPING)
        server.stop(grace, partial(_repeated, signals))


def _end_at_last(seconds: float) -> None:
    """Let the system end this process after so many seconds, whatever it does by then."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, min(seconds, YEAR))


def _several(
    count: int, settings: Settings, grace: float, log_level: str, signals: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if not settings.session_key_file:
            # Each turn of a conversation may reach another process.
            keys = Path(folder, "session-key")
            keys.touch(0o600)
            keys.write_text(secrets.token_hex(32))
            settings = dataclasses.replace(settings, session_key_file=str(keys))
        workers = Workers(settings, count, grace, log_level)
        with _counting(settings.metrics_address, folder) as replaced:
            try:
                workers.start()
                _announce(workers.address)
                workers.watch(lambda: signals, replaced)
                _announce_end(signals[0], grace)
            finally:
                workers.stop(grace, partial(_repeated, signals))


@contextmanager
def _counting(address: str, folder: str) -> Iterator[Callable[[int], None]]:
    """Tell what all workers count, who leave it in a folder; yield what counts their ends."""
    if not address:
        yield lambda _: None
        return
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    from oracle.service.metrics import Processes

    processes = Processes(address)
    _announce_metrics(processes.exposition.address)
    yield processes.replaced
    processes.exposition.stop()


def _repeated(signals: list[int]) -> bool:
    return len(signals) > 1


def _announce(address: str) -> None:
    _LOG.info("listening", extra={"address": address})
    click.echo(f"listening on {address}")


def _announce_metrics(address: str) -> None:
    _LOG.info("telling metrics", extra={"address": address})


def _announce_end(number: int, grace: float) -> None:
    _LOG.info("stopping", extra={"signal": signal.Signals(number).name, "grace": grace})


def _log_to_standard_error(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter(
            "%(levelname)s %(name)s %(process)d %(message)s",
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp=True,
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
