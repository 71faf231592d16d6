"""What a caller sees when the server is not there, is slow, is full, or goes away."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
import traceback
from concurrent import futures

import gradient_oracle
import grpc
import numpy as np
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from gradient_oracle import channel, errors
from grpc_status import rpc_status

from oracle.gradcheck.v1 import loss_pb2, loss_pb2_grpc, two_layer_net_pb2, two_layer_net_pb2_grpc
from oracle.service.server import Server
from oracle.service.settings import Settings


class Status(Exception):
    """A status to answer with."""


class Faulty(loss_pb2_grpc.LossServiceServicer, two_layer_net_pb2_grpc.TwoLayerNetServiceServicer):
    """A server of the contract that does as it is told; it does not tell about itself."""

    def __init__(self):
        self.calls = 0
        self.behave = lambda _: None

    def MeanSquaredError(self, _, context):
        self.calls += 1
        self.behave(context)
        return loss_pb2.MeanSquaredErrorResponse(error=7)

    def Train(self, _, context):
        self.calls += 1
        self.behave(context)
        yield two_layer_net_pb2.TrainResponse()


@pytest.fixture
def faulty():
    """Return the servicer and a client of it."""
    servicer = Faulty()
    server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    loss_pb2_grpc.add_LossServiceServicer_to_server(servicer, server)
    two_layer_net_pb2_grpc.add_TwoLayerNetServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with gradient_oracle.connect(f"127.0.0.1:{port}", timeout=5) as client:
        yield servicer, client
    server.stop(0).wait()


def abort_with(code):
    """Return a behaviour that answers with a status."""
    return lambda context: context.abort(code, "because")


PARAMS = {"W1": np.ones((1, 1)), "b1": [0.0], "W2": np.ones((1, 2)), "b2": [0.0, 0.0]}


def assert_one_traceback(error):
    """Require that a traceback shows the sentence, and no stack of gRPC before it."""
    shown = "".join(traceback.format_exception(error))
    assert shown.count("Traceback (most recent call last)") == 1
    assert "grpc._channel" not in shown
    assert str(error) in shown


def test_a_port_that_refuses_is_given_up_at_once(monkeypatch):
    """Ten seconds are for a server that is there and slow; of a start one says how long it takes.

    The second of two waits would be endless.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setattr(channel, "CONNECT_TIMEOUT", 1e6)
    hint = "no oracle at .* after 1 s; start one with gradient-oracle serve"
    with (
        gradient_oracle.connect(address) as oracle,
        pytest.raises(gradient_oracle.OracleUnavailable, match=hint),
    ):
        oracle.mean_squared_error([1.0], [1.0])

    async def awaited():
        async with gradient_oracle.aio.connect(address) as oracle:
            with pytest.raises(gradient_oracle.OracleUnavailable, match=hint):
                await oracle.mean_squared_error([1.0], [1.0])

    asyncio.run(awaited())


def test_an_address_of_another_kind_is_refused_at_once():
    """gRPC would look for a machine named http for ten seconds."""
    with pytest.raises(gradient_oracle.InvalidRequest, match="HOST:PORT, without http://"):
        gradient_oracle.connect("http://localhost:50051")


def test_a_proxy_that_leads_nowhere_is_named(monkeypatch):
    """It is the environment's, and the caller may not know of it."""
    for name in ("grpc_proxy", "https_proxy", "no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://user:secret@127.0.0.1:9")
    with (
        gradient_oracle.connect("192.0.2.1:50051", connect_timeout=0.5) as oracle,
        pytest.raises(gradient_oracle.OracleUnavailable) as caught,
    ):
        oracle.mean_squared_error([1.0], [1.0])
    assert "variable http_proxy sends it through a proxy" in str(caught.value)
    assert "set no_proxy=192.0.2.1" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_no_server_is_an_error_that_says_how_to_start_one():
    """The form is fixed: where, how long, what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with gradient_oracle.connect(f"127.0.0.1:{port}", connect_timeout=0.3) as oracle:
        with pytest.raises(gradient_oracle.OracleUnavailable) as caught:
            oracle.mean_squared_error([1.0], [1.0])
        with pytest.raises(gradient_oracle.OracleUnavailable):
            oracle.numerical_gradient(np.sum, np.ones(2))
        with pytest.raises(gradient_oracle.OracleUnavailable):
            next(oracle.two_layer_net.train(PARAMS, [[1.0]], [0]))
    hint = "start one with gradient-oracle serve"
    assert str(caught.value) == f"no oracle at 127.0.0.1:{port} after 0.3 s; {hint}"
    assert_one_traceback(caught.value)


def test_something_else_on_the_port_is_no_oracle():
    """A listener that says nothing is not waited for without end."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with (
            gradient_oracle.connect(address, connect_timeout=0.3) as oracle,
            pytest.raises(gradient_oracle.OracleUnavailable),
        ):
            oracle.info()


