"""Observing: a line in the log for every call, with what is known of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import grpc

from oracle.service.calls import Call, Once, around, begin, is_open

_LOG = logging.getLogger(__name__)

Observer: TypeAlias = Callable[[Call, float], None]
"""Is told of a call that has ended, and how many seconds it took."""


class Observed(grpc.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Notes each call while it runs, and tells about it when it has ended."""

    def __init__(self, *observers: Observer) -> None:
        self._changed = Once(
            lambda method, handler: around(
                handler, lambda _, context: _observing(method, context, observers)
            )
        )

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Return the handler of a call."""
        handler = continuation(details)
        if handler is None or is_open(details.method):
            return handler
        return self._changed(details.method, handler)


@contextmanager
def _observing(method: str, context: Any, observers: Sequence[Observer]) -> Iterator[None]:
    call = begin(method, context)
    try:
        yield
    except GeneratorExit:
        # The caller of a stream left, and what it would still have been sent is given up.
        call.code = grpc.StatusCode.CANCELLED.name
        raise
    finally:
        seconds = time.monotonic() - call.began
        for observe in observers:
            observe(call, seconds)


def log(call: Call, seconds: float) -> None:
    """Write the line of a call."""
    if not _LOG.isEnabledFor(logging.INFO):
        return
    known = {"method": call.method, "code": call.code, "seconds": round(seconds, 6)}
    named = {"token": call.token, "peer": call.peer, "request_id": call.request_id}
    _LOG.info("call", extra=known | named)
