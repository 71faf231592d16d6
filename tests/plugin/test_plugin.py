"""The plugin, in a pytest of its own: a child process, in an empty project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import validate

import oracle.wire

SCHEMA = json.loads(
    (Path(oracle.wire.__file__).parent / "report.schema.json").read_text(encoding="utf-8")
)
PASSING = """
import numpy as np

def net():
    rng = np.random.default_rng(1)
    params = {"W1": rng.normal(size=(5, 3)), "b1": rng.normal(size=3),
              "W2": rng.normal(size=(3, 2)), "b2": rng.normal(size=2)}
    return params, rng.normal(size=(4, 5)), np.array([0, 1, 1, 0])

def test_right(gradient_oracle):
    params, x, t = net()
    right = gradient_oracle.two_layer_net.gradient(params, x, t)
    gradient_oracle.assert_two_layer_net(params, x, t, right)
"""
FAILING = """
def test_wrong(gradient_oracle):
    params, x, t = net()
    right = gradient_oracle.two_layer_net.gradient(params, x, t)
    wrong = {name: 4 * np.asarray(values) for name, values in right.items()}
    gradient_oracle.assert_two_layer_net(params, x, t, wrong)
"""


def run(folder: Path, source: str, *arguments: str, **environment: str):
    """Run pytest in an otherwise empty project, and return what it said and how it ended."""
    (folder / "test_project.py").write_text(source, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("GITHUB_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--strict-config", *arguments],
        cwd=folder,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_loading_the_plugin_imports_neither_grpc_nor_numpy():
    """It is loaded into every test run of its users, most of which check nothing."""
    code = "import sys, pytest_gradient_oracle; print({'grpc', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_run_that_checks_nothing_says_nothing(tmp_path):
    """The plugin costs nothing until it is used, a line of the terminal included."""
    done = run(tmp_path, "def test_nothing(): pass\n")
    assert (done.returncode, "gradient" in done.stdout.partition("collected")[2]) == (0, False)


def test_a_failure_shows_the_report_and_no_stack(tmp_path):
    """The reader wants the name of the bug, not the lines of the plugin."""
    artefact = tmp_path / "checks.json"
    done = run(
        tmp_path,
        PASSING + FAILING,
        f"--gradient-oracle-report={artefact}",
        f"--junitxml={tmp_path / 'junit.xml'}",
        GITHUB_ACTIONS="true",
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAIL  two-layer net" in done.stdout
    assert "pytest_gradient_oracle.py" not in done.stdout
    assert "2 gradients checked, 1 passed, 1 failed, tightest limit " in done.stdout
    assert "::error file=test_project.py,line=15,title=test_wrong::two-layer net" in done.stdout
    assert "test_wrong - Failed: FAIL  two-layer net" in done.stdout
    checks = json.loads(artefact.read_text(encoding="utf-8"))["checks"]
    assert [check["verdict"] for check in checks] == ["pass", "fail"]
    for check in checks:
        validate(check, SCHEMA)
    junit = (tmp_path / "junit.xml").read_text(encoding="utf-8")
    assert '<property name="gradient_oracle" value="pass  two-layer net: ' in junit


def test_a_function_of_ones_own_is_checked(tmp_path):
    """`assert_gradient` sends values, never the function."""
    source = """
import numpy as np
def f(x): return float((x ** 2).sum())
def test_right(gradient_oracle):
    gradient_oracle.assert_gradient(f, np.array([1.0, 2.0]), np.array([2.0, 4.0]))
def test_wrong(gradient_oracle):
    gradient_oracle.assert_gradient(f, np.array([1.0, 2.0]), np.array([2.0, 5.0]))
"""
    done = run(tmp_path, source)
    assert "2 gradients checked, 1 passed, 1 failed" in done.stdout, done.stdout + done.stderr


def test_products_with_a_jacobian_are_checked(tmp_path):
    """`assert_jvp`, `assert_adjoint` and their kin fail with the report, too."""
    source = """
import numpy as np
import pytest
A, x = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.5, -0.5])
def f(x): return A @ x
@pytest.mark.parametrize("J", [A, A.T])
def test_product(gradient_oracle, J):
    gradient_oracle.assert_jvp(f, x, x + 1, J @ (x + 1))
@pytest.mark.parametrize("J", [A, A.T])
def test_pair(gradient_oracle, J):
    gradient_oracle.assert_adjoint(f, lambda c: J.T @ c, x)
@pytest.mark.parametrize("J", [A, A.T])
def test_jacobian(gradient_oracle, J):
    gradient_oracle.assert_jacobian(f, x, J)
