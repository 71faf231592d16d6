"""Reports of commands are as wide as in a log, whatever terminal the tests run in."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def log_width():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "100")
        yield
