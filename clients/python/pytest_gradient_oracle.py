"""The pytest plugin: a session fixture that checks gradients, and what became of the checks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gradient_oracle import Report

_PROPERTY = "gradient_oracle"
_ITEM = pytest.StashKey[pytest.Item]()
_CHECKS = pytest.StashKey[list[dict[str, Any]]]()


class GradientOracle:
    """The client, with assertions that fail a test with the report of the check.

    Every attribute of the client is an attribute of this object too, `two_layer_net` for one.
    """

    def __init__(self, client: Any, config: pytest.Config) -> None:
        self._client = client
        self._config = config

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def assert_two_layer_net(
        self, params: Any, x: Any, t: Any, gradient: Any, **options: Any
    ) -> Report:
        """Fail the test unless `gradient` is the gradient of a two-layer net's loss.

        `params` and `gradient` map W1 (D, H), b1 (H,), W2 (H, K), b2 (K,) to arrays; `x` is (N, D);
        `t` is (N,) labels or (N, K) one-hot. The options are those of `check_two_layer_net`.
        """
        __tracebackhide__ = True
        return self._judge(self._client.check_two_layer_net(params, x, t, gradient, **options))

    def assert_simple_net(self, W: Any, x: Any, t: Any, gradient: Any, **options: Any) -> Report:  # noqa: N803
        """Fail the test unless `gradient` is the (D, K) gradient of the simple net's loss."""
        __tracebackhide__ = True
        return self._judge(self._client.check_simple_net(W, x, t, gradient, **options))

    def assert_cross_entropy_error(self, y: Any, t: Any, gradient: Any, **options: Any) -> Report:
        """Fail the test unless `gradient` is the derivative of the error with respect to `y`."""
        __tracebackhide__ = True
        return self._judge(self._client.check_cross_entropy_error(y, t, gradient, **options))

    def assert_mean_squared_error(self, y: Any, t: Any, gradient: Any, **options: Any) -> Report:
        """Fail the test unless `gradient` is the derivative of the error with respect to `y`."""
        __tracebackhide__ = True
        return self._judge(self._client.check_mean_squared_error(y, t, gradient, **options))

    def assert_gradient(self, f: Any, x: Any, gradient: Any, **options: Any) -> Report:
        """Fail the test unless `gradient` is the gradient of `f` at `x`.

        `f` takes what `x` is, an array or a dict of arrays, and returns a number.
        """
        __tracebackhide__ = True
        return self._judge(self._client.check_gradient(f, x, gradient, **options))

    def _judge(self, report: Report) -> Report:
        __tracebackhide__ = True
        item = self._config.stash[_ITEM]
        check = {"test": item.nodeid, **json.loads(report.to_json())}
        for tensor in check["tensors"]:
            # A map of 4096 cells would drown the JUnit file that the properties end in.
            del tensor["budget_map"]
        item.user_properties.append((_PROPERTY, json.dumps(check)))
        if not report.passed:
            pytest.fail("\n" + str(report), pytrace=False)
        return report


@pytest.fixture(scope="session")
def gradient_oracle(request: pytest.FixtureRequest) -> Iterator[GradientOracle]:
    """Checks of gradients: `gradient_oracle.assert_two_layer_net(params, x, t, gradient)`.

    It talks to the server of `--gradient-oracle-address`, of the environment variable
    GRADIENT_ORACLE_ADDRESS or of the ini option `gradient_oracle_address`, in this order; without
    one it starts a server of its own for the session, on a free loopback port.
    """
    import gradient_oracle as package

    address = _address(request.config)
    with package.connect(address) if address else package.embedded() as client:
        yield GradientOracle(client, request.config)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, and the ini option of the same meaning."""
    group = parser.getgroup("gradient-oracle", "checking gradients")
    group.addoption(
        "--gradient-oracle-address",
        metavar="HOST:PORT",
        help="server that checks gradients; without it the session starts one of its own",
    )
    group.addoption(
        "--gradient-oracle-report", metavar="FILE", help="write all reports of checks as JSON"
    )
    parser.addini("gradient_oracle_address", "server that checks gradients, HOST:PORT", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Begin with no checks."""
    config.stash[_CHECKS] = []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember which test the session fixture is used by."""
    item.config.stash[_ITEM] = item


class _Collector:
    """Gathers the checks where the terminal is: with pytest-xdist they come with the reports."""

    def __init__(self, config: pytest.Config) -> None:
        self._checks = config.stash[_CHECKS]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            self._checks += [
                json.loads(str(value))
                for name, value in report.user_properties
                if name == _PROPERTY
            ]


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Listen to the reports, in the process that owns the terminal."""
    if not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(_Collector(session.config))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how many gradients were checked, if any, and leave the artefacts that were asked for."""
    checks = config.stash[_CHECKS]
    target = config.getoption("--gradient-oracle-report")
    if target:
        document = {"schema_version": 1, "checks": checks}
        Path(target).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if not checks:
        return
    terminalreporter.write_line(_summary(checks))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for check in checks:
            if check["verdict"] != "pass":
                message = f"{check['subject']}: {check['summary']}"
                file, title = (_escaped(check["test"].partition("::")[n]) for n in (0, 2))
                terminalreporter.write_line(
                    f"::error file={file},title={title.replace(',', '%2C').replace(':', '%3A')}"
                    f"::{_escaped(message)}"
                )


def _summary(checks: list[dict[str, Any]]) -> str:
    verdicts = [check["verdict"] for check in checks]
    noun = "gradient" if len(checks) == 1 else "gradients"
    parts = [f"{len(checks)} {noun} checked", f"{verdicts.count('pass')} passed"]
    parts += [
        f"{verdicts.count(verdict)} {word}"
        for verdict, word in (("fail", "failed"), ("inconclusive", "inconclusive"))
        if verdict in verdicts
    ]
    limits = [check["detection_limit"] for check in checks if check["verdict"] != "inconclusive"]
    positive = [limit for limit in limits if isinstance(limit, float) and limit > 0]
    if positive:
        parts.append(f"tightest limit {min(positive):.0e}")
    return ", ".join(parts)


def _address(config: pytest.Config) -> str:
    return str(
        config.getoption("--gradient-oracle-address")
        or os.environ.get("GRADIENT_ORACLE_ADDRESS")
        or config.getini("gradient_oracle_address")
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
