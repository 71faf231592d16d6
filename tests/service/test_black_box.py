"""The session of a black box: tokens, rules of the conversation, streams that end."""

from __future__ import annotations

import threading
import time
from concurrent import futures

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.gradcheck.v1 import black_box_pb2_grpc, tensor_pb2
from oracle.service import black_box as service
from oracle.service.status import Statuses
from oracle.values import InvalidInput
from oracle.wire import tensor


def start() -> pb.Turn:
    """Return the first turn of a numerical gradient of three coordinates."""
    x = pb.BlackBoxTensor(name="x", shape=[3], data_type=tensor_pb2.DATA_TYPE_FLOAT64)
    return pb.Turn(start=pb.Start(numerical_gradient=pb.BlackBoxNumericalGradient(tensors=[x])))


def answer(number: int = 0, count: int = 6) -> pb.Turn:
    """Return the turn that answers ask `number` with `count` values."""
    return pb.Turn(answer=pb.Answer(number=number, values=tensor.encode(np.arange(float(count)))))


@given(turns=st.lists(st.binary(max_size=50)))
def test_a_token_holds_the_turns_that_were_sealed_in_it(turns):
    """Sealing loses nothing, so a session that travels is the session that was."""
    assert service.unseal(service.seal(turns)) == turns


@given(token=st.binary(min_size=1, max_size=200))
def test_a_foreign_token_is_an_invalid_argument(token):
    """Any bytes may arrive; none of them may reach an internal error."""
    with pytest.raises(InvalidInput, match="token"):
        service.step(token, answer())


@given(data=st.data())
def test_a_damaged_token_is_an_invalid_argument(data):
    """The digest covers every byte of the session."""
    token, _ = service.step(b"", start())
    position = data.draw(st.integers(0, len(token) - 1), label="position")
    flip = data.draw(st.integers(1, 255), label="flip")
    damaged = bytearray(token)
    damaged[position] ^= flip
    with pytest.raises(InvalidInput, match="token"):
        service.step(bytes(damaged), answer())


@given(turns=st.lists(st.binary(max_size=30), max_size=4))
def test_a_well_sealed_token_without_a_session_is_an_invalid_argument(turns):
    """A digest is no secret: what it seals is still not to be trusted."""
    with pytest.raises(InvalidInput):
        service.step(service.seal(turns), answer())


@pytest.mark.parametrize(
    ("turn", "field"),
    [
        (answer(number=1), "turn.answer.number"),
        (answer(count=5), "turn.answer.values"),
        (start(), "turn"),
        (pb.Turn(), "turn"),
    ],
)
def test_a_turn_against_the_rules_names_its_field(turn, field):
    """The caller learns which part of its message was wrong."""
    token, _ = service.step(b"", start())
    with pytest.raises(InvalidInput) as caught:
        service.step(token, turn)
    assert caught.value.argument == field


def test_a_step_is_the_central_difference_of_the_values():
    """Values 0 1 2 3 4 5 are pairs f(x + h), f(x - h): every difference is -1 over 2e-4."""
    token, _ = service.step(b"", start())
    rest, reply = service.step(token, answer())
    assert rest == b""
    gradient = tensor.decode(reply.result.tensors[0].tensor, "gradient")
    assert gradient.tolist() == [-1 / 2e-4] * 3


@pytest.fixture
def served():
    """Serve two conversations at a time; yield the servicer and a channel to it."""
    servicer = service.BlackBoxServicer(max_sessions=2, idle_seconds=0.5)
    server = grpc.server(futures.ThreadPoolExecutor(1), interceptors=[Statuses()])
    black_box_pb2_grpc.add_BlackBoxServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(
        f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]
    ) as channel:
        yield servicer, black_box_pb2_grpc.BlackBoxServiceStub(channel)
    server.stop(0).wait()


def open_stream(stub):
    """Open a stream whose caller says start and then falls silent until the event is set."""
    silence = threading.Event()

    def turns():
        yield pb.BlackBoxServiceConverseRequest(turn=start())
        silence.wait(20)

    call = stub.Converse(turns(), timeout=20)
    assert next(call).reply.ask.number == 0
    return call, silence


def test_idle_streams_leave_unary_calls_their_threads(served):
    """Streams have a pool of their own: one thread is enough for Step beside two idle streams."""
    _, stub = served
    streams = [open_stream(stub) for _ in range(2)]
    response = stub.Step(pb.BlackBoxServiceStepRequest(turn=start()), timeout=5)
    assert response.token
    with pytest.raises(grpc.RpcError) as caught:
        next(stub.Converse(iter([pb.BlackBoxServiceConverseRequest(turn=start())]), timeout=5))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    for call, silence in streams:
        call.cancel()
        silence.set()


def test_a_cancelled_stream_is_freed_within_a_second(served):
    """The caller's death ends the wait for its next turn, and the session with it."""
    servicer, stub = served
    call, silence = open_stream(stub)
    call.cancel()
    silence.set()
    assert servicer.sessions.acquire(timeout=1)
    assert servicer.sessions.acquire(timeout=1)


def test_a_silent_caller_is_cut_off(served):
    """The wait for a turn has an end even if the caller never speaks and never leaves."""
    _, stub = served
    call, silence = open_stream(stub)
    began = time.monotonic()
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    assert caught.value.code() is grpc.StatusCode.CANCELLED
    assert time.monotonic() - began < 5
    silence.set()