@pytest.mark.parametrize("J", [A + A.T, A])
def test_hessian(gradient_oracle, J):
    gradient_oracle.assert_hessian_vector_product(lambda x: (A + A.T) @ x, x, x + 1, J @ (x + 1))
"""
    done = run(tmp_path, source)
    assert "8 gradients checked, 4 passed, 4 failed" in done.stdout, done.stdout + done.stderr
    assert "FAIL  f along the tangent" in done.stdout
    assert "pytest_gradient_oracle.py" not in done.stdout


def test_a_failure_is_an_assertion_error_to_who_expects_one(tmp_path):
    """A test of a wrong gradient is written with `pytest.raises`, or with `try`."""
    source = (
        PASSING
        + FAILING
        + """
import pytest
def test_both(gradient_oracle):
    with pytest.raises(AssertionError, match="4 times too large"):
        test_wrong(gradient_oracle)
    with pytest.raises(pytest.fail.Exception):
        test_wrong(gradient_oracle)
"""
    )
    done = run(tmp_path, source, "-k", "test_both")
    assert done.returncode == 0, done.stdout


def test_an_invalid_call_shows_the_line_of_the_test_only(tmp_path):
    """The fault is in the arguments, so the frames of the client would not help."""
    source = """
def test_bad(gradient_oracle):
    gradient_oracle.assert_cross_entropy_error([0.5, 0.5], 7, [0.0, 0.0])
"""
    done = run(tmp_path, source)
    assert done.returncode == 1
    assert "InvalidRequest" in done.stdout
    assert "client.py" not in done.stdout


@pytest.mark.parametrize("style", ["long", "native"])
def test_an_exception_of_f_shows_the_lines_of_f(tmp_path, style):
    """Its author debugs f, between which and the test the client has a dozen frames."""
    source = """
def f(x):
    return 1 / 0
def test_raises(gradient_oracle):
    gradient_oracle.assert_gradient(f, [1.0], [1.0])
"""
    done = run(tmp_path, source, f"--tb={style}")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stdout
    assert "return 1 / 0" in done.stdout
    assert "black_box.py" not in done.stdout


def test_an_annotation_is_of_a_failed_test_and_has_the_path_in_the_repository(tmp_path):
    """GitHub knows files from the top of the repository; what was expected to fail is no error."""
    source = (
        PASSING
        + FAILING
        + """
import pytest
@pytest.mark.xfail(strict=True)
def test_expected(gradient_oracle):
    test_wrong(gradient_oracle)
"""
    )
    project = tmp_path / "python"
    project.mkdir()
    done = run(project, source, GITHUB_ACTIONS="true", GITHUB_WORKSPACE=str(tmp_path))
    assert "3 gradients checked, 1 passed, 2 failed" in done.stdout
    assert "::error file=python/test_project.py,line=15,title=test_wrong::" in done.stdout
    assert done.stdout.count("::error") == 1


def test_the_artefact_makes_its_folder_or_says_why_it_cannot(tmp_path):
    """A run that lacks what was asked for has not succeeded; one that failed keeps its code."""
    artefact = tmp_path / "out" / "checks.json"
    assert run(tmp_path, PASSING, f"--gradient-oracle-report={artefact}").returncode == 0
    assert len(json.loads(artefact.read_text(encoding="utf-8"))["checks"]) == 1
    done = run(tmp_path, PASSING, f"--gradient-oracle-report={artefact / 'below.json'}")
    assert "gradient-oracle: the report was not written: " in done.stdout
    assert "1 gradient checked, 1 passed" in done.stdout
    assert done.returncode == pytest.ExitCode.INTERNAL_ERROR
    done = run(tmp_path, PASSING + FAILING, f"--gradient-oracle-report={artefact / 'below.json'}")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    done = run(tmp_path, PASSING, f"--gradient-oracle-report={tmp_path}")
    assert "must be a file, got the folder" in done.stderr
    assert done.returncode == pytest.ExitCode.USAGE_ERROR


def test_the_address_is_taken_from_the_option_the_environment_and_the_ini_file(tmp_path):
    """In this order; nobody answers at any of them."""
    ini = "--override-ini=gradient_oracle_address=ini"
    environment = {"GRADIENT_ORACLE_ADDRESS": "environment"}
    option = "--gradient-oracle-address=option"
    for arguments, names, asked in (
        ([ini, option], environment, "option"),
        ([ini], environment, "environment"),
        ([ini], {}, "ini"),
    ):
        done = run(tmp_path, PASSING, *arguments, **names)
        assert f"`address` must be HOST:PORT, got '{asked}'" in done.stdout


def test_who_asks_is_told_likewise(tmp_path):
    """By options, variables and the ini file, whose files lie beside it."""
    address = "--gradient-oracle-address=127.0.0.1:1"
    (tmp_path / "ca.pem").write_text("no certificate")
    ini = [f"--override-ini=gradient_oracle_{name}" for name in ("token=a b", "ca=ca.pem")]
    done = run(tmp_path, PASSING, address, ini[0])
    assert "`token` must be a text of printable ASCII" in done.stdout
    done = run(tmp_path, PASSING, address, ini[0], GRADIENT_ORACLE_CA="none.pem")
    assert "none.pem: No such file" in done.stdout
    done = run(
        tmp_path, PASSING, address, ini[1], "--gradient-oracle-key=x", GRADIENT_ORACLE_KEY="y"
    )
    assert "name a certificate and its key, got a key alone" in done.stdout
    done = run(tmp_path, PASSING, address, ini[1], "--gradient-oracle-token=c")
    assert f"{tmp_path / 'ca.pem'}, which is not" in done.stdout


def test_the_checks_of_all_workers_are_counted(tmp_path):
    """With pytest-xdist the checks happen in other processes than the terminal."""
    pytest.importorskip("xdist")
    done = run(tmp_path, PASSING + FAILING, "-n2")
    assert "2 gradients checked, 1 passed, 1 failed" in done.stdout, done.stdout + done.stderr


def test_an_address_that_is_down_is_named(tmp_path):
    """One line says where nobody answered and what to do."""
    done = run(tmp_path, PASSING, "--gradient-oracle-address=127.0.0.1:1")
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stdout
    assert "Traceback" not in done.stdout
    assert "client.py" not in done.stdout


def test_a_test_that_is_run_again_counts_once(tmp_path):
    """Its last result is its result."""
    source = """
