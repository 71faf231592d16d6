"""Tokens: who is let in, what he may do, and how much; over a real socket."""

from __future__ import annotations

import hashlib
import threading

import gradient_oracle
import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from oracle.service import admission, reloading, tokens
from oracle.service.ports import CannotServe
from oracle.service.server import SERVICES, Server
from oracle.service.settings import Settings
from tests.service.conftest import Caller, describe, request_of
from tests.service.test_serve import run, running

OLD, NEW, OTHER = "old-token-of-ci-0123", "new-token-of-ci-4567", "token-of-a-person-89"

FILE = f"""
[ci]
tokens = ["{OLD}"]
sha256 = ["{hashlib.sha256(NEW.encode()).hexdigest()}"]
calls = 2
conversations = 1

[person]
tokens = ["{OTHER}"]
cpu_seconds_a_minute = 0.1
services = ["LossService", "SelfTestService", "ServerService"]
"""


@pytest.fixture
def file(tmp_path):
    """Return a file of tokens."""
    path = tmp_path / "tokens.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
def server(file):
    """Serve those who have a token."""
    made = Server(Settings("127.0.0.1:0", token_file=str(file), reflection=True))
    made.start()
    yield made
    made.stop()


def client(server, token=None):
    """Return a client that shows a token."""
    return gradient_oracle.connect(server.address, connect_timeout=5, token=token)


def metadata(token):
    """Return what shows a token."""
    return [("authorization", f"Bearer {token}")]


def call(server, name, token, **fields):
    """Call a method with a token."""
    caller = Caller(server)
    try:
        return caller.method(name)(request_of(name, **fields), metadata=metadata(token), timeout=20)
    finally:
        caller.channel.close()


MSE = {"predictions": {"shape": [1], "values": [1]}, "targets": {"shape": [1], "values": [3]}}


@pytest.mark.parametrize("token", [OLD, NEW, OTHER])
def test_any_token_of_the_file_lets_in(server, token):
    """Two of one holder at a time, while one takes the place of the other."""
    with client(server, token) as oracle:
        assert oracle.mean_squared_error([1.0], [3.0]) == 2


@pytest.mark.parametrize("token", ["", "another-token-012345", OLD[:-1], OLD + "0"])
def test_nobody_else_is_let_in_and_is_told_what_to_do(server, token):
    """By both clients, in every method, before the request is read."""
    with client(server, token) as oracle:
        with pytest.raises(gradient_oracle.Unauthenticated) as caught:
            oracle.mean_squared_error([1.0], [3.0])
        with pytest.raises(gradient_oracle.Unauthenticated):
            oracle.numerical_gradient(np.sum, np.ones(2))
    assert "pass token= to connect, or set GRADIENT_ORACLE_TOKEN" in str(caught.value)
    assert token == "" or token not in str(caught.value)


def test_every_method_asks_for_the_token_but_health(server):
    """Health is asked by what has no token: a probe, a proxy."""
    caller = Caller(server)
    for service in SERVICES:
        for method in service.methods:
            path = f"/{service.full_name}/{method.name}"
            answers = caller.channel.stream_stream(path)(iter([]), timeout=20)
            with pytest.raises(grpc.RpcError) as caught:
                list(answers)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED, path
    reflection = reflection_pb2_grpc.ServerReflectionStub(caller.channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    with pytest.raises(grpc.RpcError) as caught:
        list(reflection.ServerReflectionInfo(iter([asked]), timeout=20))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert list(reflection.ServerReflectionInfo(iter([asked]), timeout=20, metadata=metadata(OLD)))
    health = health_pb2_grpc.HealthStub(caller.channel)
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=20).status == 1
    caller.channel.close()


def test_a_request_of_a_stranger_is_not_read(server):
    """He is refused while he still sends: what is no message would be INVALID_ARGUMENT."""
    caller = Caller(server)
    path = "/oracle.gradcheck.v1.LossService/MeanSquaredError"
    silent, opened = threading.Event(), caller.channel.stream_unary(path)

    def nothing():
        silent.wait(20)
        yield b""

    with pytest.raises(grpc.RpcError) as caught:
        opened(nothing(), timeout=20)
    silent.set()
    assert describe(caught.value).reason == "UNAUTHENTICATED"
    caller.channel.close()


def test_a_token_is_for_its_services(server):
    """PERMISSION_DENIED says for which, and what to do."""
    with (
        client(server, OTHER) as oracle,
        pytest.raises(gradient_oracle.PermissionDenied) as caught,
    ):
        oracle.mini_batch(10, 3)
    assert "`person` is for LossService" in str(caught.value)
    assert "ask who runs the server" in str(caught.value)


def test_a_token_has_limits_of_its_own(server):
    """One conversation at a time, two calls; another token has its own."""
    entered, leave = threading.Event(), threading.Event()

    def waits(x):
        entered.set()
        leave.wait(20)
        return x.sum()

    with client(server, OLD) as oracle, client(server, NEW) as same:
        thread = threading.Thread(
            target=oracle.numerical_gradient,
            args=(waits, np.ones(2)),
            kwargs={"transport": "stream"},
        )
        thread.start()
        assert entered.wait(20)
        with pytest.raises(gradient_oracle.Overloaded, match="allows 1 conversations"):
            same.numerical_gradient(np.sum, np.ones(2), transport="stream")
        with client(server, OTHER) as other:
            assert other.mean_squared_error([1.0], [3.0]) == 2
        leave.set()
        thread.join(20)
        same.numerical_gradient(np.sum, np.ones(2), transport="stream")


