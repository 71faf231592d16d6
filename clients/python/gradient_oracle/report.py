"""The answer of a check, readable and assertable."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, replace
from typing import TextIO

from oracle import values
from oracle.reporting import machine, text


@dataclass(frozen=True)
class Report:
    """The answer of a check; `str(report)` is what a person reads, `value` is all there is.

    It is true if the gradient passed, so that `assert report` means what it says.
    """

    value: values.Report

    def __bool__(self) -> bool:
        return self.passed

    @property
    def verdict(self) -> str:
        """The answer: "pass", "fail" or "inconclusive"."""
        return self.value.verdict.value

    @property
    def passed(self) -> bool:
        """Whether the verdict is "pass"."""
        return self.verdict == "pass"

    @property
    def reason(self) -> str:
        """Why the check could not tell, a fixed code such as "noise"; "" if it could."""
        return self.value.reason.value if self.value.reason else ""

    @property
    def subject(self) -> str:
        """What was checked."""
        return self.value.subject

    @property
    def summary(self) -> str:
        """The verdict in one sentence."""
        return self.value.summary

    @property
    def findings(self) -> tuple[values.Finding, ...]:
        """The named causes, most important first; each has `kind`, `tensor`, `message`."""
        return self.value.findings

    @property
    def tensors(self) -> tuple[values.TensorReport, ...]:
        """What was seen in each tensor."""
        return self.value.tensors

    @property
    def entries(self) -> int:
        """How many entries were checked."""
        return self.value.entries

    @property
    def detection_limit(self) -> float:
        """The smallest error, over the largest entry, that would have failed wherever it is."""
        return self.value.detection_limit

    @property
    def budget_used(self) -> float:
        """The largest |candidate - reference| / allowed."""
        return self.value.budget_used

    @property
    def measurement(self) -> values.Measurement | None:
        """What a black-box check measured of the function; None for known functions."""
        return self.value.measurement

    def noted(self, note: str) -> Report:
        """Return the report with a note, before its others, or as it is if there is none."""
        if not note:
            return self
        return Report(replace(self.value, notes=(note, *self.value.notes)))

    def __str__(self) -> str:
        return text.render(self.value)

    def show(self, file: TextIO | None = None) -> None:
        """Write the text to `file` (standard output), as wide as its terminal and in colour.

        Elsewhere it is plain and as wide as COLUMNS says, or 100. NO_COLOR keeps it plain anywhere.
        """
        stream = file or sys.stdout
        terminal = stream.isatty()
        colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        render = text.render_colour if colour else text.render
        width = text.WIDEST
        if terminal or os.environ.get("COLUMNS"):
            width = shutil.get_terminal_size((width, 24)).columns
        width = min(max(width, text.NARROWEST), text.WIDEST)
        stream.write(render(self.value, width=width) + "\n")
        stream.flush()

    def to_json(self) -> str:
        """Return the report for machines, in the form of `report.schema.json`."""
        return machine.to_json(self.value)

    def to_html(self) -> str:
        """Return the report as one HTML page that needs no network."""
        from oracle.reporting import html

        return html.render(self.value)

    def raise_for_failure(self, *, allow_inconclusive: bool = False) -> None:
        """Raise unless the gradient passed.

        Parameters
        ----------
        allow_inconclusive : bool
            Let "inconclusive" through. By default it raises: that nothing could be said is no
            reason to go on as if the gradient were right.

        Raises
        ------
        AssertionError
            With `str(report)` as its message.
        """
        if not self.passed and not (allow_inconclusive and self.verdict == "inconclusive"):
            raise AssertionError(str(self))
