"""What is served beside gRPC's port: metrics, health for probes, HTTP; each if it is asked for."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2_grpc

from oracle.service.decoding import Decoded
from oracle.service.direct import Registry
from oracle.service.gate import Gate
from oracle.service.health import Health
from oracle.service.pools import Placed, Pools
from oracle.service.ports import CannotServe, listen, options
from oracle.service.settings import Settings
from oracle.service.shares import Shares

if TYPE_CHECKING:
    from oracle.service.http import Http
    from oracle.service.metrics import Exposition, Metrics

PROBES = 4
"""Threads for probes on an address of their own."""


def metrics(settings: Settings, gate: Gate) -> Metrics | None:
    """Return what counts, if anybody asks: others do not pay for it, nor for its library."""
    if not settings.metrics_address:
        return None
    from oracle.service.metrics import Metrics  # noqa: PLC0415 - see above

    return Metrics(gate)


def probes(settings: Settings, answers: Health) -> tuple[grpc.Server | None, str]:
    """Return the server of the health alone, for who has nothing to show, and its address."""
    if not settings.health_address:
        return None, ""
    alone = dataclasses.replace(settings, address=settings.health_address, allow_remote=True)
    pools = Pools(PROBES, {})
    executor: Any = pools
    server = grpc.server(
        executor,
        interceptors=[Placed(pools), Decoded(pools, Shares(2**16, "bytes of requests of probes"))],
        options=options(alone),
    )
    health_pb2_grpc.add_HealthServicer_to_server(answers, server)
    address = listen(server, alone, None)
    pools.start()
    return server, address


def http(settings: Settings, registry: Registry) -> Http | None:
    """Return the server of HTTP, for which those who want it install what is needed."""
    if not settings.http_address:
        return None
    try:
        from oracle.service.http import Http  # noqa: PLC0415 - see above
    except ModuleNotFoundError as error:
        if error.name != "uvicorn":
            raise
        raise CannotServe(
            "--http-address needs uvicorn: pip install 'gradient-oracle[http]'"
        ) from None
    return Http(settings, registry)


def exposition(settings: Settings, counted: Metrics | None) -> Exposition | None:
    """Return what tells the metrics, unless it is another process that tells those of all."""
    if counted is None or settings.shared_port:
        return None
    from oracle.service.metrics import Exposition  # noqa: PLC0415 - see above

    return Exposition(settings.metrics_address, counted.registry)
