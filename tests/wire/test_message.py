"""Large tensors go out and come in without copies, and on the wire nobody can tell."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from oracle.gradcheck.v1 import black_box_pb2, graph_pb2
from oracle.gradcheck.v1 import two_layer_net_pb2 as pb
from oracle.wire import message, tensor, tensors

REQUEST = pb.TwoLayerNetServiceLossRequest
SIZES = st.sampled_from([0, 1, message.LARGE // 8 - 1, message.LARGE // 8, message.LARGE // 8 + 17])


def whole(value):
    """The fields of a request with views made bytes, as the constructors of messages want them."""
    if isinstance(value, dict):
        return {name: whole(item) for name, item in value.items()}
    return bytes(value) if isinstance(value, memoryview) else value


@st.composite
def requests(draw):
    """Fields of a request whose tensors are small, large, or not there."""
    names = draw(st.sets(st.sampled_from(["w1", "b1", "w2", "b2"])))
    fields = {
        "parameters": {
            name: tensor.fields(np.arange(draw(SIZES), dtype=float)[None]) for name in sorted(names)
        },
        "inputs": tensor.fields(np.arange(draw(SIZES), dtype=float)),
        "delta": 0.5,
    }
    form = draw(st.sampled_from(["labels", "probabilities", ""]))
    if form:
        fields["targets"] = {form: tensor.fields(np.arange(draw(SIZES)))}
    return fields


def fields_of(request):
    """What a handler reads of a request."""
    found = {
        name: tensor.decode(getattr(request.parameters, name)).tolist()
        for name in ("w1", "b1", "w2", "b2")
        if request.parameters.HasField(name)
    }
    form = request.targets.WhichOneof("form")
    if form:
        found[form] = tensor.decode(getattr(request.targets, form)).tolist()
    return found | {"x": tensor.decode(request.inputs).tolist(), "delta": request.delta}


@given(fields=requests())
def test_a_message_is_the_one_that_protobuf_writes(fields):
    """A reader that knows nothing of this project reads the same message."""
    data = message.build(REQUEST, **fields).SerializeToString()
    assert REQUEST.FromString(data) == REQUEST(**whole(fields))


@given(fields=requests())
def test_a_message_reads_as_protobuf_reads_it(fields):
    """The order of fields and the split into large and small change nothing."""
    data = REQUEST(**whole(fields)).SerializeToString()
    assert fields_of(message.reader(REQUEST)(data)) == fields_of(REQUEST.FromString(data))


@given(sizes=st.lists(SIZES, max_size=4))
def test_named_tensors_are_read_and_written_as_protobuf_does(sizes):
    """Each of several is a view of its own, or small; the order is kept."""
    arrays = {f"W{k}": np.arange(size, dtype=float) for k, size in enumerate(sizes)}
    sent = message.build(graph_pb2.EvaluateRequest, inputs=tensors.fields(arrays))
    data = sent.SerializeToString()
    expected = graph_pb2.EvaluateRequest(inputs=tensors.encode(arrays))
    assert graph_pb2.EvaluateRequest.FromString(data) == expected
    for whole in (data, expected.SerializeToString()):
        found = tensors.decode(message.reader(graph_pb2.EvaluateRequest)(whole).inputs, "inputs")
        assert {n: a.tolist() for n, a in found.items()} == {
            n: a.tolist() for n, a in arrays.items()
        }
        for array in found.values():
            shared = np.shares_memory(array, np.frombuffer(whole, np.uint8))
            assert shared == (array.nbytes >= message.LARGE)


LARGE = REQUEST(inputs=tensor.encode(np.zeros(message.LARGE // 8))).SerializeToString()


@given(at=st.integers(0, 30), byte=st.integers(0, 255), cut=st.integers(0, 40))
@example(at=0, byte=0x0B, cut=0)
@example(at=0, byte=0xFF, cut=len(LARGE) - 3)
def test_a_damaged_message_is_what_protobuf_makes_of_it(at, byte, cut):
    """Damage is an error for both, or the same message for both."""
    data = bytearray(LARGE[: len(LARGE) - cut])
    data[at % max(1, len(data))] = byte
    damaged = bytes(data)
    try:
        expected = REQUEST.FromString(damaged)
    except DecodeError:
        with pytest.raises(DecodeError):
            message.reader(REQUEST)(damaged)
        return
    found = message.reader(REQUEST)(damaged)
    assert bytes(found.inputs.data) == expected.inputs.data
    assert list(found.inputs.shape) == list(expected.inputs.shape)


@pytest.mark.parametrize("first", [LARGE, REQUEST(inputs={"shape": [1], "data": b"1"})])
def test_a_field_that_comes_twice_is_merged(first):
    """Protobuf lets the last one win, entry by entry; such bytes are left to it."""
    one = first if isinstance(first, bytes) else first.SerializeToString()
    data = LARGE + one + REQUEST(delta=2.0).SerializeToString()
    found, expected = message.reader(REQUEST)(data), REQUEST.FromString(data)
    assert found == expected


def test_a_large_tensor_is_copied_once_out_and_not_at_all_in():
    """Eight megabytes take eight, and a few thousand bytes beside them."""
    array = np.zeros(2**20)
    tracemalloc.start()
    data = message.build(REQUEST, inputs=tensor.fields(array)).SerializeToString()
    sent = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    found = tensor.decode(message.reader(REQUEST)(data).inputs)
    received = tracemalloc.get_traced_memory()[1] - len(data)
    tracemalloc.stop()
    assert np.shares_memory(found, np.frombuffer(data, np.uint8))
    assert sent < 1.01 * array.nbytes
    assert received < 0.01 * array.nbytes


@given(fields=requests(), unknown=st.sampled_from([0, 1, 300, 2 * message.MOST_FIELDS]))
def test_a_message_of_many_fields_reads_as_protobuf_reads_it(fields, unknown):
    """Fields nobody knows come before the large tensors; who reads them does not matter."""
    data = b"\xf8\x7f\x00" * unknown + REQUEST(**whole(fields)).SerializeToString()
    assert fields_of(message.reader(REQUEST)(data)) == fields_of(REQUEST.FromString(data))


@pytest.mark.parametrize("field", [b"\x00", b"\xf8\x7f\x00", b"\x0a\x00", b"\xfa\x7f\x00"])
def test_few_fields_are_looked_at_in_python(field, monkeypatch):
    """Millions of fields in a message of some megabytes would hold up all that are served."""
    looks = []
    number = message._number
    monkeypatch.setattr(message, "_number", lambda *at: looks.append(at) or number(*at))
    with suppress(DecodeError):
        message.reader(REQUEST)(field * 2**20)
    assert len(looks) <= 2 * message.MOST_FIELDS


STEP = black_box_pb2.BlackBoxServiceStepRequest


def answered(evaluation, count):
    """Return the bytes of a step whose answer holds the same evaluation many times."""
    answer = black_box_pb2.Answer.FromString(b"\x12" + bytes([len(evaluation)]) + evaluation)
    assert len(answer.evaluations) == 1
    data = answer.SerializeToString() * count
    for field in (b"\x12", b"\x12"):
        data = field + message._varint(len(data)) + data
    return data


def test_messages_that_take_no_bytes_are_counted_before_they_take_memory():
    """Each takes 2 bytes of a request and 64 of memory."""
    with pytest.raises(message.TooManyMessages, match="524,288"):
        message.reader(STEP)(answered(b"", 2**20))


def test_an_answer_of_many_evaluations_is_read():
    """As many as one check may ask for at once."""
    evaluation = black_box_pb2.Evaluation(value=3.25, predicted=3.25, moved=3.25)
    read = message.reader(STEP)(answered(evaluation.SerializeToString(), 250_000))
    assert len(read.turn.answer.evaluations) == 250_000


def test_numbers_that_look_like_fields_are_numbers():
    """Each entry holds the byte that an inner message begins with: 0x0a."""
    start = STEP()
    start.turn.start.gradient_descent.initial.add(
        name="x", tensor=tensor.encode(np.full(2**20, 3.25))
    )
    read = message.reader(STEP)(start.SerializeToString()).turn.start.gradient_descent.initial
    assert tensor.decode(read[0].tensor).sum() == 3.25 * 2**20
