"""What requests hold: tensors, targets, parameters, options and choices, or the field at fault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.message import Message

from oracle.values import Array, InvalidInput, TwoLayerNetParameters
from oracle.wire import tensor

FIELDS = {"W1": "w1", "b1": "b1", "W2": "w2", "b2": "b2"}
"""The four tensors of a two-layer net by the document's names, and their names in messages."""

HEAD = 1024
"""Bytes that are enough for all of an answer but its numbers: a shape has at most 32 lengths."""

FLOATING = tensor.NAMES[:4]


def array(message: Any, name: str, prefix: str = "") -> Array:
    """Return a tensor that the request must hold."""
    if not message.HasField(name):
        raise InvalidInput(prefix + name, "be set", "nothing")
    return tensor.decode(getattr(message, name), prefix + name)


def optional_array(message: Any, name: str, prefix: str = "") -> Array | None:
    """Return a tensor, or None if it is not set."""
    return array(message, name, prefix) if message.HasField(name) else None


def targets(request: Any) -> Array:
    """Return targets in the form that the request says they have."""
    form = request.targets.WhichOneof("form")
    if form is None:
        raise InvalidInput("targets", "be set, to `labels` or `probabilities`", "nothing")
    untyped = "int64" if form == "labels" else "float64"
    found = tensor.decode(getattr(request.targets, form), f"targets.{form}", untyped)
    if (form == "labels") != (found.dtype.kind == "i"):
        kind = "integers" if form == "labels" else "floating numbers"
        raise InvalidInput(f"targets.{form}", f"hold {kind}", f"{found.dtype}")
    return found


def parameters(request: Any) -> TwoLayerNetParameters:
    """Return the parameters of a two-layer net."""
    message = request.parameters
    return TwoLayerNetParameters(
        **{name: array(message, field, "parameters.") for name, field in FIELDS.items()}
    )


def candidate(request: Any, name: str) -> dict[str, Array | None]:
    """Return a caller's gradient of one tensor, under the document's name."""
    return {name: array(request, "gradient")}


def candidate_parameters(request: Any) -> dict[str, Array | None]:
    """Return a caller's gradient of a two-layer net; a tensor may be missing, all may not."""
    if not request.HasField("gradient"):
        raise InvalidInput("gradient", "be set", "nothing")
    return {
        name: optional_array(request.gradient, field, "gradient.") for name, field in FIELDS.items()
    }


def encode_parameters(tensors: Mapping[str, Array]) -> Any:
    """Return the fields of the message of four tensors."""
    return {FIELDS[name]: tensor.fields(array) for name, array in tensors.items()}


def options(request: Any, **names: str) -> dict[str, Any]:
    """Return the optional fields that are set, under the names of the reference functions."""
    fields = {"delta": "delta", **names}
    known = request.DESCRIPTOR.fields_by_name
    return {
        name: getattr(request, field)
        for field, name in fields.items()
        if field in known and request.HasField(field)
    }


def count(request: Any, name: str, default: int) -> int:
    """Return an optional count, which must be at least 1."""
    value = getattr(request, name) if request.HasField(name) else default
    if value < 1:
        raise InvalidInput(name, "be at least 1", f"{value}")
    return int(value)


def floating_type(message: Any, name: str, field: str) -> str | None:
    """Return the name of a floating type, or None if it is not set."""
    number = getattr(message, name)
    if not number:
        return None
    if not 1 <= number <= len(FLOATING):
        raise InvalidInput(field, f"be one of {', '.join(FLOATING)}", f"{number}")
    return FLOATING[number - 1]


def accumulation_type(request: Any) -> str | None:
    """Return the type that a caller says it accumulated in."""
    name = "accumulation_data_type"
    return floating_type(request.arithmetic, name, f"arithmetic.{name}")


def choice(request: Any, name: str) -> str:
    """Return the chosen value of an enum without its prefix, in small letters; unset is 1."""
    enum = request.DESCRIPTOR.fields_by_name[name].enum_type
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    number = getattr(request, name) or 1
    known = {
        n: value.name.removeprefix(prefix).lower() for n, value in enum.values_by_number.items()
    }
    if number not in known:
        allowed = ", ".join(value for n, value in known.items() if n)
        raise InvalidInput(name, f"be one of {allowed}", f"{number}")
    return known[number]


def require(condition: bool, field: str, requirement: str, was: object) -> None:
    """Raise unless a condition on a field holds."""
    if not condition:
        raise InvalidInput(field, requirement, f"{was}")


def require_room(field: str, value: int | str, numbers: int, max_bytes: int) -> None:
    """Raise unless that many float64 numbers fit into a message, before any of them is made.

    Parameters
    ----------
    field, value : str, int or str
        The size in the request that leads to them.
    numbers, max_bytes : int
        How many, and the largest message.
    """
    most = (max_bytes - HEAD) // 8
    if numbers > most:
        requirement = f"lead to at most {most} numbers (max_message_bytes)"
        raise InvalidInput(field, requirement, f"{value}, which leads to {numbers}")


def require_held(field: str, value: float, dtype: str) -> None:
    """Raise unless a number is finite in a floating type, whose values it scales."""
    with np.errstate(over="ignore"):
        held = np.isfinite(np.asarray(value).astype(tensor.numpy_dtype(dtype)))
    require(bool(held), field, f"be finite in {dtype}", value)


def require_sendable(response: Message, field: str, max_bytes: int) -> None:
    """Raise unless a response fits into a message.

    Parameters
    ----------
    response : Message
        What would be sent.
    field, max_bytes : str, int
        The field that leads to it, and the largest message.
    """
    size = response.ByteSize()
    requirement = f"lead to an answer of at most {max_bytes} bytes (max_message_bytes)"
    require(size <= max_bytes, field, requirement, f"one of {size}")
