"""The functions under the laws are those of a server: only what crosses the wire is judged."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="session")
def functions(gradient_oracle: Any) -> Any:
    """The client of --gradient-oracle-address, or of a server that the session starts."""
    return gradient_oracle
