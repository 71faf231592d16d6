"""A bare gRPC server that sends back the bytes it got: what gRPC itself costs."""

from __future__ import annotations

import time
from concurrent import futures
from typing import Any

import grpc

METHOD = "/bare.Echo/Echo"


class _Echo(grpc.GenericRpcHandler):  # type: ignore[misc, unused-ignore]
    def service(self, details: Any) -> Any:  # noqa: ARG002 - it serves one method
        """Return the handler."""
        return grpc.unary_unary_rpc_method_handler(lambda request, _: request)


def serve() -> None:
    """Serve on a free loopback port, print the address, and go on until the process is ended."""
    options = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
    ]
    server = grpc.server(futures.ThreadPoolExecutor(34), handlers=[_Echo()], options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)  # noqa: T201 - the starter reads it
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    serve()
