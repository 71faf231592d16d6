"""Arrays to `Tensor` messages and back: little-endian bytes in C order, nothing guessed."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from oracle.gradcheck.v1 import tensor_pb2 as pb
from oracle.values import Array
from oracle.wire.message import LARGE

MAX_RANK = 32
MOST_PLACES = 2**48
"""Product of the lengths of a shape that are not 0: of more, what is made of it has no address."""

NAMES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "bool")
_SIZES = dict(zip(NAMES, (8, 4, 2, 2, 8, 4, 1), strict=True))
_NUMBERS: dict[str, Any] = {name: pb.DataType.Value(f"DATA_TYPE_{name.upper()}") for name in NAMES}


class MalformedTensor(Exception):
    """A message that does not describe an array; `field` is the path of what is wrong in it."""

    def __init__(self, field: str, requirement: str, was: str) -> None:
        super().__init__(f"`{field}` must {requirement}, got {was}")
        self.field = field
        self.requirement = requirement
        self.was = was


def encode_data_type(name: str) -> Any:
    """Return the enum value of a dtype's name."""
    if name not in _NUMBERS:
        raise MalformedTensor("data_type", f"be one of {', '.join(NAMES)}", name)
    return _NUMBERS[name]


def decode_data_type(number: int, field: str = "data_type") -> str:
    """Return the dtype's name of an enum value."""
    if not 1 <= number <= len(NAMES):
        raise MalformedTensor(field, f"be one of {', '.join(NAMES)}", f"{number}")
    return NAMES[number - 1]


@functools.lru_cache(64)
def _name(dtype: np.dtype[Any]) -> str:
    return dtype.name  # NumPy puts it together at every look.


@functools.cache
def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return the little-endian NumPy dtype of a name."""
    if name == "bfloat16":
        import ml_dtypes  # noqa: PLC0415 - only those who send bfloat16 pay for it

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name).newbyteorder("<")


def fields(array: Any) -> Any:
    """Return the fields of an array's message, for `message.build` of one that contains it.

    The data of a large array that lies in C order are a view of it, not a copy.
    """
    array = np.asarray(array)
    name = _name(array.dtype)
    little = array.astype(numpy_dtype(name), copy=False) if name in _NUMBERS else array
    view = little.nbytes >= LARGE
    return {
        "data_type": encode_data_type(name),
        "shape": array.shape,
        "data": _memory(little) if view else little.tobytes(),
    }


def _memory(array: Array) -> memoryview:
    """Return the bytes of an array in C order: a view of its own if they lie so, else of a copy."""
    # Reshaping alone keeps the gaps of a vector such as x[::2], which has no view as bytes.
    entries: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return memoryview(entries)


def encode(array: Any) -> pb.Tensor:
    """Return the message of an array."""
    found = fields(array)
    return pb.Tensor(**found | {"data": bytes(found["data"])})


def decode(message: pb.Tensor, field: str = "tensor", untyped: str = "float64") -> Array:
    """Return a read-only array over the bytes of the message.

    Numbers in `values` whose type is not set are `untyped`.

    Raises
    ------
    MalformedTensor
        If the message does not describe an array; `field` is its path in the request.
    """
    # Every look at a field makes an object of it anew, and one at the data copies them.
    data, values, number = message.data, message.values, message.data_type
    # The form with `values` needs no type.
    if not (data or number):
        number = _NUMBERS[untyped]
    name = decode_data_type(number, f"{field}.data_type")
    rank = len(message.shape)
    if rank > MAX_RANK:
        raise MalformedTensor(f"{field}.shape", f"have at most {MAX_RANK} dimensions", f"{rank}")
    shape = tuple(message.shape)
    if min(shape, default=0) < 0:
        raise MalformedTensor(f"{field}.shape", "not be negative", f"{shape}")
    count = math.prod(shape)
    if data and values:
        raise MalformedTensor(field, "hold either data or values", "both")
    if values:
        return _from_values(message, name, shape, count, field)
    if len(data) != count * _SIZES[name]:
        raise MalformedTensor(
            f"{field}.data",
            f"hold {count * _SIZES[name]} bytes for {name} of shape {shape}",
            f"{len(data)} bytes",
        )
    flat: Array = np.frombuffer(data, dtype=numpy_dtype(name))
    if name == "bool" and flat.size and int(flat.view(np.uint8).max()) > 1:
        raise MalformedTensor(f"{field}.data", "hold bytes 0 and 1 for bool", "another byte")
    return _shaped(flat, shape, field)


def _from_values(
    message: pb.Tensor, name: str, shape: tuple[int, ...], count: int, field: str
) -> Array:
    if len(message.values) != count:
        raise MalformedTensor(
            f"{field}.values", f"hold {count} numbers for shape {shape}", f"{len(message.values)}"
        )
    exact = np.array(message.values, dtype=np.float64)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        flat = exact.astype(numpy_dtype(name))
        held = "float" in name or bool((flat.astype(np.float64) == exact).all())
    if not held or (name == "int64" and (exact >= 2.0**63).any()):
        raise MalformedTensor(f"{field}.values", f"hold numbers that {name} holds", "another")
    flat.flags.writeable = False
    return _shaped(flat, shape, field)


def _shaped(flat: Array, shape: tuple[int, ...], field: str) -> Array:
    """Return as many numbers as the shape holds in that shape; one without any may be huge."""
    if math.prod(length for length in shape if length) > MOST_PLACES:
        raise MalformedTensor(f"{field}.shape", "fit in memory", f"{shape}")
    return flat.reshape(shape)
