"""The command line: `gradient-oracle`, also `python -m oracle`."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import click

NAMES = ("serve", "info", "demo", "check", "vectors", "check-function", "self-test", "bench")


class Commands(click.Group):
    """Loads a command only when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click names it
        """Return the names of the commands that exist."""
        return [name for name in NAMES if importlib.util.find_spec(_module(name))]

    def get_command(self, ctx: Any, name: str) -> Any:
        """Load a command."""
        if name not in self.list_commands(ctx):
            return None
        return importlib.import_module(_module(name)).command


def _module(name: str) -> str:
    return f"oracle.commands.{name.replace('-', '_')}"


@click.command(
    cls=Commands,
    context_settings={
        "auto_envvar_prefix": "GRADIENT_ORACLE",
        "show_default": True,
    },
)
def main() -> None:
    """Reference numbers and verdicts for gradients written by hand."""


if __name__ == "__main__":
    main()
