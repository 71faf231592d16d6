"""The ways to talk to the oracle about a function that stays here: a stream, or unary calls."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal, TypeAlias, get_args

import grpc

from gradient_oracle import channel, forks
from gradient_oracle.called import require_callable
from gradient_oracle.errors import InvalidRequest, OracleError, ServerFailure, invalid
from gradient_oracle.retries import Patience
from gradient_oracle.transport import Connection
from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.gradcheck.v1 import black_box_pb2_grpc

Progress: TypeAlias = Callable[[str, float], None]

Transport: TypeAlias = Literal["auto", "stream", "unary"]

DAY = 86_400.0

REMEMBERED = 2**26
"""Bytes of turns that are remembered where a server tells no limit: what a message holds."""

PAUSES = (0.1, 0.3, 1.0)
"""Seconds before a turn is said again that something between here and the server has lost."""

_LOST = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED)
"""What a proxy makes of a server that has died; the server itself sends details with them."""

_FINAL = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
)
"""Ends of a stream after which unary calls would come to the same end."""


class _Stream:
    """A conversation on one stream."""

    def __init__(self, client: Connection, timeout: float | None) -> None:
        self._client = client
        self._turns: queue.SimpleQueue[pb.BlackBoxServiceConverseRequest | None]
        self._turns = queue.SimpleQueue()
        stub = black_box_pb2_grpc.BlackBoxServiceStub(client.channel)
        # Nobody knows how long the caller's f takes, but a forgotten conversation ends some day.
        self.seconds = timeout or DAY
        self.metadata = client.access.metadata()
        turns = iter(self._turns.get, None)
        self._call = stub.Converse(turns, timeout=self.seconds, metadata=self.metadata)

    def say(self, turn: pb.Turn) -> pb.Reply:
        """Say a turn; raise what gRPC raises."""
        self._turns.put(pb.BlackBoxServiceConverseRequest(turn=turn))
        with forks.calling():
            response = next(self._call, None)
        if response is None:
            raise ServerFailure("the server ended the conversation without a result")
        return response.reply

    def finish(self) -> None:
        """Let the server say that a conversation is over, which it is not until that is heard."""
        with suppress(grpc.RpcError):
            next(self._call, None)

    def close(self) -> None:
        """End the stream, and with the sentinel the thread of gRPC that waits for the next turn."""
        self._turns.put(None)
        self._call.cancel()


class _Conversation:
    """What was said so far, and the way in which the next turn is said.

    Parameters
    ----------
    client : Connection
        The server, or the servers behind one address.
    transport : str
        "stream", "unary", or "auto": a stream, and unary calls when that breaks.
    timeout : float, optional
        Seconds of the conversation.
    """

    def __init__(self, client: Connection, transport: Transport, timeout: float | None) -> None:
        self._client = client
        self._falls_back = transport == "auto"
        self._stream = None if transport == "unary" else _Stream(client, timeout)
        self._seconds = timeout or client.timeout
        self._token = b""
        self._said: list[pb.Turn] = []
        limit = client.server.limits.max_message_bytes if client.server else 0
        self._room = limit or REMEMBERED

    def say(self, turn: pb.Turn) -> pb.Reply:
        """Say a turn and return the reply; a server that died in between costs no evaluation."""
        reply = self._step(turn) if self._stream is None else self._on_stream(self._stream, turn)
        self._room -= turn.ByteSize()
        self._said.append(turn)
        if self._room < 0:
            self._said.clear()
        return reply

    def _on_stream(self, stream: _Stream, turn: pb.Turn) -> pb.Reply:
        try:
            return stream.say(turn)
        except grpc.RpcError as error:
            lost = self._client.failure(error, stream.metadata, stream.seconds)
            if not self._falls_back or self._room < 0 or error.code() in _FINAL:
                raise lost from None
        self.close()
        self._stream = None
        try:
            self._client.meet_again()
            return self._step(turn)
        except OracleError as error:
            lost.add_note(f"nor did it go on by unary calls: {error}")
            raise lost from None

    def _step(self, turn: pb.Turn) -> pb.Reply:
        """Say a turn by a unary call: with the token, or with all turns where there is none."""
        earlier = [] if self._token else self._said
        request = pb.BlackBoxServiceStepRequest(token=self._token, turn=turn, earlier=earlier)
        try:
            response = self._send(request)
        except (InvalidRequest, ServerFailure) as error:
            # The server may be another than before, with another key for what a token holds.
            refused = isinstance(error, ServerFailure) or error.field == "token"
            if not (self._token and refused) or self._room < 0:
                raise
            again = pb.BlackBoxServiceStepRequest(turn=turn, earlier=self._said)
            response = self._send(again)
        self._token = response.token
        return response.reply

    def _send(self, request: pb.BlackBoxServiceStepRequest) -> pb.BlackBoxServiceStepResponse:
        stub = black_box_pb2_grpc.BlackBoxServiceStub(self._client.channel)
        pauses, patience = iter(PAUSES), Patience(self._seconds)
        while True:
            self._client.prepare(request.ByteSize())
            metadata = self._client.access.metadata()
            try:
                with forks.calling():
                    return stub.Step(
                        request, timeout=patience.left, metadata=metadata, wait_for_ready=True
                    )
            except grpc.RpcError as error:
                failed = self._client.failure(error, metadata, self._seconds)
                lost = error.code() in _LOST and not _is_answer(error)
                pause = next(pauses, None) if lost else patience.pause(failed)
                if pause is None:
                    raise failed from None
            time.sleep(pause)

    def finish(self) -> None:
        """Take the end that follows on the result."""
        if self._stream is not None:
            self._stream.finish()

    def close(self) -> None:
        """Give the conversation up."""
        if self._stream is not None:
            self._stream.close()


def _is_answer(error: Any) -> bool:
    """Tell whether a server itself ended a call: its errors have details."""
    return any(key == "grpc-status-details-bin" for key, _ in error.trailing_metadata() or ())


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
    if transport not in get_args(Transport):
        raise invalid("transport", f"be one of {', '.join(get_args(Transport))}", repr(transport))
    if timeout is not None:
        channel.positive("timeout", timeout)
    if progress is not None:
        require_callable("progress", progress)
    client.prepare(start.ByteSize())
    conversation = _Conversation(client, transport, timeout)
    try:
        reply = conversation.say(pb.Turn(start=start))
        while reply.WhichOneof("say") == "ask":
            if progress is not None:
                progress(reply.ask.stage, reply.ask.fraction_done)
            answered = answer(reply.ask)
            answered.mark = reply.ask.mark
            reply = conversation.say(pb.Turn(answer=answered))
        conversation.finish()
        if progress is not None:
            progress("done", 1.0)
    finally:
        conversation.close()
    return reply.result
