"""What one caller can make the server do, over a real socket: the list of docs/operating.md."""

from __future__ import annotations

import gzip
import os
import queue
import signal
import subprocess
import sys
from contextlib import ExitStack

import gradient_oracle
import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from oracle.gradcheck.v1 import black_box_pb2, black_box_pb2_grpc, loss_pb2
from oracle.service import pools
from tests.service.conftest import Caller, describe, request_of
from tests.service.hostile import HEADERS, RST_STREAM, Connection
from tests.service.test_interruption import wait_until

SERVING = health_pb2.HealthCheckResponse.SERVING
MSE = "/oracle.gradcheck.v1.LossService/MeanSquaredError"
TRAIN = "/oracle.gradcheck.v1.TwoLayerNetService/Train"
CONVERSE = "/oracle.gradcheck.v1.BlackBoxService/Converse"
HEALTH = "/grpc.health.v1.Health/"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
ONE = {"values": [1.0], "shape": [1]}


def health_of(call, timeout=20):
    """What a probe is told."""
    stub = health_pb2_grpc.HealthStub(call.channel)
    return stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout).status


@pytest.mark.parametrize("body", [b"", b"\0", b"\0\0\0\0\xff\0"])
@pytest.mark.parametrize(("connections", "streams"), [(1, 400), (8, 40)])
def test_calls_without_a_message_starve_nobody(serve, body, connections, streams):
    """Streams that are opened and left, for every kind of call; others are served meanwhile."""
    with serve() as call, ExitStack() as stack:
        for _ in range(connections):
            attacker = stack.enter_context(Connection(call.server.address))
            for at in range(streams):
                paths = (MSE, TRAIN, CONVERSE, HEALTH + "Check", HEALTH + "Watch")
                attacker.open(paths[at % len(paths)], body)
        for _ in range(3):
            assert health_of(call) == SERVING
            assert call("LossService/MeanSquaredError", predictions=ONE, targets=ONE).error == 0
        with gradient_oracle.connect(call.server.address) as oracle:
            x = np.array([0.5, 0.25])
            assert oracle.check_gradient(lambda x: np.sum(x**2), x, 2 * x).passed
            parameters = oracle.two_layer_net.init(2, 2, 2)
            oracle.two_layer_net.train(parameters, np.ones((1, 2)), [0], step_num=1).result()


def test_a_call_without_a_message_ends(serve, monkeypatch):
    """Its thread is free again, and the caller is told."""
    monkeypatch.setattr(pools, "SILENT_SECONDS", 0.2)
    with serve() as call, Connection(call.server.address) as attacker:
        streams = {attacker.open(path) for path in (MSE, TRAIN, CONVERSE, HEALTH + "Check")}
        ended = set()
        for kind, stream, _ in attacker.frames():
            if kind == RST_STREAM:
                ended.add(stream)
            if ended == streams:
                break
        assert ended == streams


def descent(shape, steps):
    """A gradient descent, which asks the caller for the function's values."""
    x = {"shape": shape, "data_type": 1}
    return {
        "turn": {
            "start": {
                "gradient_descent": {
                    "initial": [{"name": "x", "tensor": x}],
                    "step_count": steps,
                }
            }
        }
    }


def test_steps_that_ask_for_nothing_take_no_time(call):
    """Two thousand million steps of a tensor without entries are done at once."""
    answer = call("BlackBoxService/Step", 20, **descent([0], 2**31 - 1))
    assert list(answer.reply.result.tensors[0].tensor.shape) == [0]


ENDLESS = """
import contextlib, threading, time
from oracle.service import servicers

def endless(*_):
    print("computing", flush=True)
    while True:
        pass

servicers.Loss.MeanSquaredError = endless
"""
SERVED = (
    ENDLESS
    + """
from oracle.__main__ import main
main(["serve", "--address", "127.0.0.1:0", "--grace", "0.2"])
"""
)
EMBEDDED = (
    ENDLESS
    + """
import gradient_oracle
oracle = gradient_oracle.embedded()
def work():
    with contextlib.suppress(gradient_oracle.OracleError):
        oracle.mean_squared_error([1.0], [1.0])
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(1)
"""
)


