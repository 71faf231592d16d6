"""The asyncio client: the methods of `gradient_oracle`, awaited.

    async with gradient_oracle.aio.connect("host:50051") as oracle:
        report = await oracle.check_two_layer_net(params, x, t, gradient)
        async for item in oracle.two_layer_net.train(params, x, t):
            ...

The methods that evaluate a function of the caller (`check_gradient`, `check_jvp`,
`check_adjoint`, `numerical_gradient`, `gradient_descent`) hold the whole conversation in a thread
of their own, and call `f` there: the event loop goes on, and `f` must not touch what belongs to
it. When the awaiting task is cancelled the conversation ends at the next evaluation; nobody waits
for an `f` that hangs, neither the loop nor the end of the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import os
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import grpc

from gradient_oracle import (
    black_box,
    channel,
    differences,
    forks,
    jacobians,
    journal,
    products,
    waiting,
)
from gradient_oracle.access import TLS, Access, Options
from gradient_oracle.access import resolve as access_of
from gradient_oracle.calls import Call, functions, graphs, simple_net, two_layer_net
from gradient_oracle.client import method_like, start_server
from gradient_oracle.information import ServerInfo
from gradient_oracle.retries import Patience
from gradient_oracle.served import Served
from gradient_oracle.training import Progress, Trained, Unfinished
from gradient_oracle.transport import Connection as BlockingConnection

P = ParamSpec("P")
T = TypeVar("T")


class Connection:
    """One server, greeted before the first call; its channels belong to the running event loops."""

    def __init__(
        self,
        address: str,
        *,
        timeout: float,
        connect_timeout: float | None,
        access: Access | None = None,
    ) -> None:
        self.blocking = BlockingConnection(
            address, timeout=timeout, connect_timeout=connect_timeout, access=access
        )
        self.access = self.blocking.access
        self.address, self.timeout = address, self.blocking.timeout
        self._channels: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any]
        self._channels = weakref.WeakKeyDictionary()

    @property
    def channel(self) -> Any:
        """The channel, made inside the event loop that awaits: each loop has one of its own."""
        loop = asyncio.get_running_loop()
        if loop not in self._channels:
            forks.make_unfit()
            self._channels[loop] = channel.asynchronous(self.address, self.access)
        return self._channels[loop]

    async def close(self) -> None:
        """Give up all calls."""
        self.blocking.close()
        # Those of other loops close when nothing holds them any more.
        opened = self._channels.pop(asyncio.get_running_loop(), None)
        self._channels.clear()
        if opened is not None and os.getpid() == self.blocking.process:
            await opened.close()

    async def prepare(self, size: int) -> None:
        """Wait for the server if it is not known yet, and require that it takes so many bytes."""
        self.blocking.require_usable()
        server = self.blocking.server or self.blocking.meet(await self._greet())
        if not channel.fits(size, server):
            server = self.blocking.meet(await self._greet(), anew=True)
        channel.require_size(size, server, self.address)

    async def _greet(self) -> ServerInfo:
        call = functions.info()
        method = self.channel.unary_unary(call.path, response_deserializer=call.response)
        metadata, waited = self.access.metadata(), 0.0
        for seconds in self.blocking.waits:
            waited += seconds
            try:
                response = await method(
                    call.serialize(), timeout=seconds, metadata=metadata, wait_for_ready=True
                )
            except grpc.RpcError as error:
                failed = error
                if await asyncio.to_thread(channel.is_given_up, error, self.address):
                    break
            else:
                return call.result(response)
        found = functools.partial(channel.server_behind, failed, self.address, waited)
        return await asyncio.to_thread(found, self.access)

    async def operators(self) -> Served:
        """Return the operators of the server, once it is known."""
        await self.prepare(0)
        return self.blocking.served()

    async def run(self, call: Call[T]) -> T:
        """Carry out a call."""
        request = call.serialize()
        await self.prepare(len(request))
        method = self.channel.unary_unary(call.path, response_deserializer=call.response)
        patience = Patience(self.timeout)
        while True:
            metadata = self.access.metadata()
            try:
                response = await method(request, timeout=patience.left, metadata=metadata)
            except grpc.RpcError as error:
                failed = self.blocking.failure(error, metadata, called=call.called)
                pause = patience.pause(failed)
                if pause is None:
                    raise failed from None
            else:
                return call.result(response)
            await asyncio.sleep(pause)


class TrainingRun(Unfinished):
    """An asynchronous iterator of progress; the last item is the trained parameters."""

    def __init__(self, connection: Connection, call: Call[Progress | Trained]) -> None:
        super().__init__()
        self._items = self._stream(connection, call)

    @staticmethod
    async def _stream(
        connection: Connection, call: Call[Progress | Trained]
    ) -> AsyncGenerator[Progress | Trained]:
        request = call.serialize()
        await connection.prepare(len(request))
        method = connection.channel.unary_stream(call.path, response_deserializer=call.response)
        patience = Patience(connection.timeout)
        while True:
            metadata = connection.access.metadata()
            events = method(request, timeout=patience.left, metadata=metadata)
            try:
                async for event in events:
                    yield call.result(event)
            except grpc.RpcError as error:
                failed = connection.blocking.failure(error, metadata)
                pause = patience.pause(failed)
                if pause is None:
                    raise failed from None
            else:
                return
            finally:
                events.cancel()
            await asyncio.sleep(pause)

    def __aiter__(self) -> TrainingRun:
        return self

    async def __anext__(self) -> Progress | Trained:
        item = await anext(self._items)
        if isinstance(item, Trained):
            self.trained = item
        return item

    async def __aenter__(self) -> TrainingRun:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def result(self) -> Trained:
        """Read the run to its end and return the trained parameters."""
        async for _ in self:
            pass
        return self.parameters

    async def close(self) -> None:
        """Cancel what is left of the training."""
        await self._items.aclose()


Awaited = Coroutine[Any, Any, T]


def _awaited(definition: Callable[P, Call[T]]) -> Callable[Concatenate[Any, P], Awaited[T]]:
    async def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        connection: Connection = self.connection
        return await connection.run(definition(*args, **kwargs))

    method_like(definition, method)
    return method


def _awaited_of_graph(
    definition: Callable[Concatenate[Served, P], Call[T]],
) -> Callable[Concatenate[Any, P], Awaited[T]]:
    async def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        connection: Connection = self.connection
        return await connection.run(definition(await connection.operators(), *args, **kwargs))

    method_like(definition, method)
    return method


async def _in_daemon(departure: waiting.Departure, work: Callable[[], T]) -> T:
    """Await work in a thread that, unlike those of `asyncio.to_thread`, nothing has to wait for."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Callable[[], T]] = loop.create_future()

    def set_result(outcome: Callable[[], T]) -> None:
        if not done.done():
            done.set_result(outcome)

    def tell(outcome: Callable[[], T]) -> None:
        with contextlib.suppress(RuntimeError):  # The loop is closed: nobody waits.
            loop.call_soon_threadsafe(set_result, outcome)

    waiting.in_daemon(departure, work, tell)
    return (await done)()


