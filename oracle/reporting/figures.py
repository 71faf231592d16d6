"""The figures of a report's page as numbers; `templates/figures.html` draws them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from oracle.values import HISTOGRAM_EDGES, BudgetMap, Direction

_SHARES = (0.0, 0.1, 0.5, 1.0, 10.0, 1e3, 1e6, math.inf)
"""Edges of the classes of a map of the budget, in shares of it. Above 1 an entry is wrong."""

_SHARE_NAMES = ("< 0.1", "0.1-0.5", "0.5-1", "1-10", "10-1e3", "1e3-1e6", "> 1e6")

_SHADES = 5
"""Shades of each sign on a map of signed numbers."""


def _share_class(share: float) -> str:
    if math.isnan(share):
        return "none"
    return f"s{next((n for n in range(6) if share <= _SHARES[n + 1]), 6)}"


def budget_map(name: str, grid: BudgetMap) -> dict[str, Any]:
    """Return the map of the error over the budget, with how many cells are in which class."""
    names = {f"s{n}": told for n, told in enumerate(_SHARE_NAMES)} | {"none": "without a number"}
    drawn = _map(grid, [_share_class(share) for share in grid.cells])
    told = ", ".join(f"{drawn['counts'][kind]} cells {names[kind]}" for kind in drawn["order"])
    return drawn | {
        "title": f"Map of the error over the budget in {name}: {told}",
        "caption": "Error over budget, the first entry at the top left; above 1 is wrong.",
        "key": [(kind, names[kind]) for kind in drawn["order"] if kind != "none"],
    }


def value_maps(name: str, grid: BudgetMap) -> list[dict[str, Any]]:
    """Return maps of what was sent, of what is right, and of their signed difference.

    The first two have one linear scale, up to the largest entry that is right. That of the
    difference is logarithmic and goes from the smallest wrong cell to the largest, so that it shows
    the pattern of any error.
    """
    if not grid.candidate:
        return []
    # What was sent may be far larger, and would leave one shade to all that is right.
    size = max(map(abs, grid.reference), default=0.0) or 1.0
    pairs = list(zip(grid.candidate, grid.reference, grid.cells, strict=True))
    gaps = [(c - r) / size if share > 1.0 else 0.0 for c, r, share in pairs]
    linear = _linear(size)
    return [
        _signed(grid, grid.candidate, linear, title=f"Yours: {name}", caption="Yours"),
        _signed(grid, grid.reference, linear, title=f"The right one: {name}", caption="Right"),
        _signed(
            grid,
            gaps,
            _logarithmic(gaps),
            title=f"Difference: {name}",
            caption="Difference, of the largest entry",
        ),
    ]


Shade = Callable[[float], int]


def _linear(largest: float) -> tuple[Shade, list[str]]:
    edges = [rough(largest * n / _SHADES) for n in range(_SHADES + 1)]
    names = [f"{low} to {high}" for low, high in itertools.pairwise(edges)]
    names[-1] = f"{edges[-2]} or more"
    return lambda size: min(_SHADES, math.ceil(_SHADES * size / largest)), names


def _logarithmic(values: Sequence[float]) -> tuple[Shade, list[str]]:
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    low, high = _decades(sizes) if sizes else (0, 1)
    step = (high - low) / _SHADES
    edges = [f"{10.0 ** (low + n * step):.0e}" for n in range(_SHADES + 1)]
    names = [f"{a} to {b}" for a, b in itertools.pairwise(edges)]
    return lambda size: min(_SHADES, max(1, math.ceil((math.log10(size) - low) / step))), names


def _signed(
    grid: BudgetMap,
    values: Sequence[float],
    shades: tuple[Shade, Sequence[str]],
    *,
    title: str,
    caption: str,
) -> dict[str, Any]:
    shade, names = shades

    def kind(value: float) -> str:
        if math.isnan(value):
            return "none"
        if value == 0.0:
            return "zero"
        sign = "n" if value < 0 else "p"
        return f"{sign}{_SHADES if math.isinf(value) else shade(abs(value))}"

    told = {
        f"{sign}{n}": f"{word} {text}"
        for sign, word in (("n", "minus"), ("p", "plus"))
        for n, text in enumerate(names, 1)
    } | {"zero": "0 or right" if "of" in caption else "0", "none": "no number"}
    drawn = _map(grid, [kind(value) for value in values])
    counted = ", ".join(f"{drawn['counts'][k]} cells {told[k]}" for k in drawn["order"])
    return drawn | {
        "title": f"{title}. {counted}",
        "caption": caption,
        "key": [(k, told[k].replace("minus ", "−").replace("plus ", "+")) for k in drawn["order"]],
    }


def _map(grid: BudgetMap, kinds: Sequence[str]) -> dict[str, Any]:
    """Return one path for each class of cells, runs of cells in a row merged."""
    paths: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    for row in range(grid.rows):
        column = 0
        cells = kinds[row * grid.columns : (row + 1) * grid.columns]
        for kind, run in itertools.groupby(cells):
            length = len(list(run))
            paths.setdefault(kind, []).append(f"M{column} {row}h{length}v1h-{length}z")
            counts[kind] = counts.get(kind, 0) + length
            column += length
    # A vector is one row of cells; stretched, it can be seen.
    height = max(grid.rows, grid.columns / 12)
    return {
        "columns": grid.columns,
        "height": number(height),
        "stretch": number(height / grid.rows),
        "paths": [{"kind": kind, "d": "".join(moves)} for kind, moves in paths.items()],
        "counts": counts,
        "order": sorted(counts),
    }


def histogram(name: str, counts: Sequence[int]) -> dict[str, Any]:
    """Return how many entries use which share of the budget; above 1 only if there are any."""
    right = HISTOGRAM_EDGES.index(1.0)
    counts = counts if any(counts[right:]) else counts[:right]
    labels = [
        f"{_edge(low)}-{_edge(high)}" if math.isfinite(high) else f"> {_edge(low)}"
        for low, high in itertools.pairwise(HISTOGRAM_EDGES[: len(counts) + 1])
    ]
    largest, row = max(counts), 16
    bars = [
        {
            "label": label,
            "kind": f"s{2 if n < right else 5}",
            "y": row * n,
            # One entry among thousands is the one that is looked for.
            "width": round(max(150 * count / largest, 2.0 if count else 0.0), 1),
            "count": f"{count:,}",
        }
        for n, (label, count) in enumerate(zip(labels, counts, strict=True))
    ]
    told = ", ".join(
        f"{count} at {label}" for label, count in zip(labels, counts, strict=True) if count
    )
    return {
        "title": f"Entries of {name} by share of the budget: {told}",
        "height": row * len(counts),
        "bars": bars,
        "limit": row * right if len(counts) > right else None,
    }


def _edge(share: float) -> str:
    return f"{share:g}" if share < 1000 else f"1e{math.log10(share):.0f}"


def ladder(direction: Direction, place: int) -> dict[str, Any] | None:
    """Return how the differences converge, against the step, both on logarithmic axes.

    Directions of one tensor differ by their signs; `place` among all of them tells which it is.
    None if there is nothing to draw.
    """
    rungs = sorted(direction.rungs, key=lambda rung: rung.step)
    steps = [rung.step for rung in rungs]
    series = (
        ("a", "", [abs(r.difference - direction.measured) for r in rungs]),
        ("b", "6 3", [abs(r.extrapolated - direction.measured) for r in rungs]),
        ("c", "2 3", [r.noise for r in rungs]),
    )
    gap = abs(direction.predicted - direction.measured)
    heights = [v for _, _, values in series for v in values if 0 < v < math.inf]
    heights += [gap] if 0 < gap < math.inf else []
    if not heights or min(steps) <= 0:
        return None
    left, right = _decades(steps)
    bottom, top = _decades(heights)
    x = {step: 45 + 345 * (math.log10(step) - left) / (right - left) for step in steps}

    def y(value: float) -> float:
        share = (math.log10(value) - bottom) / (top - bottom)
        return 210 - 200 * min(1.0, max(0.0, share))

    ticks = [
        {"x": 40, "y": f"{y(10.0**n) + 4:.0f}", "anchor": "end", "text": f"1e{n}"}
        for n in range(bottom, top + 1, max(1, (top - bottom) // 5))
    ]
    ticks += [
        {
            "x": f"{45 + 345 * (n - left) / (right - left):.0f}",
            "y": 226,
            "anchor": "middle",
            "text": f"1e{n}",
        }
        for n in range(left, right + 1, max(1, (right - left) // 6))
    ]
    lines = [
        {
            "colour": colour,
            "dashes": dashes,
            "points": " ".join(
                f"{x[step]:.1f},{y(v):.1f}"
                for step, v in zip(steps, values, strict=True)
                if 0 < v < math.inf
            ),
        }
        for colour, dashes, values in series
    ]
    where = f"{direction.tensor}[{direction.begin}:{direction.end}], direction {place}"
    return {
        "title": f"Distance from the measured slope {number(direction.measured)} of {where} "
        f"against the step: the gradient predicts {number(direction.predicted)}, "
        f"which is {number(gap)} away; the measured slope is known to {number(direction.error)}",
        "ticks": ticks,
        "lines": lines,
        "yours": f"{y(gap):.1f}" if 0 < gap < math.inf else None,
        "where": where,
    }


def _decades(values: Iterable[float]) -> tuple[int, int]:
    logs = [math.log10(value) for value in values]
    low = math.floor(min(logs))
    return low, max(math.ceil(max(logs)), low + 1)


def number(value: float) -> str:
    """Return a number with the digits that tell it from its neighbours in a table."""
    # Adding zero turns -0.0 into 0.0.
    return f"{value + 0.0:.6g}"


def rough(value: float) -> str:
    """Return a bound or a share: two digits say all that it knows."""
    return f"{value:.2g}"
