"""Threads and sockets that gevent or eventlet replaced: gRPC waits in them without end."""

from __future__ import annotations

import sys

from gradient_oracle.errors import OracleError


def require_threads(*, server: bool = False) -> None:
    """Raise if gRPC would hang in this process.

    gRPC knows gevent once it is told of it, as a client; eventlet it does not know.
    """
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("socket"):
        if server:
            raise OracleError(
                "gevent has replaced the threads that an embedded server needs; start one in "
                "another process, gradient-oracle serve, call "
                "grpc.experimental.gevent.init_gevent() in this one, and connect"
            )
        if not _gevent_is_known():
            raise OracleError(
                "gevent has replaced the sockets and threads of this process, in which gRPC hangs; "
                "call grpc.experimental.gevent.init_gevent() after gevent.monkey.patch_all()"
            )
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is not None and any(map(patcher.is_monkey_patched, ("socket", "thread"))):
        raise OracleError(
            "eventlet has replaced the sockets and threads of this process, in which gRPC hangs; "
            "use gradient_oracle in a process without eventlet.monkey_patch()"
        )


def _gevent_is_known() -> bool:
    core = sys.modules.get("grpc._cython.cygrpc")
    return bool(getattr(core, "g_gevent_activated", False))
