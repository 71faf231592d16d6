"""Reading requests: what is no message is an error of the caller, and tensors are views."""

from __future__ import annotations

import functools
from collections.abc import Callable
from operator import methodcaller
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from oracle.service.calls import PACKAGE, Once, behaviour
from oracle.wire.message import reader


class Undecodable(Exception):
    """Bytes that came as a request and are no message of its class."""


class Decoded(grpc.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Reads the requests of our methods by `oracle.wire.message`, and writes their responses.

    The generated code reads and writes messages whole, with a copy of every tensor for each.
    """

    def __init__(self) -> None:
        self._changed = Once(_decoded)

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Return the handler of a call."""
        handler = continuation(details)
        if handler is None or not details.method.startswith(PACKAGE):
            return handler
        return self._changed(details.method, handler)


def _decoded(_method: str, handler: Any) -> Any:
    name, answer = behaviour(handler)

    @functools.wraps(answer)
    def call(request: Any, context: Any) -> Any:
        if handler.request_streaming:
            return answer(map(_require_decoded, request), context)
        return answer(_require_decoded(request), context)

    return handler._replace(
        request_deserializer=_deserializer(handler.request_deserializer.__self__),
        response_serializer=methodcaller("SerializeToString"),
        **{name: call},
    )


# What a deserializer raises, gRPC answers with INTERNAL and logs with a traceback. So it returns
# what went wrong, and the handler raises that.


def _deserializer(kind: type[Message]) -> Callable[[bytes], Any]:
    read = reader(kind)

    def deserialize(data: bytes) -> Any:
        try:
            return read(data)
        except DecodeError:
            name = kind.DESCRIPTOR.full_name
            return Undecodable(f"the request must be a {name}, got {len(data)} bytes that are none")

    return deserialize


def _require_decoded(request: Any) -> Any:
    if isinstance(request, Undecodable):
        raise request
    return request
