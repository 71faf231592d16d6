"""What a process may use is what its affinity and its control groups leave it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from oracle.service import machine


@pytest.fixture
def group(tmp_path, monkeypatch):
    """Return what writes the files of a control group that holds this process."""

    def write(kind, **files):
        inside = tmp_path / kind if kind else tmp_path
        inside.mkdir(exist_ok=True)
        for name, text in files.items():
            (inside / name.replace("__", ".")).write_text(text)

    monkeypatch.setattr(machine, "GROUPS", tmp_path)
    return write


def test_the_affinity_counts():
    """A process on one core has one, whatever the machine has."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no affinity")
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from oracle.service.settings import Settings; print(Settings().compute_slots)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "1\n"


@pytest.mark.parametrize(("quota", "expected"), [("150000 100000", 1), ("max 100000", None)])
def test_a_quota_of_the_processor_counts(group, monkeypatch, quota, expected):
    """One core and a half are one: two would wait for each other."""
    monkeypatch.setattr(machine, "_groups", lambda _: [machine.GROUPS])
    group("", cpu__max=quota)
    assert machine.cores() == (expected or machine.cores())
    assert machine.cores() >= 1


def test_limits_of_memory_and_threads_count(group, monkeypatch):
    """The smallest of all groups holds."""
    monkeypatch.setattr(machine, "_groups", lambda _: [machine.GROUPS])
    group("", memory__max=f"{2**28}\n", pids__max="100\n", pids__current="12\n")
    assert machine.memory() == 2**28
    assert machine.threads() == 88


def test_the_older_files_count(group, monkeypatch):
    """Version 1 of control groups has other names."""
    monkeypatch.setattr(machine, "_groups", lambda kind: [machine.GROUPS / kind])
    group("cpu", cpu__cfs_quota_us="100000", cpu__cfs_period_us="100000")
    group("memory", memory__limit_in_bytes=f"{2**27}")
    assert machine.cores() == 1
    assert machine.memory() == 2**27
