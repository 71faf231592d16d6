"""The server: its settings, start and stop."""

from __future__ import annotations

import functools
import ipaddress
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from oracle.gradcheck.v1 import (
    activation_pb2,
    activation_pb2_grpc,
    black_box_pb2,
    black_box_pb2_grpc,
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
from oracle.service import servicers
from oracle.service.black_box import IDLE_SECONDS, MAX_SESSIONS, BlackBoxServicer
from oracle.service.gate import Calls, Gate
from oracle.service.self_test import SelfTest
from oracle.service.status import Statuses
from oracle.service.tasks import MAX_ENTRIES
from oracle.wire.tensor import MAX_RANK

CONTRACT = (
    activation_pb2,
    black_box_pb2,
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


ANOTHER = "choose another port with --address, or port 0 for a free one"


LAST_ANSWERS = 0.2
"""Seconds that the last answers have to be read before gRPC closes their connections.

Linux drops what was sent and not yet read, if the one who closes has not read everything himself.
So gRPC's own shutdown, which closes at the last byte, lost 14 of 450 answers that it had waited
for; with these seconds, none of 450.
"""


SETTLING = 0.1
"""Seconds for connections that their clients closed just now; gRPC logs those that it cuts off."""


class CannotServe(Exception):
    """An address that cannot be served; the message says why and what to do."""


class WrongAddress(CannotServe):
    """An address that is none, or is not loopback where that is not allowed."""


@dataclass(frozen=True)
class Settings:
    """What a server may be told.

    Parameters
    ----------
    address : str
        HOST:PORT; port 0 takes a free one.
    max_message_bytes, max_call_seconds : int, float
        The largest message, and the longest time for one call.
    compute_slots, max_waiting_calls, max_streams : int
        Calls that compute at the same time, calls that may wait for that, trainings at a time.
    allow_remote, reflection, shared_port : bool
        Whether to serve addresses that are not loopback, to describe the services to callers, and
        to share the port with other processes of `oracle.service.workers`.
    """

    address: str = "127.0.0.1:50051"
    max_message_bytes: int = 64 * 2**20
    max_call_seconds: float = 600.0
    compute_slots: int = os.cpu_count() or 1
    max_waiting_calls: int = 16
    max_streams: int = 32
    allow_remote: bool = False
    reflection: bool = False
    shared_port: bool = False


def options(settings: Settings) -> list[tuple[str, int]]:
    """Return the options of gRPC; it says nothing about one that it does not know."""
    return [
        ("grpc.so_reuseport", int(settings.shared_port)),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


class Server:
    """A server of all services on one address.

    Parameters
    ----------
    settings : Settings
        What it is told.

    Raises
    ------
    CannotServe
        If the address is taken, or is not loopback and `allow_remote` is not set.
    """

    def __init__(self, settings: Settings) -> None:
        host, _, _ = require_servable(settings)
        self.process = os.getpid()
        self.settings = settings
        self.gate = Gate(
            settings.compute_slots,
            settings.max_waiting_calls,
            settings.max_streams,
            settings.max_call_seconds,
        )
        self.calls = Calls()
        # Calls that wait at the gate hold a thread; sixteen more keep short calls going.
        threads = settings.compute_slots + settings.max_waiting_calls + 16
        self.pools: list[futures.ThreadPoolExecutor] = []
        self.server = grpc.server(
            self._pool("oracle", threads),
            interceptors=[Statuses(self.calls)],
            options=options(settings),
        )
        self.health = health.HealthServicer()
        self.connections: weakref.WeakSet[Any] = weakref.WeakSet()
        """Of clients in this process; at its end they close first, or gRPC may log that we went."""
        self._register()
        try:
            self.port = self.server.add_insecure_port(settings.address)
        except RuntimeError:
            raise CannotServe(f"the address was not to be had; {ANOTHER}") from None
        self.address = f"{host}:{self.port}"

    def _pool(self, name: str, threads: int) -> futures.ThreadPoolExecutor:
        self.pools.append(futures.ThreadPoolExecutor(threads, name))
        return self.pools[-1]

    def _register(self) -> None:
        server, settings = self.server, self.settings
        limits = server_pb2.Limits(
            max_message_bytes=settings.max_message_bytes,
            max_call_seconds=settings.max_call_seconds,
            compute_slots=settings.compute_slots,
            max_waiting_calls=settings.max_waiting_calls,
            max_rank=MAX_RANK,
            max_numbers=MOST_NUMBERS,
            max_trainings=settings.max_streams,
            max_conversations=MAX_SESSIONS,
            max_idle_seconds=IDLE_SECONDS,
            max_entries=MAX_ENTRIES,
        )
        shared = (self.gate, settings.max_message_bytes)
        net: Any = servicers.TwoLayerNet(*shared)
        # A few more threads than streams: those tell the caller that there are too many.
        net.Train = _in_pool(net.Train, self._pool("train", settings.max_streams + 4))
        answers: Any = self.health
        own = self._pool("health", 2)
        answers.Check, answers.Watch = _in_pool(answers.Check, own), _in_pool(answers.Watch, own)

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
                servicers.SimpleNet(*shared),
            ),
            (two_layer_net_pb2_grpc.add_TwoLayerNetServiceServicer_to_server, net),
            (
                mini_batch_pb2_grpc.add_MiniBatchServiceServicer_to_server,
                servicers.MiniBatch(*shared),
            ),
            (
                black_box_pb2_grpc.add_BlackBoxServiceServicer_to_server,
                BlackBoxServicer(max_message_bytes=settings.max_message_bytes, look=self.gate.turn),
            ),
            (self_test_pb2_grpc.add_SelfTestServiceServicer_to_server, SelfTest(*shared)),
            (health_pb2_grpc.add_HealthServicer_to_server, answers),
        ]
        for add, servicer in everything:
            add(servicer, server)
        if settings.reflection:
            self._reflect()

    def _reflect(self) -> None:
        from grpc_reflection.v1alpha import (  # noqa: PLC0415 - only those who ask for it pay
            reflection,
            reflection_pb2_grpc,
        )

        names = (health.SERVICE_NAME, *(service.full_name for service in SERVICES))
        servicer: Any = reflection.ReflectionServicer((*names, reflection.SERVICE_NAME))
        method = servicer.ServerReflectionInfo
        servicer.ServerReflectionInfo = _in_pool(method, self._pool("reflection", 4))
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, self.server)

    def start(self) -> None:
        """Serve, and let the end of the interpreter stop it."""
        self.server.start()
        for name in ("", *(service.full_name for service in SERVICES)):
            self.health.set(name, health_pb2.HealthCheckResponse.SERVING)
        # Threads of pools are joined before atexit functions run; only this hook comes earlier.
        threading._register_atexit(_stop_if_alive, weakref.ref(self))  # type: ignore[attr-defined]

    def stop(self, grace: float = 0.0, hurried: Callable[[], bool] = lambda: False) -> None:
        """Refuse new calls, let running ones end within `grace` seconds, then stop them.

        The grace is over when `hurried()` is true, too.
        A fork leaves nothing of it in the child that could be stopped.
        """
        if os.getpid() != self.process:
            return
        self.health.enter_graceful_shutdown()
        if self.calls.close(grace, hurried) and grace:
            time.sleep(LAST_ANSWERS)
        stopped = self.server.stop(SETTLING)
        self.gate.stopping.set()
        stopped.wait(5)
        for pool in (*self.pools, self.gate.helpers):
            pool.shutdown(wait=False)


