"""Threads: each kind of call has its own, so that none waits for another kind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any

import grpc


class Pools(futures.Executor):
    """The threads of a server: some methods have a pool of their own, the others share one.

    gRPC looks up the handler of a call and submits it, both in its serving thread. So the pool is
    chosen while the handler is looked up. What gRPC offers for this, an attribute of the handler,
    is lost where an instrumentation puts something around it.

    Parameters
    ----------
    shared : int
        Threads for the methods that are not named.
    own : mapping of str to int
        Threads for each method, or for each service by its path: "/package.Service/".
    """

    def __init__(self, shared: int, own: Mapping[str, int]) -> None:
        self._shared = futures.ThreadPoolExecutor(shared, "oracle")
        self._own = {
            path: futures.ThreadPoolExecutor(threads, path.strip("/").rpartition(".")[2])
            for path, threads in own.items()
        }
        self._chosen = threading.local()

    def choose(self, method: str) -> None:
        """Let what this thread submits next run where a method belongs."""
        service = method[: method.rfind("/") + 1]
        self._chosen.pool = self._own.get(method) or self._own.get(service)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        """Run a call in the pool that was chosen."""
        pool, self._chosen.pool = getattr(self._chosen, "pool", None), None
        return (pool or self._shared).submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads."""
        for pool in (self._shared, *self._own.values()):
            pool.shutdown(wait=wait, cancel_futures=cancel_futures)


class Placed(grpc.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Chooses the pool of each call."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Return the handler of a call."""
        self._pools.choose(details.method)
        return continuation(details)
