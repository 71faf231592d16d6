"""The program of `gradient_oracle.processes`: loads a function and becomes the workers for it."""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO

from gradient_oracle.called import attempt_afar


def main() -> None:
    """Load the function that standard input holds, and fork a worker for each pair of pipes.

    What is written to standard output is how each of them ended: its number and its exit code.
    """
    pairs: list[tuple[int, int]] = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    called, problem = None, ""
    try:
        called = pickle.loads(pickle.load(sys.stdin.buffer))  # noqa: S301 - from the caller itself
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told
        problem = f"f cannot be loaded there ({type(error).__name__}: {error})"
    for pair in pairs:
        if os.fork() == 0:
            serve(called, problem, pair, pairs)
            os._exit(0)
    for fd in (fd for pair in pairs for fd in pair):
        os.close(fd)
    for _ in pairs:
        pid, status = os.wait()
        sys.stdout.write(f"{pid} {os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def serve(
    called: Any, problem: str, pair: tuple[int, int], pairs: Sequence[tuple[int, int]]
) -> None:
    """Answer each point that comes, until none comes any more."""
    for fd in (fd for other in pairs if other != pair for fd in other):
        os.close(fd)
    # What f prints is for the user, and standard output is for the one that started this.
    os.dup2(2, 1)
    with os.fdopen(pair[0], "rb") as asked, os.fdopen(pair[1], "wb") as said:
        _say(said, (os.getpid(), problem))
        while not problem:
            try:
                x = pickle.loads(pickle.load(asked))  # noqa: S301 - from the caller itself
            except EOFError:
                return
            _say(said, attempt_afar(called, x))


def _say(said: BinaryIO, what: Any) -> None:
    pickle.dump(what, said)
    said.flush()


if __name__ == "__main__":
    main()
