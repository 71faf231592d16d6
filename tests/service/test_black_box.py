"""The session of a black box: tokens, rules of the conversation, streams that end."""

from __future__ import annotations

import threading
import time

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.gradcheck.v1 import black_box_pb2_grpc, report_pb2, tensor_pb2
from oracle.service import black_box as service
from oracle.service import sealing
from oracle.service.decoding import Decoded
from oracle.service.pools import Placed, Pools
from oracle.service.ports import CannotServe
from oracle.service.sealing import MAX_SESSION_BYTES, Seal, keys_of
from oracle.service.server import CONVERSE
from oracle.service.shares import Shares
from oracle.service.status import Statuses
from oracle.splitmix import positive_signs
from oracle.values import InvalidInput
from oracle.wire import tensor


def start() -> pb.Turn:
    """Return the first turn of a numerical gradient of three coordinates."""
    x = pb.BlackBoxTensor(name="x", shape=[3], data_type=tensor_pb2.DATA_TYPE_FLOAT64)
    return pb.Turn(start=pb.Start(numerical_gradient=pb.BlackBoxNumericalGradient(tensors=[x])))


def answer(number: int = 0, count: int = 6) -> pb.Turn:
    """Return the turn that answers ask `number` with `count` values."""
    return pb.Turn(answer=pb.Answer(number=number, values=tensor.encode(np.arange(float(count)))))


SEAL = Seal(keys_of(""))


def step(token, turn, *, seal=SEAL, earlier=(), holder=""):
    """Take a turn; return the token and the reply."""
    request = pb.BlackBoxServiceStepRequest(token=token, turn=turn, earlier=earlier)
    response = service.step(request, seal, holder=holder)
    return response.token, response.reply


@given(turns=st.lists(st.binary(max_size=50)))
def test_a_token_holds_the_turns_that_were_sealed_in_it(turns):
    """Sealing loses nothing, so a session that travels is the session that was."""
    assert SEAL.open(SEAL.close(turns, 1)) == turns


@given(token=st.binary(min_size=1, max_size=200))
def test_a_foreign_token_is_an_invalid_argument(token):
    """Any bytes may arrive; none of them may reach an internal error."""
    with pytest.raises(InvalidInput, match="token"):
        step(token, answer())


@given(data=st.data())
def test_a_damaged_token_is_an_invalid_argument(data):
    """The digest covers every byte of the session."""
    token, _ = step(b"", start())
    position = data.draw(st.integers(0, len(token) - 1), label="position")
    flip = data.draw(st.integers(1, 255), label="flip")
    damaged = bytearray(token)
    damaged[position] ^= flip
    with pytest.raises(InvalidInput, match="token"):
        step(bytes(damaged), answer())


def test_a_token_is_for_its_check_and_its_caller_and_is_looked_at_before_it_is_unpacked(
    monkeypatch,
):
    """Replayed across checks, by another caller, forged: before anything is unpacked."""
    token, reply = step(b"", start(), holder="ci")
    other, elsewhere = step(b"", check_start(), holder="ci")
    assert reply.ask.mark not in (0, elsewhere.ask.mark)
    mine = answer()
    mine.answer.mark = reply.ask.mark
    forged, _ = step(b"", start(), seal=Seal(keys_of("")), holder="ci")
    unpack = sealing.zlib.decompressobj
    monkeypatch.setattr(sealing.zlib, "decompressobj", lambda: pytest.fail("it was unpacked"))
    for bad, holder in ((other, "ci"), (token, "somebody"), (forged, "ci")):
        with pytest.raises(InvalidInput) as caught:
            step(bad, mine, holder=holder)
        assert caught.value.argument == "token"
    monkeypatch.setattr(sealing.zlib, "decompressobj", unpack)
    assert step(token, mine, holder="ci")[1].result.tensors


def test_keys_come_from_a_file_that_may_change(tmp_path):
    """The first seals, all open, so that one can take the place of another."""
    file = tmp_path / "keys"
    old, new = "a" * 32, "b" * 40
    file.write_text(f"{old}\n")
    first, second = Seal(keys_of(str(file))), Seal(keys_of(str(file)))
    token, _ = step(b"", start(), seal=first)
    assert step(token, answer(), seal=second)[1].result.tensors
    file.write_text(f"{new}\n{old}\n")
    both = Seal(keys_of(str(file)))
    assert step(token, answer(), seal=both)[1].result.tensors
    file.write_text(f"{new}\n")
    with pytest.raises(InvalidInput, match="token"):
        step(token, answer(), seal=Seal(keys_of(str(file))))
    for text in ("", "short", f"{old}\nshort"):
        file.write_text(text)
        with pytest.raises(CannotServe, match="keys of at least 32"):
            keys_of(str(file))


