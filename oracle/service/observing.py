"""Observing: what is told of every call when it begins and when it has ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, Protocol

import grpc

from oracle.service.calls import Call, Once, around, begin, is_open

_LOG = logging.getLogger(__name__)


class Observer(Protocol):
    """Is told of calls."""

    def began(self, call: Call) -> None:
        """Take note of a call that begins."""

    def ended(self, call: Call, seconds: float) -> None:
        """Take note of a call that has ended, and how many seconds it took."""


class Observed(grpc.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Notes each call while it runs, and tells about it when it has ended."""

    def __init__(self, *observers: Observer) -> None:
        self._changed = Once(
            lambda method, handler: around(
                handler, lambda _, context: _Observing(method, context, observers)
            )
        )

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Return the handler of a call."""
        handler = continuation(details)
        if handler is None or is_open(details.method):
            return handler
        return self._changed(details.method, handler)


class _Observing:
    """Tells of one call; a class, which enters and leaves in half the time of a generator."""

    def __init__(self, method: str, context: Any, observers: Sequence[Observer]) -> None:
        self._method, self._context, self._observers = method, context, observers

    def __enter__(self) -> None:
        self._call = begin(self._method, self._context)
        for observer in self._observers:
            observer.began(self._call)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is GeneratorExit:
            # The caller of a stream left, and what it would still have been sent is given up.
            self._call.code = grpc.StatusCode.CANCELLED.name
        seconds = time.monotonic() - self._call.began
        for observer in self._observers:
            observer.ended(self._call, seconds)


class Log:
    """Writes a line for each call that has ended."""

    def began(self, call: Call) -> None:
        """Wait for its end."""

    def ended(self, call: Call, seconds: float) -> None:
        """Write the line."""
        if not _LOG.isEnabledFor(logging.INFO):
            return
        known = {"method": call.method, "code": call.code, "seconds": round(seconds, 6)}
        named = {"token": call.token, "peer": call.peer, "request_id": call.request_id}
        _LOG.info("call", extra=known | named)