def _in_thread(
    definition: Callable[Concatenate[BlockingConnection, P], T],
) -> Callable[Concatenate[Any, P], Awaited[T]]:
    signature = inspect.signature(definition)
    converse: Callable[..., T] = definition

    async def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        bound = signature.bind(self.connection.blocking, *args, **kwargs)
        departure = waiting.Departure()
        kept = waiting.remembering(bound)
        work = functools.partial(converse, *bound.args, **bound.kwargs)
        seconds = bound.arguments.get("timeout")
        limit = None if seconds is None else channel.positive("timeout", seconds)
        conversation = asyncio.ensure_future(_in_daemon(departure, work))
        try:
            await asyncio.wait({conversation}, timeout=limit)
            if limit is not None and not conversation.done():
                raise journal.told(waiting.too_late(limit), kept)
            return conversation.result()
        finally:
            departure.leave()
            conversation.cancel()

    method_like(definition, method)
    return method


def _streamed(
    definition: Callable[P, Call[Progress | Trained]],
) -> Callable[Concatenate[Any, P], TrainingRun]:
    def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> TrainingRun:
        return TrainingRun(self.connection, definition(*args, **kwargs))

    method_like(definition, method)
    return method


class SimpleNet:
    """The document's net of one matrix: softmax(x @ W), cross-entropy error."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    predict = _awaited(simple_net.predict)
    loss = _awaited(simple_net.loss)
    gradient = _awaited(simple_net.gradient)
    numerical_gradient = _awaited(simple_net.numerical_gradient)


class TwoLayerNet:
    """The document's TwoLayerNet: softmax(sigmoid(x @ W1 + b1) @ W2 + b2), cross-entropy error."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    init = _awaited(two_layer_net.init)
    predict = _awaited(two_layer_net.predict)
    loss = _awaited(two_layer_net.loss)
    accuracy = _awaited(two_layer_net.accuracy)
    gradient = _awaited(two_layer_net.gradient)
    numerical_gradient = _awaited(two_layer_net.numerical_gradient)
    probe = _awaited(two_layer_net.probe)
    train = _streamed(two_layer_net.train)