def test_a_conversation_goes_on_by_what_was_said_in_it():
    """With the marks of its asks: of a server that asks otherwise it is refused."""
    _, reply = step(b"", start())
    said = answer()
    said.answer.mark = reply.ask.mark
    _, there = step(b"", said, earlier=[start()])
    assert there.result.tensors
    said.answer.mark += 1
    with pytest.raises(InvalidInput, match="be that of the ask that is answered"):
        step(b"", said, earlier=[start()])
    for turns, field in (([answer()], "earlier"), ([start(), said], "earlier")):
        with pytest.raises(InvalidInput) as caught:
            step(b"", answer(), earlier=turns)
        assert caught.value.argument == field
    token, _ = step(b"", start())
    with pytest.raises(InvalidInput, match="left out with a token"):
        step(token, answer(), earlier=[start()])


def test_a_session_that_outgrew_its_token_is_told_so():
    """What it unpacks to is bounded, and a session that is cut off would be another one."""
    turn = bytes(MAX_SESSION_BYTES // 2)
    with pytest.raises(InvalidInput, match="a longer session"):
        SEAL.open(SEAL.close([turn, turn], 1))


@given(turns=st.lists(st.binary(max_size=30), max_size=4))
def test_a_well_sealed_token_without_a_session_is_an_invalid_argument(turns):
    """One that a server of the same key sealed, and that is none to this one."""
    with pytest.raises(InvalidInput):
        step(SEAL.close(turns, 1), answer())


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
    token, _ = step(b"", start())
    with pytest.raises(InvalidInput) as caught:
        step(token, turn)
    assert caught.value.argument == field


def test_a_descent_from_nowhere_is_an_invalid_argument():
    """A caller in any language is told at once, and not by an end that is not a number."""
    x = [
        tensor_pb2.NamedTensor(name=name, tensor=tensor.encode(np.array([1.0, value])))
        for name, value in (("a", 2.0), ("b", np.nan))
    ]
    descent = pb.Start(gradient_descent=pb.BlackBoxGradientDescent(initial=x))
    with pytest.raises(InvalidInput, match="be finite") as caught:
        step(b"", pb.Turn(start=descent))
    assert caught.value.argument == "turn.start.gradient_descent.initial[1].tensor"


def test_a_step_is_the_central_difference_of_the_values():
    """Values 0 1 2 3 4 5 are pairs f(x + h), f(x - h): every difference is -1 over 2e-4."""
    token, _ = step(b"", start())
    rest, reply = step(token, answer())
    assert rest == b""
    gradient = tensor.decode(reply.result.tensors[0].tensor, "gradient")
    assert gradient.tolist() == [-1 / 2e-4] * 3


def check_start(**effort):
    """Return the first turn of a check of sum x_i^2 at three ones, which is right."""
    x = pb.BlackBoxTensor(
        name="x", shape=[3], data_type=tensor_pb2.DATA_TYPE_FLOAT64, largest=1, mean_square=1,
        gradient_largest=2, gradient_norm=12**0.5,
    )  # fmt: skip
    kind = tensor_pb2.DATA_TYPE_FLOAT64
    check = pb.BlackBoxCheck(tensors=[x], value_data_type=kind, **effort)
    return pb.Turn(start=pb.Start(check=check))


def check_answer(ask, **timing):
    """Return the turn that answers an ask of a check."""
    evaluations = []
    for probe in ask.probes:
        signs = np.where(positive_signs(probe.seed, probe.begin, probe.end), 1.0, -1.0)
        moved = np.ones(3)
        moved[probe.begin : probe.end] += probe.step * signs
        change = moved - 1
        evaluations.append(
            pb.Evaluation(
                value=moved @ moved, predicted=2 * change.sum(), moved=np.abs(change).max()
            )
        )
    return pb.Turn(answer=pb.Answer(number=ask.number, evaluations=evaluations, **timing))


@settings(max_examples=10)
@given(seconds=st.floats(0.5, 40), each=st.lists(st.floats(0, 10), min_size=40, max_size=40))
def test_a_timed_check_is_the_sum_of_its_turns(seconds, each):
    """No clock is read here: any server, at any time, gives the same replies to the same turns."""
    turn, elapsed = check_start(max_seconds=seconds), 0.0
    session = service.Session(turn.start)
    token, reply = step(b"", turn)
    assert (reply.ask.seconds_used, reply.ask.seconds_allowed) == (0, seconds)
    for pause in each:
        assert reply == session.reply
        if reply.HasField("result"):
            break
        elapsed += pause
        turn = check_answer(reply.ask, elapsed_seconds=elapsed)
        again = step(token, turn)[1]
        token, reply = step(token, turn)
        session.tell(turn.answer)
        assert again == reply
        if reply.HasField("ask"):
            assert (reply.ask.seconds_used, reply.ask.seconds_allowed) == (elapsed, seconds)
    assert reply.HasField("result")


def test_a_check_without_a_limit_of_time_echoes_none():
    """What was not asked for is not there."""
    _, reply = step(b"", check_start())
    assert not reply.ask.HasField("seconds_used")
    assert not reply.ask.HasField("seconds_allowed")


def test_evaluations_may_be_missing_once_the_time_is_over():
    """The caller need not go on evaluating to be told that it is too late."""
    token, reply = step(b"", check_start(max_seconds=2))
    late = check_answer(reply.ask, elapsed_seconds=2.5)
    del late.answer.evaluations[3:]
    _, reply = step(token, late)
    report = reply.result.report
    assert report.reason == report_pb2.INCONCLUSIVE_REASON_BUDGET_SPENT
    assert report.summary == "the 2 s allowed do not settle it"
    assert report.measured.evaluations == 3


@pytest.mark.parametrize("seconds", [0, -1, np.nan, np.inf])
def test_a_limit_of_time_is_a_positive_number(seconds):
    """Its field is named, as everywhere."""
    with pytest.raises(InvalidInput, match="finite and positive") as caught:
        step(b"", check_start(max_seconds=seconds))
    assert caught.value.argument == "turn.start.check.max_seconds"


@pytest.mark.parametrize(
    ("timing", "removed", "field"),
    [
        ({}, 0, "turn.answer.elapsed_seconds"),
        ({"elapsed_seconds": np.nan}, 0, "turn.answer.elapsed_seconds"),
        ({"elapsed_seconds": np.inf}, 0, "turn.answer.elapsed_seconds"),
        ({"elapsed_seconds": 0.5}, 0, "turn.answer.elapsed_seconds"),
        ({"elapsed_seconds": 1.5}, 1, "turn.answer.evaluations"),
    ],
)
def test_an_answer_to_a_timed_check_says_its_time(timing, removed, field):
    """A clock that is missing or runs backwards would never end the check."""
    token, reply = step(b"", check_start(max_seconds=2))
    token, reply = step(token, check_answer(reply.ask, elapsed_seconds=1))
    turn = check_answer(reply.ask, **timing)
    del turn.answer.evaluations[len(turn.answer.evaluations) - removed :]
    with pytest.raises(InvalidInput) as caught:
        step(token, turn)
    assert caught.value.argument == field


@pytest.fixture
def served():
    """Serve two conversations at a time; yield the servicer and a channel to it."""
    servicer = service.BlackBoxServicer(max_sessions=2, idle_seconds=0.5)
    pools = Pools(1, {CONVERSE: 4})
    server = grpc.server(
        pools,
        interceptors=[Placed(pools), Statuses(), Decoded(pools, Shares(2**26, "bytes"))],
        options=[("grpc.max_receive_message_length", -1)],
    )
    black_box_pb2_grpc.add_BlackBoxServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    pools.start()
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


def test_a_caller_that_does_not_read_is_cut_off(served):
    """It holds a place as a silent one does, and a large x is more than gRPC takes for it."""
    servicer, stub = served
    x = tensor_pb2.NamedTensor(name="x", tensor=tensor.encode(np.zeros(2**20)))
    descent = pb.Start(gradient_descent=pb.BlackBoxGradientDescent(initial=[x]))
    silence = threading.Event()

    def turns():
        yield pb.BlackBoxServiceConverseRequest(turn=pb.Turn(start=descent))
        silence.wait(20)

    call = stub.Converse(turns(), timeout=20)
    began = time.monotonic()
    while servicer.sessions._value == 2:
        assert time.monotonic() - began < 5
        time.sleep(0.001)
    while servicer.sessions._value < 2:
        assert time.monotonic() - began < 5
        time.sleep(0.01)
    silence.set()
    call.cancel()


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
