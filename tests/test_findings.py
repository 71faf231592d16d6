"""Every example of FINDINGS.md gets its code. Run as a program, this refreshes its reports."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from oracle.findings import FindingKind

TOP = Path(__file__).parents[1]
GUIDE = TOP / "FINDINGS.md"
TEXT = GUIDE.read_text(encoding="utf-8")
EXAMPLE = re.compile(
    r"```(?P<form>diff|python)\n(?P<source>(?:(?!```).)*)```\n\n```text\n(?P<printed>.*?)```",
    re.DOTALL,
)
PROGRAMS = re.findall(
    r"```python\n(.*?)```", TEXT.partition("## The programs")[2].partition("\n## ")[0], re.DOTALL
)


def sections(text: str) -> dict[str, str]:
    """Return what stands under the heading of each code."""
    return dict(re.findall(r"^## `(\w+)`\n\n(.*?)(?=\n## |\Z)", text, re.MULTILINE | re.DOTALL))


SECTIONS = sections(TEXT)
EXAMPLES = [
    pytest.param(code, *found.groups(), id=f"{code}-{n}")
    for code, section in SECTIONS.items()
    for n, found in enumerate(EXAMPLE.finditer(section))
]


def wrong(form: str, source: str) -> str:
    """Return the program of an example: a whole one, or one of the two without its fixed lines."""
    if form == "python":
        return "import gradient_oracle\nimport numpy as np\n" + source
    before, after = (
        "".join(line[1:] + "\n" for line in source.splitlines() if line[0] in {" ", sign})
        for sign in "-+"
    )
    (program,) = (program for program in PROGRAMS if f"\n{after}" in program)
    assert program.count(f"\n{after}") == 1
    return program.replace(f"\n{after}", f"\n{before}")


def run(program: str) -> Any:
    """Return the report of a program, which may divide by zero on its way."""
    scope: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        exec(compile(program, "FINDINGS.md", "exec"), scope)  # noqa: S102 - our own guide
    return scope["report"]


def beginning(report: Any) -> str:
    """Return the verdict and the findings: what comes before the figures."""
    lines = [*str(report).splitlines(keepends=True), ""]
    ends = (n for n, line in enumerate(lines) if not line.strip() or "      checked " in line)
    return "".join(lines[: next(ends)])


@pytest.mark.parametrize(("code", "form", "source", "printed"), EXAMPLES)
def test_the_wrong_line_gets_the_code_and_the_report_that_are_shown(code, form, source, printed):
    """The first finding is the cause."""
    report = run(wrong(form, source))
    assert [finding.kind for finding in report.findings][:1] == [code]
    assert beginning(report).strip() == printed.strip()


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_programs_without_a_wrong_line_pass(program):
    """Otherwise the line marked + would not fix anything."""
    report = run(program)
    assert (report.verdict, report.findings) == ("pass", ())


def test_every_code_has_an_example_and_says_what_the_readme_says():
    """The guide knows the codes of the contract, all of them and no other."""
    readme = (TOP / "README.md").read_text(encoding="utf-8").partition("## Finding codes")[2]
    meanings = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", readme, re.MULTILINE))
    assert {code: section.partition("\n")[0] for code, section in SECTIONS.items()} == {
        code: f"{meanings[code]}." for code in FindingKind
    }


def refreshed(text: str) -> str:
    """Return the guide with the reports of today."""
    return EXAMPLE.sub(
        lambda found: (
            found[0].removesuffix(f"{found['printed']}```")
            + beginning(run(wrong(found["form"], found["source"]))).rstrip()
            + "\n```"
        ),
        text,
    )


if __name__ == "__main__":
    GUIDE.write_text(refreshed(TEXT), encoding="utf-8")
