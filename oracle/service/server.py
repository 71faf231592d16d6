"""The server: its services, start and stop."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc

from oracle.gradcheck.v1 import (
    activation_pb2,
    activation_pb2_grpc,
    black_box_pb2,
    black_box_pb2_grpc,
    graph_pb2,
    graph_pb2_grpc,
    loss_pb2,
    loss_pb2_grpc,
    mini_batch_pb2,
    mini_batch_pb2_grpc,
    self_test_pb2,
    self_test_pb2_grpc,
    server_pb2,
    server_pb2_grpc,
    simple_net_pb2,
    simple_net_pb2_grpc,
    two_layer_net_pb2,
    two_layer_net_pb2_grpc,
)
from oracle.reference.requirements import MOST_NUMBERS
from oracle.service import beside, nets, servicers, tls, tokens
from oracle.service.admission import Admitted
from oracle.service.alarms import alarms
from oracle.service.black_box import IDLE_SECONDS, MAX_SESSIONS, BlackBoxServicer
from oracle.service.decoding import Decoded
from oracle.service.direct import Registry
from oracle.service.draining import Drained
from oracle.service.gate import Calls, Gate
from oracle.service.graphs import Graphs
from oracle.service.health import SERVICE as HEALTH
from oracle.service.health import Health
from oracle.service.machine import threads
from oracle.service.observing import Log, Observed
from oracle.service.pools import SPARE, Placed, Pools
from oracle.service.ports import CannotServe, listen, options, require_servable
from oracle.service.reloading import Reloaded
from oracle.service.sealing import keys_of
from oracle.service.self_test import SelfTest
from oracle.service.settings import Settings
from oracle.service.shares import Shares
from oracle.service.status import Statuses
from oracle.service.tasks import MAX_ENTRIES
from oracle.wire.tensor import MAX_RANK

__all__ = ["FUNCTIONS", "SERVICES", "CannotServe", "Server", "Settings", "options"]

CONTRACT = (
    activation_pb2,
    black_box_pb2,
    graph_pb2,
    loss_pb2,
    mini_batch_pb2,
    self_test_pb2,
    server_pb2,
    simple_net_pb2,
    two_layer_net_pb2,
)
SERVICES = tuple(
    service for module in CONTRACT for service in module.DESCRIPTOR.services_by_name.values()
)
FUNCTIONS = tuple(
    sorted(
        f"{service.full_name}/{method.name}" for service in SERVICES for method in service.methods
    )
)
"""Full names of all methods."""


TRAIN = "/oracle.gradcheck.v1.TwoLayerNetService/Train"
CONVERSE = "/oracle.gradcheck.v1.BlackBoxService/Converse"
CHECK, WATCH = f"/{HEALTH}/Check", f"/{HEALTH}/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/"
"""Paths of what has threads of its own."""


LAST_ANSWERS = 0.2
"""Seconds that the last answers have to be read before gRPC closes their connections.

