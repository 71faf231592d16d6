"""The package as it is imported, printed and left."""

from __future__ import annotations

import inspect
import io
import os
import subprocess
import sys

import gradient_oracle
import numpy as np
import pytest
from gradient_oracle import aio

from oracle.reporting import text


def run(code):
    """Run code in an interpreter of its own; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def test_importing_the_package_loads_nothing_that_costs():
    """A test run that collects a thousand files imports it in many of them."""
    heavy = "{'grpc', 'numpy', 'oracle', 'google.protobuf'} & set(sys.modules)"
    assert run(f"import sys, gradient_oracle; print({heavy})") == "set()"


def test_a_client_loads_no_server():
    """Who connects to a server elsewhere needs neither flint nor the code of the server."""
    code = (
        "import sys, gradient_oracle\n"
        "gradient_oracle.connect('localhost:1').close()\n"
        "rooms = ('flint', 'threadpoolctl', 'oracle.service', 'oracle.reference', "
        "'oracle.checking', 'oracle.arithmetic', 'oracle.graphs', 'torch', 'jax', 'scipy')\n"
        "print([name for name in rooms if name in sys.modules])"
    )
    assert run(code) == "[]"


def test_an_interpreter_ends_though_nobody_closed_the_client():
    """Also in the middle of a conversation on a stream, which holds threads of both sides."""
    code = (
        "import sys, gradient_oracle, numpy as np\n"
        "oracle = gradient_oracle.embedded()\n"
        "oracle.mean_squared_error([1.0], [1.0])\n"
        "def f(x):\n"
        "    print('left')\n"
        "    sys.exit(0)\n"
        "oracle.check_gradient(f, np.ones(2), np.ones(2))\n"
    )
    assert run(code) == "left"


def test_all_that_is_exported_is_there():
    """The names are loaded when they are used."""
    for name in gradient_oracle.__all__:
        assert getattr(gradient_oracle, name) is not None
    assert set(dir(gradient_oracle)) == set(gradient_oracle.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = gradient_oracle.nothing


@pytest.mark.parametrize("name", ["Oracle", "SimpleNet", "TwoLayerNet"])
def test_both_clients_have_the_same_methods(name):
    """One definition, two transports: names, arguments and texts are equal."""
    from gradient_oracle import client

    def methods(module):
        members = inspect.getmembers(getattr(module, name), inspect.isfunction)
        return {
            key: (inspect.signature(member), inspect.getdoc(member))
            for key, member in members
            if not key.startswith("_") and key != "close"
        }

    assert methods(client) == methods(aio)
    assert all(doc for _, doc in methods(client).values())


def test_help_shows_the_arguments_that_a_caller_gives():
    """Neither the connection nor `self` is one of them."""
    with gradient_oracle.connect("localhost:1") as oracle:
        signature = inspect.signature(oracle.cross_entropy_error)
        assert str(signature) == "(y: 'Any', t: 'Any', delta: 'float' = 1e-07) -> 'float'"
        assert list(inspect.signature(oracle.check_gradient).parameters)[:3] == [
            "f",
            "x",
            "gradient",
        ]


class Terminal(io.StringIO):
    """Something that says it is a terminal."""

    def isatty(self):
        return True


def test_a_report_has_colour_on_a_terminal_only(embedded, monkeypatch):
    """Logs, files and assertion messages stay plain, and so does NO_COLOR."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    report = embedded.check_mean_squared_error([1.0], [0.0], np.array([2.0]))
    terminal, file = Terminal(), io.StringIO()
    report.show(terminal)
    report.show(file)
    assert file.getvalue() == str(report) + "\n"
    assert terminal.getvalue() == text.coloured(str(report), "fail") + "\n" != file.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Terminal()
    report.show(plain)
    assert plain.getvalue() == file.getvalue()


@pytest.mark.parametrize(("columns", "widest"), [("20", 60), ("72", 72), ("300", 100), ("", 100)])
def test_a_report_is_as_wide_as_its_terminal(embedded, monkeypatch, columns, widest):
    """From 60 columns to 100; a log is 100 wide."""
    monkeypatch.setenv("COLUMNS", columns)
    log = io.StringIO()
    report = embedded.check_mean_squared_error([1.0], [0.0], np.array([2.0]))
    report = report.noted("many words " * 20)
    report.show(log)
    lines = log.getvalue().splitlines()
    assert widest - 12 < max(map(len, lines)) <= widest
    assert log.getvalue().split() == str(report).split()


