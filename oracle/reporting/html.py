"""A report as one HTML page that needs nothing else: no network, no script.

The markup and the style are in `templates`; here is what they are filled with.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from oracle import version
from oracle.reporting import figures
from oracle.reporting.figures import number, rough
from oracle.reporting.text import advice, arithmetic, told_apart, unsaid
from oracle.values import (
    Direction,
    Finding,
    Measurement,
    ReferenceKind,
    Report,
    TensorReport,
    Verdict,
)

_TRUST: Mapping[str | None, str] = {
    ReferenceKind.ENCLOSURE: "Ball arithmetic: the error of the reference is proven.",
    ReferenceKind.DERIVED_BOUND: "Float64 with a running error bound: the error is derived.",
    None: "Values of the function: the error is measured, not proven.",
}

_MOST_PLOTS = 4
"""Directions with a plot of their own."""

_LEAST_RUNGS = 3
"""Steps that a ladder needs to show how it converges."""

_DIRECTIONS = 8
"""Directions that are shown without being asked for."""

TEMPLATES = Path(__file__).with_name("templates")


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(
    report: Report,
    *,
    document: str = "",
    reproduce: Mapping[str, str] | None = None,
    fragment: bool = False,
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
    fragment : bool
        Leave out the page around it: for a cell of a notebook, whose own style stays as it is.

    Returns
    -------
    str
        The verdict; the findings with their mathematics; maps of what was sent, of what is right
        and of the difference, a histogram and the worst entries of each tensor; for a function
        known by its values, the ladder of steps; what was checked and how; what it takes to repeat
        it. Light or dark, as the reader has it, readable on a phone, every figure with a text in
        its place.
    """
    order = sorted(report.tensors, key=lambda tensor: tensor.verdict is Verdict.PASS)
    template = _environment().get_template("report.html" if fragment else "page.html")
    return template.render(
        report=report,
        headline=f"{report.subject}: {report.summary}" if report.summary else report.subject,
        advice=advice(report),
        findings=[_finding(report, finding) for finding in report.findings],
        tensors=[_tensor(report, tensor) for tensor in order],
        measured=report.measurement and _measured(report.measurement, report.verdict),
        facts=_facts(report),
        fragment=fragment,
        document=document,
        reproduce=list((reproduce or {}).items()),
    )


def _finding(report: Report, finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "link": _page(finding.kind),
        "tensor": finding.tensor,
        "message": coded(unsaid(finding.message, report.summary)),
        "remedy": coded(finding.remedy),
        "evidence": [(name, number(value)) for name, value in finding.evidence.items()],
    }


@functools.cache
def _page(code: str) -> str:
    """Return the page of a finding code in the documentation, or "" if the package names none."""
    urls = version.metadata().get_all("Project-URL") or []
    named = dict(url.split(", ", 1) for url in urls)
    base = named.get("Documentation", "").rstrip("/")
    return f"{base}/findings/{code}/" if base else ""


_CODE = re.compile(
    r"`[^`]+`"
    r"|(?<![\w.])\w+(?:\.\w+)*(?:\([^()]*\)|\[[^\[\]]*\])*"
    r"(?:\s*(?:[-+*/@]?=|[-+*/@^])\s*\(*\w+(?:\.\w+)*(?:\([^()]*\)|\[[^\[\]]*\])*\)*)+"
)
"""An expression among words: names or numbers with an operator between them."""


def coded(text: str) -> Markup:
    """Return prose with its expressions set as code.

    Examples
    --------
    >>> coded("Write dy = (y - t) / N, not y - t.")
    Markup('Write <code>dy = (y - t) / N</code>, not <code>y - t</code>.')
    """
    made, last = Markup(), 0
    for match in _CODE.finditer(text):
        made += escape(text[last : match.start()])
        made += Markup("<code>{}</code>").format(match[0].strip("`"))
        last = match.end()
    return made + escape(text[last:])


def _facts(report: Report) -> list[tuple[str, str]]:
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
    kind = report.reference_kind
    rows.append(("reference", _TRUST.get(kind, str(kind))))
    if report.delta is not None:
        rows.append(("delta", number(report.delta)))
    if report.matched_delta is not None and report.matched_delta != report.delta:
        rows.append(("delta that fits the gradient", number(report.matched_delta)))
    return rows + [(name, str(size)) for name, size in report.sizes.items()]


