"""The benchmark runs, and its tables say what was measured."""

from __future__ import annotations

import json
import sys

import pytest
from click.testing import CliRunner

from oracle.__main__ import main
from oracle.benchmark import gradients, starting, table, wire
from oracle.benchmark.table import Row


@pytest.fixture
def parts(monkeypatch):
    """Two rows in place of minutes of measurements."""
    rows = (
        Row("one", "slow", 1.5, ratio=250.0, figure=">= 300 x", met=False, note="from 200"),
        Row("one", "absent", None, note="numdifftools is not installed"),
    )
    monkeypatch.setattr(gradients, "rows", lambda *, quick: rows[: 1 + quick])
    monkeypatch.setattr(wire, "rows", lambda **_: iter(()))
    monkeypatch.setattr(starting, "rows", lambda **_: [Row("two", "start", 2e-2)])


@pytest.mark.usefixtures("parts")
def test_the_tables_fit_a_terminal():
    """A figure that was missed says so, and a peer that is missing too."""
    shown = CliRunner().invoke(main, ["bench", "--quick"]).output
    assert "1.5 s    250 x  >= 300 x MISSED  from 200" in shown
    assert "numdifftools is not installed" in shown
    assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.usefixtures("parts")
def test_machines_get_the_same_rows(tmp_path):
    """JSON and the page hold what the terminal shows."""
    page = tmp_path / "page.md"
    command = ["bench", "--json", "--part", "gradients", "--markdown", str(page)]
    rows = json.loads(CliRunner().invoke(main, command).output)["rows"]
    assert [(row["name"], row["value"], row["met"]) for row in rows] == [("slow", 1.5, False)]
    assert "| slow | 1.5 s | 250 x | >= 300 x MISSED | from 200 |" in page.read_text()


def test_a_start_that_needs_a_missing_package_is_left_out_with_a_word(monkeypatch):
    """A plain installation has no pytest."""
    monkeypatch.setitem(sys.modules, "pytest", None)
    monkeypatch.setattr(starting, "_alternating", lambda programs, _: [1.0] * len(programs))
    rows = {row.name: row for row in starting.rows(quick=True)}
    assert rows["import gradient_oracle"].value == 1.0
    for name in ("import pytest", "... and the plugin, unused"):
        assert (rows[name].value, rows[name].note) == (None, "pytest is not installed")


@pytest.mark.parametrize(
    ("seconds", "shown"), [(2e-6, "2 µs"), (0.0123, "12.3 ms"), (1234.5, "1,234 s"), (None, "-")]
)
def test_amounts_have_a_unit_that_suits_them(seconds, shown):
    """Three digits are enough for a time."""
    assert table.amount(Row("", "", seconds)) == shown


@pytest.mark.parametrize(("module", "measure"), [peer[1:3] for peer in gradients.PEERS])
def test_every_peer_computes_a_gradient(module, measure):
    """On a small net, so that a change of a library is noticed here."""
    pytest.importorskip(module)
    call, moved = measure(gradients.case(4, 3, 2, 5), 6)
    call()
    assert moved == 6