def test_the_first_call_waits_for_a_server_that_is_starting():
    """A job starts both and does not sleep in between."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    servers = []

    def late():
        servers.append(Server(Settings(address)))
        servers[0].start()

    timer = threading.Timer(0.3, late)
    timer.start()
    with gradient_oracle.connect(address) as oracle:
        assert oracle.mean_squared_error([1.0], [3.0]) == 2
    timer.join()
    servers[0].stop()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("INVALID_ARGUMENT", gradient_oracle.InvalidRequest),
        ("UNAVAILABLE", gradient_oracle.OracleUnavailable),
        ("DEADLINE_EXCEEDED", gradient_oracle.DeadlineExceeded),
        ("RESOURCE_EXHAUSTED", gradient_oracle.Overloaded),
        ("CANCELLED", gradient_oracle.Cancelled),
        ("ABORTED", gradient_oracle.Cancelled),
        ("INTERNAL", gradient_oracle.ServerFailure),
        ("UNKNOWN", gradient_oracle.ServerFailure),
        ("UNIMPLEMENTED", gradient_oracle.ServerFailure),
    ],
)
def test_every_status_is_an_error_of_the_tree(faulty, code, kind):
    """Nobody needs to know gRPC, and nobody who does loses its error."""
    servicer, client = faulty
    servicer.behave = abort_with(grpc.StatusCode[code])
    with pytest.raises(kind) as caught:
        client.mean_squared_error([1.0], [1.0])
    assert isinstance(caught.value, gradient_oracle.OracleError)
    assert isinstance(caught.value.__context__, grpc.RpcError)
    assert caught.value.__context__.code() is grpc.StatusCode[code]
    assert_one_traceback(caught.value)
    with pytest.raises(kind):
        next(client.two_layer_net.train(PARAMS, [[1.0]], [0]))


def test_a_pure_call_is_tried_again_and_a_training_is_not(faulty):
    """Repeating what has no effect is safe; four times is enough."""
    servicer, client = faulty

    def twice(context):
        if servicer.calls <= 2:
            context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")

    servicer.behave = twice
    assert client.mean_squared_error([1.0], [1.0]) == 7
    assert servicer.calls == 3
    servicer.calls, servicer.behave = 0, abort_with(grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(gradient_oracle.OracleUnavailable, match="is gone"):
        next(client.two_layer_net.train(PARAMS, [[1.0]], [0]))
    assert servicer.calls == 1
    servicer.calls = 0
    with pytest.raises(gradient_oracle.OracleUnavailable):
        client.mean_squared_error([1.0], [1.0])
    assert servicer.calls == 4


def test_a_slow_answer_is_not_waited_for(faulty):
    """Every call has a deadline, and the error says which."""
    servicer, client = faulty
    servicer.behave = lambda _: time.sleep(1)
    with (
        gradient_oracle.connect(client.address, timeout=0.2) as hasty,
        pytest.raises(gradient_oracle.DeadlineExceeded, match=r"within 0\.2 s"),
    ):
        hasty.mean_squared_error([1.0], [1.0])


def test_a_method_that_a_server_lacks_is_an_error_that_says_so(faulty):
    """Another implementation of the contract may be incomplete."""
    _, client = faulty
    with pytest.raises(gradient_oracle.ServerFailure, match="does not serve"):
        client.mini_batch(3, 1)
    with pytest.raises(gradient_oracle.ServerFailure, match="does not serve"):
        client.numerical_gradient(np.sum, np.ones(2))


def test_a_closed_client_says_so():
    """Using it is a mistake of the caller that gRPC would answer with a ValueError."""
    oracle = gradient_oracle.connect("127.0.0.1:1")
    oracle.close()
    oracle.close()
    for call in (oracle.info, lambda: oracle.numerical_gradient(np.sum, np.ones(1))):
        with pytest.raises(gradient_oracle.Cancelled, match="is closed"):
            call()


def test_a_server_that_stops_during_a_conversation_is_an_error_of_the_tree():
    """The caller's f outlives the server, and the caller is told."""
    with gradient_oracle.embedded() as oracle:
        calls = iter(range(100))

        def f(x):
            if next(calls) == 5:
                oracle._server.stop()
            return np.sum(x)

        with pytest.raises(gradient_oracle.OracleError):
            oracle.check_gradient(f, np.ones(2), np.ones(2))


