"""The answer of a check, readable and assertable."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from oracle import values
from oracle.gradcheck.v1 import report_pb2
from oracle.reporting import text
from oracle.wire import document, report


class Report:
    """The answer of a check; `str(report)` is what a person reads, `message` is all there is.

    It is true if the gradient passed, so that `assert report` means what it says. What a newer
    server knows and this client does not shows as its number; verdict and text are the server's.

    Parameters
    ----------
    message : oracle.gradcheck.v1.Report
        What the server answered.

    Raises
    ------
    ValueError
        If it has no verdict.
    """

    def __init__(self, message: report_pb2.Report) -> None:
        self.message = message
        self.value = report.decode(message)

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
        """Why the check could not tell: a fixed code such as "noise"; "" if it could."""
        return self.value.reason.value if self.value.reason else ""

    @property
    def server_version(self) -> str:
        """The version of the server that checked, as in "1.0.0"; "" if it did not say."""
        return self.message.server_version

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
        """Return the report with a note before its others, or as it is if there is none."""
        if not note:
            return self
        message = report_pb2.Report()
        message.CopyFrom(self.message)
        message.notes.insert(0, note)
        message.text = text.with_note(self.message.text, note)
        return Report(message)

    def __str__(self) -> str:
        return self.message.text

    def __repr__(self) -> str:
        found = [str(finding.kind) for finding in self.findings]
        told = f": {', '.join(found)}" if found else ""
        return f"<Report {self.verdict} of {self.subject}{told}>"

    def show(self, file: TextIO | None = None) -> None:
        """Write the text to `file` (standard output), as wide as its terminal and in colour.

        Elsewhere it is plain and as wide as COLUMNS says, or 100. NO_COLOR keeps it plain anywhere.
        """
        stream = file or sys.stdout
        terminal = stream.isatty()
        colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        width = text.WIDEST
        if terminal or os.environ.get("COLUMNS"):
            width = shutil.get_terminal_size((width, 24)).columns
        shown = text.fitted(str(self), max(width, text.NARROWEST))
        stream.write((text.coloured(shown, self.verdict) if colour else shown) + "\n")
        stream.flush()

    def to_json(self, *, maps: bool = True) -> str:
        """Return the report for machines: the fields of the contract's `Report`, as JSON.

        Parameters
        ----------
        maps : bool
            Include the map of each tensor, up to 4096 numbers; without, `budget_map` is null.
        """
        return document.dumps(document.of_report(self.message, maps=maps))

    def to_html(self, reproduce: Mapping[str, str] | None = None) -> str:
        """Return the report as one HTML page that needs no network.

        Parameters
        ----------
        reproduce : mapping, optional
            What it takes to repeat the check, text by title, to be shown at the end.
        """
        from oracle.reporting import html

        whole = self.to_json(maps=False)
        return html.render(self.value, document=whole, reproduce=reproduce)

    def _repr_html_(self) -> str:
        from oracle.reporting import html

        return html.render(self.value, fragment=True)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report to a file: as HTML, or as JSON or text if its name ends so.

        Parameters
        ----------
        path : str or path
            The file; its folder must exist.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        forms = {".json": self.to_json, ".txt": self.__str__}
        made = forms.get(Path(path).suffix.lower(), self.to_html)()
        Path(path).write_text(made.rstrip("\n") + "\n", encoding="utf-8")

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
