"""The command line: `gradient-oracle`, also `python -m oracle`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import traceback
from typing import Any

import click

from oracle.commands.options import Command, Fault, usage_is_a_fault, variable

NAMES = (
    "serve",
    "info",
    "operators",
    "demo",
    "check",
    "vectors",
    "check-function",
    "self-test",
    "bench",
)


class Interrupted(click.ClickException):
    """Ctrl-C."""

    exit_code = 130

    def show(self, file: Any = None) -> None:
        """Say so in one word: it is no error."""
        click.echo(self.message, file=file, err=file is None)


CRASHED = 70
"""The exit code of a bug of ours, EX_SOFTWARE of sysexits.h; Python's own is 1, a verdict."""


class Commands(Command, click.Group):
    """Loads a command only when it is asked for."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line; a crash ends with a code that is no verdict."""
        try:
            return super().main(*args, **extra)
        except Exception:  # noqa: BLE001 - whatever it is, nobody shall take it for a verdict
            traceback.print_exc()
            click.echo("This is a bug of gradient-oracle, and no verdict.", err=True)
            raise SystemExit(CRASHED) from None

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click names it
        """Return the names of the commands that exist."""
        return [name for name in NAMES if importlib.util.find_spec(_module(name))]

    def invoke(self, ctx: Any) -> Any:
        """Run a command; Ctrl-C ends it with the code that shells know, which is no verdict."""
        try:
            return super().invoke(ctx)
        except click.FileError as error:
            raise Fault(error.format_message()) from None
        except KeyboardInterrupt as error:
            raise Interrupted("interrupted") from error

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that is asked for."""
        with usage_is_a_fault():
            return super().resolve_command(ctx, args)

    def get_command(self, ctx: Any, name: str) -> Any:
        """Load a command, and let each option be set by its variable."""
        if name not in self.list_commands(ctx):
            return None
        # What gRPC's core writes is no JSON, and tells a user nothing that an error does not.
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        command = importlib.import_module(_module(name)).command
        for option in command.params:
            if isinstance(option, click.Option):
                given = [option.envvar] if isinstance(option.envvar, str) else option.envvar or []
                option.envvar = list(dict.fromkeys([variable(name, option), *given]))
        return command


def _module(name: str) -> str:
    return f"oracle.commands.{name.replace('-', '_')}"


@click.command(
    cls=Commands,
    context_settings={"show_default": True},
)
@click.version_option(package_name="gradient-oracle", message="%(package)s %(version)s")
def main() -> None:
    """Reference numbers and verdicts for gradients written by hand.

    New here: `gradient-oracle demo`. A server for others: `gradient-oracle serve`. A gradient in
    files: `gradient-oracle check`. A function in any language: `gradient-oracle check-function`.

    Every option can be set by a variable too: --compute-slots of serve by
    GRADIENT_ORACLE_SERVE_COMPUTE_SLOTS. GRADIENT_ORACLE_ADDRESS names the server to ask.

    \b
    Exit codes of all commands:
      0    pass; done
      1    fail
      2    inconclusive
      3    a usage error; a file, an address or a server that cannot be used
      130  Ctrl-C
    """  # noqa: D301 - Click keeps the lines under a backspace character as they are.


if __name__ == "__main__":
    main()