@pytest.mark.parametrize(
    "address", ["localhost", "", ":", "host:port", "::1", "host:0", "host:65536"]
)
def test_an_address_needs_a_port(monkeypatch, address):
    """Without one gRPC would take 443 and say that nobody is there."""
    monkeypatch.setenv("GRADIENT_ORACLE_ADDRESS", address or "localhost")
    with pytest.raises(gradient_oracle.InvalidRequest, match="HOST:PORT"):
        gradient_oracle.connect(address)


@pytest.mark.parametrize("address", [50051, b"localhost:50051", ["localhost:50051"]])
@pytest.mark.parametrize("connect", [gradient_oracle.connect, gradient_oracle.aio.connect])
def test_an_address_is_a_text(connect, address):
    """Anything else is an error of the one family."""
    with pytest.raises(gradient_oracle.InvalidRequest, match="HOST:PORT, got"):
        connect(address)


@pytest.mark.parametrize("name", ["timeout", "connect_timeout"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "1"])
def test_a_time_is_positive(name, seconds):
    """Zero seconds would fail every call."""
    with pytest.raises(gradient_oracle.InvalidRequest, match=name):
        gradient_oracle.connect("localhost:1", **{name: seconds})


def test_the_address_comes_from_the_environment(monkeypatch):
    """As that of the plugin and of the command line does."""
    monkeypatch.delenv("GRADIENT_ORACLE_ADDRESS", raising=False)
    with gradient_oracle.connect() as oracle:
        assert oracle.address == "127.0.0.1:50051"
    monkeypatch.setenv("GRADIENT_ORACLE_ADDRESS", "somewhere:1")
    with gradient_oracle.connect() as oracle:
        assert oracle.address == "somewhere:1"


