"""The one map from exceptions to gRPC statuses, and the gate that long calls wait at."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

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
}
"""Paths in the request of the arguments that the document names otherwise."""


class Stopped(Exception):
    """The caller left, its deadline passed, or the server stops."""


class Overloaded(Exception):
    """More calls wait for a core than the server allows."""


def _status(code: int, message: str, reason: str, *details: Any) -> Any:
    status = status_pb2.Status(code=code, message=message)
    for detail in (error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN), *details):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return rpc_status.to_status(status)


def status_of(error: Exception) -> Any:
    """Return the status that tells a caller about an exception; only the log has the rest."""
    if isinstance(error, InvalidInput | MalformedTensor):
        malformed = isinstance(error, MalformedTensor)
        field = error.field if malformed else FIELDS.get(error.argument, error.argument)
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=str(error))
        reason = "MALFORMED_TENSOR" if malformed else "INVALID_ARGUMENT"
        bad = error_details_pb2.BadRequest(field_violations=[violation])
        return _status(code_pb2.INVALID_ARGUMENT, str(error), reason, bad)
    if isinstance(error, Overloaded):
        retry = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=1))
        message = "too many calls wait for a core; try again later"
        return _status(code_pb2.RESOURCE_EXHAUSTED, message, "OVERLOADED", retry)
    if isinstance(error, Stopped):
        return _status(code_pb2.CANCELLED, "the call was stopped", "STOPPED")
    _LOG.error("call failed", exc_info=error)
    return _status(code_pb2.INTERNAL, "internal error; see the server log", "INTERNAL")


class Statuses(grpc.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Turns every exception of every handler into its status."""

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Wrap the handler of a call."""
        handler = continuation(details)
        if handler is None:
            return None
        if handler.response_streaming:
            name = "stream_stream" if handler.request_streaming else "unary_stream"
            return handler._replace(**{name: _streaming(getattr(handler, name))})
        return handler._replace(unary_unary=_unary(handler.unary_unary))


def _is_abort(error: Exception, context: Any) -> bool:
    return type(error) is Exception or isinstance(error, grpc.RpcError) or not context.is_active()


def _unary(behaviour: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(behaviour)
    def call(request: Any, context: Any) -> Any:
        try:
            return behaviour(request, context)
        except Exception as error:
            if _is_abort(error, context):
                raise
            context.abort_with_status(status_of(error))

    return call


def _streaming(behaviour: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(behaviour)
    def call(request: Any, context: Any) -> Iterator[Any]:
        try:
            yield from behaviour(request, context)
        except Exception as error:
            if _is_abort(error, context):
                raise
            context.abort_with_status(status_of(error))

    return call


class Gate:
    """Lets as many calls compute as there are slots; a bounded number waits."""

    def __init__(self, slots: int, waiting: int) -> None:
        self.slots = threading.BoundedSemaphore(slots)
        self.places = threading.BoundedSemaphore(slots + waiting)
        self.stopping = threading.Event()

    @contextmanager
    def enter(self, context: Any, seconds: float) -> Iterator[Callable[[], None]]:
        """Wait for a slot; yield the checkpoint of this call."""
        end = time.monotonic() + seconds

        def checkpoint() -> None:
            if self.stopping.is_set() or not context.is_active() or time.monotonic() > end:
                raise Stopped

        if not self.places.acquire(blocking=False):
            raise Overloaded
        try:
            while not self.slots.acquire(timeout=0.05):
                checkpoint()
            try:
                yield checkpoint
            finally:
                self.slots.release()
        finally:
            self.places.release()
