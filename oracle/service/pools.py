"""Threads: each kind of call has its own, so that none waits for another kind."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc

from oracle.service.alarms import alarms
from oracle.service.calls import is_open
from oracle.service.ports import CannotServe
from oracle.service.shares import Shares

SILENT_SECONDS = 30.0
"""How long a call may hold its thread before its message is there: 64 MB at 2 MB a second."""

HURRIED_SECONDS = 1.0
"""How long if another call waits for a thread."""

HURRIED_HEALTH_SECONDS = 0.1
"""The same for health, whose messages of some bytes come with their call."""

SPARE = 24
"""Threads that are left to gRPC and NumPy where the system gives less than a server asks for."""


class Threads(futures.Executor):
    """Threads that are there from the start, and that no end of the interpreter waits for.

    Parameters
    ----------
    count : int
        How many.
    name : str
        What their names begin with.
    hurried : float
        How long a call may hold one before its message is there, while another call waits for it.
    """

    def __init__(self, count: int, name: str, hurried: float = HURRIED_SECONDS) -> None:
        self.hurried = hurried
        self.count = count
        self.shares = Shares(count, f"calls of this kind ({name})")
        self._name = name
        self._work: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._under_way = self._leaving = 0
        self._hurrying = False
        self._silent: dict[int, tuple[float, Any]] = {}

    def start(self, fewest: int) -> None:
        """Start the threads, or as many as the system gives if those are not too few.

        Raises
        ------
        CannotServe
            If there are fewer than `fewest`.
        """
        begun = 0
        try:
            for begun in range(self.count):
                name = f"{self._name}_{begun}"
                threading.Thread(target=_work, args=(self._work,), name=name, daemon=True).start()
        except RuntimeError:
            left = begun - SPARE
            if left < fewest:
                raise CannotServe(
                    f"the system gives {begun} threads of the {self.count} for {self._name}; "
                    "raise the limit of processes (ulimit -u, --pids-limit, pids.max)"
                ) from None
            for _ in range(begun - left):
                self._work.put(None)
            self.count = left
            self.shares = Shares(left, self.shares.what)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        """Run a call as soon as there is a thread."""
        future: futures.Future[Any] = futures.Future()
        future.add_done_callback(self._done)
        with self._lock:
            self._under_way += 1
        self._work.put((future, fn, args, kwargs))
        self._hurry()
        return future

    def _done(self, _: object) -> None:
        with self._lock:
            self._under_way -= 1

    @contextmanager
    def silence(self, context: Any) -> Iterator[None]:
        """Cancel the call if it is still inside after a while, and sooner if a thread is needed."""
        alarm = alarms().after(SILENT_SECONDS, context.cancel)
        with self._lock:
            self._silent[id(context)] = (time.monotonic(), context)
        self._hurry()
        try:
            yield
        finally:
            alarm.cancel()
            with self._lock:
                if self._silent.pop(id(context), None) is None:
                    self._leaving -= 1

    def _hurry(self) -> None:
        """Cancel as many silent calls as others wait for a thread, the longest silent first."""
        while True:
            with self._lock:
                crowded = self._under_way - self._leaving > self.count
                if not crowded or not self._silent or self._hurrying:
                    return
                key, (since, context) = next(iter(self._silent.items()))
                left = since + self.hurried - time.monotonic()
                if left <= 0:
                    del self._silent[key]
                    self._leaving += 1
                self._hurrying = left > 0
            if left > 0:
                alarms().after(left, self._hurry_again)
                return
            context.cancel()

    def _hurry_again(self) -> None:
        self._hurrying = False
        self._hurry()

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """Let the threads end; nobody waits for them."""
        for _ in range(self.count):
            self._work.put(None)


def _work(work: queue.SimpleQueue[Any]) -> None:
    while (item := work.get()) is not None:
        future, fn, args, kwargs = item
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - it is for who waits for the future
            future.set_exception(error)
        del item, future, fn, args, kwargs


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
        self.shared = Threads(shared, "oracle")
        self._own = {
            path: Threads(
                threads,
                path.strip("/").rpartition(".")[2],
                HURRIED_HEALTH_SECONDS if is_open(path) else HURRIED_SECONDS,
            )
            for path, threads in own.items()
        }
        self._chosen = threading.local()

    def start(self) -> None:
        """Start the threads; where the system gives few, the pools of their own have fewer."""
        self.shared.start(self.shared.count)
        for pool in sorted(self._own.values(), key=lambda pool: pool.count):
            pool.start(1)

    def of(self, method: str) -> Threads:
        """Return the pool of a method."""
        service = method[: method.rfind("/") + 1]
        return self._own.get(method) or self._own.get(service) or self.shared

    def choose(self, method: str) -> None:
        """Let what this thread submits next run where a method belongs."""
        self._chosen.pool = self.of(method)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        """Run a call in the pool that was chosen."""
        pool, self._chosen.pool = getattr(self._chosen, "pool", None), None
        return (pool or self.shared).submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """End the threads."""
        for pool in (self.shared, *self._own.values()):
            pool.shutdown(wait=wait, cancel_futures=cancel_futures)


class Placed(grpc.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Chooses the pool of each call."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Return the handler of a call."""
        self._pools.choose(details.method)
        return continuation(details)
