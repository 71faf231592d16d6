"""The one map from exceptions to gRPC statuses."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterator
from operator import methodcaller
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from oracle.service.gate import CallerLeft, Calls, Overloaded, ServerStops, TimeOver
from oracle.values import InvalidInput
from oracle.wire.message import reader
from oracle.wire.tensor import MalformedTensor

DOMAIN = "gradient-oracle"
PACKAGE = "/oracle.gradcheck."
"""Methods of this package are ours; health and reflection bring their own statuses."""
_LOG = logging.getLogger(__name__)

FIELDS = {
    "y": "predictions",
    "t": "targets",
    "x": "inputs",
    "a": "scores",
    "W": "weights",
    "W1": "parameters.w1",
    "b1": "parameters.b1",
    "W2": "parameters.w2",
    "b2": "parameters.b2",
    "h": "step",
    "lr": "learning_rate",
    "dtype": "data_type",
    "accumulation_dtype": "arithmetic.accumulation_data_type",
}
"""Paths in the request of the arguments that the document names otherwise."""


MOST_TEXT = 600
"""Characters of a message. It travels three times, beside 8 KB of which gRPC drops everything."""


class Abandoned(Exception):
    """A conversation that its caller closed before the result."""


class Undecodable(Exception):
    """Bytes that came as a request and are no message of its class."""


def _shortened(text: str) -> str:
    """Return a text without its middle, if it is long; its ends say what must be and what was."""
    half = MOST_TEXT // 2
    return text if len(text) <= MOST_TEXT else f"{text[:half]} ... {text[-half:]}"


def _status(code: int, message: str, reason: str, *details: Any) -> Any:
    status = status_pb2.Status(code=code, message=message)
    for detail in (error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN), *details):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return rpc_status.to_status(status)


def _field(error: InvalidInput | MalformedTensor, request: Any) -> str:
    if isinstance(error, MalformedTensor):
        return error.field
    field = FIELDS.get(error.argument, error.argument)
    form = getattr(getattr(request, "targets", None), "probabilities", None)
    if field == "targets" and form is not None:
        chosen = request.targets.WhichOneof("form")
        return f"targets.{chosen}" if chosen else field
    return field


_RETRY = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=1))
_OVER = "the call took longer than the caller waits or the server allows (max_call_seconds)"
_MAP: dict[type[Exception], tuple[int, str, str, tuple[Any, ...]]] = {
    Overloaded: (code_pb2.RESOURCE_EXHAUSTED, "", "OVERLOADED", (_RETRY,)),
    Undecodable: (code_pb2.INVALID_ARGUMENT, "", "MALFORMED_MESSAGE", ()),
    Abandoned: (code_pb2.ABORTED, "", "ABANDONED", ()),
    CallerLeft: (code_pb2.CANCELLED, "the caller left", "CALLER_LEFT", ()),
    TimeOver: (code_pb2.DEADLINE_EXCEEDED, _OVER, "TIME_OVER", ()),
    ServerStops: (code_pb2.UNAVAILABLE, "the server stops", "SERVER_STOPS", (_RETRY,)),
}
"""Code, message (the exception's own if empty), reason and details of exceptions that are ours."""


def status_of(error: Exception, request: Any = None) -> Any:
    """Return the status that tells a caller about an exception; only the log has the rest."""
    if isinstance(error, InvalidInput | MalformedTensor):
        text = _shortened(str(error))
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=_field(error, request), description=text
        )
        reason = "MALFORMED_TENSOR" if isinstance(error, MalformedTensor) else "INVALID_ARGUMENT"
        bad = error_details_pb2.BadRequest(field_violations=[violation])
        return _status(code_pb2.INVALID_ARGUMENT, text, reason, bad)
    if type(error) in _MAP:
        code, message, reason, details = _MAP[type(error)]
        return _status(code, message or str(error), reason, *details)
    _LOG.error("call failed", exc_info=error)
    return _status(code_pb2.INTERNAL, "internal error; see the server log", "INTERNAL")


class Statuses(grpc.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Turns every exception of every handler into its status, and logs every call."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._wrapped: dict[str, Any] = {}

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Return the handler of a call, which is wrapped once: a method has one for ever."""
        known = self._wrapped.get(details.method)
        if known is not None:
            return known
        handler = continuation(details)
        if handler is None or not details.method.startswith(PACKAGE):
            return handler
        if handler.request_streaming:
            name = "stream_stream"
            behaviour = _each_decoded(handler.stream_stream)
            wrapped = _streaming(behaviour, details.method, self._calls)
        elif handler.response_streaming:
            name = "unary_stream"
            wrapped = _streaming(_decoded(handler.unary_stream), details.method, self._calls)
        else:
            name = "unary_unary"
            wrapped = _unary(_decoded(handler.unary_unary), details.method, self._calls)
        # The generated code reads and writes messages whole, with a copy of every tensor for each.
        ours = handler._replace(
            request_deserializer=_deserializer(handler.request_deserializer.__self__),
            response_serializer=methodcaller("SerializeToString"),
            **{name: wrapped},
        )
        return self._wrapped.setdefault(details.method, ours)


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


def _decoded(behaviour: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(behaviour)
    def call(request: Any, context: Any) -> Any:
        return behaviour(_require_decoded(request), context)

    return call


def _each_decoded(behaviour: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(behaviour)
    def call(requests: Iterator[Any], context: Any) -> Any:
        return behaviour(map(_require_decoded, requests), context)

    return call


# The exception of `abort_with_status` rises outside of every `try`, so that no clause wraps it.


def _unary(behaviour: Callable[..., Any], method: str, calls: Calls) -> Callable[..., Any]:
    @functools.wraps(behaviour)
    def call(request: Any, context: Any) -> Any:
        began = time.monotonic()
        try:
            with calls:
                response = behaviour(request, context)
        except Exception as error:  # noqa: BLE001 - the map decides
            status = status_of(error, request)
        else:
            _log(method, "OK", began)
            return response
        _log(method, status.code.name, began)
        return context.abort_with_status(status)

    return call


def _streaming(behaviour: Callable[..., Any], method: str, calls: Calls) -> Callable[..., Any]:
    @functools.wraps(behaviour)
    def call(request: Any, context: Any) -> Iterator[Any]:
        began = time.monotonic()
        try:
            with calls:
                yield from behaviour(request, context)
        except Exception as error:  # noqa: BLE001 - the map decides
            status = status_of(error, request)
        else:
            _log(method, "OK", began)
            return
        _log(method, status.code.name, began)
        context.abort_with_status(status)

    return call


def _log(method: str, code: str, began: float) -> None:
    if not _LOG.isEnabledFor(logging.INFO):
        return
    seconds = round(time.monotonic() - began, 6)
    _LOG.info("call", extra={"method": method, "code": code, "seconds": seconds})
