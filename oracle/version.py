"""The version of what is installed: of the whole, or of the client alone."""

from __future__ import annotations

import functools
import importlib.metadata

DISTRIBUTIONS = ("gradient-oracle", "gradient-oracle-client")
"""The whole, and the client without the server; they have one version."""


@functools.cache
def metadata() -> importlib.metadata.PackageMetadata:
    """Return the metadata of the distribution that is installed."""
    try:
        return importlib.metadata.metadata(DISTRIBUTIONS[0])
    except importlib.metadata.PackageNotFoundError:
        return importlib.metadata.metadata(DISTRIBUTIONS[1])


def installed() -> str:
    """Return the version that is installed, as in "1.0.0"."""
    return metadata()["Version"]