def test_a_proxy_of_the_environment_is_not_asked_for_loopback(monkeypatch, embedded):
    """The proxies of CI machines cannot reach the loopback of a job."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("grpc_proxy", "http://127.0.0.1:1")
    with gradient_oracle.connect(embedded.address, connect_timeout=2) as oracle:
        assert oracle.mean_squared_error([1.0], [3.0]) == 2


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("localhost:1", True),
        ("127.0.0.9:1", True),
        ("[::1]:1", True),
        ("unix:///tmp/oracle", True),
        ("10.0.0.1:1", False),
        ("127.example.org:1", False),
        ("dns:///localhost.example.org:1", False),
    ],
)
def test_loopback_is_told_from_the_rest(address, expected):
    """Only there the proxy is left out."""
    assert channel.is_loopback(address) is expected


@pytest.mark.parametrize(
    ("field", "argument"),
    [
        ("predictions", "y"),
        ("targets.labels", "t"),
        ("parameters.w1.data", "W1"),
        ("parameters", "params"),
        ("gradient.w1", "gradient"),
        ("step", "h"),
        ("step_num", "step_num"),
        ("turn.start.check.max_evaluations", "max_evaluations"),
        ("turn.start.gradient_descent.step_count", "step_num"),
        ("turn.answer.values", "f"),
        ("", ""),
    ],
)
def test_a_path_in_a_request_is_told_as_the_argument(field, argument):
    """The caller knows the names of the method and not those of the message."""
    assert errors.argument_of(field) == argument


def test_the_limit_is_that_of_the_server():
    """It is asked for once, and holds in both directions."""
    server = Server(Settings("127.0.0.1:0", max_message_bytes=100_000))
    server.start()
    with gradient_oracle.connect(server.address) as oracle:
        assert oracle.mean_squared_error(np.ones(9_000), np.ones(9_000, np.float16)) == 0
        with pytest.raises(gradient_oracle.MessageTooLarge, match="at most 100,000"):
            oracle.mean_squared_error(np.ones(10_000), np.ones(10_000))
        with pytest.raises(gradient_oracle.MessageTooLarge) as refused:
            oracle.mini_batch(10, 20_000)
        assert refused.value.argument == "batch_size"
        with pytest.raises(gradient_oracle.MessageTooLarge) as refused:
            oracle.two_layer_net.init(1000, 1000, 1)
        assert refused.value.argument == "input_size"
    server.stop()


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_the_limit_is_that_of_the_server_that_is_there(kind):
    """One that was started again may take more than the one before."""
    large = np.ones(10_000)

    async def ask(address, between):
        async with gradient_oracle.aio.connect(address) as oracle:
            with pytest.raises(gradient_oracle.MessageTooLarge):
                await oracle.mean_squared_error(large, large)
            between()
            return await oracle.mean_squared_error(large, large)

    servers = [Server(Settings("127.0.0.1:0", max_message_bytes=100_000))]
    servers[0].start()

    def start_again():
        servers[0].stop()
        servers.append(Server(Settings(servers[0].address)))
        servers[1].start()

    if kind == "asyncio":
        assert asyncio.run(ask(servers[0].address, start_again)) == 0
    else:
        with gradient_oracle.connect(servers[0].address) as oracle:
            with pytest.raises(gradient_oracle.MessageTooLarge):
                oracle.mean_squared_error(large, large)
            start_again()
            assert oracle.mean_squared_error(large, large) == 0
    servers[1].stop()


def test_the_limit_of_an_embedded_server_is_an_argument():
    """The message says by which option either server takes the request."""
    with gradient_oracle.embedded(max_message_bytes=100_000) as oracle:
        assert oracle.info().limits.max_message_bytes == 100_000
        with pytest.raises(gradient_oracle.MessageTooLarge, match=r"max_message_bytes=262144\)"):
            oracle.mean_squared_error(np.ones(10_000), np.ones(10_000))


def test_a_limit_of_grpc_itself_is_a_message_too_large(faulty):
    """A proxy in between may have one of its own."""
    servicer, client = faulty
    servicer.behave = lambda context: context.abort(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (5 vs. 4)"
    )
    with pytest.raises(gradient_oracle.MessageTooLarge, match=r"5 vs\. 4"):
        client.mean_squared_error([1.0], [1.0])


def test_a_training_is_a_context(embedded):
    """Its end cancels what is left."""
    with embedded.two_layer_net.train(PARAMS, [[1.0]], [0], step_num=10**6) as run:
        assert next(run).step == 1
    assert next(run, None) is None
    with pytest.raises(gradient_oracle.OracleError, match="not finished"):
        run.result()


def test_threads_share_a_client(embedded):
    """Calls, trainings and conversations of several threads do not mix."""

    def work(number):
        x = np.full(3, float(number))
        slope = embedded.numerical_gradient(lambda v: np.sum(v * v), x)
        return embedded.mean_squared_error(x, np.zeros(3)), slope

    with futures.ThreadPoolExecutor(8) as pool:
        for number, (error, slope) in enumerate(pool.map(work, range(32))):
            assert error == 1.5 * number**2
            assert slope == pytest.approx(np.full(3, 2.0 * number), abs=1e-6)


def full_for(times, calls):
    """What refuses the first calls, and says when to try again; then there is an answer."""

    def behave(context):
        calls.append(time.monotonic())
        if len(calls) <= times:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromMilliseconds(20)
            detail = any_pb2.Any()
            detail.Pack(retry)
            full = status_pb2.Status(code=8, message="too many calls", details=[detail])
            context.abort_with_status(rpc_status.to_status(full))

    return behave


def test_a_server_without_room_is_asked_again_when_it_says_so(faulty):
    """Its refusal says when; the caller sees the answer only."""
    servicer, client = faulty
    calls = []
    servicer.behave = full_for(3, calls)
    client.mean_squared_error([1.0], [3.0])
    assert len(calls) == 4
    assert all(later - earlier >= 0.01 for earlier, later in itertools.pairwise(calls))


def test_nobody_waits_longer_for_room_than_his_timeout(faulty):
    """A server that is full for ever is said to be, in time."""
    servicer, client = faulty
    calls = []
    servicer.behave = full_for(10**9, calls)
    with (
        gradient_oracle.connect(client.address, timeout=2) as hasty,
        pytest.raises(gradient_oracle.Overloaded, match="too many calls") as caught,
    ):
        hasty.mean_squared_error([1.0], [3.0])
    assert caught.value.retry_after == 0.02
    assert len(calls) > 2


def test_what_needs_too_much_memory_is_not_tried_again():
    """It will not fit later either; the error names the argument."""
    server = Server(Settings("127.0.0.1:0", max_memory_bytes=2**25))
    server.start()
    try:
        with (
            gradient_oracle.connect(server.address) as oracle,
            pytest.raises(gradient_oracle.InvalidRequest, match="max_memory_bytes") as caught,
        ):
            oracle.softmax(np.zeros(2_000_000))
        assert caught.value.argument == "a"
    finally:
        server.stop()
