"""Rows of measurements: medians, ratios, figures to reach, and the forms they are shown in."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

NAME_WIDTH = 44


@dataclass(frozen=True)
class Row:
    """One measurement.

    `value` is in `unit`, None if it was not measured; `ratio` compares it with the row that `note`
    names; `figure` is what should be reached, and `met` whether it was.
    """

    section: str
    name: str
    value: float | None
    unit: str = "s"
    ratio: float | None = None
    figure: str = ""
    met: bool | None = None
    note: str = ""


def at_most(bound: float, measured: float, unit: str) -> dict[str, Any]:
    """Return the figure of a row whose measurement should not be above `bound`."""
    return {"figure": f"<= {bound:g} {unit}", "met": measured <= bound}


def at_least(bound: float, measured: float, unit: str) -> dict[str, Any]:
    """Return the figure of a row whose measurement should not be below `bound`."""
    return {"figure": f">= {bound:g} {unit}", "met": measured >= bound}


def median(run: Callable[[], Any], *, runs: int, seconds: float = 3.0) -> float:
    """Return the median time of a call after one that is not counted.

    A call that takes longer than `seconds` is timed once, without the first.
    """
    times = [_timed(run)]
    if times[0] > seconds:
        return times[0]
    times = [_timed(run)]
    while len(times) < runs and sum(times) < seconds:
        times.append(_timed(run))
    return statistics.median(times)


def medians(calls: Sequence[Callable[[], Any]], *, rounds: int, block: int) -> list[float]:
    """Return the median time of each of several calls.

    They take turns in blocks, so that all see the same machine; the first call of a block wakes
    whatever slept meanwhile, and is not counted.
    """
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, own in zip(calls, times, strict=True):
            call()
            own.extend(_timed(call) for _ in range(block))
    return [statistics.median(own) for own in times]


def _timed(run: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def amount(row: Row) -> str:
    """Return the value of a row in a unit that suits it."""
    if row.value is None:
        return "-"
    value, unit = row.value, row.unit
    if unit == "s" and value < 1e-3:
        value, unit = 1e6 * value, "µs"
    elif unit == "s" and value < 1:
        value, unit = 1e3 * value, "ms"
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def _ratio(row: Row) -> str:
    if row.ratio is None:
        return ""
    return f"{row.ratio:,.0f} x" if row.ratio >= 100 else f"{row.ratio:.3g} x"


def _figure(row: Row) -> str:
    return row.figure if row.met is None else f"{row.figure} {'met' if row.met else 'MISSED'}"


def line(row: Row) -> str:
    """Return a row as text that fits 100 columns."""
    if row.value is None:
        return f"  {row.name:{NAME_WIDTH}}  {row.note}"
    shown = f"  {row.name:{NAME_WIDTH}}{amount(row):>12}{_ratio(row):>9}  {_figure(row)}"
    return f"{shown}  {row.note}".rstrip()


def markdown(machine: str, rows: Iterable[Row]) -> str:
    """Return a page with a table for every section."""
    parts = [
        "# Measured speed",
        "",
        f"Written by `python -m tests.benchmarks --markdown FILE`. {machine}",
        "A ratio is the row's time over that of the first row, or of the row that the note names.",
    ]
    section = ""
    for row in rows:
        if row.section != section:
            section = row.section
            parts += ["", f"## {section[0].upper()}{section[1:]}", ""]
            parts += ["| | median | ratio | figure | |", "|---|---:|---:|---|---|"]
        cells = (row.name, amount(row), _ratio(row), _figure(row), row.note)
        parts.append("| " + " | ".join(cells) + " |")
    return "\n".join(parts) + "\n"


def machine_readable(machine: str, rows: Iterable[Row]) -> dict[str, Any]:
    """Return everything as a dictionary for JSON: values in the row's unit, times in seconds."""
    return {"machine": machine, "rows": [asdict(row) for row in rows]}
