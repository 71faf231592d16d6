"""Processes that evaluate f, started by this one; of one that dies it is known at which point."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import Any, BinaryIO

from gradient_oracle.called import Outcome, Parcel, dumps
from gradient_oracle.errors import WorkerFailed, invalid
from gradient_oracle.waiting import Departure

LOOK = 0.2
"""Seconds between two looks whether somebody still waits."""


class Lost(Exception):
    """A worker ended before it answered, at the point of an index if that is known."""

    def __init__(self, reason: str, index: int | None) -> None:
        super().__init__(reason)
        self.index = index


class Processes:
    """So many processes for one function at a time; they start with the first point.

    One process loads the function and becomes all the others by fork: it has no threads of gRPC,
    and what takes long, the modules that the function needs, is loaded once.
    """

    def __init__(self, count: int) -> None:
        if not hasattr(os, "fork"):
            raise invalid("workers", "be an executor on a system without fork", f"{count}")
        self.count = count
        self._parcel: Parcel | None = None
        self._root: subprocess.Popen[bytes] | None = None
        self._wires: list[tuple[BinaryIO, BinaryIO]] = []
        self._threads: list[threading.Thread] = []
        self._tasks: list[tuple[int, Any]] = []
        self._results: dict[int, Outcome | Lost | Exception] = {}
        self._changed = threading.Condition()
        self._ended: dict[int, int] = {}
        self._closed = False

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def run(
        self, parcel: Parcel, points: Iterator[Any], held: int, departure: Departure
    ) -> Iterator[Outcome]:
        """Yield what became of each point, in order; at most so many wait beside those at work.

        Raises
        ------
        Lost
            If a process ended.
        """
        if parcel is not self._parcel:
            self.close()
            self._start(parcel)
        given = taken = 0
        try:
            while True:
                for x in islice(points, held + self.count - (given - taken)):
                    with self._changed:
                        self._tasks.append((given, x))
                        self._changed.notify_all()
                    given += 1
                if given == taken:
                    return
                outcome = self._wait(taken, departure)
                taken += 1
                yield outcome
        finally:
            if given != taken:
                # Nobody waits for what the others are at.
                self.close()

    def _wait(self, index: int, departure: Departure) -> Outcome:
        while True:
            departure.require_waiting()
            with self._changed:
                self._changed.wait_for(
                    lambda: index in self._results or self._lost() is not None, LOOK
                )
                outcome = self._results.pop(index, None) or self._lost()
            if isinstance(outcome, Exception):
                raise outcome
            if outcome is not None:
                return outcome

    def _lost(self) -> Lost | None:
        return next((found for found in self._results.values() if isinstance(found, Lost)), None)

    def _start(self, parcel: Parcel) -> None:
        packed = parcel.packed()
        ours, theirs = [], []
        for _ in range(self.count):
            (ask_out, ask_in), (say_out, say_in) = os.pipe(), os.pipe()
            ours.append((ask_in, say_out))
            theirs.append((ask_out, say_in))
        fds = [fd for pair in theirs for fd in pair]
        try:
            self._root = subprocess.Popen(  # noqa: S603 - this very program
                [sys.executable, "-P", "-m", "gradient_oracle.worker", json.dumps(theirs)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=fds,
                start_new_session=True,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
                },
            )
        except OSError as error:
            raise WorkerFailed(f"cannot start a worker: {error}") from None
        finally:
            for fd in fds:
                os.close(fd)
        self._parcel, self._closed = parcel, False
        self._wires = [(os.fdopen(ask, "wb"), os.fdopen(say, "rb")) for ask, say in ours]
        with suppress(BrokenPipeError):
            if self._root.stdin is not None:
                pickle.dump(packed, self._root.stdin)
                self._root.stdin.close()
        self._threads = [
            threading.Thread(target=self._converse, args=(self._root, *wires), daemon=True)
            for wires in self._wires
        ]
        for thread in self._threads:
            thread.start()

    def _converse(self, root: subprocess.Popen[bytes], ask: BinaryIO, say: BinaryIO) -> None:
        """Give one process its points, one after the other."""
        index: int | None = None
        pid = 0
        try:
            pid, problem = pickle.load(say)  # noqa: S301 - from a process of ours
            while not problem:
                with self._changed:
                    self._changed.wait_for(lambda: self._tasks or self._closed)
                    if self._closed:
                        return
                    index, x = self._tasks.pop(0)
                pickle.dump(dumps(x), ask)
                ask.flush()
                outcome = pickle.load(say)  # noqa: S301 - from a process of ours
                self._told(index, outcome)
                index = None
            self._told(-1, Lost(problem, 0))
        except (EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            if not self._closed:
                reason = (
                    self._end_of(root, pid)
                    if isinstance(error, (EOFError, OSError))
                    else f"{error}"
                )
                self._told(-1 if index is None else index, Lost(reason, index))
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            self._told(-1 if index is None else index, error)

    def _told(self, index: int, outcome: Outcome | Exception) -> None:
        with self._changed:
            self._results[index] = outcome
            self._changed.notify_all()

    def _end_of(self, root: subprocess.Popen[bytes], pid: int) -> str:
        """Say how a process ended, which the one that started it is told."""
        with self._changed:
            while pid not in self._ended and root.stdout is not None:
                line = root.stdout.readline().split()
                if not line:
                    break
                self._ended[int(line[0])] = int(line[1])
        code = self._ended.get(pid)
        if code is None:
            return "its process ended"
        if code < 0:
            return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process ended with exit code {code}"

    def close(self) -> None:
        """End the processes, also those that are in f."""
        with self._changed:
            self._closed = True
            self._parcel = None
            self._changed.notify_all()
        root, self._root = self._root, None
        if root is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(root.pid, signal.SIGKILL)
            root.wait()
            for thread in self._threads:
                thread.join()
            if root.stdout is not None:
                root.stdout.close()
        for ask, say in self._wires:
            for end in (ask, say):
                with suppress(OSError):
                    end.close()
        self._wires.clear()
        with self._changed:
            self._results.clear()
            self._tasks.clear()
            self._ended.clear()
