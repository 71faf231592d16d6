"""What the README shows is what happens."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from oracle.findings import FindingKind, InconclusiveReason

TOP = Path(__file__).parents[1]
README = (TOP / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```(?:\s*```text\n(.*?)```)?", README, flags=re.DOTALL)


@pytest.mark.parametrize(("source", "printed"), BLOCKS)
def test_every_block_runs_and_prints_what_is_shown(source, printed, request):
    """A block may define tests; they are called with the fixture."""
    scope = {"__name__": "readme"}
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(source, "README.md", "exec"), scope)  # noqa: S102 - it is our own README
        for name, value in list(scope.items()):
            if name.startswith("test_"):
                value(request.getfixturevalue("gradient_oracle"))
    assert out.getvalue().strip() == printed.strip()


def test_the_table_of_findings_is_complete():
    """Every code is explained, and no code is explained that does not exist."""
    section = README.partition("## Finding codes")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)) == set(FindingKind)


def test_the_reasons_of_an_inconclusive_verdict_are_complete():
    """Every reason is explained, and no other."""
    section = README.partition("### Inconclusive")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)) == set(
        InconclusiveReason
    )
