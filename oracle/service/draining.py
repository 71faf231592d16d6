"""Draining: a server that stops takes no new calls, and waits for those under way."""

from __future__ import annotations

from typing import Any

import grpc

from oracle.service.calls import PACKAGE, Once, around
from oracle.service.gate import Calls


class Drained(grpc.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Counts each of our calls among those under way."""

    def __init__(self, calls: Calls) -> None:
        self._changed = Once(lambda _, handler: around(handler, lambda *_: calls))

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Return the handler of a call."""
        handler = continuation(details)
        if handler is None or not details.method.startswith(PACKAGE):
            return handler
        return self._changed(details.method, handler)
