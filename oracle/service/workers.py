"""Several server processes on one port: the kernel gives each new connection to one of them.

Exact arithmetic and Python compute on one core of a process, whatever its threads. Processes use
all: `gradient-oracle bench --part wire` measures both. A connection stays with its process, and so
do its streams; unary conversations travel in their tokens, and go on in any of them.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from oracle.service.gate import GLANCE
from oracle.service.ports import CannotServe, require_servable
from oracle.service.settings import Settings

_LOG = logging.getLogger(__name__)

SHORT_LIFE = 2.0
"""Seconds; a worker that ends sooner than this after its start may well end again."""

LONGEST_PAUSE = 60.0
"""Seconds before the next of many workers in a row that had a short life; the first has one."""

GRACE_OF_OURS = 7.0
"""Seconds beyond the grace of running calls in which a worker stops by itself: a few for gRPC."""


class Workers:
    """Server processes that share one port.

    Parameters
    ----------
    settings : Settings
        What each of them is told; port 0 takes a free one for all.
    count : int
        How many processes.
    grace, log_level : float, str
        What the command is told beside the settings.

    Raises
    ------
    CannotServe
        If the address cannot be served, or the system cannot share a port among processes.
    """

    def __init__(
        self, settings: Settings, count: int, grace: float = 0.0, log_level: str = "info"
    ) -> None:
        if not hasattr(socket, "SO_REUSEPORT"):
            raise CannotServe("this system cannot share a port among processes; use --workers 1")
        host, bare, port = require_servable(settings, encrypted=bool(settings.tls_certificate))
        # Bound, but not listening: it keeps the port ours while workers come and go.
        self._port = socket.socket(socket.AF_INET6 if ":" in bare else socket.AF_INET)
        self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._port.bind((bare, port))
        self.address = f"{host}:{self._port.getsockname()[1]}"
        self.count = count
        shared = dataclasses.replace(settings, address=self.address, shared_port=True)
        told = {"settings": dataclasses.asdict(shared), "grace": grace, "log_level": log_level}
        self._command = (sys.executable, "-m", "oracle.commands.worker")
        self._told = json.dumps(told) + "\n"
        self._running: list[tuple[subprocess.Popen[str], float]] = []

    def start(self) -> None:
        """Start the processes and wait until each listens."""
        started = [self._spawn() for _ in range(self.count)]
        for process in started:
            self._await(process)

    def _spawn(self) -> subprocess.Popen[str]:
        # The pipe to a worker ends with this process, however that ends; the worker then stops.
        # In a session of its own, Ctrl-C reaches this process only, which passes it on.
        process = subprocess.Popen(  # noqa: S603 - our own module
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdin is not None  # noqa: S101 - it is piped
        with suppress(BrokenPipeError):  # It ended at once, and `watch` sees that.
            process.stdin.write(self._told)
            process.stdin.flush()
        self._running.append((process, time.monotonic()))
        return process

    def _await(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None  # noqa: S101 - it is piped
        if not process.stdout.readline():
            raise CannotServe(f"a worker ended with exit code {process.wait()}")

    def watch(
        self, stopped: Callable[[], object], replaced: Callable[[int], None] = lambda _: None
    ) -> None:
        """Put a new worker in the place of each that ends, until `stopped()` is true.

        Parameters
        ----------
        stopped : callable
            Tells whether to stop.
        replaced : callable
            Is told the number of each process that has ended.

        Raises
        ------
        CannotServe
            If the last one ends by itself soon after its start: another would do the same. One that
            was killed would not, and as long as others serve there is time to try again.
        """
        due: list[float] = []
        short_lives = 0
        while not stopped():
            now = time.monotonic()
            for process, began in list(self._running):
                if process.poll() is None:
                    continue
                self._running.remove((process, began))
                process.communicate()  # Closes its pipes.
                code, short = process.returncode, now - began < SHORT_LIFE
                if short and code >= 0 and not self._running:
                    raise CannotServe(f"a worker ended with exit code {code}")
                short_lives = short_lives + 1 if short else 0
                pause = min(2.0 ** (short_lives - 1), LONGEST_PAUSE) if short else 0.0
                _LOG.error(
                    "a worker ended; another takes its place",
                    extra={"exit_code": code, "pause": pause},
                )
                due.append(now + pause)
                replaced(process.pid)
            for at in [at for at in due if at <= now]:
                due.remove(at)
                self._spawn()
            time.sleep(0.1)

    def stop(self, grace: float, hurried: Callable[[], bool] = lambda: False) -> None:
        """Stop the processes, whose running calls have `grace` seconds to end.

        They are told again when `hurried()` is true, and then give their calls no time.
        """
        self._terminate()
        end, told = time.monotonic() + grace + GRACE_OF_OURS, False
        while time.monotonic() < end and any(p.poll() is None for p, _ in self._running):
            if not told and hurried():
                told = True
                self._terminate()
            time.sleep(GLANCE)
        for process, _ in self._running:
            process.kill()
            process.communicate()
        self._port.close()

    def _terminate(self) -> None:
        for process, _ in self._running:
            process.terminate()


def read_line() -> bytes:
    """Return the first line of standard input, and leave all that follows unread."""
    line = bytearray()
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return bytes(line)


def end_with_parent(stop: Callable[[], object]) -> None:
    """Call `stop` when the process at the other end of standard input is gone."""

    def read() -> None:
        while os.read(0, 4096):
            pass
        stop()

    threading.Thread(target=read, name="parent", daemon=True).start()
