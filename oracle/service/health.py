"""Health: whether calls are served, told to anybody, also while other calls find no thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from oracle.service.gate import Watchdog
from oracle.service.shares import Shares, caller_of

MOST_WATCHES = 1024
"""Streams that tell of changes; each holds some memory and no thread."""

READING_SECONDS = 1.0
"""How long one who watches may take to read: the thread that tells it waits so long."""

SERVICE = "grpc.health.v1.Health"

Response = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc, unused-ignore]
    """The health of a server: the same for all its services.

    Parameters
    ----------
    services : collection of str
        What may be asked for, beside the server as a whole, "".
    run : callable
        Calls a function in a thread: those who watch are told there, and may be slow to listen.
    """

    def __init__(
        self, services: Collection[str], run: Callable[[Callable[[], None]], object]
    ) -> None:
        self._run = run
        self._known = {"", *services}
        self._lock = threading.Lock()
        self._serving = False
        self._ended = False
        self._watching: dict[int, Callable[[], None]] = {}
        self._shares = Shares(MOST_WATCHES, "streams that watch the health")

    def tell(self, *, serving: bool) -> None:
        """Say whether calls are served from now on, unless this has ended."""
        with self._lock:
            if self._ended or serving == self._serving:
                return
            self._serving = serving
            watching = list(self._watching.values())
        for send in watching:
            self._run(send)

    def end(self) -> None:
        """Say that no calls are served, for good."""
        self.tell(serving=False)
        self._ended = True

    def _status(self, service: str) -> Any:
        if service not in self._known:
            return Response.SERVICE_UNKNOWN
        return Response.SERVING if self._serving else Response.NOT_SERVING

    def Check(self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext) -> Any:
        if request.service not in self._known:
            context.set_code(grpc.StatusCode.NOT_FOUND)
            context.set_details("the server has no service of this name")
            return Response()
        return Response(status=self._status(request.service))

    def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Any, send: Callable[[Any], None]
    ) -> None:
        caller, key = caller_of(context), id(context)
        self._shares.take(caller)

        def tell() -> None:
            # It returns when the caller has read what came before.
            with Watchdog(context, READING_SECONDS):
                send(Response(status=self._status(request.service)))

        def leave() -> None:
            self._shares.give(caller)
            with self._lock:
                self._watching.pop(key, None)

        with self._lock:
            self._watching[key] = tell
        if context.add_callback(leave):
            tell()
        else:
            leave()

    Watch.experimental_non_blocking = True  # type: ignore[attr-defined]