def _tensor(report: Report, tensor: TensorReport) -> dict[str, Any]:
    """Fill in a tensor; one that is right is folded where another is not."""
    passed = tensor.verdict is Verdict.PASS
    grid = tensor.budget_map if tensor.budget_map is not None and tensor.budget_map.cells else None
    return {
        "name": tensor.name,
        "shape": " × ".join(map(str, tensor.shape)) or "one number",
        "verdict": tensor.verdict,
        "folded": passed and report.verdict is not Verdict.PASS,
        "told": _told(tensor),
        "maps": figures.value_maps(tensor.name, grid) if grid and not passed else [],
        "worst": _worst(tensor),
        "budget": figures.budget_map(tensor.name, grid) if grid else None,
        "histogram": (
            figures.histogram(tensor.name, tensor.histogram) if any(tensor.histogram) else None
        ),
    }


def _told(tensor: TensorReport) -> str:
    noun = "entry is" if tensor.wrong_entries == 1 else "entries are"
    count = math.prod(tensor.shape)
    sentences = []
    if tensor.wrong_entries:
        sentences.append(f"{tensor.wrong_entries:,} of {count:,} {noun} wrong.")
    if tensor.wrong_entries and tensor.worst and tensor.largest_reference > 0:
        gap = abs(tensor.worst[0].candidate - tensor.worst[0].reference)
        share = gap / tensor.largest_reference
        size = f"{share:.2g} times" if share >= 10 else f"{100 * share:.2g} % of"
        sentences.append(f"The worst is off by {size} the largest entry.")
    if tensor.budget_used == 0:
        sentences.append("Every entry is that of the reference.")
    elif not math.isnan(tensor.budget_used):
        sentences.append(f"The worst error is {rough(tensor.budget_used)} times the allowed one.")
    largest = f"The largest entry is {number(tensor.largest_reference)}"
    if tensor.verdict is Verdict.INCONCLUSIVE:
        return " ".join([*sentences, f"{largest}."])
    seen = f"an error above {rough(tensor.detection_limit)} of it would have been seen"
    return " ".join([*sentences, f"{largest}; {seen}."])


def _worst(tensor: TensorReport) -> list[tuple[str, ...]]:
    if tensor.budget_used == 0:
        return []
    largest = tensor.largest_reference or math.nan
    return [
        (
            str(list(entry.index)),
            *told_apart(entry.candidate, entry.reference),
            number(entry.candidate - entry.reference),
            f"{(entry.candidate - entry.reference) / largest:+.2g}",
            rough(entry.allowed),
        )
        for entry in tensor.worst[: tensor.wrong_entries or None]
    ]


def _measured(measurement: Measurement, verdict: Verdict) -> dict[str, Any]:
    directions = sorted(measurement.directions, key=_by_interest)
    plotted = [(n, d) for n, d in enumerate(directions, 1) if len(d.rungs) >= _LEAST_RUNGS]
    drawn = [figures.ladder(direction, n) for n, direction in plotted[:_MOST_PLOTS]]
    same = "the same" if measurement.deterministic else "different"
    told = (
        f"{measurement.evaluations:,} evaluations around the value {number(measurement.value)}; "
        f"its noise is {rough(measurement.noise)}, and at the same point it gives {same} values."
    )
    if verdict is not Verdict.INCONCLUSIVE:
        missed = rough(measurement.miss_probability)
        told += f" A wrong gradient is missed with probability {missed}."
    rows = _slopes(directions)
    return {
        "told": told,
        "ladders": [plot for plot in drawn if plot],
        "slopes": rows[:_DIRECTIONS],
        "more": rows[_DIRECTIONS:],
    }


def _by_interest(direction: Direction) -> tuple[int, float]:
    """Put the wrong directions first, and those that are farthest off for what is known of them."""
    order = {Verdict.FAIL: 0, Verdict.PASS: 2}
    gap = abs(direction.predicted - direction.measured)
    return order.get(direction.verdict, 1), -gap / (direction.error or 1.0)


def _slopes(directions: Sequence[Direction]) -> list[tuple[str, ...]]:
    return [
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
