"""A report as one HTML page that needs nothing else: no network, no script."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from oracle.reporting.figures import heat_map, histogram, ladder, number, rough
from oracle.reporting.text import advice, arithmetic, told_apart
from oracle.values import (
    Direction,
    Finding,
    Measurement,
    ReferenceKind,
    Report,
    TensorReport,
    Verdict,
)

_WORDS: Mapping[str, str] = {
    Verdict.PASS: "The gradient is right.",
    Verdict.FAIL: "The gradient is wrong.",
    Verdict.INCONCLUSIVE: "The check could not tell.",
}

_TRUST: Mapping[str | None, str] = {
    ReferenceKind.ENCLOSURE: "Ball arithmetic: the error of the reference is proven.",
    ReferenceKind.DERIVED_BOUND: "Float64 with a running error bound: the error is derived.",
    None: "Values of the function: the error is measured, not proven.",
}

_MOST_PLOTS = 4
"""Directions with a plot of their own."""

_LADDER_KEY = (
    '<h3>Convergence</h3><p class="soft">Distance from the measured slope, against the step: '
    '<span class="line a"></span>central difference <span class="line b"></span>extrapolated '
    '<span class="line c"></span>noise floor: what the noise of the function may do '
    '<span class="line d"></span>your gradient</p>'
)

_LEAST_RUNGS = 3
"""Steps that a ladder needs to show how it converges."""

_DIRECTIONS = 8
"""Directions that are shown without being asked for."""

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
pre{background:var(--panel);padding:.75rem;white-space:pre-wrap;overflow-wrap:anywhere}
.finding pre{padding:0}details{margin:1rem 0}summary{cursor:pointer}
summary h2{display:inline-block;margin:0}
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
.line.d{border-color:var(--ink);border-top-width:1px}
.key{display:inline-block;width:.9em;height:.9em;margin:0 .3em 0 .8em;border:1px solid var(--line);
vertical-align:-.1em}
@media(max-width:30rem){th,td{padding-right:.5rem;font-size:.72rem}}
"""


