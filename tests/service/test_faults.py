"""Servers and callers that are killed, and many callers that say nothing: real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager

import gradient_oracle
import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.gradcheck.v1 import black_box_pb2_grpc
from tests.service.conftest import serving
from tests.service.test_black_box import start


@contextmanager
def process(address="127.0.0.1:0"):
    """Run a server as a user does; yield it and its address; kill it at the end."""
    command = [sys.executable, "-m", "oracle", "serve", "--address", address]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            yield server, server.stdout.readline().split()[-1]
        finally:
            server.kill()


@pytest.mark.parametrize(("evaluation", "wrong"), [(3, 1.0), (40, 1.1)])
def test_a_killed_server_loses_nothing_of_a_unary_session(evaluation, wrong):
    """The session is in the token: the next server at the port goes on to the same report."""
    x = np.linspace(0.1, 1, 5)
    gradient = np.cos(x) * wrong
    with gradient_oracle.embedded() as undisturbed:
        expected = undisturbed.check_gradient(lambda x: np.sum(np.sin(x)), x, gradient, name="f")
    calls = 0
    with process() as (first, address), ExitStack() as stack:

        def f(x):
            nonlocal calls
            calls += 1
            if calls == evaluation:
                first.kill()
                first.wait()
                stack.enter_context(process(address))
            return np.sum(np.sin(x))

        with gradient_oracle.connect(address) as oracle:
            report = oracle.check_gradient(f, x, gradient, transport="unary", name="f")
    assert str(report) == str(expected)
    # f is called once before the conversation, for its type.
    assert calls == report.measurement.evaluations + 1 == expected.measurement.evaluations + 1


CALLER = """
import sys, time
import gradient_oracle, numpy as np

calls = []

def f(x):
    calls.append(x)
    print("f", flush=True)
    time.sleep(SECONDS if len(calls) > 1 else 0)
    return np.sum(x)

gradient_oracle.connect(sys.argv[1]).check_gradient(f, np.ones(99), np.ones(99))
"""


@pytest.mark.parametrize("seconds", [0.01, 60])
def test_a_killed_caller_is_freed_within_a_second(seconds):
    """In the middle of its answers or silent for long: the log tells when its stream ended."""
    with process() as (server, address):
        script = CALLER.replace("SECONDS", str(seconds))
        with subprocess.Popen(
            [sys.executable, "-c", script, address], stdout=subprocess.PIPE
        ) as caller:
            for _ in range(2):
                caller.stdout.readline()
            time.sleep(0.1)
            caller.kill()
            began = time.monotonic()
            for line in server.stderr:
                if "Converse" in line:
                    break
            assert time.monotonic() - began < 1
    # Of a broken connection gRPC may tell the end of the messages before the reason of the end.
    assert json.loads(line)["code"] in {"CANCELLED", "ABORTED"}


def test_200_idle_streams_delay_no_call_and_no_health():
    """Each holds a thread that nobody else waits for."""
    silence = threading.Event()

    def turns():
        yield pb.BlackBoxServiceConverseRequest(turn=start())
        silence.wait(60)

    with serving() as call:
        stub = black_box_pb2_grpc.BlackBoxServiceStub(call.channel)
        # A connection carries about 100 streams at a time.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        others = [grpc.insecure_channel(call.server.address, options) for _ in range(4)]
        stubs = [black_box_pb2_grpc.BlackBoxServiceStub(channel) for channel in others]
        streams = [stubs[i % 4].Converse(turns(), timeout=60) for i in range(200)]
        assert all(next(stream).reply.ask.number == 0 for stream in streams)
        health = health_pb2_grpc.HealthStub(call.channel)
        took = []
        for _ in range(10):
            began = time.monotonic()
            assert health.Check(health_pb2.HealthCheckRequest(), timeout=5).status == 1
            assert call("ServerService/GetServerInfo").version
            assert stub.Step(pb.BlackBoxServiceStepRequest(turn=start()), timeout=5).token
            took.append(time.monotonic() - began)
        assert min(took) < 0.1
        assert max(took) < 1
        silence.set()
        for stream in streams:
            stream.cancel()
        for channel in others:
            channel.close()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token[:-1],
        lambda token: token[: len(token) // 2],
        lambda token: token + b"\0",
        lambda _: os.urandom(200),
        lambda token: token.replace(b"session 1", b"session 2"),
        lambda token: bytes([*token[:-1], token[-1] ^ 1]),
    ],
    ids=["a byte short", "half", "a byte long", "foreign", "of another version", "a bit"],
)
def test_a_spoiled_token_is_an_invalid_argument_with_its_field(call, spoil):
    """Over the wire, with the path that a client in any language reads."""
    stub = black_box_pb2_grpc.BlackBoxServiceStub(call.channel)
    token = stub.Step(pb.BlackBoxServiceStepRequest(turn=start()), timeout=5).token
    answer = pb.Turn(answer=pb.Answer(number=0))
    found = call.failure("BlackBoxService/Step", token=spoil(token), turn=answer)
    assert (found.code, found.field) == ("INVALID_ARGUMENT", "token")


def test_a_replayed_token_answers_as_the_first_time_and_not_out_of_turn(call):
    """Taking a turn twice is a retry; a later answer to an earlier token names its number."""
    values = {"shape": [6], "values": range(6)}
    first = call("BlackBoxService/Step", turn=start())
    answer = pb.Turn(answer=pb.Answer(number=0, values=values))
    replies = [call("BlackBoxService/Step", token=first.token, turn=answer) for _ in range(2)]
    assert replies[0] == replies[1]
    late = pb.Turn(answer=pb.Answer(number=1, values=values))
    found = call.failure("BlackBoxService/Step", token=first.token, turn=late)
    assert (found.code, found.field) == ("INVALID_ARGUMENT", "turn.answer.number")
