"""Named tensors: arrays by name to messages and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oracle.gradcheck.v1 import tensor_pb2 as pb
from oracle.values import Array, InvalidInput
from oracle.wire import tensor


def fields(arrays: Mapping[str, Any]) -> Any:
    """Return the fields of the messages of arrays, for `message.build` of one that holds them."""
    return [{"name": name, "tensor": tensor.fields(array)} for name, array in arrays.items()]


def encode(arrays: Mapping[str, Array]) -> list[pb.NamedTensor]:
    """Return the messages of arrays."""
    return [pb.NamedTensor(name=n, tensor=tensor.encode(array)) for n, array in arrays.items()]


def decode(messages: Sequence[pb.NamedTensor], field: str) -> dict[str, Array]:
    """Return read-only arrays over the bytes of messages; `field` is their place, for errors.

    Raises
    ------
    InvalidInput, MalformedTensor
        If one has no name or that of another, is not set, or does not describe an array.
    """
    found = decode_some(messages, field)
    for k, (name, array) in enumerate(found.items()):
        if array is None:
            raise InvalidInput(f"{field}[{k}].tensor", "be set", f"nothing as {name!r}")
    return {name: array for name, array in found.items() if array is not None}


def decode_some(messages: Sequence[pb.NamedTensor], field: str) -> dict[str, Array | None]:
    """Return the arrays of messages as `decode` does, None where only the name is set."""
    found: dict[str, Array | None] = {}
    for k, message in enumerate(messages):
        name, where = message.name, f"{field}[{k}]"
        if not name or name in found:
            was = f"{name!r} twice" if name else "none"
            raise InvalidInput(f"{where}.name", "be a name of its own", was)
        held = message.HasField("tensor")
        found[name] = tensor.decode(message.tensor, f"{where}.tensor") if held else None
    return found
