"""Workers for f as SciPy takes them: how many, an executor, or a function like map."""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol, TypeAlias

from gradient_oracle.arrays import integer
from gradient_oracle.called import Outcome, Parcel
from gradient_oracle.errors import invalid
from gradient_oracle.processes import LOOK, Lost, Processes
from gradient_oracle.waiting import Departure

MOST = 4096
"""Points that wait for the workers of an executor at a time: more than any has."""

Map: TypeAlias = Callable[[Callable[[Any], Outcome], Iterable[Any]], Iterable[Outcome]]


class Pool(Protocol):
    """Evaluates at many points at a time."""

    def run(
        self, parcel: Parcel, points: Iterator[Any], held: int, departure: Departure
    ) -> Iterator[Outcome]:
        """Yield what became of each point, in order; at most so many are held beside a worker's.

        Raises
        ------
        Lost
            If a worker ended.
        """


class OfExecutor:
    """Workers of an `Executor`: of this process, of others, of a cluster."""

    def __init__(self, executor: futures.Executor) -> None:
        self.executor = executor

    def run(
        self, parcel: Parcel, points: Iterator[Any], held: int, departure: Departure
    ) -> Iterator[Outcome]:
        """Submit the points and wait for them in order."""
        most = min(MOST, held + (os.cpu_count() or 1))
        waiting: deque[tuple[Any, futures.Future[Outcome]]] = deque()
        index = 0
        try:
            while True:
                for x in islice(points, most - len(waiting)):
                    waiting.append((x, self._submit(parcel, x, index)))
                if not waiting:
                    return
                yield self._result(parcel, [x for x, _ in waiting], waiting[0][1], index, departure)
                waiting.popleft()
                index += 1
        finally:
            for _, future in waiting:
                future.cancel()

    def _submit(self, parcel: Parcel, x: Any, index: int) -> futures.Future[Outcome]:
        try:
            return self.executor.submit(parcel, x)
        except futures.BrokenExecutor as error:
            raise Lost(f"the executor is broken: {error}", index) from None
        except RuntimeError as error:
            raise invalid(
                "workers", "be an executor that takes work", f"one whose {error}"
            ) from None

    def _result(
        self,
        parcel: Parcel,
        points: list[Any],
        future: futures.Future[Outcome],
        index: int,
        departure: Departure,
    ) -> Outcome:
        while True:
            departure.require_waiting()
            try:
                return future.result(LOOK)
            except futures.TimeoutError:
                if future.done():
                    raise
            except futures.BrokenExecutor as error:
                # All that wait are told so, and only one has ended its worker.
                offset = _culprit(parcel, points, departure)
                at = None if offset is None else index + offset
                raise Lost(str(error), at) from None
            except futures.CancelledError:
                raise Lost("the work was cancelled", index) from None


def _culprit(parcel: Parcel, points: list[Any], departure: Departure) -> int | None:
    """Return which of some points ends a process of its own, or None if none does."""
    with Processes(1) as alone:
        for index, x in enumerate(points):
            try:
                list(alone.run(parcel, iter([x]), 1, departure))
            except Lost:
                return index
    return None


class OfMap:
    """Workers behind a function like map, `multiprocessing.Pool(4).map` say."""

    def __init__(self, mapped: Map) -> None:
        self.mapped = mapped

    def run(
        self, parcel: Parcel, points: Iterator[Any], held: int, departure: Departure
    ) -> Iterator[Outcome]:
        """Map so many points at a time as may be held."""
        index = 0
        while batch := list(islice(points, held)):
            outcomes = self._mapped(parcel, batch, departure)
            if len(outcomes) != len(batch):
                raise invalid("workers", "be like map", f"{len(outcomes)} results of {len(batch)}")
            yield from outcomes
            index += len(batch)

    def _mapped(self, parcel: Parcel, batch: list[Any], departure: Departure) -> list[Outcome]:
        """Map in a thread, so that nobody waits for a pool one of whose processes has died."""
        done: queue.SimpleQueue[Callable[[], list[Outcome]]] = queue.SimpleQueue()

        def work() -> None:
            try:
                outcomes = list(self.mapped(parcel, batch))
                done.put(lambda: outcomes)
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                done.put(lambda error=error: _raise(error))  # type: ignore[misc]

        children = _children(set())
        threading.Thread(target=work, daemon=True, name="gradient-oracle map").start()
        while True:
            departure.require_waiting()
            try:
                return done.get(timeout=LOOK)()
            except queue.Empty:
                children = _children(children)
                if any(child.exitcode not in (None, 0) for child in children):
                    raise Lost(
                        "a process of the pool has died", _culprit(parcel, batch, departure)
                    ) from None


def _children(known: set[Any]) -> set[Any]:
    """Return the processes of pools of `multiprocessing`: those known, and those there are now."""
    return known | {
        child for child in multiprocessing.active_children() if "PoolWorker" in child.name
    }


def _raise(error: BaseException) -> Any:
    raise error


@contextmanager
def pool(workers: Any) -> Iterator[Pool | None]:
    """Return what evaluates f: None for one at a time, in this thread.

    Parameters
    ----------
    workers : int, Executor or callable
        How many processes to start, -1 for one for each core; what is given is not ended.
    """
    if isinstance(workers, futures.Executor):
        yield OfExecutor(workers)
    elif callable(workers):
        yield OfMap(workers)
    else:
        count = integer("workers", workers, least=-1)
        if count == 0:
            raise invalid("workers", "be a number of processes, -1 for all cores", "0")
        count = len(os.sched_getaffinity(0)) if count < 0 else count
        if count == 1:
            yield None
        else:
            with Processes(count) as processes:
                yield processes
