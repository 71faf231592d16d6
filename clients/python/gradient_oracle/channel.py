"""What both transports share: addresses, the channels themselves, retries and limits."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

import grpc
import grpc.aio
from google.protobuf.descriptor_pb2 import MethodOptions

from gradient_oracle import reaching
from gradient_oracle.access import Access
from gradient_oracle.arrays import real
from gradient_oracle.calls import SERVICES
from gradient_oracle.errors import MessageTooLarge, from_call, invalid, unavailable
from gradient_oracle.information import ServerInfo
from oracle.gradcheck.v1 import server_pb2

DEFAULT_ADDRESS = "127.0.0.1:50051"
TIMEOUT = 600.0
"""Seconds that a call may take: what a server allows by default."""
CONNECT_TIMEOUT = 10.0
"""Seconds that a server may take to answer for the first time."""
REFUSED_TIMEOUT = 1.0
"""Seconds after which a port that refuses connections is given up, if the caller names no time.

Whoever starts a server and does not wait for it says how long its start may take.
"""
EMBEDDED_MESSAGE_BYTES = 2**28
"""Largest message of an embedded server: ten million float64 parameters and as many entries of a
gradient are 160 MB. A server for others takes less by default.
"""
LARGEST_MESSAGE_BYTES = 2**31 - 1
"""What gRPC carries."""


def resolve(address: str | None) -> str:
    """Return the address to connect to: the given one, GRADIENT_ORACLE_ADDRESS, or the default.

    Raises
    ------
    InvalidRequest
        If it is no text, or has no port: gRPC would silently take 443.
    """
    if not isinstance(address, str | None):
        raise invalid("address", "be HOST:PORT", repr(address))
    target = address or os.environ.get("GRADIENT_ORACLE_ADDRESS") or DEFAULT_ADDRESS
    named = re.match(r"(dns|unix|unix-abstract|ipv4|ipv6|xds):", target)
    if not named and "://" in target:
        raise invalid("address", f"be HOST:PORT, without {target.partition('://')[0]}://", target)
    port = re.search(r"[^:]:(\d+)$", target)
    if not named and not (port and 0 < int(port[1]) < 2**16):
        raise invalid("address", "be HOST:PORT", repr(target))
    return target


def positive(argument: str, seconds: Any) -> float:
    """Return a number of seconds above 0."""
    number = real(argument, seconds)
    if not number > 0:
        raise invalid(argument, "be a positive number of seconds", f"{number}")
    return number


def waits(connect_timeout: Any, timeout: float) -> tuple[float, ...]:
    """Return the seconds to wait for a server, one after the other while its port may open."""
    if connect_timeout is not None:
        return (min(positive("connect_timeout", connect_timeout), timeout),)
    whole = min(CONNECT_TIMEOUT, timeout)
    return (REFUSED_TIMEOUT, whole - REFUSED_TIMEOUT) if whole > REFUSED_TIMEOUT else (whole,)


def is_given_up(error: Any, address: str) -> bool:
    """Tell whether a server that did not answer in time need not be waited for any longer."""
    if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
        return True
    return not _proxy(address) and reaching.is_refused(address)


def _proxy(address: str) -> str:
    """Return that a proxy stands between, or "": for loopback it is left out."""
    return "" if is_loopback(address) else reaching.proxy(address)


def require_secret(address: str, access: Access) -> None:
    """Raise if a token would be readable on its way.

    Raises
    ------
    InvalidRequest
        If the connection is plain and the address is not on this machine.
    """
    if access.token and access.credentials is None and not is_loopback(address):
        remedy = "pass credentials=gradient_oracle.TLS(ca=) or set GRADIENT_ORACLE_CA"
        raise invalid("token", "travel over TLS", f"a plain connection to {address}; {remedy}")


def blocking(address: str, access: Access) -> grpc.Channel:
    """Open a channel; what an asyncio client is told of interceptors is partly for the other."""
    require_secret(address, access)
    chosen = options(address, access.options)
    opened = (
        grpc.insecure_channel(address, chosen)
        if access.credentials is None
        else grpc.secure_channel(address, access.credentials, chosen)
    )
    theirs = [item for item in access.interceptors if not _is_asynchronous(item)]
    return grpc.intercept_channel(opened, *theirs) if theirs else opened


def asynchronous(address: str, access: Access) -> grpc.aio.Channel:
    """Open a channel in the running event loop, with those interceptors that are for one."""
    theirs: Any = [item for item in access.interceptors if _is_asynchronous(item)]
    chosen = options(address, access.options)
    if access.credentials is None:
        return grpc.aio.insecure_channel(address, chosen, interceptors=theirs)
    return grpc.aio.secure_channel(address, access.credentials, chosen, interceptors=theirs)


def _is_asynchronous(interceptor: Any) -> bool:
    return isinstance(interceptor, grpc.aio.ClientInterceptor)


def require_blocking(access: Access) -> None:
    """Raise if an interceptor is for asyncio, in a client that is not."""
    for interceptor in access.interceptors:
        if _is_asynchronous(interceptor):
            kind = type(interceptor).__name__
            raise invalid("interceptors", "be those of a blocking channel", f"{kind} of grpc.aio")


def options(address: str, more: Iterable[tuple[str, Any]] = ()) -> list[tuple[str, Any]]:
    """Return the options of a channel to `address`; of two with one name, the caller's counts.

    Messages have no limit of gRPC's own: the server's is asked for, and checked before sending.
    """
    chosen: dict[str, Any] = {
        "grpc.max_receive_message_length": -1,
        "grpc.max_send_message_length": -1,
        "grpc.keepalive_time_ms": 30_000,
        "grpc.service_config": json.dumps(service_config(address)),
    }
    if is_loopback(address):
        # A proxy of the environment cannot reach this machine's own loopback.
        chosen["grpc.enable_http_proxy"] = 0
    return list({**chosen, **dict(more)}.items())


def is_loopback(address: str) -> bool:
    """Tell whether an address, with or without a scheme, is on this machine; of several, all."""
    scheme, _, rest = address.partition(":")
    if scheme.lower() in ("unix", "unix-abstract"):
        return True
    places = rest.rpartition("/")[2] if scheme.lower() in ("dns", "ipv4", "ipv6") else address
    return all(_is_near(place) for place in places.split(","))


def _is_near(place: str) -> bool:
    """Tell whether a host, with or without a port, is this machine."""
    alone = "]" in place and not re.search(r"\]:\d+$", place)
    host = place if alone or ":" not in place else place.rpartition(":")[0]
    host = unquote(host).strip("[]")
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def service_config(address: str) -> dict[str, Any]:
    """Return the retries, and for what may be several servers the turns and the health of each.

    Retries are of UNAVAILABLE, for methods that the contract calls free of effects.
    """
    names = [
        {"service": service.full_name, "method": method.name}
        for service in SERVICES
        for method in service.methods
        if method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    ]
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 3,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    retries = {"methodConfig": [{"name": names, "retryPolicy": policy}]}
    if is_loopback(address) and "," not in address:
        return retries
    # One that tells that it does not serve, because it stops say, is given no calls.
    health = {"serviceName": ""}
    return retries | {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": health}


def fits(size: int, server: ServerInfo) -> bool:
    """Tell whether a server takes a request of so many bytes, as far as it told; 0 is no limit."""
    limit = server.limits.max_message_bytes
    return not limit or size <= limit


def require_size(size: int, server: ServerInfo, address: str) -> None:
    """Raise `MessageTooLarge` if a request is above the limit of the server."""
    if not fits(size, server):
        limit = server.limits.max_message_bytes
        most = min(2 ** size.bit_length(), LARGEST_MESSAGE_BYTES)
        raise MessageTooLarge(
            f"the request has {size:,} bytes and the oracle at {address} takes messages of at most "
            f"{limit:,}; send less, or start it with a higher limit: "
            f"serve --max-message-bytes {most}, or embedded(max_message_bytes={most})"
        )


def server_behind(error: Any, address: str, seconds: float, access: Access) -> ServerInfo:
    """Return what is known of a server that did not tell about itself: nothing.

    An implementation of the contract may leave ServerService out.

    Raises
    ------
    OracleError
        If there is no server, or its answer was another error.
    """
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return ServerInfo.of(server_pb2.GetServerInfoResponse())
    if error.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE):
        reason = reaching.explain(address, access) or _proxy(address)
        raise unavailable(address, seconds, reason) from None
    raise from_call(error, address, seconds) from None
