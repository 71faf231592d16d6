"""A report as text for a person: the verdict first, at most 25 lines."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

from oracle.values import Report, TensorReport, Verdict

NARROWEST, WIDEST = 60, 100
"""Columns of a report: those of the narrowest terminal that it is fitted to, and its own."""

MOST_LINES = 25
"""Lines of the longest report: 2 + 9 + 1 + 8 + 3, which leaves two to the notes."""

_HEADLINE_LINES = 2
_FINDING_LINES = 9
_TABLE_ROWS = 5
_NOTES = 4
_NOTE_LINES = 3
_CLOSING_LINES = 3
_INDENT = 6

ADVICE = {
    "not_finite": "Send inputs without NaN and infinities.",
    "vacuous_budget": "Compute in a wider dtype, or on smaller weights or fewer samples.",
    "size_limit": "Check a smaller network or a smaller batch.",
    "kink": "Move the point away from the kink, or check one side of it.",
    "jump": "Move the point away from the jump.",
    "not_deterministic": "Fix the random seed, and switch dropout and the like off.",
    "domain": "Move the point into the domain of the function.",
    "budget_spent": "Allow more evaluations or more time.",
}
"""What to do about an inconclusive verdict, by its reason, where the types have no say."""

_PRECISION = {
    "noise": (
        "Compute the function in float64, and without randomness.",
        "Compute the function more accurately, and without randomness.",
    ),
    "resolution": (
        "Compute the function and its arguments in float64.",
        "Move the point: f may have no finite slope there. If you asked for a resolution, ask for "
        "a coarser one.",
    ),
}
"""The same where values of f are narrower than float64, and where values and arguments are not."""

_COLOURS: Mapping[str, str] = {Verdict.PASS: "32", Verdict.FAIL: "31", Verdict.INCONCLUSIVE: "33"}


def advice(report: Report) -> str:
    """Return what to do about an inconclusive verdict, "" of another."""
    if report.reason is None:
        return ""
    if report.reason not in _PRECISION:
        return ADVICE.get(report.reason, "")
    narrow, wide = _PRECISION[report.reason]
    if report.accumulation_dtype != "float64":
        return narrow
    measured = report.measurement
    at = measured.argument_dtype if measured else report.candidate_dtype
    return wide if at == "float64" else "Give x in float64."


def render(report: Report) -> str:
    """Return the report as plain text: at most 25 lines of at most 100 columns.

    Parameters
    ----------
    report : Report
        What the check saw.

    Returns
    -------
    str
        The verdict, the findings and their remedies, the worst entry of each tensor, and the
        smallest error that would have been seen. A pass has no table.
    """
    width = WIDEST
    lines = _headline(report, width)
    lines += _findings(report, width)
    wrong = [tensor for tensor in report.tensors if tensor.verdict is not Verdict.PASS]
    if report.verdict is Verdict.FAIL and any(tensor.worst for tensor in wrong):
        measured = report.measurement is not None
        lines += ["", *_table(report.tensors, "measured" if measured else "exact", width)]
    closing = _closing(report, width)
    lines += _notes(report.notes, width, MOST_LINES - len(lines) - len(closing))
    return "\n".join(line.rstrip() for line in [*lines, *closing])


def coloured(text: str, verdict: str) -> str:
    """Return a text of `render` with the verdict in colour, as ANSI escape codes."""
    word, gap, rest = text.partition("  ")
    return f"\033[1;{_COLOURS.get(verdict, '33')}m{word}\033[0m{gap}{rest}"


def fitted(text: str, width: int) -> str:
    """Return a text of `render` with lines of at most `width` columns.

    Examples
    --------
    >>> print(fitted("FAIL  net: " + 30 * "a " + "b", 60))
    FAIL  net: a a a a a a a a a a a a a a a a a a a a a a a a a
          a a a a a b
    """
    if width >= WIDEST:
        return text
    paragraphs: list[str] = []
    last = ""
    for line in text.splitlines():
        # A line that had no room for the next word goes on in the next line.
        word = line.split(maxsplit=1)[:1]
        if last and word and len(last) + 1 + len(word[0]) > WIDEST:
            paragraphs[-1] += " " + line.lstrip()
        else:
            paragraphs.append(line)
        last = line
    wrap = textwrap.TextWrapper(width, subsequent_indent=" " * _INDENT)
    return "\n".join(p if len(p) <= width else wrap.fill(p) for p in paragraphs)


def with_note(text: str, note: str) -> str:
    """Return a text of `render` with one more note at its end."""
    return "\n".join([text, *_wrap(note, WIDEST, most=_NOTE_LINES)])


def _headline(report: Report, width: int) -> list[str]:
    word = report.verdict.upper()
    text = f"{report.subject}: {report.summary}" if report.summary else report.subject
    first = f"{word}  {text}"
    if len(first) <= width:
        return [first]
    lines = _wrap(text, width, most=_HEADLINE_LINES, indent=len(word) + 2)
    return [f"{word}  {lines[0].lstrip()}", *lines[1:]]


def _notes(notes: Sequence[str], width: int, room: int) -> list[str]:
    """Return the first notes in full where there is room, and at least the beginning of each."""
    shown = notes[: min(_NOTES, room)]
    lines: list[str] = []
    for n, note in enumerate(shown, 1):
        left = room - len(lines) - (len(shown) - n)
        lines += _wrap(note, width, most=min(_NOTE_LINES, left))
    return lines


def _findings(report: Report, width: int) -> list[str]:
    lines: list[str] = []
    if report.reason is not None:
        lines += _wrap(advice(report), width, most=2)
    for n, finding in enumerate(report.findings):
        message = finding.message
        # What fixes several findings is said once, after the last of them.
        later = {other.remedy for other in report.findings[n + 1 :]}
        remedy = "" if finding.remedy in later else finding.remedy
        if finding.tensor and finding.tensor not in message:
            message = f"{finding.tensor}: {message}"
        message = unsaid(message, report.summary)
        if message and remedy:
            message += " " if message.endswith(".") else ". "
        lines += _wrap(message + remedy, width, most=4)
    if len(lines) > _FINDING_LINES:
        return [
            *lines[: _FINDING_LINES - 1],
            " " * _INDENT + "... more findings in the JSON report",
        ]
    return lines


def unsaid(message: str, summary: str) -> str:
    """Return what a message says beyond the summary that it begins with."""
    if summary and message.casefold().startswith(summary.casefold()):
        return message[len(summary) :].lstrip(". ")
    return message


def _table(tensors: Sequence[TensorReport], known: str, width: int) -> list[str]:
    """Return a header, a row for each of the worst tensors, and which ones are right."""
    wanted = [t for t in tensors if t.worst and t.verdict is not Verdict.PASS]
    shown = wanted
    if len(wanted) > _TABLE_ROWS:
        most_used = sorted(wanted, key=lambda tensor: -tensor.budget_used)[:_TABLE_ROWS]
        shown = [tensor for tensor in wanted if tensor in most_used]
    rows = [("tensor", "worst entry", "yours", known, "allowed")]
    rows += [
        (
            _shortened(tensor.name, 24),
            _shortened(str(list(tensor.worst[0].index)), 20),
            *told_apart(tensor.worst[0].candidate, tensor.worst[0].reference),
            f"{tensor.worst[0].allowed:.1e}",
        )
        for tensor in shown
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        " " * _INDENT + "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True))
        for row in rows
    ]
    if len(wanted) > len(shown):
        lines.append(" " * _INDENT + f"... and {len(wanted) - len(shown)} tensors more")
    right = [tensor.name for tensor in tensors if tensor.verdict is Verdict.PASS]
    if right:
        lines.append(
            " " * _INDENT + f"{', '.join(right)} {'are' if len(right) > 1 else 'is'} right"
        )
    return [_shortened(line.rstrip(), width) for line in lines]


def told_apart(one: float, other: float) -> tuple[str, str]:
    """Return two numbers with six digits, or as many as it takes to see that they differ."""
    for digits in range(6, 17):
        # Adding zero turns -0.0, which is no less right than 0.0, into 0.0.
        first, second = f"{one + 0.0:.{digits}g}", f"{other + 0.0:.{digits}g}"
        if first != second:
            return first, second
    return f"{one:.17g}", f"{other:.17g}"


def arithmetic(report: Report) -> str:
    """Return in which types a gradient was kept and checked: one if all are the same."""
    candidate, values = report.candidate_dtype, report.accumulation_dtype
    if report.measurement is None:
        return candidate if values in {"", candidate} else f"{candidate} accumulated in {values}"
    at = report.measurement.argument_dtype
    if {candidate, at, values} == {candidate}:
        return candidate
    return f"{candidate}, at x in {at or candidate}, by values of f in {values}"


def _closing(report: Report, width: int) -> list[str]:
    if not report.entries:
        return []
    noun = "entry" if report.entries == 1 else "entries"
    parts = [f"checked {report.entries:,} {noun} in {arithmetic(report)}"]
    # A limit of 1 or more is a tensor that its type cannot tell from zero, which a note says.
    told = [t for t in report.tensors if t.detection_limit < 1.0]
    limit = report.detection_limit
    place = ""
    if limit >= 1.0:
        limit = max((t.detection_limit for t in told), default=math.inf)
        place = f" in {', '.join(t.name for t in told)}"
    if report.verdict is not Verdict.INCONCLUSIVE and 0 < limit < math.inf:
        seen = f"an error above {limit:.0e} of the largest entry would have been seen"
        parts.append(seen + _shortened(place, 40))
    if report.verdict is Verdict.PASS and report.measurement is None:
        used = f"{report.budget_used:.0%}" if report.budget_used >= 0.01 else "under 1%"
        parts.append(f"{used} of the budget used")
    whole = "; ".join(parts)
    if len(whole) + _INDENT <= width:
        return [" " * _INDENT + whole]
    return [
        *_wrap(parts[0] + ";" * (len(parts) > 1), width, most=1),
        *_wrap("; ".join(parts[1:]), width, most=_CLOSING_LINES - 1),
    ]


def _wrap(text: str, width: int, *, most: int, indent: int = _INDENT) -> list[str]:
    if not text:
        return []
    return textwrap.wrap(
        " ".join(text.split()),
        width=width,
        initial_indent=" " * indent,
        subsequent_indent=" " * _INDENT,
        max_lines=most,
        placeholder=" ...",
    )


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
