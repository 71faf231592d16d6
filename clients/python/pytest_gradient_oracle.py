"""The pytest plugin: a session fixture that checks gradients, and what became of the checks."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gradient_oracle import Report

_PROPERTY = "gradient_oracle"
_REACHING = 5.0
"""Seconds within which a server that was named must answer for the first time."""

_IDENTITY = {
    "token": ("TOKEN", "what tells the server who asks; better said by GRADIENT_ORACLE_TOKEN"),
    "ca": ("FILE", "authorities that may have signed the server's certificate; encrypts"),
    "certificate": ("FILE", "what a server that asks for it is shown"),
    "key": ("FILE", "the key of that certificate"),
}
"""What says who asks, each by an option, a variable and an ini option."""

_ITEM = pytest.StashKey[pytest.Item]()
_CHECKS = pytest.StashKey[list[dict[str, Any]]]()
"""The checks of one test."""
_ALL = pytest.StashKey[dict[str, list[dict[str, Any]]]]()
"""The checks of all tests, by their names: of one that is run again, those of the last time."""
_UNWRITTEN = pytest.StashKey[str]()
"""Why the artefact could not be written, or ""."""


Failed = type("Failed", (pytest.fail.Exception, AssertionError), {"__module__": "builtins"})
"""pytest's own failure, which shows a text and no stack; `except AssertionError` catches it."""


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

        `params` and `gradient` map W1 (D, H), b1 (H,), W2 (H, K), b2 (K,) to arrays, or are those
        of two `nn.Linear`, a `state_dict` say; `x` is (N, D); `t` is (N,) labels or (N, K) one-hot.
        The options are those of `check_two_layer_net`.
        """
        __tracebackhide__ = True
        return self._judge("check_two_layer_net", params, x, t, gradient, **options)

    def assert_simple_net(self, W: Any, x: Any, t: Any, gradient: Any, **options: Any) -> Report:  # noqa: N803
        """Fail the test unless `gradient` is the (D, K) gradient of the simple net's loss."""
        __tracebackhide__ = True
        return self._judge("check_simple_net", W, x, t, gradient, **options)

    def assert_cross_entropy_error(self, y: Any, t: Any, gradient: Any, **options: Any) -> Report:
        """Fail the test unless `gradient` is the derivative of the error with respect to `y`."""
        __tracebackhide__ = True
        return self._judge("check_cross_entropy_error", y, t, gradient, **options)

    def assert_mean_squared_error(self, y: Any, t: Any, gradient: Any, **options: Any) -> Report:
        """Fail the test unless `gradient` is the derivative of the error with respect to `y`."""
        __tracebackhide__ = True
        return self._judge("check_mean_squared_error", y, t, gradient, **options)

    def assert_gradient_of(self, net: Any, inputs: Any, gradient: Any, **options: Any) -> Report:
        """Fail the test unless `gradient` is the gradient of a net of known operators.

        `net` is a function of `ops` and of arrays by name, the name of one operator, or a model of
        ONNX; `inputs` and `gradient` map names to arrays. The options are those of `check`.
        """
        __tracebackhide__ = True
        return self._judge("check", net, inputs, gradient, **options)

    def assert_gradient(self, f: Any, x: Any, gradient: Any, **options: Any) -> Report:
        """Fail the test unless `gradient` is the gradient of `f` at `x`.

        `f` takes what `x` is, an array or a dict of arrays, and returns a number.
        """
        __tracebackhide__ = True
        return self._judge("check_gradient", f, x, gradient, **options)

    def assert_jvp(self, f: Any, x: Any, tangent: Any, jvp: Any, **options: Any) -> Report:
        """Fail the test unless `jvp` is the Jacobian of `f` at `x` times `tangent`."""
        __tracebackhide__ = True
        return self._judge("check_jvp", f, x, tangent, jvp, **options)

    def assert_adjoint(self, jvp: Any, vjp: Any, x: Any, **options: Any) -> Report:
        """Fail the test unless the functions `jvp` and `vjp` belong to one Jacobian at `x`."""
        __tracebackhide__ = True
        return self._judge("check_adjoint", jvp, vjp, x, **options)

    def assert_jacobian(self, f: Any, x: Any, jacobian: Any, **options: Any) -> Report:
        """Fail the test unless `jacobian` is that of `f` at `x`, whose value is an array."""
        __tracebackhide__ = True
        return self._judge("check_jacobian", f, x, jacobian, **options)

    def assert_hessian_vector_product(
        self, gradient: Any, x: Any, tangent: Any, product: Any, **options: Any
    ) -> Report:
        """Fail the test unless `product` is H v, by which `gradient` changes along `tangent`."""
        __tracebackhide__ = True
        return self._judge("check_hessian_vector_product", gradient, x, tangent, product, **options)

    def _judge(self, method: str, *arguments: Any, **options: Any) -> Report:
        __tracebackhide__ = True
        with _CallersFrames():
            report = getattr(self._client, method)(*arguments, **options)
        item = self._config.stash[_ITEM]
        # A map of 4096 cells for each tensor of each check would drown the artefact.
        check = {
            "test": item.nodeid,
            "line": (item.location[1] or 0) + 1,
            **json.loads(report.to_json(maps=False)),
        }
        item.stash[_CHECKS].append(check)
        item.user_properties.append((_PROPERTY, f"{check['verdict']}  {_sentence(check)}"))
        if not report.passed:
            raise Failed(str(report), pytrace=False)
        return report


