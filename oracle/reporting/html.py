"""A report as one HTML page that needs nothing else: no network, no script."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from oracle.reporting import machine
from oracle.values import (
    HISTOGRAM_EDGES,
    BudgetMap,
    Direction,
    Finding,
    Measurement,
    ReferenceKind,
    Report,
    TensorReport,
    Verdict,
)

_SHARES = (0.0, 0.1, 0.5, 1.0, 10.0, 1e3, 1e6, math.inf)
"""Edges of the classes of a heat map, in shares of the budget. Above 1 an entry is wrong."""

_SHARE_NAMES = ("< 0.1", "0.1-0.5", "0.5-1", "1-10", "10-1e3", "1e3-1e6", "> 1e6")

_WORDS = {
    Verdict.PASS: "The gradient is right.",
    Verdict.FAIL: "The gradient is wrong.",
    Verdict.INCONCLUSIVE: "The check could not tell.",
}

_TRUST = {
    ReferenceKind.ENCLOSURE: "Ball arithmetic: the error of the reference is proven.",
    ReferenceKind.DERIVED_BOUND: "Float64 with a running error bound: the error is derived.",
    ReferenceKind.MEASURED: "Values of the function: the error is measured, not proven.",
}

_MOST_PLOTS = 4
"""Directions with a plot of their own: the wrong ones first, then those with most steps."""

_LADDER_KEY = (
    '<h3>Convergence</h3><p class="soft">Distance from the measured slope, against the step: '
    '<span class="line a"></span>central difference <span class="line b"></span>extrapolated '
    '<span class="line c"></span>noise floor: what the noise of the function may do.</p>'
)

_LEAST_RUNGS = 3
"""Steps that a ladder needs to show how it converges."""

_MOST_DIRECTIONS = 40

_STYLE = """
:root{color-scheme:light dark;--ink:#1b1b1f;--soft:#55555e;--paper:#fff;--panel:#f4f4f6;
--line:#c9c9d1;--pass:#146c2e;--fail:#b3261e;--inconclusive:#7a5200;
--s0:#e8eef7;--s1:#b4cbea;--s2:#6f9bd1;--s3:#f6c667;--s4:#ee8f3c;--s5:#d4492a;--s6:#8c1127;
--none:#999;--a:#1f5fae;--b:#b3261e;--c:#6b6b75}
@media(prefers-color-scheme:dark){:root{--ink:#ececf1;--soft:#b4b4bf;--paper:#16161a;
--panel:#212127;--line:#45454f;--pass:#7fd996;--fail:#ff9a90;--inconclusive:#f0c05a;
--s0:#1f2a3a;--s1:#2f4a70;--s2:#4f7fbe;--s3:#c9962f;--s4:#e0792c;--s5:#f0553a;--s6:#ff9fb0;
--none:#777;--a:#8ab8f5;--b:#ff9a90;--c:#a8a8b3}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:60rem;background:var(--paper);color:var(--ink);
font:1rem/1.5 system-ui,sans-serif;overflow-wrap:break-word}
h1{font-size:1.4rem;line-height:1.3}h2{font-size:1.2rem;margin-top:2.5rem}h3{font-size:1rem}
.verdict{display:block;font-size:2.4rem;letter-spacing:.02em}
.pass{color:var(--pass)}.fail{color:var(--fail)}.inconclusive{color:var(--inconclusive)}
.soft,figcaption{color:var(--soft);font-size:.9rem}
.finding{background:var(--panel);border-left:.3rem solid var(--line);padding:.2rem 1rem 1rem;
margin:1rem 0}.finding h2{margin:.5rem 0}.finding h2 code{font-size:1.1rem}
pre,code,td{font-family:ui-monospace,monospace;font-size:.85rem}
pre{background:var(--panel);padding:.75rem;overflow-x:auto}
.wide{overflow-x:auto}table{border-collapse:collapse}
th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid var(--line);
white-space:nowrap}.facts td{white-space:normal}
figure{margin:1rem 0}svg{display:block;width:100%;height:auto}
.map{max-width:24rem;max-height:18rem;border:1px solid var(--line)}.plot{max-width:40rem}
text{fill:var(--ink);font:11px system-ui,sans-serif}
.figures{display:grid;gap:1.5rem;grid-template-columns:repeat(auto-fit,minmax(min(18rem,100%),1fr))}
.ladders{grid-template-columns:repeat(auto-fit,minmax(min(26rem,100%),1fr))}
.line{display:inline-block;width:1.6em;margin:0 .3em 0 .8em;vertical-align:.25em;
border-top:2px solid}.line.a{border-color:var(--a)}.line.b{border-color:var(--b);
border-top-style:dashed}.line.c{border-color:var(--c);border-top-style:dotted}
.key{display:inline-block;width:.9em;height:.9em;margin:0 .3em 0 .8em;border:1px solid var(--line);
vertical-align:-.1em}
"""


def render(report: Report, *, reproduce: Mapping[str, str] | None = None) -> str:
    """Return the report as one self-contained HTML page.

    Parameters
    ----------
    report : Report
        What the check saw.
    reproduce : mapping, optional
        What it takes to repeat the check, text by title: the command, versions, digests of files.

    Returns
    -------
    str
        The verdict; the findings with their mathematics; a map of the error over the budget, a
        histogram and the worst entries of each tensor; for a function known by its values, the
        ladder of steps; what was checked and how; what it takes to repeat it. Light or dark,
        as the reader has it, readable on a phone, every figure with a text in its place.
    """
    parts = [_verdict(report)]
    parts += [_finding(finding) for finding in report.findings]
    parts += [f'<p class="soft">{escape(note)}</p>' for note in report.notes]
    parts += [_tensor(tensor) for tensor in report.tensors]
    if report.measurement is not None:
        parts.append(_measurement(report.measurement))
    parts += [_facts(report), _reproduce(report, reproduce or {})]
    title = escape(f"{report.verdict.upper()} {report.subject}")
    style = _STYLE + "".join(f".s{n}{{fill:var(--s{n});background:var(--s{n})}}" for n in range(7))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{title}</title>\n<style>{style}.none{{fill:var(--none)}}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(parts) + "\n</main>\n</body>\n</html>\n"
    )


def _verdict(report: Report) -> str:
    reason = f" Reason: <code>{escape(report.reason)}</code>." if report.reason else ""
    text = f"{report.subject}: {report.summary}" if report.summary else report.subject
    return (
        f'<h1><span class="verdict {report.verdict}">{report.verdict.upper()}</span> '
        f"{escape(text)}</h1>\n<p>{_WORDS[report.verdict]}{reason}</p>"
    )


def _finding(finding: Finding) -> str:
    tensor = f" in <code>{escape(finding.tensor)}</code>" if finding.tensor else ""
    remedy = f"<pre><code>{escape(finding.remedy)}</code></pre>" if finding.remedy else ""
    evidence = ""
    if finding.evidence:
        rows = [(name, _number(value)) for name, value in finding.evidence.items()]
        evidence = _table(("evidence", "value"), rows)
    return (
        f'<section class="finding"><h2><code>{escape(finding.kind)}</code>{tensor}</h2>'
        f"<p>{escape(finding.message)}</p>{remedy}{evidence}</section>"
    )


def _facts(report: Report) -> str:
    arithmetic = report.candidate_dtype
    if report.accumulation_dtype not in {"", report.candidate_dtype}:
        arithmetic += f", accumulated in {report.accumulation_dtype}"
    rows = [("entries checked", f"{report.entries:,}"), ("arithmetic of the gradient", arithmetic)]
    if report.verdict is not Verdict.INCONCLUSIVE:
        rows += [
            ("largest error over the allowed one", _rough(report.budget_used)),
            (
                "an error would have been seen above",
                f"{_rough(report.detection_limit)} of the largest entry",
            ),
        ]
    rows.append(("reference", _TRUST[report.reference_kind]))
    if report.delta is not None:
        rows.append(("delta", _number(report.delta)))
    if report.matched_delta is not None and report.matched_delta != report.delta:
        rows.append(("delta that fits the gradient", _number(report.matched_delta)))
    rows += [(name, str(size)) for name, size in report.sizes.items()]
    return f'<h2>The check</h2>\n<div class="facts">{_table(("what", "value"), rows)}</div>'


def _tensor(tensor: TensorReport) -> str:
    shape = " × ".join(map(str, tensor.shape)) or "one number"
    figures = []
    if tensor.budget_map is not None and tensor.budget_map.cells:
        figures.append(_heat_map(tensor.name, tensor.budget_map))
    if any(tensor.histogram):
        figures.append(_histogram(tensor.name, tensor.histogram))
    worst = ""
    if tensor.worst:
        rows = [
            (
                str(list(entry.index)),
                _number(entry.candidate),
                _number(entry.reference),
                _number(entry.candidate - entry.reference),
                _rough(entry.allowed),
            )
            for entry in tensor.worst
        ]
        head = ("entry", "yours", "reference", "difference", "allowed")
        worst = "<h3>Worst entries</h3>" + _table(head, rows)
    noun = "entry" if tensor.wrong_entries == 1 else "entries"
    wrong = f"{tensor.wrong_entries:,} wrong {noun}. " if tensor.wrong_entries else ""
    return (
        f"<section><h2>{escape(tensor.name)} <span class='soft'>({shape})</span> "
        f'<span class="{tensor.verdict}">{tensor.verdict}</span></h2>\n'
        f"<p>{wrong}The worst error is {_rough(tensor.budget_used)} times the allowed one. "
        f"The largest entry is {_number(tensor.largest_reference)}; an error above "
        f"{_rough(tensor.detection_limit)} of it would have been seen.</p>\n"
        f'<div class="figures">{"".join(figures)}</div>\n{worst}</section>'
    )


def _share_class(share: float) -> int | None:
    if math.isnan(share):
        return None
    return next((n for n in range(6) if share <= _SHARES[n + 1]), 6)


def _heat_map(name: str, grid: BudgetMap) -> str:
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
        f'<figure><svg class="map" role="img" viewBox="0 0 {grid.columns} {_number(height)}" '
        'preserveAspectRatio="none" shape-rendering="crispEdges">'
        f"<title>Map of the error over the budget in {escape(name)}: {escape(told)}</title>"
        f'<g transform="scale(1 {_number(height / grid.rows)})">{drawn}</g></svg>'
        "<figcaption>Error over budget, the first entry at the top left; above 1 is wrong.<br>"
        f"{key}</figcaption></figure>"
    )


def _histogram(name: str, counts: Sequence[int]) -> str:
    labels = [
        f"{_number(low)}-{_number(high)}" if math.isfinite(high) else f"> {_number(low)}"
        for low, high in itertools.pairwise(HISTOGRAM_EDGES)
    ]
    largest, row = max(counts), 16
    bars = []
    for n, (label, count) in enumerate(zip(labels, counts, strict=True)):
        width = 150 * count / largest
        right = HISTOGRAM_EDGES[n + 1] <= 1.0
        bars.append(
            f'<text x="82" y="{row * n + 12}" text-anchor="end">{label}</text>'
            f'<rect class="s{2 if right else 5}" x="90" y="{row * n + 2}" '
            f'width="{width:.1f}" height="{row - 4}"/>'
            f'<text x="{width + 94:.1f}" y="{row * n + 12}">{count:,}</text>'
        )
    told = ", ".join(
        f"{count} at {label}" for label, count in zip(labels, counts, strict=True) if count
    )
    return (
        f'<figure><svg class="plot" role="img" viewBox="0 0 300 {row * len(counts)}">'
        f"<title>Entries of {escape(name)} by share of the budget: {escape(told)}</title>"
        f"{''.join(bars)}</svg><figcaption>Entries by share of the budget.</figcaption></figure>"
    )


def _measurement(measurement: Measurement) -> str:
    directions = sorted(
        measurement.directions,
        key=lambda d: (d.verdict is Verdict.PASS, -abs(d.error) / (abs(d.measured) or 1.0)),
    )
    rows = [
        (
            f"{d.tensor}[{d.begin}:{d.end}]",
            _number(d.predicted),
            _number(d.measured),
            _rough(d.error),
            d.verdict.value,
        )
        for d in directions[:_MOST_DIRECTIONS]
    ]
    head = ("direction", "predicted by the gradient", "measured", "error of it", "verdict")
    plotted = sorted(
        (d for d in directions if len(d.rungs) >= _LEAST_RUNGS),
        key=lambda d: (d.verdict is Verdict.PASS, -len(d.rungs)),
    )
    plots = "".join(_ladder(d) for d in plotted[:_MOST_PLOTS])
    if plots:
        plots = f'{_LADDER_KEY}<div class="figures ladders">{plots}</div>'
    left_out = len(directions) - len(rows)
    more = f"<p class='soft'>{left_out} directions more in the JSON.</p>" if left_out > 0 else ""
    same = "the same" if measurement.deterministic else "different"
    return (
        "<h2>What was measured of the function</h2>\n"
        f"<p>{measurement.evaluations:,} evaluations around the value "
        f"{_number(measurement.value)}; its noise is {_rough(measurement.noise)}, and at the same "
        f"point it gives {same} values. A wrong gradient is missed with probability "
        f"{_rough(measurement.miss_probability)}.</p>\n"
        f"{_table(head, rows)}{more}\n{plots}"
    )


def _ladder(direction: Direction) -> str:
    """Plot how the differences converge, against the step, both on logarithmic axes."""
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
        drawn.append(
            f'<path d="M45 {y(gap):.1f}h345" stroke="var(--fail)" stroke-width="1"/>'
            f'<text x="390" y="{y(gap) - 4:.1f}" text-anchor="end">your gradient</text>'
        )
    where = escape(f"{direction.tensor}[{direction.begin}:{direction.end}]")
    told = (
        f"Distance from the measured slope {_number(direction.measured)} of {where} against the "
        f"step: the gradient predicts {_number(direction.predicted)}, "
        f"which is {_number(gap)} away; the measured slope is known to {_number(direction.error)}"
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


def _reproduce(report: Report, reproduce: Mapping[str, str]) -> str:
    texts = "".join(
        f"<h3>{escape(title)}</h3><pre><code>{escape(text)}</code></pre>"
        for title, text in reproduce.items()
    )
    return (
        f"<h2>To reproduce</h2>\n{texts}<details><summary>The report as JSON</summary>"
        f"<pre><code>{escape(machine.to_json(report, maps=False))}</code></pre></details>"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="'
        f'{escape(head[0])}"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _number(value: float) -> str:
    # Adding zero turns -0.0 into 0.0.
    return f"{value + 0.0:.6g}"


def _rough(value: float) -> str:
    """Return a bound or a share: two digits say all that it knows."""
    return f"{value:.2g}"
