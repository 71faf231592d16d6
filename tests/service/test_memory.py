"""Freed memory stays with the server where the C library can be told so."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from oracle.service import memory

PROGRAM = """
import resource, numpy as np
from oracle.service.memory import keep_freed_memory
{}
np.ones(2_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(2_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(told):
    command = [sys.executable, "-c", PROGRAM.format(told)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults of Linux")
def test_a_block_of_16_megabytes_is_not_cleared_again():
    """After the first, no block costs its 3,900 pages of 4 KiB."""
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("another C library")
    assert _faults("keep_freed_memory()") < 3_900


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_another_c_library_changes_nothing(error, monkeypatch):
    """It is a matter of speed only."""

    def absent(name):
        raise error(name)

    monkeypatch.setattr(ctypes, "CDLL", absent)
    memory.keep_freed_memory()
