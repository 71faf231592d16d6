"""Attributes of nodes: plain values to messages and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from oracle.gradcheck.v1 import graph_pb2 as pb
from oracle.values import InvalidInput
from oracle.wire import tensor

_SINGLE = {"int_value": int, "float_value": float, "string_value": str}
_LISTS = {"ints": (int, pb.Ints), "floats": (float, pb.Floats), "strings": (str, pb.Strings)}
LARGEST = 2**63


def encode(attributes: Mapping[str, Any]) -> list[pb.Attribute]:
    """Return the messages of attributes: numbers, texts, lists of one of them, arrays.

    Raises
    ------
    InvalidInput
        If one is something else; `argument` is its name.
    """
    return [_encode(name, value) for name, value in attributes.items()]


def _encode(name: str, value: Any) -> pb.Attribute:
    if isinstance(value, np.ndarray) and value.ndim != 1:
        return pb.Attribute(name=name, tensor=tensor.encode(value))
    plain = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    made: dict[str, Any] = {}
    for field, kind in _SINGLE.items():
        if isinstance(plain, kind) and _fits(plain):
            made = {field: plain}
    if isinstance(plain, Sequence) and not isinstance(plain, str | bytes):
        mixed = any(isinstance(entry, float) for entry in plain)
        entries = [float(e) if mixed and isinstance(e, int) and _fits(e) else e for e in plain]
        for field, (kind, message) in _LISTS.items():
            if not made and all(isinstance(entry, kind) and _fits(entry) for entry in entries):
                made = {field: message(values=entries)}
    if not made:
        requirement = "be a number, a text, a list of one of them, or an array"
        raise InvalidInput(name, requirement, repr(value))
    return pb.Attribute(name=name, **made)


def _fits(value: Any) -> bool:
    return not isinstance(value, int) or -LARGEST <= value < LARGEST


def decode(messages: Sequence[pb.Attribute], field: str) -> dict[str, Any]:
    """Return the attributes of messages; `field` is their place in the request, for errors.

    Raises
    ------
    InvalidInput, MalformedTensor
        If one has no name, the name of another, or no value.
    """
    found: dict[str, Any] = {}
    for k, message in enumerate(messages):
        where = f"{field}[{k}]"
        if not message.name or message.name in found:
            was = f"{message.name!r} twice" if message.name else "none"
            raise InvalidInput(f"{where}.name", "be a name of its own", was)
        found[message.name] = value(message, where)
    return found


def value(message: pb.Attribute, field: str) -> Any:
    """Return the value of one attribute; `field` is its place, for errors."""
    form = message.WhichOneof("value")
    if form is None:
        raise InvalidInput(field, "have a value", "none")
    held = getattr(message, form)
    if form == "tensor":
        return tensor.decode(held, f"{field}.tensor")
    return tuple(held.values) if form in _LISTS else held
