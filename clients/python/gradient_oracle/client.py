"""The blocking client: every method of `gradient_oracle.calls`, carried out at once."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import grpc

from gradient_oracle import (
    black_box,
    channel,
    differences,
    forks,
    green,
    jacobians,
    products,
    waiting,
)
from gradient_oracle.access import TLS, Options
from gradient_oracle.access import resolve as access_of
from gradient_oracle.calls import Call, functions, graphs, simple_net, two_layer_net
from gradient_oracle.served import Served
from gradient_oracle.training import Progress, Trained
from gradient_oracle.transport import Connection, TrainingRun

P = ParamSpec("P")
T = TypeVar("T")


def method_like(definition: Callable[..., Any], method: Callable[..., Any]) -> None:
    """Give a method the name, the text and the arguments of its definition, behind `self`."""
    functools.update_wrapper(method, definition)
    signature = inspect.signature(definition)
    oneself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    parameters = [p for p in signature.parameters.values() if p.name not in {"client", "served"}]
    answer = re.sub(r"^Call\[(.*)\]$", r"\1", signature.return_annotation)
    shown = signature.replace(parameters=[oneself, *parameters], return_annotation=answer)
    method.__signature__ = shown  # type: ignore[attr-defined]


def _blocking(definition: Callable[P, Call[T]]) -> Callable[Concatenate[Any, P], T]:
    def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        connection: Connection = self.connection
        return connection.run(definition(*args, **kwargs))

    method_like(definition, method)
    return method


def _of_graph(
    definition: Callable[Concatenate[Served, P], Call[T]],
) -> Callable[Concatenate[Any, P], T]:
    def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        connection: Connection = self.connection
        return connection.run(definition(connection.operators(), *args, **kwargs))

    method_like(definition, method)
    return method


def _conversation(
    definition: Callable[Concatenate[Connection, P], T],
) -> Callable[Concatenate[Any, P], T]:
    signature = inspect.signature(definition)
    converse: Callable[..., T] = definition

    def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        seconds = kwargs.get("timeout")
        if seconds is None:
            return definition(self.connection, *args, **kwargs)
        return waiting.within(seconds, converse, signature.bind(self.connection, *args, **kwargs))

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

    predict = _blocking(simple_net.predict)
    loss = _blocking(simple_net.loss)
    gradient = _blocking(simple_net.gradient)
    numerical_gradient = _blocking(simple_net.numerical_gradient)


class TwoLayerNet:
    """The document's TwoLayerNet: softmax(sigmoid(x @ W1 + b1) @ W2 + b2), cross-entropy error."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    init = _blocking(two_layer_net.init)
    predict = _blocking(two_layer_net.predict)
    loss = _blocking(two_layer_net.loss)
    accuracy = _blocking(two_layer_net.accuracy)
    gradient = _blocking(two_layer_net.gradient)
    numerical_gradient = _blocking(two_layer_net.numerical_gradient)
    probe = _blocking(two_layer_net.probe)
    train = _streamed(two_layer_net.train)


class Oracle:
    """The document's functions, exact gradients, and checks; a context manager.

    It may be shared by threads. Made by `connect` or `embedded`.
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

    def __enter__(self) -> Oracle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, and stop the server of `embedded`."""
        self.connection.close()
        if self._server is not None:
            self._server.stop()

    info = _blocking(functions.info)
    sigmoid = _blocking(functions.sigmoid)
    softmax = _blocking(functions.softmax)
    mean_squared_error = _blocking(functions.mean_squared_error)
    mean_squared_error_gradient = _blocking(functions.mean_squared_error_gradient)
    cross_entropy_error = _blocking(functions.cross_entropy_error)
    cross_entropy_error_gradient = _blocking(functions.cross_entropy_error_gradient)
    mini_batch = _blocking(functions.mini_batch)
    check_mean_squared_error = _blocking(functions.check_mean_squared_error)
    check_cross_entropy_error = _blocking(functions.check_cross_entropy_error)
    check_simple_net = _blocking(functions.check_simple_net)
    check_two_layer_net = _blocking(functions.check_two_layer_net)
    operators = _of_graph(graphs.operators)
    value = _of_graph(graphs.value)
    gradient = _of_graph(graphs.gradient)
    check = _of_graph(graphs.check)
    probe = _of_graph(graphs.probe)
    self_test = _blocking(functions.self_test)
    check_gradient = _conversation(black_box.check_gradient)
    check_jvp = _conversation(products.check_jvp)
    check_adjoint = _conversation(products.check_adjoint)
    check_jacobian = _conversation(jacobians.check_jacobian)
    check_hessian_vector_product = _conversation(products.check_hessian_vector_product)
    numerical_gradient = _conversation(differences.numerical_gradient)
    gradient_descent = _conversation(differences.gradient_descent)


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
    """Return a client of an existing server, without waiting for it.

    Parameters
    ----------
    address : str, optional
        HOST:PORT; by default the environment variable GRADIENT_ORACLE_ADDRESS, or
        127.0.0.1:50051.
    timeout : float
        Seconds that a call may take.
    connect_timeout : float, optional
        Seconds that the first call waits for a server that is starting. By default it waits 10 s
        for an answer, and 1 s for a port that refuses connections.
    credentials : TLS or grpc.ChannelCredentials, optional
        For an encrypted connection; by default that of the files that the environment variables
        GRADIENT_ORACLE_CA, _CERTIFICATE and _KEY name, and a plain one without them.
    token : str, optional
        What says to the server who calls; by default GRADIENT_ORACLE_TOKEN, and "" means none.
    interceptors : sequence of grpc client interceptors
        What sees every call, in their order.
    options : mapping or pairs of str and value
        Arguments of the channel of gRPC, beside those of this client or in their place.

    Raises
    ------
    InvalidRequest
        If the address has no port, a time is not positive, a file cannot be read, or a token would
        be sent to another machine without encryption.
    """
    target = channel.resolve(address)
    access = access_of(credentials, token, interceptors, options)
    channel.require_blocking(access)
    return Oracle(
        Connection(target, timeout=timeout, connect_timeout=connect_timeout, access=access)
    )


def embedded(
    *, timeout: float = channel.TIMEOUT, max_message_bytes: int = channel.EMBEDDED_MESSAGE_BYTES
) -> Oracle:
    """Return a client of a real server on a free loopback port, in this process.

    Parameters
    ----------
    timeout : float
        Seconds that a call may take.
    max_message_bytes : int
        Largest message; the default has room for ten million float64 parameters and their gradient.
    """
    server = start_server(max_message_bytes)
    connection = Connection(server.address, timeout=timeout)
    server.connections.add(connection)
    return Oracle(connection, server)


def start_server(max_message_bytes: int) -> Any:
    """Start a server in this process; a client of a server elsewhere does not load it.

    Raises
    ------
    ImportError
        If the client alone is installed.
    """
    green.require_threads(server=True)
    if not importlib.util.find_spec("oracle.service"):
        raise ImportError(
            "embedded() needs the server, and gradient-oracle-client is the client alone: "
            "pip install gradient-oracle"
        )
    from oracle.service.server import Server
    from oracle.service.settings import Settings

    forks.require_grpc()
    forks.make_unfit()
    server = Server(Settings("127.0.0.1:0", max_message_bytes=max_message_bytes))
    server.start()
    return server
