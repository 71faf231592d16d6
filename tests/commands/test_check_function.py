"""`gradient-oracle check-function`: programs in other languages, over lines of JSON."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from oracle.commands.check_function import command

EXAMPLES = Path(__file__).parents[1] / "examples"

COMPILER = shutil.which("cc") or shutil.which("gcc")
NODE = shutil.which("node")


def check(program, *options):
    return CliRunner().invoke(command, [*options, "--", *map(str, program)])


@pytest.fixture(scope="module")
def logistic(tmp_path_factory):
    if COMPILER is None:
        pytest.skip("no C compiler")
    program = tmp_path_factory.mktemp("c") / "logistic"
    source = EXAMPLES / "logistic.c"
    flags = ["-O2", "-Wall", "-Werror", "-std=c99"]
    subprocess.run([COMPILER, *flags, "-o", program, source, "-lm"], check=True)
    return program


def python(tmp_path, body, first='{"x": [1.0, 2.0], "gradient": [2.0, 4.0]}'):
    """A program that says `first`, then runs `body` for each array x that it reads."""
    source = f"""
import json, sys, time
print({first!r}, flush=True)
for line in sys.stdin:
    x = json.loads(line)
    {body}
    sys.stdout.flush()
"""
    path = tmp_path / "program.py"
    path.write_text(source, encoding="utf-8")
    return [sys.executable, path]


def test_a_program_in_c(logistic):
    """The right gradient passes, and one with a sign flipped does not."""
    assert check([logistic]).exit_code == 0
    done = check([logistic, "wrong"])
    assert (done.exit_code, done.output.split("\n")[0][:19]) == (1, "FAIL  logistic loss")


@pytest.mark.skipif(NODE is None, reason="no node")
def test_a_program_in_javascript():
    """The same lines, from a language with a garbage collector."""
    program = [NODE, EXAMPLES / "rosenbrock.mjs"]
    assert check(program).exit_code == 0
    assert check([*program, "wrong"]).exit_code == 1


def test_the_wrong_entry_is_named(logistic):
    """It is the second weight."""
    report = json.loads(check([logistic, "wrong"], "--json").output)
    assert report["verdict"] == "fail"
    assert [entry["index"] for entry in report["measured"]["tensors"][0]["located"]] == [[1]]


def test_tensors_have_names_and_travel_flat(tmp_path):
    """An object of nested arrays is stated once; the probes are one array."""
    first = json.dumps(
        {
            "x": {"W": [[1.0, 2.0], [3.0, 4.0]], "b": [5.0]},
            "gradient": {"W": [[2.0, 4.0], [6.0, 8.0]], "b": [10.0]},
        }
    )
    assert check(python(tmp_path, "print(repr(sum(v * v for v in x)))", first)).exit_code == 0


def test_a_float32_program_is_judged_as_one(tmp_path):
    """Its noise is float32's, and its limit is stated accordingly."""
    first = '{"x": [1.0, 2.0], "gradient": [2.0, 4.0], "dtype": "float32"}'
    body = "import numpy as np; v = np.array(x, np.float32); print(repr(float(v @ v)))"
    done = check(python(tmp_path, body, first), "--json")
    report = json.loads(done.output)
    assert (done.exit_code, report["measured"]["argument_data_type"]) == (0, "float32")
    assert 1e-7 < report["measured"]["detection_limit"] < 0.05


def test_a_function_without_a_value_is_inconclusive(tmp_path):
    """nan and null say that the function is not defined there; nothing can be told."""
    assert check(python(tmp_path, "print('nan')")).exit_code == 2


@pytest.mark.parametrize(
    ("body", "first", "said"),
    [
        ("print('hello')", '{"x": [1.0], "gradient": [2.0]}', "one number, got 'hello'"),
        ("pass", "hello", "the first line of the program must be"),
        ("pass", '{"x": [1.0]}', "the first line of the program must be"),
        ("pass", '{"x": [1.0], "gradient": [2.0], "dtype": "int8"}', '"dtype" must be'),
        ("pass", '{"x": [1.0], "gradient": [2.0], "dtype": "bfloat16"}', '"dtype" must be'),
        ("pass", '{"x": [1.0], "gradient": [2.0], "dtype": [1]}', '"dtype" must be'),
        ("sys.exit(7)", '{"x": [1.0], "gradient": [2.0]}', "exit code 7"),
        ("time.sleep(60)", '{"x": [1.0], "gradient": [2.0]}', "wrote no line for 0.5 s"),
        ("sys.stdout.buffer.write(b'\\xff\\n')", '{"x": [1.0], "gradient": [2.0]}', "one number"),
    ],
)
def test_a_program_at_fault_is_explained(tmp_path, body, first, said):
    """Exit code 3, which no verdict has, and what the program must do."""
    done = check(python(tmp_path, body, first), "--timeout=0.5")
    assert (done.exit_code, said in done.output) == (3, True), done.output


def test_what_a_program_started_ends_with_it(tmp_path):
    """A shell, or a build tool, that runs a program which hangs."""
    (tmp_path / "wrapper.sh").write_text("sleep 60; true")
    began = time.monotonic()
    done = check(["sh", tmp_path / "wrapper.sh"], "--timeout=0.2")
    assert (done.exit_code, "wrote no line" in done.output) == (3, True)
    assert time.monotonic() - began < 30