def test_a_report_is_as_true_as_its_gradient(embedded):
    """`assert oracle.check_...(...)` passes on no wrong gradient, and on none that stays open."""
    checked = {
        "pass": embedded.check_mean_squared_error([1.0], [0.0], np.array([1.0])),
        "fail": embedded.check_mean_squared_error([1.0], [0.0], np.array([2.0])),
        "inconclusive": embedded.check_gradient(np.sum, np.ones(2), np.ones(2), max_evaluations=1),
    }
    for verdict, report in checked.items():
        assert report.verdict == verdict
        assert bool(report) == report.passed == (verdict == "pass")


def test_a_report_is_a_line_in_the_shell_and_a_page_in_a_notebook(embedded, tmp_path):
    """And a file of any of its forms."""
    report = embedded.check_mean_squared_error([1.0], [0.0], np.array([2.0]))
    assert len(repr(report).splitlines()) == 1
    assert "fail" in repr(report)
    assert "<main" in report._repr_html_()
    assert "<html" not in report._repr_html_()
    for name, begins in (("r.html", "<!doctype html>"), ("r.json", "{"), ("r.txt", "FAIL")):
        report.save(tmp_path / name)
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(begins)


def test_a_report_tells_what_was_checked(embedded):
    """Without going through the text."""
    report = embedded.check_mean_squared_error([1.0, 2.0], [0.0, 0.0], np.array([1.0, 2.0]))
    assert report.subject
    assert report.summary
    assert report.findings == ()
    assert report.reason == ""
    assert report.entries == 2
    assert report.measurement is None
    assert [tensor.name for tensor in report.tensors] == ["y"]


MODULE = """
import gradient_oracle
with gradient_oracle.embedded() as oracle:
    print(oracle.mean_squared_error([1.0], [3.0]))
"""


@pytest.mark.parametrize(
    "start",
    [
        ("oracle.py",),
        ("other.py",),
        ("-m", "gradient_oracle", "info"),
        ("-m", "other"),
        ("-c", "import oracle, gradient_oracle; gradient_oracle.connect()"),
    ],
)
def test_a_file_of_the_callers_named_oracle_is_told_so(tmp_path, start):
    """One sentence that names it: Python would speak of a partially initialized module."""
    for name in ("oracle.py", "other.py"):
        source = "" if name == "oracle.py" and start[0] == "-c" else MODULE
        (tmp_path / name).write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, *start],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert f"{tmp_path / 'oracle.py'} hides the package of the same name" in last
    assert "rename it" in last
    assert "partially initialized" not in done.stderr


def test_every_method_is_a_function_of_the_package_too():
    """What a client has, and what its text says, without the client."""
    methods = {name for name in dir(embedded_members()) if not name.startswith("_")}
    methods -= {"address", "close", "connection"}
    assert methods == set(gradient_oracle._SHARED)
    for name in methods - {"simple_net", "two_layer_net"}:
        method, function = getattr(gradient_oracle.Oracle, name), getattr(gradient_oracle, name)
        assert (function.__name__, function.__doc__) == (name, method.__doc__)
        assert list(inspect.signature(function).parameters) == [
            parameter for parameter in inspect.signature(method).parameters if parameter != "self"
        ]


def embedded_members():
    """Return a client whose members are looked at; no call is made."""
    with gradient_oracle.connect("localhost:1") as client:
        return client


def test_functions_of_the_package_share_a_server_that_ends_with_the_process():
    """It starts with the first call, not with the import, and nobody has to close it."""
    code = (
        "import threading, numpy as np\n"
        "from gradient_oracle import check_gradient, mean_squared_error\n"
        "import gradient_oracle\n"
        "print(threading.active_count())\n"
        "x = np.ones(3)\n"
        "print(check_gradient(lambda x: (x * x).sum(), x, 2 * x).verdict)\n"
        "print(mean_squared_error([1.0], [0.0]), gradient_oracle.sigmoid(0.0))\n"
        "print(list(gradient_oracle.two_layer_net.init(2, 3, 2)))\n"
        "from gradient_oracle import shared\n"
        "print(shared.oracle() is shared.oracle())\n"
    )
    assert run(code).splitlines() == [
        "1", "pass", "0.5 0.5", "['W1', 'b1', 'W2', 'b2']", "True",
    ]  # fmt: skip
