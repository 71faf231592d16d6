"""Calls that come by another way than gRPC, and run as if they had come by it.

They pass the same interceptors and run in the same threads, so that limits, credentials, errors,
the log and the metrics are those of gRPC.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc

from oracle.service.calls import behaviour
from oracle.service.pools import Pools


class Details(NamedTuple):
    """What interceptors are told of a call before its handler is looked up."""

    method: str
    invocation_metadata: tuple[tuple[str, str], ...]


class Ended(Exception):
    """A call that its handler ended with a status."""


@dataclass
class Context:
    """What handlers are given instead of a context of gRPC."""

    metadata: tuple[tuple[str, str], ...]
    caller: str
    deadline: float | None
    status: tuple[grpc.StatusCode, str] = (grpc.StatusCode.OK, "")
    trailing: tuple[tuple[str, Any], ...] = ()
    _gone: threading.Event = field(default_factory=threading.Event)

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what the caller sent beside the request."""
        return self.metadata

    def peer(self) -> str:
        """Return where the caller is, as gRPC writes it."""
        return self.caller

    def time_remaining(self) -> float | None:
        """Return the seconds that the caller still waits."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def is_active(self) -> bool:
        """Tell whether the caller still waits."""
        return not self._gone.is_set()

    def cancel(self) -> None:
        """Note that the caller waits no longer."""
        self._gone.set()

    def set_trailing_metadata(self, trailing: Iterable[tuple[str, Any]]) -> None:
        """Keep what goes with the status."""
        self.trailing = tuple(trailing or ())

    def set_code(self, code: grpc.StatusCode) -> None:
        """Keep the code of the status."""
        self.status = (code, self.status[1])

    def set_details(self, details: str) -> None:
        """Keep the message of the status."""
        self.status = (self.status[0], details)

    def abort(self, code: grpc.StatusCode, details: str) -> None:
        """End the call with a status."""
        self.status = (code, details)
        raise Ended


class Registry:
    """The handlers of a server by their methods, which are also those of its server of gRPC."""

    def __init__(
        self,
        server: grpc.Server,
        interceptors: Sequence[grpc.ServerInterceptor],
        pools: Pools,
    ) -> None:
        self._server = server
        self._interceptors = interceptors
        self._pools = pools
        self.handlers: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """Hand them on: the same come as registered ones."""
        self._server.add_generic_rpc_handlers(tuple(handlers))

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Keep the handlers of a service."""
        self._server.add_registered_method_handlers(service, handlers)
        self.handlers |= {f"/{service}/{name}": handler for name, handler in handlers.items()}

    def resolve(self, method: str, context: Context) -> Any:
        """Return the handler of a call, as the interceptors leave it: one that refuses, say."""

        def known(details: Details) -> Any:
            return self.handlers.get(details.method)

        find: Callable[[Details], Any] = known
        for interceptor in reversed(self._interceptors):
            find = _around(interceptor, find)
        return find(Details(method, context.metadata))

    def submit(
        self, method: str, handler: Any, requests: Iterator[bytes], context: Context
    ) -> futures.Future[Any]:
        """Run a unary call in its thread; the future has the bytes of its response, or `Ended`."""
        _, answer = behaviour(handler)
        read, write = handler.request_deserializer, handler.response_serializer
        said: Any = requests if read is None else map(read, requests)

        def run() -> Any:
            response = answer(said, context)
            return write(next(response) if isinstance(response, Iterator) else response)

        self._pools.choose(method)
        return self._pools.submit(contextvars.Context().run, run)


def _around(
    interceptor: grpc.ServerInterceptor, find: Callable[[Details], Any]
) -> Callable[[Details], Any]:
    def intercepted(details: Details) -> Any:
        anything: Any = interceptor
        return anything.intercept_service(find, details)

    return intercepted