def test_work_without_end_does_not_survive_the_signal():
    """The server ends within its grace, whatever a thread computes."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVED], stdout=subprocess.PIPE, text=True
    ) as process:
        address = process.stdout.readline().split()[-1]
        with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
            request = loss_pb2.MeanSquaredErrorRequest().SerializeToString()
            call = channel.unary_unary(MSE).future(request)
            try:
                assert process.stdout.readline() == "computing\n"
                process.send_signal(signal.SIGTERM)
                assert process.wait(60) in (0, -signal.SIGALRM)
            finally:
                process.kill()
            del call


def test_work_without_end_does_not_survive_the_interpreter():
    """A program that embeds a server ends when it ends."""
    assert "computing" in subprocess.check_output(
        [sys.executable, "-c", EMBEDDED], timeout=60, text=True
    )


@pytest.mark.parametrize("character", ["a", "\N{GRINNING FACE}", "\x00", "ü"])
@pytest.mark.parametrize("count", [600, 20_000])
def test_a_long_name_keeps_the_details_of_its_refusal(call, character, count):
    """Whatever its characters take on the wire: gRPC drops all details above 8 KB."""
    name = character * count
    tensors = [{"name": name, "shape": [1], "data_type": 1}] * 2
    found = call.failure(
        "BlackBoxService/Step", 20, turn={"start": {"check": {"tensors": tensors}}}
    )
    assert (found.code, found.reason) == ("INVALID_ARGUMENT", "INVALID_ARGUMENT")
    assert found.field.startswith("turn.start.check.tensors[")
    assert "must" in found.text


@pytest.mark.parametrize(
    "path", [MSE, TRAIN, CONVERSE, HEALTH + "Check", HEALTH + "Watch", REFLECT]
)
def test_what_is_no_message_is_refused_without_a_traceback(serve, capfd, caplog, path):
    """By health and by reflection, too."""
    with serve(reflection=True) as call:
        with pytest.raises(grpc.RpcError) as caught:
            list(call.channel.stream_stream(path)(iter([b"\xff\xff\xff"]), timeout=20))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError) as caught:
            list(call.channel.stream_stream(path)(iter([]), timeout=20))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "Traceback" not in capfd.readouterr().err + caplog.text


OTHER_PROTOBUF = """
import numpy as np
import gradient_oracle
from google.protobuf.internal import api_implementation
assert api_implementation.Type() == "python"
with gradient_oracle.embedded() as oracle:
    x = np.linspace(0.1, 1, 5)
    assert oracle.sigmoid(np.zeros(20_000))[0] == 0.5
    assert oracle.check_gradient(lambda x: np.sum(x**2), x, 2 * x).passed
"""


def test_the_other_implementation_of_protobuf_serves_too():
    """The one in Python, a common way around trouble with the other."""
    environment = os.environ | {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    subprocess.run([sys.executable, "-c", OTHER_PROTOBUF], env=environment, timeout=60, check=True)


def starting(entries):
    """The first turn of a numerical gradient of so many entries, which takes 16 bytes for each."""
    tensor = {"name": "x", "shape": [entries], "data_type": 1, "largest": 1.0}
    start = {"numerical_gradient": {"tensors": [tensor]}}
    return black_box_pb2.BlackBoxServiceConverseRequest(turn={"start": start})


def opened(channel, turn):
    """A conversation whose caller thinks about the first ask."""
    thinking = queue.SimpleQueue()
    thinking.put(turn)
    stub = black_box_pb2_grpc.BlackBoxServiceStub(channel)
    call = stub.Converse(iter(thinking.get, None), timeout=60)
    assert next(call).reply.ask.number == 0
    return call


def test_conversations_hold_no_more_memory_than_there_is_for_one_caller(serve):
    """Eleven bytes may ask for 16 MB; what is held by those that are open is added up."""
    with serve(max_memory_bytes=2**26) as call:
        held = opened(call.channel, starting(2_000_000))
        with pytest.raises(grpc.RpcError) as caught:
            opened(call.channel, starting(2_000_000))
        assert describe(caught.value).reason == "OVERLOADED"
        with pytest.raises(grpc.RpcError) as caught:
            opened(call.channel, starting(4_000_000))
        found = describe(caught.value)
        assert (found.code, found.reason) == ("RESOURCE_EXHAUSTED", "TOO_MUCH_MEMORY")
        assert found.field == "turn.start.numerical_gradient.tensors"
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        with grpc.insecure_channel(call.server.address, options) as c:
            opened(c, starting(1_000_000)).cancel()
        held.cancel()
        wait_until(lambda: call.server.gate.memory.left == 2**26)
        opened(call.channel, starting(2_000_000)).cancel()


def test_self_tests_of_one_caller_hold_up_nobody_else(serve):
    """Eighteen of them compute for minutes; another caller is served meanwhile."""
    with serve(compute_slots=1, max_waiting_calls=16) as call, Caller(call.server) as other:
        running = [
            call.method("SelfTestService/RunSelfTest").future(
                request_of("SelfTestService/RunSelfTest", seed=seed), timeout=60
            )
            for seed in range(18)
        ]
        wait_until(lambda: call.server.gate.waiting > 8)
        for _ in range(3):
            other("LossService/CheckMeanSquaredError", predictions=ONE, targets=ONE, gradient=ONE)
        assert sum(not future.done() for future in running) > 8
        for future in running:
            future.cancel()


@pytest.mark.parametrize("unit", [b"\x00", b"\x0a\x00", b"\x12\x00", b"\xf8\x7f\x00"])
def test_what_is_small_when_it_comes_and_large_when_it_is_read_holds_up_nobody(serve, unit):
    """Sixty kilobytes of gzip become sixty megabytes: of zeros, or of messages without bytes."""
    packed = gzip.compress(unit * (60 * 2**20 // len(unit)), 6)
    body = b"\x01" + len(packed).to_bytes(4, "big") + packed
    step = "/oracle.gradcheck.v1.BlackBoxService/Step"
    with serve() as call, Connection(call.server.address) as attacker:
        streams = {
            attacker.open(path, body, (b"grpc-encoding", b"gzip")) for path in (MSE, step, TRAIN)
        }
        for _ in range(3):
            assert health_of(call) == SERVING
            assert call("LossService/MeanSquaredError", predictions=ONE, targets=ONE).error == 0
        for kind, stream, _ in attacker.frames():
            if kind in (HEADERS, RST_STREAM):
                streams.discard(stream)
            if not streams:
                break
        assert not streams
