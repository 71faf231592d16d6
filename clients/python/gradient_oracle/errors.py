"""Every error that a caller may see, and the one map from gRPC statuses to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from gradient_oracle import versions


class OracleError(Exception):
    """Anything that went wrong between the caller and an answer.

    `request_id` names the call in the log of the server, or is "" if none was made.
    """

    request_id: str = ""


class InvalidRequest(OracleError):
    """An argument breaks a precondition.

    `argument` is its name in the method that was called ("t"), `field` its path in the request
    ("targets.labels"); for an argument that was refused before anything was sent both are the same.
    """

    def __init__(self, message: str, *, argument: str = "", field: str = "") -> None:
        super().__init__(message)
        self.argument = argument or field
        self.field = field or argument


class MessageTooLarge(InvalidRequest):
    """A request or its answer has more bytes than the server takes or sends."""


class OracleUnavailable(OracleError):
    """No server answered."""


class Unauthenticated(OracleError):
    """The server asks who calls, and was shown no token or none of its own."""


class PermissionDenied(OracleError):
    """The server knows the caller and does not let him do this."""


class DeadlineExceeded(OracleError):
    """The answer took longer than the caller waits."""


class Cancelled(OracleError):
    """The call was given up before its answer: the client was closed, or the server stopped."""


class Overloaded(OracleError):
    """The server has more calls than it takes; try again later.

    `retry_after` is in how many seconds, or None if the server does not say so.
    """

    retry_after: float | None = None


class ServerFailure(OracleError):
    """The server failed, its log says why; or it does not speak this version of the protocol."""


class WorkerFailed(OracleError):
    """A worker that evaluated the caller's f ended before it answered."""


_PART = re.compile(r"\[['\"]|:")
"""Where in a place the name of the argument ends: "inputs['W1']", "net: ops.Gemm ..."."""


def invalid(place: str, requirement: str, was: object) -> InvalidRequest:
    """Return the error of an argument that is refused here: what it must be, what it was.

    `place` is the argument, or a part of it: "inputs['W1']", "net: ops.Gemm in line 3".
    """
    text = f"`{place}` must {requirement}, got {was}"
    return InvalidRequest(text, argument=re.split(_PART, place)[0], field=place)


def unavailable(address: str, seconds: float, reason: str = "") -> OracleUnavailable:
    """Return the error of a server that does not answer, with what to do about it."""
    if reason:
        return OracleUnavailable(f"no connection to the oracle at {address}: {reason}")
    return OracleUnavailable(
        f"no oracle at {address} after {seconds:.3g} s; start one with gradient-oracle serve"
    )


def unserved(address: str, what: str, version: str) -> ServerFailure:
    """Return the error of a server that lacks something, with both versions."""
    return ServerFailure(f"the oracle at {address} does not {what}: {versions.both(version)}")


def closed(address: str) -> Cancelled:
    """Return the error of a call through a client that was closed."""
    return Cancelled(f"this client of {address} is closed")


_ARGUMENTS = {
    "predictions": "y",
    "targets": "t",
    "inputs": "x",
    "scores": "a",
    "weights": "W",
    "parameters.w1": "W1",
    "parameters.b1": "b1",
    "parameters.w2": "W2",
    "parameters.b2": "b2",
    "parameters": "params",
    "step": "h",
    "central_step": "h",
    "value_accuracy": "f_accuracy",
    "learning_rate": "lr",
    "step_count": "step_num",
    "arithmetic": "accumulation_dtype",
    "initial": "init_x",
    "data_type": "dtype",
    "tensors": "x",
    "turn.answer": "f",
}
"""Arguments of methods by the beginning of their path in a request; other names are the same."""

_TASK = re.compile(r"turn\.start\.\w+\.")


def argument_of(field: str) -> str:
    """Return the argument of a path in a request.

    Examples
    --------
    >>> argument_of("parameters.w1.data"), argument_of("turn.start.gradient_descent.step")
    ('W1', 'h')
    """
    path = _TASK.sub("", field)
    for beginning, argument in _ARGUMENTS.items():
        if re.match(rf"{re.escape(beginning)}(?!\w)", path):
            return argument
    return re.split(r"[.\[]", path)[0]


