"""Fresh interpreters: what imports cost, and how soon an embedded server answers."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec

from oracle.benchmark.table import Row, at_most

TIMED = """
import time
begin = time.perf_counter()
{}
print(time.perf_counter() - begin)
"""
EMBEDDED = """
import gradient_oracle, time
gradient_oracle.embedded
import oracle.service.server
begin = time.perf_counter()
with gradient_oracle.embedded() as oracle:
    oracle.sigmoid([0.0])
    print(time.perf_counter() - begin)
"""
IMPORTS = (
    ("import numpy, grpc", "import numpy, grpc", 0, None),
    ("import gradient_oracle", "import gradient_oracle", 0, 1.2),
    ("... and its client", "import gradient_oracle; gradient_oracle.connect", 0, 1.2),
    ("... and its server", "import gradient_oracle, oracle.service.server", 0, None),
    ("import pytest", "import pytest", 4, None),
    ("... and the plugin, unused", "import pytest, pytest_gradient_oracle", 4, 1.05),
)
"""Name, program, the row it is compared with, the largest ratio to that; those of pytest last."""


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure imports and the embedded server, each in interpreters of their own."""
    section = "starting"
    runs = 3 if quick else 15
    imports = [row for row in IMPORTS if "pytest" not in row[1] or find_spec("pytest")]
    programs = [TIMED.format(program) for _, program, _, _ in imports]
    *times, start = _alternating([*programs, EMBEDDED], runs)
    for name, *_ in IMPORTS[len(imports) :]:
        yield Row(section, name, None, note="pytest is not installed")
    for (name, _, base, bound), seconds in zip(imports, times, strict=True):
        ratio = seconds / times[base]
        figure = {} if bound is None else at_most(bound, ratio, "x")
        yield Row(section, name, seconds, ratio=ratio, **figure)
    name = "embedded server, start to first answer"
    yield Row(section, name, start, note="after import", **at_most(60, 1e3 * start, "ms"))


def _alternating(programs: list[str], runs: int) -> list[float]:
    """Return the median of what each program prints, the programs taking turns."""
    printed: list[list[float]] = [[] for _ in programs]
    for run in range(runs + 1):
        for program, seen in zip(programs, printed, strict=True):
            done = subprocess.run(  # noqa: S603 - our own programs
                [sys.executable, "-c", program], check=True, capture_output=True, text=True
            )
            if run:  # The first run reads files that the others find in memory.
                seen.append(float(done.stdout))
    return [statistics.median(seen) for seen in printed]
