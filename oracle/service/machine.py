"""What this process may use of the machine: cores, memory and threads, as containers limit them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
"""Where Linux shows control groups."""

UNLIMITED = 2**62
"""What stands for no limit."""


def cores() -> int:
    """Return how many cores this process may compute on: its affinity, and the quota of its groups.

    Of a part of a core, one is returned.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    count = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    for group in _groups("cpu"):
        quota, period = (
            _words(group / "cpu.max")
            or (
                *_words(group / "cpu.cfs_quota_us"),
                *_words(group / "cpu.cfs_period_us"),
            )
            or ("max", "")
        )
        if quota.isdigit() and period.isdigit() and int(period):
            count = min(count, int(quota) / int(period))
    return max(1, int(count))


def memory() -> int:
    """Return how many bytes this process may hold: those of the machine, or of its groups."""
    try:
        count = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows.
        count = UNLIMITED
    return min(count, *_limits("memory", "memory.max", "memory.limit_in_bytes"))


def threads() -> int:
    """Return how many threads this process may start beside those that are there."""
    left = UNLIMITED
    for group in _groups("pids"):
        most, now = _words(group / "pids.max"), _words(group / "pids.current")
        if most and now and most[0].isdigit():
            left = min(left, int(most[0]) - int(now[0]))
    return left


def _limits(kind: str, *names: str) -> Iterator[int]:
    yield UNLIMITED
    for group in _groups(kind):
        for name in names:
            words = _words(group / name)
            if words and words[0].isdigit():
                yield int(words[0])


def _groups(kind: str) -> Iterator[Path]:
    """Yield the control groups of this process for a kind of limit, and those that hold them."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds and kind not in kinds.split(","):
            continue
        root = GROUPS / kind if kinds else GROUPS
        at = Path(path.lstrip("/"))
        # In a container the path may be the host's, of which only the root is there.
        for group in (at, *at.parents):
            yield root / group


def _words(file: Path) -> tuple[str, ...]:
    try:
        return tuple(file.read_text().split())
    except OSError:
        return ()