class Oracle:
    """The document's functions, exact gradients, and checks; an asynchronous context manager.

    It works in any event loop, one after the other too. Made by `connect` or `embedded`.
    """

    def __init__(self, connection: Connection, server: Any = None) -> None:
        self.connection = connection
        self.simple_net = SimpleNet(connection)
        self.two_layer_net = TwoLayerNet(connection)
        self._server = server

    @property
    def address(self) -> str:
        """The address of the server."""
        return self.connection.address

    async def __aenter__(self) -> Oracle:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection, and stop the server of `embedded`."""
        await self.connection.close()
        if self._server is not None:
            await asyncio.to_thread(self._server.stop)

    info = _awaited(functions.info)
    sigmoid = _awaited(functions.sigmoid)
    softmax = _awaited(functions.softmax)
    mean_squared_error = _awaited(functions.mean_squared_error)
    mean_squared_error_gradient = _awaited(functions.mean_squared_error_gradient)
    cross_entropy_error = _awaited(functions.cross_entropy_error)
    cross_entropy_error_gradient = _awaited(functions.cross_entropy_error_gradient)
    mini_batch = _awaited(functions.mini_batch)
    check_mean_squared_error = _awaited(functions.check_mean_squared_error)
    check_cross_entropy_error = _awaited(functions.check_cross_entropy_error)
    check_simple_net = _awaited(functions.check_simple_net)
    check_two_layer_net = _awaited(functions.check_two_layer_net)
    operators = _awaited_of_graph(graphs.operators)
    value = _awaited_of_graph(graphs.value)
    gradient = _awaited_of_graph(graphs.gradient)
    check = _awaited_of_graph(graphs.check)
    probe = _awaited_of_graph(graphs.probe)
    self_test = _awaited(functions.self_test)
    check_gradient = _in_thread(black_box.check_gradient)
    check_jvp = _in_thread(products.check_jvp)
    check_adjoint = _in_thread(products.check_adjoint)
    check_jacobian = _in_thread(jacobians.check_jacobian)
    check_hessian_vector_product = _in_thread(products.check_hessian_vector_product)
    numerical_gradient = _in_thread(differences.numerical_gradient)
    gradient_descent = _in_thread(differences.gradient_descent)


def connect(
    address: str | None = None,
    *,
    timeout: float = channel.TIMEOUT,
    connect_timeout: float | None = None,
    credentials: grpc.ChannelCredentials | TLS | None = None,
    token: str | None = None,
    interceptors: Sequence[Any] = (),
    options: Options = (),
) -> Oracle:
    """Return a client of an existing server; the arguments are those of the blocking `connect`.

    Of the interceptors those of `grpc.aio` see what is awaited, and the others the conversations
    about a function of the caller, which take place in a thread.
    """
    target = channel.resolve(address)
    access = access_of(credentials, token, interceptors, options)
    return Oracle(
        Connection(target, timeout=timeout, connect_timeout=connect_timeout, access=access)
    )


def embedded(
    *, timeout: float = channel.TIMEOUT, max_message_bytes: int = channel.EMBEDDED_MESSAGE_BYTES
) -> Oracle:
    """Return a client of a server in this process; the arguments are those of the blocking one."""
    server = start_server(max_message_bytes)
    connection = Connection(
        server.address, timeout=timeout, connect_timeout=channel.CONNECT_TIMEOUT
    )
    return Oracle(connection, server)
