"""What files hold reaches no terminal raw, and a crash is no verdict."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from oracle.__main__ import CRASHED, main
from oracle.commands.options import plain

NAMES = ["\x1b[2J\x1b[31mgreen", "W1\n::error file=a::b", "a\rb", "\x9b2J", "\u202eW"]


def written(folder, form, name):
    """Write a gradient with an array of a name; return its path."""
    path = folder / f"gradient.{form}"
    if form == "npz":
        np.savez(path, **{name: np.ones(2)})
    else:
        path.write_text(json.dumps({name: [1.0, 2.0]}))
    return path


@pytest.mark.parametrize("form", ["json", "npz"])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_a_terminal_obeys_is_refused_and_shown_plainly(tmp_path, form, name):
    """Escape sequences, and lines that a CI takes for its own commands."""
    path = written(tmp_path, form, name)
    command = ["check", "two-layer-net", "--gradient", str(path)]
    for option in ("params", "x", "t"):
        command += [f"--{option}", str(path)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code not in (0, 1, 2)
    assert "\x1b" not in done.output
    assert "\x9b" not in done.output
    assert not any(line.startswith("::") for line in done.output.splitlines())


def test_lines_stay_and_what_a_terminal_obeys_does_not():
    """Each character is shown as Python writes it."""
    assert plain("one\ntwo\x1b[2J\n::error::x") == "one\ntwo\\x1b[2J\n ::error::x"


def test_a_crash_is_no_verdict():
    """1 means that a gradient is wrong; a bug of ours ends with another code."""
    code = (
        "import oracle.commands.info as info\n"
        "def crash(*_, **__): raise RuntimeError('unforeseen')\n"
        "info.command.callback = crash\n"
        "from oracle.__main__ import main\n"
        "main(['info'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == CRASHED
    assert "RuntimeError: unforeseen" in done.stderr
    assert "no verdict" in done.stderr
