"""What a caller puts into a client: credentials, interceptors, options, the environment."""

from __future__ import annotations

import asyncio
import re

import gradient_oracle
import grpc
import numpy as np
import pytest

from oracle.service.server import Server
from oracle.service.settings import Settings


@pytest.fixture(scope="module")
def address():
    """Serve, and return where."""
    server = Server(Settings("127.0.0.1:0"))
    server.start()
    yield server.address
    server.stop()


class Seen(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Notes the methods of a blocking channel."""

    def __init__(self):
        self.methods = []

    def intercept_unary_unary(self, continuation, details, request):
        self.methods.append(details.method.rpartition("/")[2])
        return continuation(details, request)

    intercept_unary_stream = intercept_stream_stream = intercept_unary_unary


class SeenAwaited(grpc.aio.UnaryUnaryClientInterceptor):
    """Notes the methods of a channel of asyncio."""

    def __init__(self):
        self.methods = []

    async def intercept_unary_unary(self, continuation, details, request):
        self.methods.append(details.method.rpartition(b"/")[2].decode())
        return await continuation(details, request)


def test_interceptors_see_every_call(address):
    """Unary calls, streams and conversations, in the order in which they were given."""
    seen, second = Seen(), Seen()
    with gradient_oracle.connect(address, interceptors=[seen, second]) as oracle:
        oracle.mean_squared_error([1.0], [3.0])
        oracle.numerical_gradient(np.sum, np.ones(1), transport="stream")
        oracle.numerical_gradient(np.sum, np.ones(1), transport="unary")
    assert seen.methods[:3] == ["GetServerInfo", "MeanSquaredError", "Converse"]
    assert {*seen.methods[3:]} == {"Step"}
    assert second.methods == seen.methods


def test_interceptors_of_both_kinds_see_what_is_awaited(address):
    """Conversations take place on a blocking channel, in a thread."""
    seen, awaited = Seen(), SeenAwaited()

    async def main():
        async with gradient_oracle.aio.connect(address, interceptors=[awaited, seen]) as oracle:
            await oracle.mean_squared_error([1.0], [3.0])
            await oracle.numerical_gradient(np.sum, np.ones(1), transport="stream")

    asyncio.run(main())
    assert awaited.methods == ["GetServerInfo", "MeanSquaredError"]
    assert seen.methods[-1] == "Converse"
    with pytest.raises(gradient_oracle.InvalidRequest, match="those of a blocking channel"):
        gradient_oracle.connect(address, interceptors=[awaited])


@pytest.mark.parametrize("kind", [dict, list])
def test_options_reach_the_channel(address, kind):
    """One that gRPC acts on: a message that is larger than this is not received."""
    options = kind({"grpc.max_receive_message_length": 100}.items())
    with (
        gradient_oracle.connect(address, options=options) as oracle,
        pytest.raises(gradient_oracle.OracleError, match="larger than max"),
    ):
        oracle.info()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"credentials": "ca.pem"}, "`credentials` must be a gradient_oracle.TLS or grpc"),
        ({"credentials": gradient_oracle.TLS(ca="none.pem")}, "none.pem: No such file"),
        ({"credentials": gradient_oracle.TLS(ca=__file__)}, "in PEM"),
        ({"credentials": gradient_oracle.TLS(certificate="c")}, "a certificate alone"),
        ({"credentials": gradient_oracle.TLS(key="k")}, "a key alone"),
        ({"token": 3}, "`token` must be a text"),
        ({"options": [1]}, "`options` must be pairs"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_opened(arguments, said):
    """By both clients alike."""
    for connect in (gradient_oracle.connect, gradient_oracle.aio.connect):
        with pytest.raises(gradient_oracle.InvalidRequest, match=re.escape(said)):
            connect("127.0.0.1:1", **arguments)


def test_the_environment_names_what_is_left_out(monkeypatch):
    """And an argument is stronger; "" is none."""
    monkeypatch.setenv("GRADIENT_ORACLE_CA", "none.pem")
    with pytest.raises(gradient_oracle.InvalidRequest, match=r"none\.pem"):
        gradient_oracle.connect("127.0.0.1:1")
    monkeypatch.setenv("GRADIENT_ORACLE_CA", "public")
    monkeypatch.setenv("GRADIENT_ORACLE_TOKEN", "a token")
    with pytest.raises(gradient_oracle.InvalidRequest, match="printable"):
        gradient_oracle.connect("192.0.2.1:1")
    with gradient_oracle.connect("192.0.2.1:1", token="a-token") as oracle:  # noqa: S106
        assert oracle.connection.access.credentials is not None
        assert "a-token" not in repr(oracle.connection.access)
    with gradient_oracle.connect("192.0.2.1:1", token="") as oracle:
        assert oracle.connection.access.token == ""


def test_an_error_names_its_call_in_the_log_of_the_server(address, caplog):
    """The name is in the error, and in what a traceback prints; not in the words of a refusal."""
    caplog.set_level("INFO")
    with (
        gradient_oracle.connect(address) as oracle,
        pytest.raises(gradient_oracle.InvalidRequest) as caught,
    ):
        oracle.mean_squared_error([1.0], [3.0, 4.0])
    named = caught.value.request_id
    assert re.fullmatch("[0-9a-f]{16}", named)
    assert named in "".join(caught.value.__notes__)
    calls = [record for record in caplog.records if record.message == "call"]
    assert [getattr(record, "request_id", "") for record in calls][-1] == named
