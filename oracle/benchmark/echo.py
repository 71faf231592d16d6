"""A bare gRPC server, without protobuf, checks and statuses: what gRPC itself costs."""

from __future__ import annotations

import time
from concurrent import futures
from typing import Any

import grpc
import numpy as np

from oracle.reference import activations

ECHO = "/bare.Bytes/Echo"
"""Sends back the bytes it got."""
SIGMOID = "/bare.Bytes/Sigmoid"
"""Takes bytes of float64 and sends back those of their sigmoid."""


def _sigmoid(request: bytes, _: Any) -> bytes:
    return activations.sigmoid(np.frombuffer(request)).tobytes()


METHODS: dict[str, Any] = {ECHO: lambda request, _: request, SIGMOID: _sigmoid}


class _Bytes(grpc.GenericRpcHandler):  # type: ignore[misc, unused-ignore]
    def service(self, details: Any) -> Any:
        """Return the handler of a method."""
        return grpc.unary_unary_rpc_method_handler(METHODS[details.method])


def serve() -> None:
    """Serve on a free loopback port, print the address, and go on until the process is ended."""
    options = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
    ]
    server = grpc.server(futures.ThreadPoolExecutor(34), handlers=[_Bytes()], options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)  # noqa: T201 - the starter reads it
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    serve()
