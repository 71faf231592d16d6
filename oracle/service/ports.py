"""Ports: what may be served where, and the one place that opens them."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

import grpc

from oracle.service.settings import Settings

ANOTHER = "choose another with --address, or port 0 for any free one"


class CannotServe(Exception):
    """An address that cannot be served; the message says why and what to do."""


class WrongSetting(CannotServe):
    """A setting that cannot be meant: an address that is not valid, a file that does not fit."""


def options(settings: Settings) -> list[tuple[str, int]]:
    """Return the options of gRPC; it says nothing about one that it does not know."""
    return [
        ("grpc.so_reuseport", int(settings.shared_port)),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.max_connection_idle_ms", 600_000),
        ("grpc.max_connection_age_ms", 3_600_000),
        ("grpc.server_handshake_timeout_ms", 10_000),
        ("grpc.max_concurrent_streams", MOST_STREAMS),
        ("grpc.max_allowed_incoming_connections", _connections()),
    ]


MOST_STREAMS = 512
"""Calls of one connection; gRPC's clients wait with the next until one has ended."""


def _connections() -> int:
    """Return how many connections may be open: as many files, but for a quarter of them."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return 8192
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 8192 if files == resource.RLIM_INFINITY else min(8192, files - files // 4)


def listen(
    server: grpc.Server, settings: Settings, credentials: grpc.ServerCredentials | None
) -> str:
    """Let a server listen where the settings say, and return its address with the real port.

    Raises
    ------
    CannotServe
        If the address is taken, or may not be served.
    """
    host, _, _ = require_servable(settings, encrypted=credentials is not None)
    try:
        if credentials is None:
            port = server.add_insecure_port(settings.address)
        else:
            port = server.add_secure_port(settings.address, credentials)
    except RuntimeError:
        raise CannotServe(f"could not bind to {settings.address}; {ANOTHER}") from None
    return f"{host}:{port}"


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def risks(settings: Settings, *, encrypted: bool) -> list[str]:
    """Return what others could do to a server at its address, each with what prevents it.

    Parameters
    ----------
    settings : Settings
        What the server is told.
    encrypted : bool
        Whether its connections are.
    """
    if _is_loopback(settings.address.rpartition(":")[0].strip("[]")):
        return []
    found = []
    if not encrypted:
        found.append(
            "without --tls-certificate and --tls-key, whoever is on the way reads and changes "
            "what is sent"
        )
    if not settings.token_file and not settings.tls_client_ca:
        found.append(
            "without --token-file or --tls-client-ca, whoever reaches the port uses the server"
        )
    return found


def split_address(address: str) -> tuple[str, str, int]:
    """Return the host as it is written, the host without brackets, and the port of an address.

    Raises
    ------
    WrongSetting
        If it is not valid.
    """
    host, _, port = address.rpartition(":")
    bare = host.strip("[]")
    # gRPC takes the port modulo 65536.
    if not (port.isascii() and port.isdigit() and int(port) < 2**16):
        raise WrongSetting(f"{address} must be HOST:PORT with a port between 0 and 65535")
    if ":" in bare and host == bare:
        raise WrongSetting(f"an IPv6 address stands in brackets: [{bare}]:{port}")
    return host, bare, int(port)


def require_servable(settings: Settings, *, encrypted: bool) -> tuple[str, str, int]:
    """Return the host as it is written, the host without brackets, and the port of an address.

    Parameters
    ----------
    settings : Settings
        What the server is told.
    encrypted : bool
        Whether its connections will be.

    Raises
    ------
    WrongSetting
        If it is no address, or is not loopback, open to strangers, and `allow_remote` is not set.
    CannotServe
        If it is taken.
    """
    host, bare, port = split_address(settings.address)
    lacking = risks(settings, encrypted=encrypted)
    if lacking and not settings.allow_remote:
        raise WrongSetting(
            f"{host or settings.address} is not a loopback address, and {'; and '.join(lacking)}. "
            "--allow-remote serves it anyway"
        )
    if not settings.shared_port:
        _require_free(settings.address, bare, port)
    return host, bare, port


def _require_free(address: str, host: str, port: int) -> None:
    """Raise if the port is taken: gRPC would say so too, but with a line of its own in the log."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        reason = "it is in use" if error.errno == errno.EADDRINUSE else reason
        raise CannotServe(f"could not bind to {address}: {reason}; {ANOTHER}") from None
