"""Options, types of options and exit codes that several commands share."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click


class Fault(click.ClickException):
    """A usage error, or a file, address or server that cannot be used; 1 and 2 are verdicts."""

    exit_code = 3

    def format_message(self) -> str:
        """Return what is shown; what a file says may hold what a terminal or a CI obeys."""
        return plain(self.message)


def plain(text: str) -> str:
    """Return a text of several lines without characters that a terminal obeys, but for the lines.

    A line that a CI would take for a command of its own, "::error" say, has a space before it.
    """
    lines = (
        "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) for line in text.split("\n")
    )
    return "\n".join(f" {line}" if line.startswith("::") else line for line in lines)


@contextmanager
def usage_is_a_fault() -> Iterator[None]:
    """Exit with the code of a `Fault` after a usage error; click has 2 for them."""
    try:
        yield
    except click.UsageError as error:
        error.exit_code = Fault.exit_code  # type: ignore[misc, unused-ignore]
        raise


class Command(click.Command):
    """A command whose usage errors exit as a `Fault` does."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the arguments."""
        with usage_is_a_fault():
            return super().make_context(*args, **extra)


def variable(command: str, option: click.Option) -> str:
    """Return the variable of an option: named as the option is, not as its parameter."""
    word = max(option.opts, key=len).lstrip("-")
    return f"GRADIENT_ORACLE_{command}_{word}".replace("-", "_").upper()


class PageFile(click.Path):
    """A file to be made, with its folder; of an absolute path at most one folder is missing."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the path."""
        path = Path(str(super().convert(value, param, ctx)))
        above = path.parent.parent
        if path.is_absolute() and not above.is_dir():
            self.fail(f"{path} cannot be made: there is no folder {above}", param, ctx)
        return path


class Seconds(click.FloatRange):
    """A finite number of seconds: NaN is in no range, though click lets it through."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


report_page = click.option(
    "--report",
    "page",
    type=PageFile(),
    help="Also write the report as a self-contained HTML page.",
)
"""Where to leave the page of a report."""


def _file(name: str, text: str) -> Callable[..., Any]:
    path = click.Path(exists=True, dir_okay=False)
    variable = f"GRADIENT_ORACLE_{name.upper()}"
    return click.option(f"--{name}", type=path, envvar=variable, show_envvar=True, help=text)


def identity(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command say who asks: it is given `access`, which are arguments of `connect`."""

    @functools.wraps(command)
    def told(
        *,
        token: str | None,
        ca: str | None,
        certificate: str | None,
        key: str | None,
        **given: Any,
    ) -> Any:
        import gradient_oracle

        secured = ca or certificate or key
        credentials = gradient_oracle.TLS(ca, certificate, key) if secured else None
        return command(access={"token": token, "credentials": credentials}, **given)

    for option in (
        _file("key", "The key of --certificate, in PEM."),
        _file("certificate", "What a server that asks for it is shown, in PEM."),
        click.option(
            "--ca",
            envvar="GRADIENT_ORACLE_CA",
            show_envvar=True,
            metavar="FILE",
            help="Encrypt: the authorities that may have signed the server's certificate, in PEM, "
            "or the word public.",
        ),
        click.option(
            "--token",
            envvar="GRADIENT_ORACLE_TOKEN",
            show_envvar=True,
            help="What tells the server who asks; others on this machine see what a command is "
            "told, and not its variables.",
        ),
    ):
        told = option(told)
    return told


server_address = click.option(
    "--address",
    envvar="GRADIENT_ORACLE_ADDRESS",
    show_envvar=True,
    help="Server to ask, HOST:PORT; without it one is started.",
)
"""The server that a command asks."""
