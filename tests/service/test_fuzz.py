"""Messages that nobody means, for every method over a real socket: errors of ours, and health.

By hand, some millions: HYPOTHESIS_PROFILE=thorough, as often as there is time.
"""

from __future__ import annotations

import math
import re

import grpc
import numpy as np
import pytest
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import given
from hypothesis import strategies as st

from tests.service.conftest import METHODS

NUMBERS = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-4, 5e-324, 1.8e308, -1.8e308, 1e-308, math.inf, math.nan]
COUNTS = [0, 1, 2, 3, 5, 100, -1, 2**31 - 1, -(2**31)]
LENGTHS = [0, 1, 2, 3, 4, -1, 2**20, 2**31, 2**47, 2**62, 2**63 - 1]
TEXTS = ["", "x", "W1", "\x00", "\x1b[2J", "::error::", "\N{GRINNING FACE}" * 700, "a" * 9000]
SIZES = (8, 4, 2, 2, 8, 4, 1)
LEAKS = re.compile(r"Traceback|\.py\b|/(usr|home|root|tmp|work)/| object at 0x|line \d+, in ")
SHORT = {"batch_size": 3, "step_num": 2, "report_every": 1, "max_evaluations": 5}
"""What a fuzz keeps small: more is honest work, which has tests of its own."""


@st.composite
def tensors(draw, kind):
    """A tensor: mostly one that holds together, else one that does not."""
    if draw(st.integers(0, 3)):
        shape = draw(st.lists(st.integers(0, 4), max_size=3))
        number = draw(st.integers(1, 7))
        size = math.prod(shape) * SIZES[number - 1]
        if draw(st.booleans()):
            values = [draw(st.sampled_from(NUMBERS)) for _ in range(math.prod(shape))]
            return kind(data_type=1, shape=shape, data=np.array(values).tobytes())
        fill = draw(st.sampled_from([b"\x00", b"\x01", b"\x3c", b"\xff"]))
        return kind(data_type=number, shape=shape, data=fill * size)
    return kind(
        data_type=draw(st.integers(0, 9)),
        shape=draw(st.lists(st.sampled_from(LENGTHS), max_size=4)),
        data=draw(st.binary(max_size=16)),
        values=draw(st.lists(st.sampled_from(NUMBERS), max_size=4)),
    )


@st.composite
def messages(draw, descriptor, depth=0):
    """A message of a class, with some of its fields."""
    kind = GetMessageClass(descriptor)
    if descriptor.name == "Tensor":
        return draw(tensors(kind))
    made = kind()
    for field in descriptor.fields:
        # Deep in a message nothing is left out: with half of it, little would be understood.
        if depth > 6 or not draw(st.integers(0, 5)):
            continue
        if field.containing_oneof and made.WhichOneof(field.containing_oneof.name):
            continue
        count = draw(st.integers(0, 3)) if field.is_repeated else 1
        for _ in range(count):
            if field.message_type:
                value = draw(messages(field.message_type, depth + 1))
                if field.message_type.GetOptions().map_entry:
                    continue
                if field.is_repeated:
                    getattr(made, field.name).append(value)
                else:
                    getattr(made, field.name).CopyFrom(value)
            else:
                value = draw(_scalar(field))
                if field.is_repeated:
                    getattr(made, field.name).append(value)
                else:
                    setattr(made, field.name, value)
    return made


def _scalar(field):
    if field.enum_type:
        return st.integers(0, 12)
    if field.name in SHORT:
        return st.sampled_from([0, 1, SHORT[field.name], -1])
    return {
        field.CPPTYPE_INT32: st.sampled_from(COUNTS),
        field.CPPTYPE_INT64: st.sampled_from([*COUNTS, *LENGTHS]),
        field.CPPTYPE_UINT32: st.sampled_from([0, 1, 2**32 - 1]),
        field.CPPTYPE_UINT64: st.sampled_from([0, 1, 2**64 - 1]),
        field.CPPTYPE_DOUBLE: st.sampled_from(NUMBERS),
        field.CPPTYPE_FLOAT: st.sampled_from(NUMBERS[:6]),
        field.CPPTYPE_BOOL: st.booleans(),
        field.CPPTYPE_STRING: st.binary(max_size=8)
        if field.type == field.TYPE_BYTES
        else st.sampled_from(TEXTS),
    }[field.cpp_type]


@st.composite
def requests(draw, method):
    """The bytes of a request: a message, or one that was damaged on its way."""
    data = bytearray(draw(messages(METHODS[method].input_type)).SerializeToString())
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, 3]))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


@pytest.mark.parametrize("name", sorted(METHODS))
@given(data=st.data())
def test_no_message_is_an_error_of_the_server(call, name, data):
    """Neither INTERNAL nor UNKNOWN, no text from inside, and the server serves on."""
    request = data.draw(requests(name))
    found = METHODS[name]
    path = f"/{found.containing_service.full_name}/{found.name}"
    try:
        # A message and its end: a conversation is abandoned after its first turn.
        for _ in call.channel.stream_stream(path)(iter([request]), timeout=20):
            pass
    except grpc.RpcError as error:
        code, text = error.code(), error.details() or ""
        assert code not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN), text
        assert not LEAKS.search(text)
    stub = health_pb2_grpc.HealthStub(call.channel)
    asked = health_pb2.HealthCheckRequest()
    assert stub.Check(asked, timeout=20).status == health_pb2.HealthCheckResponse.SERVING
