"""What the commands that check have in common: whom they ask, and how they answer."""

from __future__ import annotations

import hashlib
import platform
import shlex
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import click
import numpy as np

from oracle.commands.files import FileProblem

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 2}
"""Exit codes by verdict; 3 is that of `Fault`."""


def client(address: str | None, access: Mapping[str, Any]) -> AbstractContextManager[Any]:
    """Return the client of a server at `address`, or of one that is started for this command."""
    import gradient_oracle

    if address:
        return gradient_oracle.connect(address, **access)
    return gradient_oracle.embedded()


def versions() -> str:
    """Return what the numbers of a report may depend on."""
    return (
        f"gradient-oracle {version('gradient-oracle')}, NumPy {np.__version__}, "
        f"Python {platform.python_version()}"
    )


def reproduction(
    subject: str, paths: Mapping[str, Path], options: Mapping[str, Any]
) -> dict[str, str]:
    """Return what it takes to repeat a check of files: the command, their digests, versions."""
    given = [*paths.items(), *((n, value) for n, value in options.items() if n not in paths)]
    asked = [
        f"--{name.replace('_', '-')}={one}"
        for name, value in given
        for one in (value if isinstance(value, tuple) else (value,))
        if one is not None
    ]
    read = [
        file
        for path in (*([Path(subject)] if Path(subject).is_file() else []), *paths.values())
        for file in (sorted(path.glob("*.npy")) if path.is_dir() else [path])
    ]
    digests = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file}" for file in read]
    return {
        "Command": shlex.join(["gradient-oracle", "check", subject, *asked]),
        "Files (SHA-256)": "\n".join(digests),
        "Versions": versions(),
    }


def conclude(
    report: Any, reproduce: Mapping[str, str], *, as_json: bool, page: Path | None, quiet: bool
) -> NoReturn:
    """Print the report, write it where it was asked for, and end with the code of its verdict.

    Raises
    ------
    FileProblem
        If it cannot be printed or written.
    """
    try:
        if not quiet:
            if as_json:
                click.echo(report.to_json())
            else:
                report.show()
        if page is not None:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(report.to_html(reproduce), encoding="utf-8")
    except OSError as error:
        where = error.filename or "the report"
        raise FileProblem(f"cannot write {where}: {error.strerror}") from error
    raise SystemExit(EXIT_CODES[report.verdict])
