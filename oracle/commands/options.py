"""Options and types of options that several commands share."""

from __future__ import annotations

import math
from typing import Any

import click


class Seconds(click.FloatRange):
    """A finite number of seconds: NaN is in no range, though click lets it through."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


server_address = click.option(
    "--address",
    envvar="GRADIENT_ORACLE_ADDRESS",
    show_envvar=True,
    help="Server to ask, HOST:PORT; without it one is started.",
)
"""The server that a command asks."""
