"""One call: what is known of it while it runs, and how something is put around every call."""

from __future__ import annotations

import functools
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from google.protobuf import descriptor_pool

REQUEST_ID = "x-request-id"
"""Metadata that names a call, in the caller's words or in ours."""

_ACCEPTABLE = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)
"""Names that a caller may give a call: they go into logs and errors as they are."""


@dataclass
class Call:
    """What the log, the metrics and an error tell about a call."""

    method: str
    peer: str
    request_id: str
    token: str = ""
    code: str = "OK"
    request: Any = None
    began: float = field(default_factory=time.monotonic)


CURRENT: ContextVar[Call] = ContextVar("call")
"""The call that this thread answers: a handler runs in one thread from its begin to its end."""


def begin(method: str, context: Any) -> Call:
    """Note that this thread answers a call from now on."""
    given = next((value for key, value in context.invocation_metadata() if key == REQUEST_ID), "")
    named = isinstance(given, str) and _ACCEPTABLE.fullmatch(given)
    call = Call(method, context.peer(), given if named else secrets.token_hex(8))
    CURRENT.set(call)
    return call


Layer: TypeAlias = Callable[[Any, Any], AbstractContextManager[Any]]
"""What is put around a call, made of its request (or its iterator of requests) and its context."""


def behaviour(handler: Any) -> tuple[str, Callable[..., Any]]:
    """Return the function of a handler, and the name of its place there."""
    kind = "stream" if handler.request_streaming else "unary"
    name = f"{kind}_{'stream' if handler.response_streaming else 'unary'}"
    return name, getattr(handler, name)


def around(handler: Any, layer: Layer) -> Any:
    """Return a handler that answers each call inside of a layer."""
    name, answer = behaviour(handler)

    @functools.wraps(answer)
    def unary(request: Any, context: Any, *send: Any) -> Any:
        with layer(request, context):
            return answer(request, context, *send)

    @functools.wraps(answer)
    def streaming(request: Any, context: Any) -> Iterator[Any]:
        with layer(request, context):
            yield from answer(request, context)

    blocking = handler.response_streaming and not is_unblocking(answer)
    return handler._replace(**{name: streaming if blocking else unary})


def is_unblocking(answer: Callable[..., Any]) -> bool:
    """Tell whether what answers a call by a stream holds no thread: gRPC gives it what sends."""
    return getattr(answer, "experimental_non_blocking", False) is True


class Once:
    """Changes each handler once: a method has one for ever."""

    def __init__(self, change: Callable[[str, Any], Any]) -> None:
        self._change = change
        self._changed: dict[tuple[str, Any], Any] = {}

    def __call__(self, method: str, handler: Any) -> Any:
        """Return the changed handler of a method."""
        known = self._changed.get((method, handler))
        return known or self._changed.setdefault((method, handler), self._change(method, handler))


def described(method: str) -> Any:
    """Return what the contract says of a method: to gRPC, every request is a stream."""
    known: Any = descriptor_pool.Default()
    return known.FindMethodByName(method.strip("/").replace("/", "."))


PACKAGE = "/oracle.gradcheck."
"""Methods of this package are ours, and not those of health and reflection."""

OPEN = "/grpc.health.v1.Health/"
"""Health is told to anybody: what asks for it, a probe of Kubernetes say, has nothing to show."""


def is_open(method: str) -> bool:
    """Tell whether a method is for anybody, and worth no line in the log."""
    return method.startswith(OPEN)
