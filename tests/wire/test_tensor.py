"""Arrays keep every bit on the wire, and no header costs more than its bytes."""

from __future__ import annotations

import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as extra

from oracle.gradcheck.v1 import tensor_pb2 as pb
from oracle.wire import tensor
from oracle.wire.message import LARGE

DTYPES = {name: tensor.numpy_dtype(name) for name in tensor.NAMES}


@st.composite
def arrays(draw):
    """Draw an array of any type and shape from random bytes, so that NaNs have payloads."""
    dtype = DTYPES[draw(st.sampled_from(tensor.NAMES))]
    shape = draw(extra.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    count = int(np.prod(shape)) * dtype.itemsize
    data = draw(st.binary(min_size=count, max_size=count))
    if dtype.kind == "b":
        data = bytes(byte % 2 for byte in data)
    return np.frombuffer(data, dtype).reshape(shape)


def same(one, other):
    """Whether two arrays agree in type, shape and every bit."""
    return (one.dtype.name, one.shape, one.tobytes()) == (
        other.dtype.name,
        other.shape,
        other.tobytes(),
    )


@given(array=arrays())
def test_a_round_trip_keeps_every_bit(array):
    """NaN payloads, negative zeros and subnormals included: bytes are copied, never converted."""
    message = pb.Tensor.FromString(tensor.encode(array).SerializeToString())
    assert same(tensor.decode(message), array)


@given(array=arrays(), order=st.sampled_from(["F", "reversed", "big-endian"]))
def test_the_layout_in_memory_does_not_matter(array, order):
    """C order and little-endian on the wire, whatever the caller holds."""
    if order == "F":
        other = np.array(array, order="F")
    elif order == "reversed":
        other = array[::-1][::-1] if array.ndim else array
    else:
        other = array.astype(array.dtype.newbyteorder(">")) if array.itemsize > 2 else array
    assert tensor.encode(other) == tensor.encode(array)


TABLE = np.arange(6.0 * LARGE // 8).reshape(-1, 6)
"""Each of its columns is of the size from which on data are views."""


@pytest.mark.parametrize(
    "array",
    [
        TABLE.ravel()[::2],
        TABLE.ravel()[::-1],
        TABLE[:, 0],
        TABLE[:, ::2],
        TABLE.T,
        np.broadcast_to(1.5, LARGE),
        np.broadcast_to(TABLE[0], (LARGE, 6)),
    ],
    ids=["every-other", "backwards", "column", "columns", "transposed", "one-number", "one-row"],
)
def test_the_layout_of_a_large_array_does_not_matter(array):
    """A column of a table, say of labels, has gaps between its entries."""
    assert array.nbytes >= LARGE
    assert same(tensor.decode(tensor.encode(array)), array)


def test_special_numbers_of_every_floating_type_survive():
    """A payload, a signalling NaN, negative zero, the smallest subnormal."""
    patterns = {
        "float64": (np.uint64, [0x7FF8DEADBEEF0001, 0x7FF0000000000001, 1 << 63, 1]),
        "float32": (np.uint32, [0x7FC12345, 0x7F800001, 1 << 31, 1]),
        "float16": (np.uint16, [0x7E42, 0x7C01, 1 << 15, 1]),
        "bfloat16": (np.uint16, [0x7FC7, 0x7F81, 1 << 15, 1]),
    }
    for name, (words, bits) in patterns.items():
        array = np.array(bits, words).view(DTYPES[name])
        assert tensor.decode(tensor.encode(array)).view(words).tolist() == bits, name


@pytest.mark.parametrize(
    ("name", "value", "data"),
    [
        ("float64", 1.5, "000000000000f83f"),
        ("float32", 1.5, "0000c03f"),
        ("float16", 1.5, "003e"),
        ("bfloat16", 1.5, "c03f"),
        ("int64", -2, "feffffffffffffff"),
        ("int32", 258, "02010000"),
        ("bool", True, "01"),
    ],
)
def test_the_bytes_are_those_of_the_contract(name, value, data):
    """Written down, because a client in another language makes them by hand."""
    message = tensor.encode(np.array([value], DTYPES[name]))
    assert (message.data.hex(), list(message.shape)) == (data, [1])
    assert message.data_type == tensor.encode_data_type(name)


@given(values=st.lists(st.floats(width=32), min_size=1, max_size=5))
def test_values_by_hand_are_the_same_numbers(values):
    """The second form of a tensor holds what the first holds."""
    message = pb.Tensor(shape=[len(values)], values=values)
    np.testing.assert_array_equal(tensor.decode(message), np.array(values))
    message.data_type = pb.DATA_TYPE_FLOAT32
    np.testing.assert_array_equal(tensor.decode(message), np.array(values, np.float32))


@given(values=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=5))
def test_integers_by_hand_are_exact(values):
    """Numbers that the type holds are taken, as the contract says."""
    for name in ("int64", "int32"):
        data_type = tensor.encode_data_type(name)
        message = pb.Tensor(data_type=data_type, shape=[len(values)], values=values)
        assert tensor.decode(message).tolist() == values


def test_an_empty_tensor_sets_neither_form():
    """A dimension of 0 means no entries, not a missing tensor."""
    message = tensor.encode(np.zeros((2, 0)))
    assert message.data == b""
    assert tensor.decode(message).shape == (2, 0)


def test_a_decoded_tensor_is_not_to_be_written():
    """It is the message's memory."""
    for message in (tensor.encode(np.ones(2)), pb.Tensor(shape=[2], values=[1, 2])):
        assert not tensor.decode(message).flags.writeable


@pytest.mark.parametrize("shape", [(2**40,), (2**62, 2**62), (2**31,) * 32, (1,) * 33, (-1,)])
def test_a_header_costs_no_memory(shape):
    """The count is compared with the bytes before anything is made of it."""
    message = pb.Tensor(data_type=1, shape=shape, data=b"12345678")
    tracemalloc.start()
    try:
        with pytest.raises(tensor.MalformedTensor):
            tensor.decode(message)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("array", [np.ones(1, complex), np.ones(1, np.uint64), np.array(["a"])])
def test_a_type_without_a_number_on_the_wire_is_refused(array):
    """Nothing is converted behind the caller's back."""
    with pytest.raises(tensor.MalformedTensor, match="data_type"):
        tensor.encode(array)


def test_bfloat16_needs_no_name_of_its_own():
    """ml_dtypes gives NumPy the type."""
    assert DTYPES["bfloat16"] == np.dtype(ml_dtypes.bfloat16)