def test_copies_of_a_program_come_to_the_same_report(tmp_path):
    """Each evaluates one point at a time; how many there are shows nowhere."""
    body = "import os; open('pids', 'a').write(f'{os.getpid()} '); print(x[0] ** 2 + x[1] ** 2)"
    program = python(tmp_path, body.replace("'pids'", repr(str(tmp_path / "pids"))))
    alone = check(program, "--json")
    (tmp_path / "pids").unlink()
    several = check(program, "--json", "--workers", "3")
    assert (several.exit_code, several.output) == (alone.exit_code, alone.output)
    assert len(set((tmp_path / "pids").read_text().split())) == 3


def test_copies_that_differ_are_refused(tmp_path):
    path = tmp_path / "program.py"
    path.write_text('import os; print(\'{"x": [%d], "gradient": [1]}\' % os.getpid())')
    done = check([sys.executable, path], "--workers", "2")
    assert done.exit_code == 3
    assert "must state the same point" in done.output


def test_a_copy_that_dies_is_named(tmp_path):
    done = check(python(tmp_path, "sys.exit(9) if x[0] > 1 else print(1)"), "--workers", "2")
    assert (done.exit_code, "exit code 9" in done.output) == (3, True)


def test_a_program_that_fails_at_its_end_is_noticed(tmp_path):
    """Its numbers were right; its author wants to know."""
    program = python(tmp_path, "print(repr(x[0] * x[0] + x[1] * x[1]))")
    program[1].write_text(program[1].read_text() + "\nsys.exit(7)\n")
    done = check(program)
    assert (done.exit_code, done.stdout[:4]) == (0, "PASS")
    assert "exit code 7" in done.stderr
    assert check(program, "--quiet").output == ""


def test_a_seed_that_is_none_is_refused():
    """The help states the range."""
    assert check(["true"], "--seed=-1").exit_code == 3
    assert "0<=x<=18446744073709551615" in CliRunner().invoke(command, ["--help"]).output


@pytest.mark.parametrize("option", ["--timeout=nan", "--timeout=-1", "--timeout=inf"])
def test_a_time_that_is_none_is_refused(option):
    """Exit code 3, before anything runs."""
    assert check(["true"], option).exit_code == 3


def test_ctrl_c_is_no_verdict(tmp_path):
    """130, as of any program that a shell runs; and the program ends too."""
    asked = tmp_path / "asked"
    program = python(tmp_path, f"open({str(asked)!r}, 'w').close(); time.sleep(30)")
    command = [sys.executable, "-m", "oracle", "check-function", "--", *map(str, program)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not asked.exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=20)[1]
    assert (process.returncode, said) == (130, "interrupted\n")


def test_a_limit_of_time_is_kept_and_reported(tmp_path):
    """Three points of 0.2 s are all there is time for."""
    program = python(tmp_path, "time.sleep(0.2); print(repr(x[0] * x[0] + x[1] * x[1]))")
    done = check(program, "--max-seconds=0.5", "--json")
    report = json.loads(done.output)
    assert (done.exit_code, report["reason"]) == (2, "budget_spent")
    assert report["summary"] == "the 0.5 s allowed do not settle it"


def test_a_gradient_of_another_shape_fails(tmp_path):
    """It is a finding, as everywhere: never broadcast away."""
    program = python(tmp_path, "print(1.0)", '{"x": [1.0], "gradient": [2.0, 3.0]}')
    done = check(program, "--json")
    kinds = [finding["kind"] for finding in json.loads(done.output)["findings"]]
    assert (done.exit_code, kinds) == (1, ["shape_mismatch"])


def test_a_program_that_is_not_there_is_named():
    """The shell would say it too."""
    done = check(["/nowhere/program"])
    assert (done.exit_code, "cannot run /nowhere/program" in done.output) == (3, True)


def test_the_page_shows_the_ladder(logistic, tmp_path):
    """`--report` works here too, with the command to repeat."""
    page = tmp_path / "report.html"
    check([logistic], "--report", str(page), "--quiet")
    text = page.read_text(encoding="utf-8")
    assert "central difference" in text
    assert "gradient-oracle check-function --seed=0" in text


def test_typed_arrays_of_javascript_are_arrays(tmp_path):
    """It writes a Float64Array as {"0": 1, "1": 2}, and NaN as null."""
    program = tmp_path / "program.py"
    for entry, said in (("4.0", "PASS  f: "), ("null", "x holds 1 ")):
        first = f'{{"x": {{"0": 1.0, "1": 2.0}}, "gradient": {{"0": 2.0, "1": {entry}}}}}'
        program.write_text(
            f"import json, sys\nprint({first!r}, flush=True)\n"
            "for line in sys.stdin:\n    print(sum(v * v for v in json.loads(line)), flush=True)\n",
            encoding="utf-8",
        )
        done = check([sys.executable, program])
        assert said in done.output


def test_the_help_shows_the_lines_of_the_protocol_as_they_are():
    """A reader copies them."""
    said = CliRunner().invoke(command, ["--help"]).output
    assert '      {"x": [0.5, 2.0], "gradient": [1.0, 4.0]}\n' in said
    assert "\\b" not in said
    assert "\b" not in said
