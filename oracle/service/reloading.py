"""Files that an operator changes while the server runs: certificates, tokens, keys."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from oracle.service.ports import CannotServe, WrongSetting

T = TypeVar("T")

PAUSE = 1.0
"""Seconds between two looks at whether a file has changed."""

_LOG = logging.getLogger(__name__)


class Reloaded(Generic[T]):
    """What some files say, read again when they change.

    Files that say nothing usable later on change nothing: the log tells why, and what they said
    before holds. Several are rarely replaced at the same instant, so a state that does not fit
    together is read again too.

    Parameters
    ----------
    files : sequence of str
        The files.
    read : callable
        Reads them; raises `CannotServe` if they say nothing usable.
    """

    def __init__(self, files: Sequence[str], read: Callable[[], T]) -> None:
        self._files = [Path(file) for file in files]
        self._read = read
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._next = time.monotonic() + PAUSE
        self.value = read()

    def _look(self) -> list[tuple[int, int, int]]:
        """Return what changes when a file does; a link to another file is another file."""
        found = []
        for file in self._files:
            try:
                state = file.stat()
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((state.st_mtime_ns, state.st_ino, state.st_size))
        return found

    def get(self) -> T:
        """Return what the files say, of a second ago at most."""
        if time.monotonic() >= self._next and self._lock.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._lock.release()
        return self.value

    def _refresh(self) -> None:
        self._next = time.monotonic() + PAUSE
        stamp = self._look()
        if stamp == self._stamp:
            return
        names = [str(file) for file in self._files]
        try:
            self.value = self._read()
        except CannotServe as error:
            _LOG.error(
                "changed files are not used; what they said before holds",
                extra={"files": names, "reason": str(error)},
            )
        else:
            _LOG.info("changed files are used", extra={"files": names})
        self._stamp = stamp


def read_file(option: str, file: str) -> bytes:
    """Return the content of the file that an option names.

    Raises
    ------
    CannotServe
        If it cannot be read.
    """
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise WrongFile(f"{option} {file}: {error.strerror or error}") from None


class WrongFile(WrongSetting):
    """A file that an option names and that does not hold what it must."""