def render(
    report: Report, *, document: str = "", reproduce: Mapping[str, str] | None = None
) -> str:
    """Return the report as one self-contained HTML page.

    Parameters
    ----------
    report : Report
        What the check saw.
    document : str
        The same as JSON, to be shown at the end.
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
    order = sorted(report.tensors, key=lambda tensor: tensor.verdict is Verdict.PASS)
    parts += [
        _tensor(t, folded=report.verdict is not Verdict.PASS and t.verdict is Verdict.PASS)
        for t in order
    ]
    if report.measurement is not None:
        parts.append(_measurement(report.measurement, report.verdict))
    parts += [_facts(report), _reproduce(document, reproduce or {})]
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
    reason = ""
    if report.reason is not None:
        reason = f" Reason: <code>{escape(report.reason)}</code>. {escape(advice(report))}"
    text = f"{report.subject}: {report.summary}" if report.summary else report.subject
    return (
        f'<h1><span class="verdict {report.verdict}">{report.verdict.upper()}</span> '
        f"{escape(text)}</h1>\n<p>{_WORDS.get(report.verdict, '')}{reason}</p>"
    )


def _finding(finding: Finding) -> str:
    tensor = f" in <code>{escape(finding.tensor)}</code>" if finding.tensor else ""
    remedy = f"<pre><code>{escape(finding.remedy)}</code></pre>" if finding.remedy else ""
    evidence = ""
    if finding.evidence:
        rows = [(name, number(value)) for name, value in finding.evidence.items()]
        evidence = _table(
            ("evidence", "value"), rows, f"evidence of {finding.kind} {finding.tensor}"
        )
    return (
        f'<section class="finding"><h2><code>{escape(finding.kind)}</code>{tensor}</h2>'
        f"<p>{escape(finding.message)}</p>{remedy}{evidence}</section>"
    )


def _facts(report: Report) -> str:
    rows = [
        ("entries checked", f"{report.entries:,}"),
        ("arithmetic of the gradient", arithmetic(report)),
    ]
    if report.verdict is not Verdict.INCONCLUSIVE:
        rows += [
            ("largest error over the allowed one", rough(report.budget_used)),
            (
                "an error would have been seen above",
                f"{rough(report.detection_limit)} of the largest entry",
            ),
        ]
    rows.append(("reference", _TRUST.get(report.reference_kind, str(report.reference_kind))))
    if report.delta is not None:
        rows.append(("delta", number(report.delta)))
    if report.matched_delta is not None and report.matched_delta != report.delta:
        rows.append(("delta that fits the gradient", number(report.matched_delta)))
    rows += [(name, str(size)) for name, size in report.sizes.items()]
    table = _table(("what", "value"), rows, "the check")
    return f'<h2>The check</h2>\n<div class="facts">{table}</div>'


def _tensor(tensor: TensorReport, *, folded: bool) -> str:
    """Show a tensor; `folded` leaves to the reader whether to look at one that is right."""
    shape = " × ".join(map(str, tensor.shape)) or "one number"
    title = (
        f"<h2>{escape(tensor.name)} <span class='soft'>({shape})</span> "
        f'<span class="{tensor.verdict}">{tensor.verdict}</span></h2>'
    )
    figures = []
    if tensor.budget_map is not None and tensor.budget_map.cells:
        figures.append(heat_map(tensor.name, tensor.budget_map))
    if any(tensor.histogram):
        figures.append(histogram(tensor.name, tensor.histogram))
    drawn = f'\n<div class="figures">{"".join(figures)}</div>' if figures else ""
    body = f"<p>{_told(tensor)}</p>{drawn}\n{_worst(tensor)}"
    if folded:
        return f"<details><summary>{title}</summary>\n{body}</details>"
    return f"<section>{title}\n{body}</section>"


def _told(tensor: TensorReport) -> str:
    noun = "entry" if tensor.wrong_entries == 1 else "entries"
    sentences = [f"{tensor.wrong_entries:,} wrong {noun}."] if tensor.wrong_entries else []
    if tensor.budget_used == 0:
        sentences.append("Every entry is that of the reference.")
    elif not math.isnan(tensor.budget_used):
        sentences.append(f"The worst error is {rough(tensor.budget_used)} times the allowed one.")
    largest = f"The largest entry is {number(tensor.largest_reference)}"
    if tensor.verdict is Verdict.INCONCLUSIVE:
        return " ".join([*sentences, f"{largest}."])
    seen = f"an error above {rough(tensor.detection_limit)} of it would have been seen"
    return " ".join([*sentences, f"{largest}; {seen}."])


def _worst(tensor: TensorReport) -> str:
    rows = [
        (
            str(list(entry.index)),
            *told_apart(entry.candidate, entry.reference),
            number(entry.candidate - entry.reference),
            rough(entry.allowed),
        )
        for entry in tensor.worst[: tensor.wrong_entries or None]
    ]
    if not rows or tensor.budget_used == 0:
        return ""
    head = ("entry", "yours", "reference", "difference", "allowed")
    return "<h3>Worst entries</h3>" + _table(head, rows, f"worst entries of {tensor.name}")


def _measurement(measurement: Measurement, verdict: Verdict) -> str:
    directions = sorted(measurement.directions, key=_by_interest)
    plotted = [(n, d) for n, d in enumerate(directions, 1) if len(d.rungs) >= _LEAST_RUNGS]
    plots = "".join(ladder(d, n) for n, d in plotted[:_MOST_PLOTS])
    if plots:
        plots = f'{_LADDER_KEY}<div class="figures ladders">{plots}</div>'
    same = "the same" if measurement.deterministic else "different"
    missed = (
        ""
        if verdict is Verdict.INCONCLUSIVE
        else f" A wrong gradient is missed with probability {rough(measurement.miss_probability)}."
    )
    return (
        "<h2>What was measured of the function</h2>\n"
        f"<p>{measurement.evaluations:,} evaluations around the value "
        f"{number(measurement.value)}; its noise is {rough(measurement.noise)}, and at the same "
        f"point it gives {same} values.{missed}</p>\n{plots}\n{_slopes(directions)}"
    )


def _by_interest(direction: Direction) -> tuple[int, float]:
    """Put the wrong directions first, and those that are farthest off for what is known of them."""
    order = {Verdict.FAIL: 0, Verdict.PASS: 2}
    gap = abs(direction.predicted - direction.measured)
    return order.get(direction.verdict, 1), -gap / (direction.error or 1.0)


def _slopes(directions: Sequence[Direction]) -> str:
    rows = [
        (
            f"{n}",
            f"{d.tensor}[{d.begin}:{d.end}]",
            number(d.predicted),
            number(d.measured),
            rough(abs(d.predicted - d.measured)),
            rough(d.error),
            "open" if d.verdict is Verdict.INCONCLUSIVE else d.verdict.value,
        )
        for n, d in enumerate(directions, 1)
    ]
    if not rows:
        return ""
    head = ("direction", "entries", "predicted", "measured", "apart by", "known to", "verdict")
    rest = rows[_DIRECTIONS:]
    noun = "direction" if len(rest) == 1 else "directions"
    more = (
        f"<details><summary>{len(rest):,} {noun} more</summary>{_table(head, rest, noun)}</details>"
    )
    return f"<h3>Slopes</h3>{_table(head, rows[:_DIRECTIONS], 'slopes')}{more if rest else ''}"


def _reproduce(document: str, reproduce: Mapping[str, str]) -> str:
    texts = "".join(
        f"<h3>{escape(title)}</h3><pre><code>{escape(text)}</code></pre>"
        for title, text in reproduce.items()
    )
    return (
        f"<h2>To reproduce</h2>\n{texts}<details><summary>The report as JSON</summary>"
        f"<pre><code>{escape(document)}</code></pre></details>"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], name: str) -> str:
    """Lay out rows of cells; the name tells the table from the others of the page."""
    cells = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="'
        f'{escape(name.strip())}"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
