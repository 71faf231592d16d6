"""`gradient-oracle check-function`: check the gradient of a program in any language."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import queue
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np

from oracle.commands.answer import client, conclude, versions
from oracle.commands.files import FileProblem, is_typed_array, numbers, require_printable
from oracle.commands.options import Command, Seconds, identity, report_page, server_address
from oracle.values import Array, InvalidInput

_END_GRACE = 5.0
"""Seconds a program has to end by itself when its input ends."""


class Subject:
    """A running program: says a point and its gradient, then a value for each point it is given."""

    def __init__(self, process: subprocess.Popen[str], timeout: float) -> None:
        self._process = process
        self._timeout = timeout
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with self._process.stdout or io.StringIO() as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put(None)

    def line(self) -> str:
        """Return the next line of the program.

        Raises
        ------
        FileProblem
            If it ended, or says nothing in time.
        """
        try:
            line = self._lines.get(timeout=self._timeout)
        except queue.Empty:
            raise FileProblem(
                f"the program wrote no line for {self._timeout:g} s; it must write a line for "
                "each one it reads, and flush its output"
            ) from None
        if line is None:
            # Whoever asks next is told so too.
            self._lines.put(None)
            code = self._process.wait()
            raise FileProblem(f"the program ended (exit code {code}) before the check did")
        return line

    def farewell(self) -> str:
        """Return what is unusual about how the program ended, or nothing."""
        code = self._process.poll()
        if code is None or code >= 0:
            return f"the program ended with exit code {code} after the check" if code else ""
        return f"the program was ended by {signal.Signals(-code).name} after the check"

    def value(self, x: Sequence[float]) -> float:
        """Return the program's value at a point; NaN where it says that there is none."""
        message = json.dumps(list(x)) + "\n"
        try:
            if self._process.stdin is not None:
                self._process.stdin.write(message)
                self._process.stdin.flush()
        except OSError:
            self.line()
        line = self.line().strip()
        try:
            return math.nan if line == "null" else float(line)
        except ValueError:
            raise FileProblem(
                f"the program must answer a point with one number, got {line[:80]!r}"
            ) from None


@contextmanager
def running(program: Sequence[str], timeout: float) -> Iterator[Subject]:
    """Run a program for as long as the block, and end it however the block ends.

    Raises
    ------
    FileProblem
        If it cannot be started.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - the caller asks for this program
            list(program),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise FileProblem(f"cannot run {program[0]}: {error.strerror}") from error
    try:
        yield Subject(process, timeout)
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    try:
        if process.stdin is not None:
            process.stdin.close()
        process.wait(_END_GRACE)
    except (OSError, subprocess.TimeoutExpired):
        _kill(process)
    process.wait()


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill a program with all that it started, as `npm run` and shells do."""
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


class Copies:
    """Copies of a program, each of which evaluates one point at a time."""

    def __init__(self, subjects: Sequence[Subject], stated: str) -> None:
        self._free: queue.SimpleQueue[Subject] = queue.SimpleQueue()
        for number, subject in enumerate(subjects):
            if number and subject.line() != stated:
                raise FileProblem(
                    "every copy of the program must state the same point and gradient; with "
                    "--workers random numbers in it need a seed"
                )
            self._free.put(subject)

    def __call__(self, moved: dict[str, Array]) -> np.floating[Any]:
        """Return the value at a point, by the copy that is free."""
        entries = np.concatenate([tensor.reshape(-1) for tensor in moved.values()])
        subject = self._free.get()
        try:
            return entries.dtype.type(subject.value(entries.tolist()))
        finally:
            self._free.put(subject)


@contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[str, float], None]]:
    """Show on a terminal how much of the evaluations or of the time is used."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (BarColumn(), TextColumn("{task.description}"))
    off = quiet or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=off) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda stage, done: bar.update(task, description=stage, completed=done)


def read_point(line: str) -> tuple[dict[str, Array], dict[str, Array], str]:
    """Return x, the gradient and the name that the first line of a program states.

    Raises
    ------
    FileProblem
        If the line has another form.
    """
    form = 'the first line of the program must be {"x": [...], "gradient": [...]}'
    try:
        stated = json.loads(line)
        dtype = stated.get("dtype", "float64")
        if dtype not in ("float64", "float32"):
            raise FileProblem(f'"dtype" must be "float64" or "float32", got {dtype!r}')
        x, gradient = (_tensors(stated[key], dtype) for key in ("x", "gradient"))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FileProblem(f"{form}, got {line.strip()[:80]!r}") from error
    name = str(stated.get("name", "f"))
    require_printable((*x, *gradient, name), "the first line of the program")
    return x, gradient, name


def _tensors(value: Any, dtype: str) -> dict[str, Array]:
    named = value if isinstance(value, dict) and not is_typed_array(value) else {"x": value}
    return {str(n): np.array(numbers(entries), dtype=dtype) for n, entries in named.items()}


@click.command(cls=Command, short_help="Check the gradient of a program's function.")
@click.argument("program", nargs=-1, required=True)
@click.option(
    "--resolution",
    type=float,
    help="Widest error bar of a slope with which a tensor passes, relative to the norm of its "
    "gradient. The limit printed with a pass counts several bars and is relative to the largest "
    "entry: it may be larger.",
)
@click.option(
    "--max-evaluations",
    default=2000,
    show_default=True,
    type=click.IntRange(1, 1_000_000),
    help="Evaluations allowed: 400 for a gradient that agrees and 1,600 to find what is wrong in "
    "another. More are spent where a float32 function of many kinks would leave a limit above 1.",
)
@click.option(
    "--max-seconds",
    type=Seconds(0, min_open=True),
    help="Seconds after which what is not settled is inconclusive.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**64 - 1),
    help="Seed of the random directions.",
)
@click.option(
    "--timeout",
    default=60.0,
    show_default=True,
    type=Seconds(0, min_open=True),
    help="Seconds to wait for a line.",
)
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="Copies of the program to run; the verdict is the same for any number.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@report_page
@click.option("--quiet", is_flag=True, help="Print nothing; the exit code answers.")
@server_address
@identity
def command(
    *,
    program: tuple[str, ...],
    resolution: float | None,
    max_evaluations: int,
    max_seconds: float | None,
    seed: int,
    timeout: float,
    workers: int,
    as_json: bool,
    page: Path | None,
    quiet: bool,
    address: str | None,
    access: Mapping[str, Any],
) -> None:
    """Check the gradient of a function that a PROGRAM computes, in any language.

    gradient-oracle check-function -- ./my_program its arguments

    The program speaks lines of JSON on its standard streams. First it writes the point and the
    gradient that it claims there:

    \b
        {"x": [0.5, 2.0], "gradient": [1.0, 4.0]}

    Then, for each line that it reads, an array of numbers instead of x, it writes a line with the
    value of the function there, and flushes:

    \b
        [0.5001, 2.0]        is answered by        4.2501

    It ends when its input ends. Numbers need all their digits: %.17g in C. A point where the
    function has no value is answered by nan, inf or null.

    The first line may also hold "name" and "dtype" ("float64", or "float32" for a function that
    computes in it). For several tensors "x" and "gradient" are objects of nested arrays,
    {"W": [[1, 2], [3, 4]], "b": [0, 0]}; the lines to read stay flat arrays, the tensors one after
    the other, the last index fastest.

    Exit code: 0 pass, 1 fail, 2 inconclusive, 3 usage error, or a
    program or server that cannot be used.
    """  # noqa: D301 - Click keeps the lines under a backspace character as they are.
    from gradient_oracle import OracleError

    with ExitStack() as stack:
        subjects = [stack.enter_context(running(program, timeout)) for _ in range(workers)]
        stated = subjects[0].line()
        x, gradient, name = read_point(stated)
        copies = Copies(subjects, stated)
        executor = stack.enter_context(ThreadPoolExecutor(workers))
        try:
            with client(address, access) as oracle, progress(quiet=quiet) as show:
                report = oracle.check_gradient(
                    copies,
                    x,
                    gradient,
                    resolution=resolution,
                    max_evaluations=max_evaluations,
                    max_seconds=max_seconds,
                    seed=seed,
                    name=name,
                    progress=show,
                    workers=executor if workers > 1 else 1,
                )
        except (OracleError, InvalidInput) as error:
            raise FileProblem(str(error)) from error
    farewell = next(filter(None, (subject.farewell() for subject in subjects)), "")
    if not quiet and farewell:
        click.echo(farewell, err=True)
    asked = ["gradient-oracle", "check-function", f"--seed={seed}"]
    asked += [f"--max-evaluations={max_evaluations}"]
    asked += [] if max_seconds is None else [f"--max-seconds={max_seconds:g}"]
    asked += [] if resolution is None else [f"--resolution={resolution:g}"]
    reproduce = {"Command": shlex.join([*asked, "--", *program]), "Versions": versions()}
    conclude(report, reproduce, as_json=as_json, page=page, quiet=quiet)
