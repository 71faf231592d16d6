"""The methods of the client: what each sends and how it reads the answer, without any transport.

A function here has the name, the arguments and the text of the method; it returns a `Call`, which
the blocking client and the asyncio client carry out in their own ways.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gradient_oracle import versions
from gradient_oracle.errors import ServerFailure, argument_of
from oracle.gradcheck.v1 import (
    activation_pb2,
    black_box_pb2,
    graph_pb2,
    loss_pb2,
    mini_batch_pb2,
    self_test_pb2,
    server_pb2,
    simple_net_pb2,
    two_layer_net_pb2,
)
from oracle.values import InvalidInput
from oracle.wire.message import Draft, reader
from oracle.wire.tensor import MalformedTensor

T = TypeVar("T")

SERVICES: tuple[Any, ...] = tuple(
    service
    for file in (
        activation_pb2,
        black_box_pb2,
        graph_pb2,
        loss_pb2,
        mini_batch_pb2,
        self_test_pb2,
        server_pb2,
        simple_net_pb2,
        two_layer_net_pb2,
    )
    for service in file.DESCRIPTOR.services_by_name.values()
)

_METHODS: dict[str, Any] = {
    method.input_type.full_name: method for service in SERVICES for method in service.methods
}
"""Methods by the name of their request: every method of the contract has a request of its own."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request, how to read its response, and what the caller calls a field of it."""

    request: Message | Draft
    read: Callable[[Any], T]
    called: Callable[[str], str] = argument_of

    @property
    def kind(self) -> str:
        """The name of the request's class, of which every method has its own."""
        return self.request.DESCRIPTOR.full_name

    @property
    def path(self) -> str:
        """The method as gRPC names it: "/package.Service/Method"."""
        method = _METHODS[self.kind]
        return f"/{method.containing_service.full_name}/{method.name}"

    @property
    def response(self) -> Callable[[bytes], Any]:
        """What makes a response of bytes."""
        return reader(GetMessageClass(_METHODS[self.kind].output_type))

    def serialize(self) -> bytes:
        """Return the bytes of the request."""
        return self.request.SerializeToString()

    def result(self, response: Any) -> T:
        """Read the response.

        Raises
        ------
        ServerFailure
            If it holds what this version of the client does not know.
        """
        return understood(self.read, response)


def understood(read: Callable[[Any], T], message: Any) -> T:
    """Read what a server sent, or raise `ServerFailure` if it means nothing here."""
    try:
        return read(message)
    except (MalformedTensor, InvalidInput, ValueError) as error:
        client = f"version {versions.own()} of the client"
        raise ServerFailure(
            f"the answer of the server is unreadable to {client}: {error}"
        ) from error
