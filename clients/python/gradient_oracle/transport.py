"""The blocking transport: calls over a channel of gRPC."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, TypeVar

import grpc

from gradient_oracle import channel, errors, forks, green, versions
from gradient_oracle.access import Access, Metadata
from gradient_oracle.calls import Call, functions
from gradient_oracle.information import ServerInfo
from gradient_oracle.retries import Patience
from gradient_oracle.served import Served
from gradient_oracle.training import Progress, Trained, Unfinished

T = TypeVar("T")


class Connection:
    """One server, greeted before the first call."""

    def __init__(
        self,
        address: str,
        *,
        timeout: float = channel.TIMEOUT,
        connect_timeout: float | None = None,
        access: Access | None = None,
    ) -> None:
        forks.require_grpc()
        green.require_threads()
        self.process = os.getpid()
        self.address = address
        self.access = access or Access()
        self.timeout = channel.positive("timeout", timeout)
        self.waits = channel.waits(connect_timeout, self.timeout)
        self.channel: Any = channel.blocking(address, self.access)
        self.server: ServerInfo | None = None
        self._meeting = threading.Lock()
        self._methods: dict[str, Any] = {}
        self.closed = False

    def close(self) -> None:
        """Give up all calls."""
        self.closed = True
        if os.getpid() == self.process:
            self.channel.close()

    def require_usable(self) -> None:
        """Raise if this was closed, or made by the parent of this process."""
        forks.require_process(self.process, self.address)
        if self.closed:
            raise errors.closed(self.address)

    def prepare(self, size: int) -> None:
        """Wait for the server if it is not known yet, and require that it takes so many bytes."""
        self.require_usable()
        server = self.server or self.meet(self._greet())
        if not channel.fits(size, server):
            server = self.meet(self._greet(), anew=True)
        channel.require_size(size, server, self.address)

    def meet_again(self) -> None:
        """Wait for a server that may be another than before, as one may take another's place."""
        self.require_usable()
        self.meet(self._greet(), anew=True)

    def _greet(self) -> ServerInfo:
        """Ask for the limits, waiting for a server that is just starting."""
        call = functions.info()
        method, metadata, waited = self._method(call), self.access.metadata(), 0.0
        for seconds in self.waits:
            waited += seconds
            try:
                response = method(
                    call.serialize(), timeout=seconds, metadata=metadata, wait_for_ready=True
                )
            except grpc.RpcError as error:
                failed = error
                if channel.is_given_up(error, self.address):
                    break
            else:
                return call.result(response)
        return channel.server_behind(failed, self.address, waited, self.access)

    def meet(self, server: ServerInfo, *, anew: bool = False) -> ServerInfo:
        """Keep what a server told, the first time or `anew`: another may have taken its place.

        Each is warned of once, if it has another major version.
        """
        with self._meeting:
            known = self.server
            kept = server if anew or known is None else known
            self.server = kept
        if known is None or known.version != kept.version:
            versions.compare(server.version, self.address)
        return kept

    def _method(self, call: Call[Any]) -> Any:
        """Return the method of a call, which gRPC is asked for once."""
        kind = call.kind
        if kind not in self._methods:
            method = self.channel.unary_unary(call.path, response_deserializer=call.response)
            self._methods[kind] = method
        return self._methods[kind]

    def failure(
        self,
        error: Any,
        metadata: Metadata,
        seconds: float | None = None,
        called: Callable[[str], str] = errors.argument_of,
    ) -> errors.OracleError:
        """Return the error of a call that failed, which was sent with this metadata."""
        version = self.server.version if self.server else ""
        name, waited = metadata[0][1], seconds or self.timeout
        return errors.from_call(error, self.address, waited, version, name, called=called)

    def operators(self) -> Served:
        """Return the operators of the server, once it is known."""
        self.prepare(0)
        return self.served()

    def served(self) -> Served:
        """Return the operators of a server that is known, or raise if there are none."""
        if self.server and self.server.operators:
            return self.server.operators
        version = self.server.version if self.server else ""
        raise errors.unserved(self.address, "serve graphs of operators", version)

    def run(self, call: Call[T]) -> T:
        """Carry out a call."""
        request = call.serialize()
        self.prepare(len(request))
        patience = Patience(self.timeout)
        while True:
            metadata = self.access.metadata()
            try:
                with forks.calling():
                    response = self._method(call)(request, timeout=patience.left, metadata=metadata)
            except grpc.RpcError as error:
                failed = self.failure(error, metadata, called=call.called)
                pause = patience.pause(failed)
                if pause is None:
                    raise failed from None
            else:
                return call.result(response)
            time.sleep(pause)


class TrainingRun(Unfinished):
    """An iterator of progress; the last item is the trained parameters."""

    def __init__(self, connection: Connection, call: Call[Progress | Trained]) -> None:
        super().__init__()
        self._items = self._stream(connection, call)

    @staticmethod
    def _stream(
        connection: Connection, call: Call[Progress | Trained]
    ) -> Generator[Progress | Trained]:
        request = call.serialize()
        connection.prepare(len(request))
        method = connection.channel.unary_stream(call.path, response_deserializer=call.response)
        patience = Patience(connection.timeout)
        while True:
            metadata = connection.access.metadata()
            events = method(request, timeout=patience.left, metadata=metadata)
            try:
                for event in events:
                    yield call.result(event)
            except grpc.RpcError as error:
                failed = connection.failure(error, metadata)
                pause = patience.pause(failed)
                if pause is None:
                    raise failed from None
            else:
                return
            finally:
                events.cancel()
            time.sleep(pause)

    def __iter__(self) -> TrainingRun:
        return self

    def __next__(self) -> Progress | Trained:
        item = next(self._items)
        if isinstance(item, Trained):
            self.trained = item
        return item

    def __enter__(self) -> TrainingRun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def result(self) -> Trained:
        """Read the run to its end and return the trained parameters."""
        for _ in self:
            pass
        return self.parameters

    def close(self) -> None:
        """Cancel what is left of the training."""
        self._items.close()
