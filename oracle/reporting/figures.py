"""The figures of a report's page: drawings with a text in their place, in the page's colours."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from html import escape

from oracle.values import HISTOGRAM_EDGES, BudgetMap, Direction

_SHARES = (0.0, 0.1, 0.5, 1.0, 10.0, 1e3, 1e6, math.inf)
"""Edges of the classes of a heat map, in shares of the budget. Above 1 an entry is wrong."""

_SHARE_NAMES = ("< 0.1", "0.1-0.5", "0.5-1", "1-10", "10-1e3", "1e3-1e6", "> 1e6")


def _share_class(share: float) -> int | None:
    if math.isnan(share):
        return None
    return next((n for n in range(6) if share <= _SHARES[n + 1]), 6)


def heat_map(name: str, grid: BudgetMap) -> str:
    """Draw one path for each class of shares, runs of cells in a row merged."""
    paths: dict[int | None, list[str]] = {}
    counts: dict[int | None, int] = {}
    for row in range(grid.rows):
        cells = grid.cells[row * grid.columns : (row + 1) * grid.columns]
        column = 0
        for kind, run in itertools.groupby(cells, _share_class):
            length = len(list(run))
            paths.setdefault(kind, []).append(f"M{column} {row}h{length}v1h-{length}z")
            counts[kind] = counts.get(kind, 0) + length
            column += length
    drawn = "".join(
        f'<path class="{"none" if kind is None else f"s{kind}"}" d="{"".join(moves)}"/>'
        for kind, moves in paths.items()
    )
    told = ", ".join(
        f"{counts[kind]} cells {'without a number' if kind is None else _SHARE_NAMES[kind]}"
        for kind in sorted(counts, key=lambda kind: -1 if kind is None else kind)
    )
    key = "".join(
        f'<span class="key s{kind}"></span>{escape(_SHARE_NAMES[kind])}'
        for kind in sorted(kind for kind in counts if kind is not None)
    )
    # A vector is one row of cells; stretched, it can be seen.
    height = max(grid.rows, grid.columns / 12)
    return (
        f'<figure><svg class="map" role="img" viewBox="0 0 {grid.columns} {number(height)}" '
        'preserveAspectRatio="none" shape-rendering="crispEdges">'
        f"<title>Map of the error over the budget in {escape(name)}: {escape(told)}</title>"
        f'<g transform="scale(1 {number(height / grid.rows)})">{drawn}</g></svg>'
        "<figcaption>Error over budget, the first entry at the top left; above 1 is wrong.<br>"
        f"{key}</figcaption></figure>"
    )


def histogram(name: str, counts: Sequence[int]) -> str:
    """Draw how many entries use which share of the budget; above 1 only if there are any."""
    right = HISTOGRAM_EDGES.index(1.0)
    counts = counts if any(counts[right:]) else counts[:right]
    labels = [
        f"{_edge(low)}-{_edge(high)}" if math.isfinite(high) else f"> {_edge(low)}"
        for low, high in itertools.pairwise(HISTOGRAM_EDGES[: len(counts) + 1])
    ]
    largest, row = max(counts), 16
    bars = []
    for n, (label, count) in enumerate(zip(labels, counts, strict=True)):
        # One entry among thousands is the one that is looked for.
        width = max(150 * count / largest, 2.0 if count else 0.0)
        bars.append(
            f'<text x="82" y="{row * n + 12}" text-anchor="end">{label}</text>'
            f'<rect class="s{2 if n < right else 5}" x="90" y="{row * n + 2}" '
            f'width="{width:.1f}" height="{row - 4}"/>'
            f'<text x="{width + 94:.1f}" y="{row * n + 12}">{count:,}</text>'
        )
    if len(counts) > right:
        bars.append(
            f'<path d="M20 {row * right}h270" stroke="var(--soft)" stroke-dasharray="2 3"/>'
            f'<text x="290" y="{row * right + 12}" text-anchor="end">wrong</text>'
        )
    told = ", ".join(
        f"{count} at {label}" for label, count in zip(labels, counts, strict=True) if count
    )
    return (
        f'<figure><svg class="plot" role="img" viewBox="0 0 300 {row * len(counts)}">'
        f"<title>Entries of {escape(name)} by share of the budget: {escape(told)}</title>"
        f"{''.join(bars)}</svg><figcaption>Entries by share of the budget.</figcaption></figure>"
    )


def _edge(share: float) -> str:
    return f"{share:g}" if share < 1000 else f"1e{math.log10(share):.0f}"


def ladder(direction: Direction, place: int) -> str:
    """Plot how the differences converge, against the step, both on logarithmic axes.

    Directions of one tensor differ by their signs; `place` among all of them tells which it is.
    """
    rungs = sorted(direction.rungs, key=lambda rung: rung.step)
    steps = [rung.step for rung in rungs]
    series = (
        ("a", "central difference", [abs(r.difference - direction.measured) for r in rungs]),
        ("b", "extrapolated", [abs(r.extrapolated - direction.measured) for r in rungs]),
        ("c", "noise", [r.noise for r in rungs]),
    )
    gap = abs(direction.predicted - direction.measured)
    heights = [v for _, _, values in series for v in values if 0 < v < math.inf]
    heights += [gap] if 0 < gap < math.inf else []
    if not heights or min(steps) <= 0:
        return ""
    left, right = _decades(steps)
    bottom, top = _decades(heights)
    x = {step: 45 + 345 * (math.log10(step) - left) / (right - left) for step in steps}

    def y(value: float) -> float:
        share = (math.log10(value) - bottom) / (top - bottom)
        return 210 - 200 * min(1.0, max(0.0, share))

    drawn = [
        f'<text x="40" y="{y(10.0**n) + 4:.0f}" text-anchor="end">1e{n}</text>'
        for n in range(bottom, top + 1, max(1, (top - bottom) // 5))
    ]
    drawn += [
        f'<text x="{45 + 345 * (n - left) / (right - left):.0f}" y="226" '
        f'text-anchor="middle">1e{n}</text>'
        for n in range(left, right + 1, max(1, (right - left) // 6))
    ]
    drawn.append('<text x="217" y="242" text-anchor="middle">step</text>')
    dashes = {"a": "", "b": "6 3", "c": "2 3"}
    for colour, _, values in series:
        points = " ".join(
            f"{x[step]:.1f},{y(v):.1f}"
            for step, v in zip(steps, values, strict=True)
            if 0 < v < math.inf
        )
        drawn.append(
            f'<polyline points="{points}" fill="none" stroke="var(--{colour})" stroke-width="2" '
            f'stroke-dasharray="{dashes[colour]}"/>'
        )
    if 0 < gap < math.inf:
        drawn.append(f'<path d="M45 {y(gap):.1f}h345" stroke="var(--ink)" stroke-width="1"/>')
    entries = escape(f"{direction.tensor}[{direction.begin}:{direction.end}]")
    where = f"{entries}, direction {place}"
    told = (
        f"Distance from the measured slope {number(direction.measured)} of {where} against the "
        f"step: the gradient predicts {number(direction.predicted)}, "
        f"which is {number(gap)} away; the measured slope is known to {number(direction.error)}"
    )
    return (
        f'<figure><svg class="plot" role="img" viewBox="0 0 410 248"><title>{told}</title>'
        '<path d="M45 10v200h345" fill="none" stroke="var(--line)"/>'
        f"{''.join(drawn)}</svg><figcaption>{where}</figcaption></figure>"
    )


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
