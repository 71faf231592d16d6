"""Laws of the wire: it converts, and changes no bit."""

from __future__ import annotations

import contextlib
import math

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from oracle.gradcheck.v1 import tensor_pb2
from oracle.wire import tensor

SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)


@st.composite
def arrays(draw):
    """Any bits at all: NaN payloads, negative zeros and subnormals are among them."""
    name, shape = draw(st.sampled_from(tensor.NAMES)), draw(SHAPES)
    dtype = tensor.numpy_dtype(name)
    count = math.prod(shape) * dtype.itemsize
    data = draw(st.binary(min_size=count, max_size=count))
    if name == "bool":
        data = bytes(byte & 1 for byte in data)
    return np.frombuffer(data, dtype).reshape(shape)


def sent(array):
    message = tensor_pb2.Tensor()
    message.ParseFromString(tensor.encode(array).SerializeToString())
    return tensor.decode(message)


def same(a, b):
    return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


@given(arrays())
def test_round_trip_bit_for_bit(array):
    """The bytes are the message."""
    assert same(sent(array), array)


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [
        ("float64", 0x7FF0_0000_0000_0001),
        ("float64", 0xFFF8_DEAD_BEEF_0001),
        ("float64", 0x8000_0000_0000_0000),
        ("float32", 0x7F80_0001),
        ("float32", 0x8000_0000),
        ("float16", 0x7C01),
        ("bfloat16", 0x7F81),
    ],
)
def test_no_bit_of_a_special_number_is_lost(dtype, bits):
    """Signalling NaNs stay signalling, payloads stay, and zero keeps its sign."""
    kind = tensor.numpy_dtype(dtype)
    array = np.array(bits, f"<u{kind.itemsize}").view(kind)
    assert same(sent(array), array)


@given(arrays())
def test_layout_in_memory_changes_nothing(array):
    """Strides are the sender's own business."""
    assert same(sent(np.array(array, order="F")), array)
    assert same(sent(array.T), np.ascontiguousarray(array.T).reshape(array.T.shape))


@given(arrays())
def test_byte_order_in_memory_changes_nothing(array):
    """The wire is little-endian wherever it starts."""
    if array.dtype.name == "bfloat16":
        return
    assert same(sent(array.astype(array.dtype.newbyteorder(">"))), array)


@given(st.lists(st.floats(width=32), min_size=1), st.sampled_from(["float64", "float32"]))
def test_numbers_written_by_hand_are_those_of_the_bytes(numbers, dtype):
    """JSON has `values`; a float32 written as a double is still that float32."""
    message = tensor_pb2.Tensor(
        data_type=tensor.encode_data_type(dtype), shape=[len(numbers)], values=numbers
    )
    assert np.array_equal(tensor.decode(message), np.array(numbers, dtype), equal_nan=True)


@given(st.binary(max_size=200))
def test_random_bytes_are_a_tensor_or_a_refusal(data):
    """Nothing else is raised, and nothing larger than the message is made."""
    message = tensor_pb2.Tensor()
    with contextlib.suppress(DecodeError, tensor.MalformedTensor):
        message.ParseFromString(data)
        assert tensor.decode(message).nbytes <= 8 * len(data)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40), st.integers(-1, 9), st.binary())
def test_no_shape_makes_the_decoder_trust_it(shape, data_type, data):
    """A shape is compared with the bytes before anything is allocated."""
    message = tensor_pb2.Tensor(data_type=data_type, shape=shape, data=data)
    with contextlib.suppress(tensor.MalformedTensor):
        assert tensor.decode(message).nbytes == len(data)
