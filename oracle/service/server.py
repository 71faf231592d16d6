"""The server: its settings, start and stop."""

from __future__ import annotations

import ipaddress
import os
import threading
from concurrent import futures
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from oracle.gradcheck.v1 import (
    activation_pb2_grpc,
    black_box_pb2_grpc,
    loss_pb2_grpc,
    mini_batch_pb2_grpc,
    self_test_pb2_grpc,
    server_pb2,
    server_pb2_grpc,
    simple_net_pb2_grpc,
    two_layer_net_pb2_grpc,
)
from oracle.service import servicers
from oracle.service.black_box import BlackBoxServicer
from oracle.service.self_test import SelfTest
from oracle.service.status import Gate, Statuses
from oracle.wire.tensor import MAX_RANK


@dataclass(frozen=True)
class Settings:
    """What a server may be told."""

    address: str = "127.0.0.1:50051"
    max_message_bytes: int = 64 * 2**20
    max_call_seconds: float = 600.0
    compute_slots: int = os.cpu_count() or 1
    max_waiting_calls: int = 16
    allow_remote: bool = False


class Server:
    """A server of all services on one address."""

    def __init__(self, settings: Settings) -> None:
        host, _, _ = settings.address.rpartition(":")
        if not settings.allow_remote and not _is_loopback(host.strip("[]")):
            raise ValueError(f"{host} is not a loopback address; --allow-remote serves it anyway")
        self.gate = Gate(settings.compute_slots, settings.max_waiting_calls)
        threads = settings.compute_slots + settings.max_waiting_calls + 16
        self.pool = futures.ThreadPoolExecutor(threads, "oracle")
        self.server = grpc.server(
            self.pool,
            interceptors=[Statuses()],
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", settings.max_message_bytes),
                ("grpc.max_send_message_length", settings.max_message_bytes),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ],
        )
        self.health = health.HealthServicer(
            experimental_non_blocking=True,
            experimental_thread_pool=futures.ThreadPoolExecutor(2, "health"),
        )
        self._register(settings)
        self.port = self.server.add_insecure_port(settings.address)
        self.address = f"{host}:{self.port}"

    def _register(self, settings: Settings) -> None:
        server, shared = self.server, (self.gate, settings.max_call_seconds)
        limits = server_pb2.Limits(
            max_message_bytes=settings.max_message_bytes,
            max_call_seconds=settings.max_call_seconds,
            compute_slots=settings.compute_slots,
            max_waiting_calls=settings.max_waiting_calls,
            max_rank=MAX_RANK,
        )
        registrations: list[tuple[Any, Any]] = [
            (
                activation_pb2_grpc.add_ActivationServiceServicer_to_server,
                servicers.Activation(*shared),
            ),
            (loss_pb2_grpc.add_LossServiceServicer_to_server, servicers.Loss(*shared)),
            (
                simple_net_pb2_grpc.add_SimpleNetServiceServicer_to_server,
                servicers.SimpleNet(*shared),
            ),
            (
                two_layer_net_pb2_grpc.add_TwoLayerNetServiceServicer_to_server,
                servicers.TwoLayerNet(*shared),
            ),
            (
                mini_batch_pb2_grpc.add_MiniBatchServiceServicer_to_server,
                servicers.MiniBatch(*shared),
            ),
            (server_pb2_grpc.add_ServerServiceServicer_to_server, servicers.Server(limits)),
            (black_box_pb2_grpc.add_BlackBoxServiceServicer_to_server, BlackBoxServicer()),
            (self_test_pb2_grpc.add_SelfTestServiceServicer_to_server, SelfTest(*shared)),
            (health_pb2_grpc.add_HealthServicer_to_server, self.health),
        ]
        for add, servicer in registrations:
            add(servicer, server)

    def start(self) -> None:
        """Serve, and let the end of the interpreter stop it."""
        self.server.start()
        self.health.set("", health_pb2.HealthCheckResponse.SERVING)
        # Threads of pools are joined before atexit functions run; only this hook comes earlier.
        threading._register_atexit(self.stop)  # type: ignore[attr-defined]

    def stop(self, grace: float = 0.0) -> None:
        """Refuse new calls, let running ones end within `grace` seconds, then stop them."""
        self.health.enter_graceful_shutdown()
        stopped = self.server.stop(grace)
        stopped.wait(grace)
        self.gate.stopping.set()
        stopped.wait(5)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