def test_calls_under_way_are_limited():
    """One more is refused, and one less lets the next in."""
    usage, holder = admission.Usage(), tokens.Holder("ci", (), calls=2)
    third = usage.call(holder, conversation=False)
    with usage.call(holder, conversation=False):
        with (
            usage.call(holder, conversation=True),
            pytest.raises(admission.TokenLimit, match="allows 2 calls at a time"),
        ):
            third.__enter__()
        with usage.call(holder, conversation=False):
            pass


def test_computing_is_limited_by_the_minute(server):
    """What a call took is known after it; the next is told how long to wait."""
    with client(server, OTHER) as oracle:

        def compute():
            for _ in range(100):
                oracle.self_test()

        with pytest.raises(gradient_oracle.Overloaded, match="CPU seconds a minute") as caught:
            compute()
    status = rpc_status.from_call(caught.value.__context__)
    retry, info = error_details_pb2.RetryInfo(), error_details_pb2.ErrorInfo()
    for detail in status.details:
        detail.Unpack(retry)
        detail.Unpack(info)
    assert info.reason == "TOKEN_LIMIT"
    assert retry.retry_delay.ToSeconds() >= 1
    with client(server, OLD) as oracle:
        oracle.self_test()


def test_a_file_that_changes_is_read_again(file, monkeypatch):
    """A token that is taken out lets nobody in, and a broken file changes nothing."""
    monkeypatch.setattr(reloading, "PAUSE", 0.0)
    server = Server(Settings("127.0.0.1:0", token_file=str(file)))
    server.start()
    with client(server, OLD) as old, client(server, OTHER) as other:
        assert old.mean_squared_error([1.0], [3.0]) == 2
        file.write_text(FILE.replace(OLD, "yet-another-token-0123"))
        with pytest.raises(gradient_oracle.Unauthenticated):
            old.mean_squared_error([1.0], [3.0])
        file.write_text("nonsense")
        assert other.mean_squared_error([1.0], [3.0]) == 2
    server.stop()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "hold at least one token, got none"),
        ("tokens = 3", "have a table for each name"),
        ("nonsense", "be TOML in UTF-8"),
        ("[a]", "have `tokens` or `sha256` in [a]"),
        ("[a]\ntokens = ['short']", "tokens of at least 16 printable characters"),
        ("[a]\ntokens = ['has spaces in it, many']", "without spaces"),
        ("[a]\nsha256 = ['00']", "64 hexadecimal digits"),
        (f"[a]\ntokens = ['{OLD}']\n[b]\ntokens = ['{OLD}']", "hold each token once"),
        (f"[a]\ntokens = ['{OLD}']\ncalls = 0", "a positive whole number in `calls` of [a], got 0"),
        (f"[a]\ntokens = ['{OLD}']\ncpu_seconds_a_minute = -1", "a positive number"),
        (f"[a]\ntokens = ['{OLD}']\nlimit = 1", "got limit"),
        (f"['a b']\ntokens = ['{OLD}']", "names of letters"),
        (f"[a]\ntokens = ['{OLD}']\nservices = 'LossService'", "a list of names of services"),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused_and_no_token_is_said(file, text, said):
    """The message goes into logs."""
    file.write_text(text)
    with pytest.raises(CannotServe) as caught:
        tokens.read(str(file))
    if said != "names of letters":
        assert said in str(caught.value)
    assert OLD not in str(caught.value)
    assert "short" not in str(caught.value)


def test_a_token_never_travels_to_another_machine_in_the_clear():
    """It is refused before anything is sent, and is in no text."""
    with pytest.raises(gradient_oracle.InvalidRequest, match="travel over TLS") as caught:
        gradient_oracle.connect("192.0.2.1:50051", token=OLD)
    assert OLD not in str(caught.value)
    with pytest.raises(gradient_oracle.InvalidRequest, match="printable ASCII") as caught:
        gradient_oracle.connect("127.0.0.1:50051", token=f"{OLD} and a space")
    assert OLD not in str(caught.value)


def test_the_command_asks_for_a_token_and_logs_its_name(file):
    """By option and by the environment; the secret is in no line of the log."""
    with running("--token-file", str(file)) as server:
        assert run("info", "--address", server.address, "--token", OLD).returncode == 0
        variables = {"GRADIENT_ORACLE_TOKEN": OTHER, "GRADIENT_ORACLE_ADDRESS": server.address}
        assert run("info", **variables).returncode == 0
        found = run("info", "--address", server.address)
        assert found.returncode == 3
        assert "set GRADIENT_ORACLE_TOKEN" in found.stderr
    lines = [line for line in server.log if line["message"] == "call"]
    assert [line["token"] for line in lines if line["code"] == "OK"][::2] == ["ci", "person"]
    assert lines[-1]["code"] == "UNAUTHENTICATED"
    assert lines[-1]["peer"].startswith("ipv4:127.0.0.1:")
    assert not any(secret in str(server.log) for secret in (OLD, NEW, OTHER))


def test_a_wrong_file_is_a_usage_error(tmp_path):
    """As every option that cannot be meant."""
    found = run("serve", "--token-file", str(tmp_path / "none.toml"))
    assert found.returncode == 3
    assert "none.toml: No such file or directory" in found.stderr
    assert "Traceback" not in found.stderr