Linux drops what was sent and not yet read, if the one who closes has not read everything himself.
So gRPC's own shutdown, which closes at the last byte, lost 14 of 450 answers that it had waited
for; with these seconds, none of 450.
"""


LATEST_BEGIN = 5.0
"""Seconds in which a call is begun; one that is not means that calls are not served."""

REQUESTS_HELD = 4
"""Requests of the largest size that may be under way at once, and as many bytes of smaller ones."""


SETTLING = 0.1
"""Seconds for connections that their clients closed just now; gRPC logs those that it cuts off."""


class Server:
    """A server of all services on one address.

    Parameters
    ----------
    settings : Settings
        What it is told.
    credentials : grpc.ServerCredentials, optional
        What it shows to its clients and asks of them, instead of the files in the settings.
        Without either, connections are plain.
    interceptors : sequence of grpc.ServerInterceptor
        What sees every call before the server's own do, in their order.

    Raises
    ------
    CannotServe
        If the address is taken, a file does not fit, or the address is not loopback, strangers
        could call, and `allow_remote` is not set.
    """

    def __init__(
        self,
        settings: Settings,
        credentials: grpc.ServerCredentials | None = None,
        interceptors: Sequence[grpc.ServerInterceptor] = (),
    ) -> None:
        credentials = credentials or tls.credentials(settings)
        require_servable(settings, encrypted=credentials is not None)
        self.process = os.getpid()
        self.settings = settings
        self.calls = Calls()
        # Calls that wait at the gate hold a thread; sixteen more keep short calls going.
        shared = settings.compute_slots + settings.max_waiting_calls + 16
        # A few more threads than streams: those tell the caller that there are too many.
        self.trainings, self.conversations = _streams(settings, shared + 16)
        self.gate = Gate(
            settings.compute_slots,
            settings.max_waiting_calls,
            self.trainings,
            settings.max_call_seconds,
            settings.max_memory_bytes,
        )
        own = {TRAIN: self.trainings + 4, CONVERSE: self.conversations + 8}
        own |= {CHECK: 4, WATCH: 4, REFLECTION: 4}
        self.pools = Pools(shared, own)
        held = Shares(REQUESTS_HELD * settings.max_message_bytes, "bytes of requests under way")
        self.metrics = beside.metrics(settings, self.gate)
        ours: list[grpc.ServerInterceptor] = [Placed(self.pools)]
        if self.metrics is None:
            ours += [Observed(Log()), Statuses()]
        else:
            ours += [*self.metrics.interceptors(), Observed(Log(), self.metrics), Statuses()]
        if settings.token_file:
            read = partial(tokens.read, settings.token_file)
            ours.append(Admitted(Reloaded([settings.token_file], read).get))
        ours += [Drained(self.calls), Decoded(self.pools, held)]
        executor: Any = self.pools  # gRPC only submits to it.
        every = [*interceptors, *ours]
        self.server = grpc.server(executor, interceptors=every, options=options(settings))
        self.registry = Registry(self.server, every, self.pools)
        services = [service.full_name for service in SERVICES]
        self.health = Health(services, self.pools.of(WATCH).submit)
        self.connections: weakref.WeakSet[Any] = weakref.WeakSet()
        """Of clients in this process; at its end they close first, or gRPC may log that we went."""
        self._register()
        self.address = listen(self.server, settings, credentials)
        self.gate.helpers.start(1)
        self.pools.start()
        self.exposition = beside.exposition(settings, self.metrics)
        self.probes, self.health_address = beside.probes(settings, self.health)
        self.http = beside.http(settings, self.registry)

    def _register(self) -> None:
        settings = self.settings
        limits = server_pb2.Limits(
            max_message_bytes=settings.max_message_bytes,
            max_call_seconds=settings.max_call_seconds,
            compute_slots=settings.compute_slots,
            max_waiting_calls=settings.max_waiting_calls,
            max_rank=MAX_RANK,
            max_numbers=MOST_NUMBERS,
            max_trainings=self.trainings,
            max_conversations=self.conversations,
            max_idle_seconds=IDLE_SECONDS,
            max_entries=MAX_ENTRIES,
        )
        shared = (self.gate, settings.max_message_bytes)
        everything: list[tuple[Any, Any]] = [
            (
                server_pb2_grpc.add_ServerServiceServicer_to_server,
                servicers.Server(limits, FUNCTIONS),
            ),
            (
                activation_pb2_grpc.add_ActivationServiceServicer_to_server,
                servicers.Activation(*shared),
            ),
            (loss_pb2_grpc.add_LossServiceServicer_to_server, servicers.Loss(*shared)),
            (
                simple_net_pb2_grpc.add_SimpleNetServiceServicer_to_server,
                nets.SimpleNet(*shared),
            ),
            (
                two_layer_net_pb2_grpc.add_TwoLayerNetServiceServicer_to_server,
                nets.TwoLayerNet(*shared),
            ),
            (
                mini_batch_pb2_grpc.add_MiniBatchServiceServicer_to_server,
                servicers.MiniBatch(*shared),
            ),
            (
                black_box_pb2_grpc.add_BlackBoxServiceServicer_to_server,
                BlackBoxServicer(
                    max_sessions=self.conversations,
                    max_message_bytes=settings.max_message_bytes,
                    look=self.gate.turn,
                    keys=keys_of(settings.session_key_file),
                    memory=self.gate.memory,
                ),
            ),
            (graph_pb2_grpc.add_GraphServiceServicer_to_server, Graphs(*shared)),
            (self_test_pb2_grpc.add_SelfTestServiceServicer_to_server, SelfTest(*shared)),
            (health_pb2_grpc.add_HealthServicer_to_server, self.health),
        ]
        for add, servicer in everything:
            add(servicer, self.registry)
        if settings.reflection:
            self._reflect()

    def _reflect(self) -> None:
        from grpc_reflection.v1alpha import (  # noqa: PLC0415 - only those who ask for it pay
            reflection,
            reflection_pb2_grpc,
        )

        names = (HEALTH, *(service.full_name for service in SERVICES))
        servicer = reflection.ReflectionServicer((*names, reflection.SERVICE_NAME))
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, self.server)

    def start(self) -> None:
        """Serve, and let the end of the interpreter stop it."""
        self.server.start()
        if self.probes is not None:
            self.probes.start()
        if self.http is not None:
            self.http.start()
        self.health.tell(serving=True)
        self._look_after(self.pools.shared.submit(bool))
        # Threads of pools are joined before atexit functions run; only this hook comes earlier.
        threading._register_atexit(_stop_if_alive, weakref.ref(self))  # type: ignore[attr-defined]

    def _look_after(self, submitted: Future[Any]) -> None:
        """Say that calls are not served while one that does nothing is not begun in time."""
        alive = weakref.ref(self)

        def look() -> None:
            server = alive()
            if server is None or server.gate.stopping.is_set():
                return
            server.health.tell(serving=submitted.done())
            server._look_after(server.pools.shared.submit(bool) if submitted.done() else submitted)

        alarms().after(LATEST_BEGIN, look)

    def stop(self, grace: float = 0.0, hurried: Callable[[], bool] = lambda: False) -> None:
        """Refuse new calls, let running ones end within `grace` seconds, then stop them.

        The grace is over when `hurried()` is true, too.
        A fork leaves nothing of it in the child that could be stopped.
        """
        if os.getpid() != self.process:
            return
        self.health.end()
        if self.calls.close(grace, hurried) and grace:
            time.sleep(LAST_ANSWERS)
        if self.http is not None:
            self.http.stop()
        try:
            stopped = self.server.stop(SETTLING)
        except RuntimeError:  # The system gives no thread for the wait.
            stopped = self.server.stop(None)
        self.gate.stopping.set()
        stopped.wait(5)
        if self.exposition is not None:
            self.exposition.stop()
        if self.probes is not None:
            self.probes.stop(0).wait(5)
        self.pools.shutdown()
        self.gate.helpers.shutdown()


def _streams(settings: Settings, others: int) -> tuple[int, int]:
    """Return how many trainings and how many conversations find a thread beside the others."""
    left = threads() - SPARE - others - settings.compute_slots - 12
    trainings, conversations = settings.max_streams, MAX_SESSIONS
    if left < trainings + conversations:
        trainings = max(1, min(trainings, left // 4))
        conversations = max(1, left - trainings)
        logging.getLogger(__name__).warning(
            "the system gives few threads (pids.max)",
            extra={"max_trainings": trainings, "max_conversations": conversations},
        )
    return trainings, conversations


def _stop_if_alive(reference: weakref.ref[Server]) -> None:
    server = reference()
    if server is not None:
        for connection in list(server.connections):
            connection.close()
        server.stop()
