"""The values of f that were measured: kept in memory or in a file, so that none is lost."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO, TypeAlias, TypeVar

import numpy as np

from gradient_oracle.arrays import named
from gradient_oracle.called import Outcome, Value
from gradient_oracle.errors import InvalidRequest, OracleError, invalid
from oracle.values import Array

FORM = "gradient-oracle journal 1"

E = TypeVar("E", bound=BaseException)

Key: TypeAlias = tuple[Any, ...]


class Journal:
    """Values of f by the points where they were measured.

    A conversation takes what it finds in its journal in place of asking f, and adds what f
    answers: one that is started again with the same x goes on where the other ended, also with
    another gradient. That f is the same function is for the caller to see to; another value at x
    itself is noticed and refused.

    Parameters
    ----------
    path : str or path, optional
        A file, one line of JSON for each value, written as it comes. It is made if it is missing.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path) if path is not None else None
        self._known: dict[Key, deque[Outcome]] = defaultdict(deque)
        self._kept: list[tuple[Key, Outcome]] = []
        self._question = ""
        self._file: TextIO | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"<Journal of {len(self)} values{f' in {self.path}' if self.path else ''}>"

    def begin(self, tensors: Sequence[Array], more: bytes) -> None:
        """Open the journal for the values of a function at points beside some tensors.

        Raises
        ------
        InvalidRequest
            If it holds the values of another x, or is no journal.
        """
        digest = hashlib.sha256(more)
        for tensor in tensors:
            digest.update(f"{tensor.dtype}{tensor.shape}".encode())
            digest.update(np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data)
        question = digest.hexdigest()
        if self.path is not None and self._file is None:
            self._open()
        if self._question and self._question != question:
            raise invalid("journal", "be one of the same x", "one of another x, or other arguments")
        if not self._question:
            self._question = question
            self._write({"form": FORM, "x": question})
        self.rewind()

    def rewind(self) -> None:
        """Let every value be taken once more."""
        self._known.clear()
        for key, outcome in self._kept:
            self._known[key].append(outcome)

    def _open(self) -> None:
        path = self.path
        try:
            lines = path.read_bytes().split(b"\n") if path and path.exists() else [b""]
            # What was being written when the process died is no line yet.
            whole = sum(len(line) + 1 for line in lines[:-1])
            read = [json.loads(line) for line in lines[:-1]]
            if read:
                self._question = _question(read[0])
                self._kept = [_entry(line) for line in read[1:]]
            self._file = open(path or "", "a", encoding="ascii")  # noqa: SIM115 - until close()
            self._file.truncate(whole)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise invalid(
                "journal", "be a journal, or a file that can be made", f"{path}: {error}"
            ) from None

    def take(self, key: Key) -> Outcome | None:
        """Return the next value that is known of a point, if there is one."""
        with self._lock:
            known = self._known.get(key)
            return known.popleft() if known else None

    def require_same(self, key: Key, value: Value | None) -> None:
        """Raise if f has another value where all that are known agree."""
        known = [outcome.value for outcome in self._known.get(key, ())]
        if known and all(_same(other, known[0]) for other in known) and not _same(value, known[0]):
            was, now = (f"{v.number}" if v else "none" for v in (known[0], value))
            requirement = f"hold values of this f, whose value at x is {now}"
            raise invalid("journal", requirement, f"one with {was} at x: start another journal")

    def keep(self, key: Key, outcome: Outcome) -> None:
        """Remember a value; what f raises is none."""
        if outcome.error is not None:
            return
        with self._lock:
            self._kept.append((key, outcome))
            self._write(_line(key, outcome))

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is not None:
            try:
                self._file.write(json.dumps(line) + "\n")
                self._file.flush()
            except OSError as error:
                raise OracleError(f"cannot write the journal {self.path}: {error}") from None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def of(given: Any) -> Journal:
    """Return the journal that is meant: one, a path of one, or none."""
    if isinstance(given, Journal):
        return given
    if not isinstance(given, str | os.PathLike | None):
        raise invalid("journal", "be a path or a Journal", f"a {type(given).__name__}")
    return Journal(given)


def told(error: E, journal: Journal) -> E:
    """Give an error the values that were measured before it: `journal`, and how to go on."""
    if len(journal):
        with contextlib.suppress(AttributeError, TypeError):
            error.journal = journal  # type: ignore[attr-defined]
        again = f"journal={str(journal.path)!r}" if journal.path else "journal=error.journal"
        error.add_note(f"{len(journal)} values of f are kept; {again} goes on from there.")
    return error


@contextlib.contextmanager
def saved(journal: Journal) -> Iterator[None]:
    """Give an error that ends a conversation the values that were measured before it."""
    try:
        yield
    except InvalidRequest:
        raise
    except BaseException as error:
        told(error, journal)
        raise
    finally:
        journal.close()


def _question(head: dict[str, Any]) -> str:
    if head["form"] != FORM:
        raise ValueError(f"it begins with {head['form']!r}")
    return str(head["x"])


def _line(key: Key, outcome: Outcome) -> dict[str, Any]:
    at = [part.hex() if isinstance(part, float) else part for part in key]
    if outcome.value is None:
        return {"at": at, "outside": outcome.outside}
    number = outcome.value.number
    entry = {"at": at, "value": float(number).hex(), "dtype": outcome.value.dtype.name}
    if number.dtype != outcome.value.dtype:
        entry["stored"] = number.dtype.name
    return entry


def _entry(line: dict[str, Any]) -> tuple[Key, Outcome]:
    key = tuple(float.fromhex(part) if isinstance(part, str) else part for part in line["at"])
    if "outside" in line:
        return key, Outcome(outside=line["outside"])
    dtype = named(line["dtype"])
    stored = named(line.get("stored", line["dtype"]))
    number = np.array(float.fromhex(line["value"])).astype(stored)
    return key, Outcome(Value(number, dtype))


def _same(one: Value | None, other: Value | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.number.tobytes() == other.number.tobytes()
