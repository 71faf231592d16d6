"""Ports: what may be served where, and the one place that opens them."""

from __future__ import annotations

import ipaddress
import os
import socket

import grpc

from oracle.service.settings import Settings

ANOTHER = "choose another port with --address, or port 0 for a free one"


class CannotServe(Exception):
    """An address that cannot be served; the message says why and what to do."""


class WrongAddress(CannotServe):
    """An address that is none, or is not loopback where that is not allowed."""


def options(settings: Settings) -> list[tuple[str, int]]:
    """Return the options of gRPC; it says nothing about one that it does not know."""
    return [
        ("grpc.so_reuseport", int(settings.shared_port)),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def listen(
    server: grpc.Server, settings: Settings, credentials: grpc.ServerCredentials | None
) -> str:
    """Let a server listen where the settings say, and return its address with the real port.

    Raises
    ------
    CannotServe
        If the address is taken, or is not loopback and `allow_remote` is not set.
    """
    host, _, _ = require_servable(settings)
    try:
        if credentials is None:
            port = server.add_insecure_port(settings.address)
        else:
            port = server.add_secure_port(settings.address, credentials)
    except RuntimeError:
        raise CannotServe(f"the address was not to be had; {ANOTHER}") from None
    return f"{host}:{port}"


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