class _CallersFrames:
    """Leaves an error the frames of the test and of its functions, without those of the client."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        from gradient_oracle import OracleError

        from oracle.values import InvalidInput

        if isinstance(error, OracleError | InvalidInput):
            # What gRPC raised is its cause, and says less.
            error.__cause__, error.__suppress_context__ = None, True
            error.__traceback__ = _beyond(traceback)
        elif error is not None:
            error.__traceback__ = _beyond(traceback) or traceback


def _beyond(traceback: TracebackType | None) -> TracebackType | None:
    """Return what follows the last frame of the client: the frames of the caller's function."""
    rest = traceback
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__"))
        traceback = traceback.tb_next
        if module.partition(".")[0] in {"gradient_oracle", __name__}:
            rest = traceback
    return rest


@pytest.fixture(scope="session")
def gradient_oracle(request: pytest.FixtureRequest) -> Iterator[GradientOracle]:
    """Checks of gradients: `gradient_oracle.assert_two_layer_net(params, x, t, gradient)`.

    It talks to the server of `--gradient-oracle-address`, of the environment variable
    GRADIENT_ORACLE_ADDRESS or of the ini option `gradient_oracle_address`, in this order; without
    one it starts a server of its own for the session, on a free loopback port. The token, the
    authority, the certificate and the key for a server that asks for them are told likewise.
    """
    import gradient_oracle as package

    address, access = _told(request.config, "address"), _access(request.config)
    fault = _fault(address, access)
    if fault:
        pytest.fail(fault, pytrace=False)
    with package.connect(address, **access) if address else package.embedded() as client:
        yield GradientOracle(client, request.config)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, and the ini option of the same meaning."""
    group = parser.getgroup("gradient-oracle", "checking gradients")
    group.addoption(
        "--gradient-oracle-address",
        metavar="HOST:PORT",
        help="server that checks gradients; without it the session starts one of its own",
    )
    for name, (metavar, text) in _IDENTITY.items():
        group.addoption(f"--gradient-oracle-{name}", metavar=metavar, help=text)
        parser.addini(f"gradient_oracle_{name}", text, default="")
    group.addoption(
        "--gradient-oracle-report", metavar="FILE", help="write all reports of checks as JSON"
    )
    parser.addini("gradient_oracle_address", "server that checks gradients, HOST:PORT", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Begin with no checks."""
    config.stash[_ALL] = {}
    target = config.getoption("--gradient-oracle-report")
    if target and Path(target).is_dir():
        raise pytest.UsageError(f"--gradient-oracle-report must be a file, got the folder {target}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember which test the session fixture is used by."""
    item.config.stash[_ITEM] = item
    item.stash[_CHECKS] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Send the checks of a test along with its last report; pytest-xdist carries them over."""
    report = yield
    if report.when == "teardown":
        setattr(report, _PROPERTY, item.stash.get(_CHECKS, []))
    return report


class _Collector:
    """Gathers the checks where the terminal is: with pytest-xdist they come with the reports."""

    def __init__(self, config: pytest.Config) -> None:
        self._checks = config.stash[_ALL]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            self._checks[report.nodeid] = getattr(report, _PROPERTY, [])


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Listen to the reports, in the process that owns the terminal."""
    if not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(_Collector(session.config))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave the artefact that was asked for; a session without it has not succeeded."""
    config = session.config
    target = config.getoption("--gradient-oracle-report")
    if target and not hasattr(config, "workerinput"):
        fault = config.stash[_UNWRITTEN] = _write(Path(target), _checks(config))
        if fault and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how many gradients were checked, if any, and annotate those that are wrong."""
    if fault := config.stash.get(_UNWRITTEN, ""):
        terminalreporter.write_line(fault, red=True)
    checks = _checks(config)
    if not checks:
        return
    terminalreporter.write_line(_summary(checks))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        # A check may be expected to fail, or be tried again.
        stats = terminalreporter.stats
        failed = {report.nodeid for kind in ("failed", "error") for report in stats.get(kind, [])}
        for check in checks:
            if check["verdict"] != "pass" and check["test"] in failed:
                file, _, title = check["test"].partition("::")
                terminalreporter.write_line(
                    f"::error file={_escaped_property(_in_workspace(config.rootpath / file))},"
                    f"line={check['line']},title={_escaped_property(title)}"
                    f"::{_escaped(_sentence(check))}"
                )


def _checks(config: pytest.Config) -> list[dict[str, Any]]:
    return [check for of_one in config.stash[_ALL].values() for check in of_one]


def _write(target: Path, checks: list[dict[str, Any]]) -> str:
    """Write the artefact, and return why it could not be written, or ""."""
    document = {"schema_version": 1, "checks": checks}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        return f"gradient-oracle: the report was not written: {error}"
    return ""


def _in_workspace(file: Path) -> str:
    """Return the path as GitHub knows it: from the top of the repository."""
    top = os.environ.get("GITHUB_WORKSPACE") or Path.cwd()
    return Path(os.path.relpath(file, top)).as_posix()


def _sentence(check: dict[str, Any]) -> str:
    return f"{check['subject']}: {check['summary']}"


def _summary(checks: list[dict[str, Any]]) -> str:
    verdicts = [check["verdict"] for check in checks]
    noun = "gradient" if len(checks) == 1 else "gradients"
    parts = [f"{len(checks)} {noun} checked", f"{verdicts.count('pass')} passed"]
    parts += [
        f"{verdicts.count(verdict)} {word}"
        for verdict, word in (("fail", "failed"), ("inconclusive", "inconclusive"))
        if verdict in verdicts
    ]
    conclusive = [check for check in checks if check["verdict"] != "inconclusive"]
    limits = [(c["known"] or c["measured"] or {}).get("detection_limit") for c in conclusive]
    positive = [limit for limit in limits if isinstance(limit, float) and limit > 0]
    if positive:
        parts.append(f"tightest limit {min(positive):.0e}")
    return ", ".join(parts)


def _told(config: pytest.Config, name: str, *, file: bool = False) -> str:
    """Return what the command line, the environment or the ini file say, in this order."""
    told = config.getoption(f"--gradient-oracle-{name}")
    told = told or os.environ.get(f"GRADIENT_ORACLE_{name.upper()}")
    if told:
        return str(told)
    ini = str(config.getini(f"gradient_oracle_{name}"))
    # A file that the ini file names lies beside it, wherever pytest was called.
    return str(config.rootpath / ini) if ini and file and ini != "public" else ini


def _access(config: pytest.Config) -> dict[str, Any]:
    """Return the arguments of `connect` that say who asks."""
    token = _told(config, "token")
    files = [_told(config, name, file=True) or None for name in ("ca", "certificate", "key")]
    if not any(files):
        return {"token": token}
    from gradient_oracle import TLS

    return {"token": token, "credentials": TLS(*files)}


def _fault(address: str, access: dict[str, Any]) -> str:
    """Return why there is no client, or nobody answers at an address that was named, or ""."""
    import gradient_oracle as package

    try:
        connect = package.connect
    except ImportError as error:
        return f"gradient-oracle: {error}"
    if not address:
        return ""
    try:
        with connect(address, timeout=_REACHING, connect_timeout=_REACHING, **access) as client:
            client.connection.prepare(0)
    except package.OracleError as error:
        return f"gradient-oracle: {error}"
    return ""


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped_property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