def from_call(
    error: Any,
    address: str,
    seconds: float | None,
    version: str = "",
    request_id: str = "",
    *,
    called: Callable[[str], str] = argument_of,
) -> OracleError:
    """Return the error of a failed call.

    Parameters
    ----------
    error : grpc.RpcError
        What gRPC raised.
    address : str
        The server.
    seconds : float or None
        The deadline of the call.
    version : str
        The version of the server, if it told it.
    request_id : str
        What the call was named.
    called : function
        What the caller calls a field of the request; it begins with the name of an argument.

    Returns
    -------
    OracleError
        Of the class that the status means; the message is the server's where it wrote one.
    """
    import grpc

    code, details = error.code(), str(error.details() or "")
    made: OracleError
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        field = _first_field(error)
        # The caller knows the argument of the method and not the path in the request.
        place = called(field)
        details = details.replace(f"`{field}`", f"`{place}`", 1)
        kind = MessageTooLarge if "(max_message_bytes)" in details else InvalidRequest
        made = kind(details, field=field, argument=re.split(_PART, place)[0])
    elif code is grpc.StatusCode.UNAVAILABLE:
        hint = "start one with gradient-oracle serve"
        made = OracleUnavailable(f"the oracle at {address} is gone ({details}); {hint}")
    elif code is grpc.StatusCode.UNAUTHENTICATED:
        remedy = "pass token= to connect, or set GRADIENT_ORACLE_TOKEN"
        text = f"the oracle at {address} does not know you: {details}; {remedy}"
        made = Unauthenticated(_named(text, request_id))
    elif code is grpc.StatusCode.PERMISSION_DENIED:
        remedy = "use another token, or ask who runs the server"
        text = f"the oracle at {address} forbids this: {details}; {remedy}"
        made = PermissionDenied(_named(text, request_id))
    elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
        waited = "in time" if seconds is None else f"within {seconds:.3g} s"
        made = DeadlineExceeded(f"no answer from the oracle at {address} {waited}")
    elif code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        made = MessageTooLarge(f"{details}: the limit of the oracle at {address} in bytes")
    elif code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        made = _exhausted(error, details, called)
    elif code in (grpc.StatusCode.CANCELLED, grpc.StatusCode.ABORTED):
        made = Cancelled(details or "the call was cancelled")
    elif code is grpc.StatusCode.UNIMPLEMENTED:
        made = unserved(address, f"serve this method ({details})", version)
    else:
        made = ServerFailure(_named(details or str(code), request_id))
    made.request_id = request_id
    if request_id:
        made.add_note(f"request {request_id}, in the log of the server at {address}")
    return made


def _exhausted(error: Any, details: str, called: Callable[[str], str]) -> OracleError:
    """Return the error of a call that needs too much at once, or has to wait for its turn."""
    field = _first_field(error)
    if field:
        place = called(field)
        text = details.replace(f"`{field}`", f"`{place}`", 1)
        return InvalidRequest(text, field=field, argument=re.split(_PART, place)[0])
    made = Overloaded(details)
    made.retry_after = _retry_after(error)
    return made


def _retry_after(error: Any) -> float | None:
    from google.rpc import error_details_pb2

    retry = error_details_pb2.RetryInfo()
    for detail in _details(error):
        if detail.Unpack(retry):
            return float(retry.retry_delay.ToTimedelta().total_seconds())
    return None


def _named(text: str, request_id: str) -> str:
    """Return the text of an error about which only who runs the server can do something."""
    return f"{text} (request {request_id})" if request_id else text


def _first_field(error: Any) -> str:
    # Only those whose arguments are refused pay for it.
    from google.rpc import error_details_pb2

    bad = error_details_pb2.BadRequest()
    for detail in _details(error):
        if detail.Unpack(bad) and bad.field_violations:
            return str(bad.field_violations[0].field)
    return ""


def _details(error: Any) -> Sequence[Any]:
    from grpc_status import rpc_status

    try:
        status = rpc_status.from_call(error)
    except ValueError:  # The details contradict the status, so nobody knows what they mean.
        return ()
    return status.details if status else ()