def _stop_if_alive(reference: weakref.ref[Server]) -> None:
    server = reference()
    if server is not None:
        for connection in list(server.connections):
            connection.close()
        server.stop()


def _in_pool(behaviour: Callable[..., Any], pool: futures.ThreadPoolExecutor) -> Callable[..., Any]:
    """Return a handler that gRPC runs in a pool of its own, so that no other call delays it."""

    @functools.wraps(behaviour)
    def call(*arguments: Any) -> Any:
        return behaviour(*arguments)

    call.experimental_thread_pool = pool  # type: ignore[attr-defined]
    return call


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_servable(settings: Settings) -> tuple[str, str, int]:
    """Return the host as it is written, the host without brackets, and the port of an address.

    Raises
    ------
    WrongAddress
        If it is no address, or is not loopback and `allow_remote` is not set.
    CannotServe
        If it is taken.
    """
    host, _, port = settings.address.rpartition(":")
    bare = host.strip("[]")
    # gRPC takes the port modulo 65536.
    if not (port.isascii() and port.isdigit() and int(port) < 2**16):
        raise WrongAddress("it must be HOST:PORT with a port between 0 and 65535")
    if ":" in bare and host == bare:
        raise WrongAddress(f"an IPv6 address stands in brackets: [{bare}]:{port}")
    if not settings.allow_remote and not _is_loopback(bare):
        raise WrongAddress(
            f"{host or settings.address} is not a loopback address, and there is neither "
            "encryption nor a password; --allow-remote serves it anyway"
        )
    if not settings.shared_port:
        _require_free(bare, int(port))
    return host, bare, int(port)


def _require_free(host: str, port: int) -> None:
    """Raise if the port is taken: gRPC would say so too, but with a line of its own in the log."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise CannotServe(f"{reason}; {ANOTHER}") from None