import pytest
def pytest_runtest_protocol(item, nextitem):
    from _pytest.runner import runtestprotocol
    for _ in range(3):
        runtestprotocol(item, nextitem=nextitem)
    return True
"""
    (tmp_path / "conftest.py").write_text(source, encoding="utf-8")
    done = run(tmp_path, PASSING)
    assert "1 gradient checked, 1 passed" in done.stdout, done.stdout + done.stderr


def test_a_project_with_a_package_of_the_same_name_is_told_so(tmp_path):
    """`oracle` is also what this package installs: one hides the other."""
    (tmp_path / "oracle").mkdir()
    (tmp_path / "oracle" / "__init__.py").write_text("")
    (tmp_path / "conftest.py").write_text("")
    done = run(tmp_path, PASSING)
    assert done.returncode == 1
    assert "oracle hides the package of the same name" in done.stdout
    assert "client.py" not in done.stdout


def test_a_fixture_of_the_same_name_wins(tmp_path):
    """A project that has a `gradient_oracle` of its own keeps it."""
    source = """
import pytest
@pytest.fixture
def gradient_oracle(): return 1
def test_own(gradient_oracle): assert gradient_oracle == 1
"""
    assert run(tmp_path, source).returncode == 0


def test_the_plugin_can_be_switched_off(tmp_path):
    """`-p no:gradient_oracle` leaves nothing of it."""
    done = run(tmp_path, "def test_nothing(): pass\n", "-p", "no:gradient_oracle")
    assert done.returncode == 0


def test_a_net_of_known_operators_is_checked(tmp_path):
    """`assert_gradient_of` traces the function; its lines are the caller's."""
    source = """
import numpy as np
x, W = np.eye(3, 4), np.ones((4, 2))
def net(ops, x, W): return ops.Relu(ops.Gemm(x, W))
def other(ops, x, W): return ops.Gemm(W, x)
def test_right(gradient_oracle):
    gradient_oracle.assert_gradient_of(net, {"x": x, "W": W}, {"W": x.T @ np.ones((3, 2))})
def test_wrong(gradient_oracle):
    gradient_oracle.assert_gradient_of(net, {"x": x, "W": W}, {"W": W})
def test_bad(gradient_oracle):
    gradient_oracle.assert_gradient_of(other, {"x": x, "W": W}, {"W": W})
"""
    done = run(tmp_path, source)
    assert "2 gradients checked, 1 passed, 1 failed" in done.stdout, done.stdout + done.stderr
    assert "FAIL  net: " in done.stdout
    assert "InvalidRequest: `net: ops.Gemm in test_project.py:5` must have 2 rows" in done.stdout
    assert "pytest_gradient_oracle.py" not in done.stdout
