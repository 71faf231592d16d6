"""The conversation about a black box: plain values to messages and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.gradcheck.v1 import tensor_pb2
from oracle.values import Array, InvalidInput
from oracle.wire import tensors

DTYPES = {
    tensor_pb2.DATA_TYPE_FLOAT64: "float64",
    tensor_pb2.DATA_TYPE_FLOAT32: "float32",
    tensor_pb2.DATA_TYPE_FLOAT16: "float16",
    tensor_pb2.DATA_TYPE_BFLOAT16: "bfloat16",
}
DATA_TYPES = {name: data_type for data_type, name in DTYPES.items()}


def encode_dtype(dtype: np.dtype[Any]) -> tensor_pb2.DataType.ValueType:
    """Name a floating type on the wire."""
    return DATA_TYPES[dtype.name]


def decode_dtype(data_type: tensor_pb2.DataType.ValueType, field: str) -> str:
    """Read the name of a floating type; `field` is where it stands in the message, for errors."""
    if data_type not in DTYPES:
        raise InvalidInput(field, "be a floating type", str(data_type))
    return DTYPES[data_type]


def encode_evaluation(value: float, predicted: float, moved: float) -> pb.Evaluation:
    """Make the answer to a probe at which f has a value; one that is not finite is outside."""
    if math.isfinite(value):
        return pb.Evaluation(value=value, predicted=predicted, moved=moved)
    return pb.Evaluation(outside=f"f is {value}", predicted=predicted, moved=moved)


def decode_tensors(messages: Sequence[tensor_pb2.NamedTensor], field: str) -> dict[str, Array]:
    """Read named tensors as arrays that may be written; `field` is their place, for errors.

    Raises
    ------
    InvalidInput, MalformedTensor
        If one is not set, or does not describe an array.
    """
    return {name: np.array(array) for name, array in tensors.decode(messages, field).items()}


def concatenate(values: Sequence[Array]) -> Array:
    """Join values of f in the one type that f returned them in."""
    return np.array(values) if values else np.zeros(0)
