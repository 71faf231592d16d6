"""Callers that no client of gRPC would be: frames of HTTP/2, written by hand."""

from __future__ import annotations

import socket
import struct
from typing import Any

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME = 2**14
"""Bytes of the largest frame that is taken unless another size was agreed on."""
SETTINGS, HEADERS, RST_STREAM, DATA, PING, GOAWAY = 4, 1, 3, 0, 6, 7


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame."""
    return (
        struct.pack(">I", len(payload))[1:]
        + bytes([kind, flags])
        + struct.pack(">I", stream)
        + payload
    )


def _literal(name: bytes, value: bytes) -> bytes:
    """Return a header field that is not indexed."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def headers(path: str, *more: tuple[bytes, bytes]) -> bytes:
    """Return the header block of a call."""
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path.encode()),
        (b":authority", b"a"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        *more,
    ]
    return b"".join(_literal(name, value) for name, value in fields)


class Connection:
    """One connection, whose streams are opened and never ended."""

    def __init__(self, address: str, settings: bytes = b"") -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))
        self._next = 1

    def open(self, path: str, body: bytes = b"", *more: tuple[bytes, bytes]) -> int:
        """Begin a call, and send a part of its body."""
        stream, self._next = self._next, self._next + 2
        data = frame(HEADERS, 4, stream, headers(path, *more))
        for at in range(0, len(body), FRAME):
            data += frame(DATA, 0, stream, body[at : at + FRAME])
        self.socket.sendall(data)
        return stream

    def frames(self) -> Any:
        """Yield kind, stream and payload of what comes, until the server closes."""
        with self.socket.makefile("rb") as file:
            while len(head := file.read(9)) == 9:
                length = int.from_bytes(head[:3], "big")
                yield head[3], int.from_bytes(head[5:], "big"), file.read(length)

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
