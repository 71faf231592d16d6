"""The two ways to talk to the oracle about a function that stays here: a stream, or unary calls."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

import grpc

from gradient_oracle import channel
from gradient_oracle.errors import ServerFailure, invalid
from gradient_oracle.points import require_callable
from gradient_oracle.transport import Connection
from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.gradcheck.v1 import black_box_pb2_grpc

Progress: TypeAlias = Callable[[str, float], None]

Transport: TypeAlias = Literal["stream", "unary"]

Say: TypeAlias = Callable[[pb.Turn], pb.Reply]

DAY = 86_400.0


def _stream(client: Connection, timeout: float | None) -> Iterator[Say]:
    turns: queue.SimpleQueue[pb.BlackBoxServiceConverseRequest | None] = queue.SimpleQueue()
    stub = black_box_pb2_grpc.BlackBoxServiceStub(client.channel)
    # Nobody knows how long the caller's f takes, but a forgotten conversation ends some day.
    metadata = client.access.metadata()
    call = stub.Converse(iter(turns.get, None), timeout=timeout or DAY, metadata=metadata)

    def say(turn: pb.Turn) -> pb.Reply:
        turns.put(pb.BlackBoxServiceConverseRequest(turn=turn))
        try:
            response = next(call, None)
        except grpc.RpcError as error:
            raise client.failure(error, metadata, timeout or DAY) from error
        if response is None:
            raise ServerFailure("the server ended the conversation without a result")
        return response.reply

    try:
        yield say
    finally:
        # The sentinel ends the thread of gRPC that waits for the next turn.
        turns.put(None)
        call.cancel()


def _unary(client: Connection, timeout: float | None) -> Iterator[Say]:
    stub = black_box_pb2_grpc.BlackBoxServiceStub(client.channel)
    seconds = timeout or client.timeout
    token = b""

    def say(turn: pb.Turn) -> pb.Reply:
        nonlocal token
        request = pb.BlackBoxServiceStepRequest(token=token, turn=turn)
        client.prepare(request.ByteSize())
        metadata = client.access.metadata()
        try:
            response = stub.Step(request, timeout=seconds, metadata=metadata, wait_for_ready=True)
        except grpc.RpcError as error:
            raise client.failure(error, metadata, seconds) from error
        token = response.token
        return response.reply

    yield say


_TRANSPORTS: dict[str, Callable[[Connection, float | None], Iterator[Say]]] = {
    "stream": _stream,
    "unary": _unary,
}


def converse(
    client: Connection,
    start: pb.Start,
    answer: Callable[[pb.Ask], pb.Answer],
    *,
    transport: Transport,
    timeout: float | None,
    progress: Progress | None,
) -> pb.Result:
    """Answer what the oracle asks until it has a result."""
    if transport not in _TRANSPORTS:
        raise invalid("transport", f"be one of {', '.join(_TRANSPORTS)}", repr(transport))
    if timeout is not None:
        channel.positive("timeout", timeout)
    if progress is not None:
        require_callable("progress", progress)
    client.prepare(start.ByteSize())
    with contextmanager(_TRANSPORTS[transport])(client, timeout) as say:
        reply = say(pb.Turn(start=start))
        while reply.WhichOneof("say") == "ask":
            if progress is not None:
                progress(reply.ask.stage, reply.ask.fraction_done)
            reply = say(pb.Turn(answer=answer(reply.ask)))
    return reply.result
