"""Every error that a caller may see."""

from __future__ import annotations

from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


class OracleError(Exception):
    """Anything that went wrong between the caller and an answer."""

    field = ""


class InvalidRequest(OracleError):
    """An argument breaks a precondition; `field` is its path in the request."""


class OracleUnavailable(OracleError):
    """No server answered."""


class DeadlineExceeded(OracleError):
    """The answer took longer than the caller waits."""


class Overloaded(OracleError):
    """The server has more calls than it takes; try again later."""


class ServerFailure(OracleError):
    """The server failed; its log says why."""


_KINDS = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.UNAVAILABLE: OracleUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
}


def from_call(error: Any) -> OracleError:
    """Return the error of a failed call."""
    made = _KINDS.get(error.code(), ServerFailure)(error.details())
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad) and bad.field_violations:
            made.field = bad.field_violations[0].field
    return made
