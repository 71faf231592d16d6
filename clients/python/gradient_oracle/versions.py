"""The versions of client and server, and the warning where they do not belong together."""

from __future__ import annotations

import re
import warnings

from oracle import version


class VersionMismatch(UserWarning):
    """The server has another major version than this client: one call may mean two things.

    It is given once for each connection. Where warnings are errors this lets it through:
    `filterwarnings = ["error", "ignore::gradient_oracle.VersionMismatch"]` for pytest,
    `warnings.simplefilter("ignore", gradient_oracle.VersionMismatch)` in a program.
    """


def own() -> str:
    """Return the version of this client."""
    return version.installed()


def both(theirs: str) -> str:
    """Say the version of a server and of this client, and what to do if they differ."""
    told = f"it has version {theirs}" if theirs else "it tells no version"
    return f"{told} and this client {own()}; install one version on both sides"


def compare(theirs: str, address: str) -> None:
    """Warn if a server has another major version; one that tells none may be anything."""
    major = re.match(r"\d+(?=\.)", theirs)
    if major and not own().startswith(f"{major[0]}."):
        warnings.warn(
            f"the oracle at {address} may mean something else by the same call: {both(theirs)}",
            VersionMismatch,
            stacklevel=2,
        )
