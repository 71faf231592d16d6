"""The one map from exceptions to gRPC statuses."""

from __future__ import annotations

import itertools
import logging
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from oracle.service.admission import TokenLimit
from oracle.service.calls import CURRENT, Once, around
from oracle.service.decoding import NoMessage, Undecodable
from oracle.service.estimates import TooMuchMemory
from oracle.service.gate import CallerLeft, ServerStops, TimeOver
from oracle.service.shares import Overloaded
from oracle.service.tokens import PermissionDenied, Unauthenticated
from oracle.values import InvalidInput
from oracle.wire.tensor import MalformedTensor

DOMAIN = "gradient-oracle"
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
    "accumulate": "arithmetic.accumulation_data_type",
    "compute": "arithmetic.compute_data_type",
    "store": "arithmetic.store_data_type",
}
"""Paths in the request of the arguments that the document names otherwise."""


MOST_TEXT = 600
"""Bytes that carry a message. It travels three times; above 8 KB gRPC drops all of it."""


class Abandoned(Exception):
    """A conversation that its caller closed before the result."""


def _shortened(text: str) -> str:
    """Return a text without its middle, if it is long; its ends say what must be and what was."""
    if _carried(text) <= MOST_TEXT:
        return text
    return f"{_beginning(text)} ... {_beginning(text[::-1])[::-1]}"


def _carried(text: str) -> int:
    """Return how many bytes carry a text: gRPC writes three for each that is not ASCII."""
    data = text.encode("utf-8", "replace")
    return sum(1 if 32 <= byte < 127 else 3 for byte in data)


def _beginning(text: str) -> str:
    """Return as much of a text as half of what a message may hold carries."""
    carried = itertools.accumulate(map(_carried, text))
    return text[: sum(1 for _ in itertools.takewhile(lambda n: n <= MOST_TEXT // 2, carried))]


def _status(code: int, message: str, reason: str, *details: Any) -> Any:
    status = status_pb2.Status(code=code, message=message)
    info = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN)
    call = CURRENT.get(None)
    named = [error_details_pb2.RequestInfo(request_id=call.request_id)] if call else []
    if call:
        call.code = code_pb2.Code.Name(code)
    for detail in (info, *named, *details):
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
    Unauthenticated: (code_pb2.UNAUTHENTICATED, "", "UNAUTHENTICATED", ()),
    PermissionDenied: (code_pb2.PERMISSION_DENIED, "", "PERMISSION_DENIED", ()),
    NoMessage: (code_pb2.INVALID_ARGUMENT, "", "MALFORMED_MESSAGE", ()),
    Abandoned: (code_pb2.ABORTED, "", "ABANDONED", ()),
    CallerLeft: (code_pb2.CANCELLED, "the caller left", "CALLER_LEFT", ()),
    TimeOver: (code_pb2.DEADLINE_EXCEEDED, _OVER, "TIME_OVER", ()),
    ServerStops: (code_pb2.UNAVAILABLE, "the server stops", "SERVER_STOPS", (_RETRY,)),
}
"""Code, message (the exception's own if empty), reason and details of exceptions that are ours."""


def status_of(error: Exception) -> Any:
    """Return the status that tells a caller about an exception; only the log has the rest."""
    call = CURRENT.get(None)
    if isinstance(error, InvalidInput | MalformedTensor):
        field = _field(error, call and call.request)
        text = _shortened(f"`{field}` must {error.requirement}, got {error.was}")
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=text)
        reason = "MALFORMED_TENSOR" if isinstance(error, MalformedTensor) else "INVALID_ARGUMENT"
        bad = error_details_pb2.BadRequest(field_violations=[violation])
        return _status(code_pb2.INVALID_ARGUMENT, text, reason, bad)
    if isinstance(error, TooMuchMemory):
        text = _shortened(str(error))
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=text)
        bad = error_details_pb2.BadRequest(field_violations=[violation])
        return _status(code_pb2.RESOURCE_EXHAUSTED, text, "TOO_MUCH_MEMORY", bad)
    if isinstance(error, TokenLimit):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(error.seconds * 1000))
        return _status(code_pb2.RESOURCE_EXHAUSTED, str(error), "TOKEN_LIMIT", retry)
    if type(error) in _MAP:
        code, message, reason, details = _MAP[type(error)]
        return _status(code, message or str(error), reason, *details)
    named = {"request_id": call.request_id} if call else {}
    _LOG.error("call failed", exc_info=error, extra=named)
    return _status(code_pb2.INTERNAL, "internal error; see the server log", "INTERNAL")


class Statuses(grpc.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Turns every exception of a handler into its status."""

    def __init__(self) -> None:
        self._changed = Once(lambda _, handler: around(handler, _Mapping))

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Return the handler of a call."""
        handler = continuation(details)
        return handler and self._changed(details.method, handler)


class _Mapping:
    """Ends one call with the status of what is raised in it."""

    def __init__(self, _: Any, context: Any) -> None:
        self._context = context

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, *_trace: object) -> None:
        if not isinstance(error, Exception):
            return
        status = status_of(error)
        # An instrumentation that counts codes knows `abort`, and not `abort_with_status`, which
        # does the same.
        self._context.set_trailing_metadata(status.trailing_metadata)
        self._context.abort(status.code, status.details)
