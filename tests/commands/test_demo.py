"""The demonstration, as the README tells a newcomer to run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest


def demo(*options, **environment):
    return subprocess.run(
        [sys.executable, "-m", "oracle", "demo", *options],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def shown():
    result = demo(COLUMNS="80")
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    return result.stdout


def test_it_learns(shown):
    """What the README promises: above 90 % of digits it has not seen."""
    assert float(re.search(r"names ([\d.]+)%", shown)[1]) > 90
    assert "200/200 steps" in shown


def test_it_passes_the_right_gradient_and_fails_the_wrong_one(shown):
    """And names the bug, which is that the mean over 12 digits is missing."""
    assert re.findall("^(PASS|FAIL|INCONCLUSIVE)", shown, re.MULTILINE) == [
        "PASS",
        "FAIL",
        "PASS",
    ]
    assert "12 times too large" in shown


def test_it_says_what_to_do_next(shown):
    """The last line is a command that exists."""
    command = shown.splitlines()[-1].partition(": ")[2]
    assert command.startswith("gradient-oracle ")
    arguments = command.split()[1:]
    subprocess.run([sys.executable, "-m", "oracle", *arguments], capture_output=True, check=True)


def test_it_is_readable_at_80_columns(shown):
    """No line is longer, and none is broken by the terminal."""
    assert max(len(line) for line in shown.splitlines()) <= 80


def test_a_wrong_option_is_a_usage_error():
    """Steps are counted from one."""
    result = demo("--steps", "0")
    assert result.returncode == 3
    assert "--steps" in result.stderr
