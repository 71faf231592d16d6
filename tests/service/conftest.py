"""A server on a free port, and a way to call any method of it by name."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from oracle.service import gate
from oracle.service.server import SERVICES, Server
from oracle.service.settings import Settings

METHODS = {
    f"{service.name}/{method.name}": method for service in SERVICES for method in service.methods
}


def request_of(method: str, /, **fields: Any) -> Any:
    """Return the request message of `LossService/MeanSquaredError`, say."""
    return message_factory.GetMessageClass(METHODS[method].input_type)(**fields)


class Caller:
    """Calls methods by name over one channel."""

    def __init__(self, server: Server) -> None:
        self.server = server
        options = [
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
        ]
        # A connection of its own: others of one process to one address would share theirs.
        options.append(("grpc.use_local_subchannel_pool", 1))
        self.channel = grpc.insecure_channel(server.address, options)

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *exception: object) -> None:
        self.channel.close()

    def method(self, name: str) -> Any:
        """Return the callable of a method; a stream of requests is not needed here."""
        found = METHODS[name]
        kind = "unary_stream" if found.server_streaming else "unary_unary"
        return getattr(self.channel, kind)(
            f"/{found.containing_service.full_name}/{found.name}",
            request_serializer=message_factory.GetMessageClass(found.input_type).SerializeToString,
            response_deserializer=message_factory.GetMessageClass(found.output_type).FromString,
        )

    def __call__(self, name: str, timeout: float = 20, /, **fields: Any) -> Any:
        """Call a method; a streaming one gives the list of its responses."""
        answer = self.method(name)(request_of(name, **fields), timeout=timeout)
        return list(answer) if METHODS[name].server_streaming else answer

    def code(self, name: str, /, **fields: Any) -> str:
        """Call a method and return the name of its status code."""
        try:
            self(name, **fields)
        except grpc.RpcError as error:
            return error.code().name
        return "OK"

    def failure(self, name: str, timeout: float = 20, /, **fields: Any) -> SimpleNamespace:
        """Call a method that must fail; return code, text, reason and field."""
        with pytest.raises(grpc.RpcError) as caught:
            self(name, timeout, **fields)
        return describe(caught.value)


def describe(error: Any) -> SimpleNamespace:
    """Return code, text, reason and field of a failed call."""
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        detail.Unpack(info)
        detail.Unpack(bad)
    fields = [violation.field for violation in bad.field_violations]
    return SimpleNamespace(
        code=error.code().name,
        text=error.details(),
        reason=info.reason,
        field=fields[0] if fields else "",
    )


@contextmanager
def serving(**settings: Any) -> Iterator[Caller]:
    """Run a server and call it."""
    server = Server(Settings("127.0.0.1:0", **settings))
    server.start()
    caller = Caller(server)
    try:
        yield caller
    finally:
        caller.channel.close()
        server.stop()


LONGEST = 0.1
"""Seconds between two looks of a thread at its caller, of the thread's own computing time.

Other processes on the machine do not count: on a loaded one, any wall clock would.
"""


class Looks:
    """When each thread began a call, looked at its caller, and ended the call, by its own clock."""

    def __init__(self) -> None:
        self.calls: dict[int, list[list[float]]] = {}
        self.stopped: list[gate.Stopped] = []
        """What ended those that did not come to their own end."""

    def begin(self) -> None:
        """Note that a call begins."""
        self.calls.setdefault(threading.get_ident(), []).append([])
        self.note()

    def end(self, error: BaseException | None) -> None:
        """Note that a call ends."""
        if isinstance(error, gate.Stopped):
            self.stopped.append(error)
        self.note()

    def note(self) -> None:
        """Note that the thread looks at its caller."""
        self.calls.setdefault(threading.get_ident(), [[]])[-1].append(time.thread_time())

    def longest(self) -> float:
        """Return the longest time without a look within any call."""
        calls = [times for calls in self.calls.values() for times in calls]
        return max(b - a for times in calls for a, b in itertools.pairwise(times))


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    """Return the looks at their callers of all servers that are made from now on."""
    noted = Looks()
    look = gate.Turn.__call__

    def noted_look(turn: gate.Turn) -> None:
        noted.note()
        look(turn)

    def noted_enter(calls: gate.Calls) -> None:
        enter(calls)
        noted.begin()

    def noted_exit(calls: gate.Calls, kind: Any, error: BaseException | None, trace: Any) -> None:
        noted.end(error)
        leave(calls, kind, error, trace)

    enter, leave = gate.Calls.__enter__, gate.Calls.__exit__
    monkeypatch.setattr(gate.Turn, "__call__", noted_look)
    monkeypatch.setattr(gate.Calls, "__enter__", noted_enter)
    monkeypatch.setattr(gate.Calls, "__exit__", noted_exit)
    return noted


@pytest.fixture(scope="session")
def call() -> Iterator[Caller]:
    """Return a caller of a server with default settings."""
    with serving() as caller:
        yield caller


@pytest.fixture
def serve() -> Callable[..., Any]:
    """Return the context manager that runs a server with other settings."""
    return serving
