"""What requests hold: tensors, targets, parameters, options and choices, or the wrong field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from google.protobuf.message import Message

from oracle.gradcheck.v1 import report_pb2, tensor_pb2, two_layer_net_pb2
from oracle.values import Array, InvalidInput, TwoLayerNetParameters
from oracle.wire import tensor

FIELDS = {"W1": "w1", "b1": "b1", "W2": "w2", "b2": "b2"}
"""The four tensors of a two-layer net by the document's names, and their names in messages."""

ARGUMENTS = {"step": "h", "learning_rate": "lr"}
"""Optional fields that the document names otherwise, and its names."""

HEAD = 1024
"""Bytes that are enough for all of an answer but its numbers: a shape has at most 32 lengths."""

FLOATING = tensor.NAMES[:4]


Name_contra = TypeVar("Name_contra", contravariant=True)
"""The names of the fields of one message that can be set, as its generated stub lists them."""


class Holds(Protocol[Name_contra]):
    """A message: the stub of its class lists the fields whose presence can be asked for."""

    def HasField(self, field_name: Name_contra, /) -> bool:
        """Tell whether a field is set."""


class Fields(Generic[Name_contra]):
    """The fields of a message; mypy knows their names from its stub.

    Parameters
    ----------
    message : Message
        The request, or a message in it.
    path : str
        What stands before the name of a field in its path, "turn.answer." say.
    """

    def __init__(self, message: Holds[Name_contra], path: str = "") -> None:
        self._message: Any = message
        self._path = path

    def array(self, name: Name_contra) -> Array:
        """Return a tensor that must be set."""
        field: Any = name
        if not self._message.HasField(field):
            raise InvalidInput(self._path + field, "be set", "nothing")
        return tensor.decode(getattr(self._message, field), self._path + field)

    def optional_array(self, name: Name_contra) -> Array | None:
        """Return a tensor, or None if it is not set."""
        return self.array(name) if self._message.HasField(name) else None

    def options(self, *names: Name_contra) -> dict[str, Any]:
        """Return those of the optional fields that are set, under the document's names."""
        found: list[Any] = [name for name in names if self._message.HasField(name)]
        return {ARGUMENTS.get(name, name): getattr(self._message, name) for name in found}

    def count(self, name: Name_contra, default: int) -> int:
        """Return an optional count, which must be at least 1."""
        field: Any = name
        value = getattr(self._message, field) if self._message.HasField(field) else default
        require(value >= 1, self._path + field, "be at least 1", value)
        return int(value)


def targets(message: tensor_pb2.Targets) -> Array:
    """Return targets in the form that the request says they have."""
    form = message.WhichOneof("form")
    if form is None:
        raise InvalidInput("targets", "be set, to `labels` or `probabilities`", "nothing")
    untyped = "int64" if form == "labels" else "float64"
    found = tensor.decode(getattr(message, form), f"targets.{form}", untyped)
    if (form == "labels") != (found.dtype.kind == "i"):
        kind = "integers" if form == "labels" else "floating numbers"
        raise InvalidInput(f"targets.{form}", f"hold {kind}", f"{found.dtype}")
    return found


def parameters(message: two_layer_net_pb2.TwoLayerNetParameters) -> TwoLayerNetParameters:
    """Return the parameters of a two-layer net."""
    fields = Fields(message, "parameters.")
    return TwoLayerNetParameters(
        W1=fields.array("w1"), b1=fields.array("b1"), W2=fields.array("w2"), b2=fields.array("b2")
    )


def candidate_parameters(
    message: two_layer_net_pb2.TwoLayerNetParameters,
) -> dict[str, Array | None]:
    """Return a caller's gradient of a two-layer net, of which tensors may be missing."""
    fields = Fields(message, "gradient.")
    return {
        "W1": fields.optional_array("w1"),
        "b1": fields.optional_array("b1"),
        "W2": fields.optional_array("w2"),
        "b2": fields.optional_array("b2"),
    }


def encode_parameters(tensors: Mapping[str, Array]) -> Any:
    """Return the fields of the message of four tensors."""
    return {FIELDS[name]: tensor.fields(array) for name, array in tensors.items()}


def floating_type(number: int, field: str) -> str | None:
    """Return the name of a floating type by its number, or None if it is not set."""
    if not number:
        return None
    if not 1 <= number <= len(FLOATING):
        raise InvalidInput(field, f"be one of {', '.join(FLOATING)}", f"{number}")
    return FLOATING[number - 1]


def accumulation_type(message: report_pb2.CandidateArithmetic) -> str | None:
    """Return the type that a caller says it accumulated in."""
    return floating_type(message.accumulation_data_type, "arithmetic.accumulation_data_type")


def choice(number: int, kind: Any, field: str) -> str:
    """Return a value of an enum without its prefix, in small letters; unset is its first.

    Parameters
    ----------
    number, kind : int, enum of the contract
        The value that the request holds, and its enum.
    field : str
        Where it stands in the request.
    """
    names = {value.number: value.name for value in kind.DESCRIPTOR.values}
    prefix = names[0].removesuffix("UNSPECIFIED")
    known = {n: name.removeprefix(prefix).lower() for n, name in names.items()}
    chosen = number or 1
    if chosen not in known:
        allowed = ", ".join(value for n, value in known.items() if n)
        raise InvalidInput(field, f"be one of {allowed}", f"{chosen}")
    return known[chosen]


def require(condition: bool, field: str, requirement: str, was: object) -> None:
    """Raise unless a condition on a field holds."""
    if not condition:
        raise InvalidInput(field, requirement, f"{was}")


def require_printable(text: str, field: str) -> None:
    """Raise if a text would move the cursor of the terminal that a report is shown on."""
    require(text.isprintable(), field, "hold printable characters only", ascii(text))


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
