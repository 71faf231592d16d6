"""BlackBoxService: one session, held on a stream or carried in a token."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from oracle.checking.black_box.conversation import Answer, Ask, Evaluation, Selection
from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.gradcheck.v1 import black_box_pb2_grpc
from oracle.service import requests as decoded
from oracle.service import tasks
from oracle.service.calls import CURRENT
from oracle.service.estimates import Need
from oracle.service.gate import CallerLeft, Watchdog
from oracle.service.machine import UNLIMITED
from oracle.service.requests import Fields, require
from oracle.service.sealing import Seal, keys_of
from oracle.service.shares import Overloaded, Shares, caller_of
from oracle.service.status import Abandoned
from oracle.values import Array, Checkpoint, InvalidInput, Report, never_stop
from oracle.wire import report, tensor, tensors

MAX_MESSAGE_BYTES = 2**26
"""Of a server that is told nothing else."""
MAX_SESSIONS = 256
"""Streams at a time; each holds a thread of a pool that no other call waits for."""
EVALUATION_BYTES = 768
"""Memory that a check holds for each evaluation that it knows; 570 bytes were measured."""
IDLE_SECONDS = 600.0
"""How long a caller may think about one ask."""


class Session:
    """The conversation without its transport: a generator, its last ask, and the count of asks.

    It is deterministic: the same turns lead to the same replies.
    """

    def __init__(
        self,
        start: pb.Start,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        hold: Callable[[Need], None] = lambda _: None,
    ) -> None:
        task = tasks.begin(start, max_message_bytes)
        hold(task.need)
        self._hold = hold
        self.generator: Any = task.generator
        self.allowed = task.evaluations
        self.seconds_allowed = task.seconds
        self.number = -1
        self.used = 0
        self.seconds_used = 0.0
        self.asked: Any = None
        self.mark = 0
        self.reply = self._advance(None, start)

    def tell(self, answer: pb.Answer) -> None:
        """Take the answer to the last ask and go on to the next reply."""
        field, marked = "turn.answer", f"be that of the ask that is answered, {self.mark}"
        require(answer.number == self.number, f"{field}.number", f"be {self.number}", answer.number)
        require(answer.mark in (0, self.mark), f"{field}.mark", marked, answer.mark)
        if isinstance(self.asked, Ask):
            if self.seconds_allowed is not None:
                self.seconds_used = _elapsed(answer, self.seconds_used)
            late = self.seconds_allowed is not None and self.seconds_used >= self.seconds_allowed
            evaluations = _evaluations(answer.evaluations, len(self.asked.probes), late=late)
            self._hold(Need(f"{field}.evaluations", EVALUATION_BYTES * len(evaluations)))
            values: Any = Answer(evaluations, self.seconds_used)
            self.used += len(evaluations)
        else:
            values = _values(answer, 2 * (self.asked.end - self.asked.begin))
            self.used += values.size
        self.reply = self._advance(values, answer)

    def forget(self) -> None:
        """Keep nothing of the last reply but what its answer is compared with."""
        self.reply = pb.Reply()
        if self.asked is not None and getattr(self.asked, "point", None) is not None:
            self.asked = replace(self.asked, point=None)

    def _advance(self, values: Any, said: Message) -> pb.Reply:
        try:
            self.asked = self.generator.send(values)
        except StopIteration as end:
            self.asked = None
            return pb.Reply(result=_encode_result(end.value))
        self.number += 1
        ask = _encode_ask(self.asked)
        ask.number = self.number
        ask.evaluations_used = self.used
        ask.evaluations_allowed = self.allowed
        if self.seconds_allowed is not None:
            ask.seconds_used = self.seconds_used
            ask.seconds_allowed = self.seconds_allowed
        # Of all that was said and asked so far: another conversation has another mark.
        made = hashlib.sha256(self.mark.to_bytes(8, "little"))
        for message in (said, ask):
            made.update(message.SerializeToString(deterministic=True))
        self.mark = ask.mark = int.from_bytes(made.digest()[:8], "little") or 1
        return pb.Reply(ask=ask)


def _elapsed(answer: pb.Answer, before: float) -> float:
    field, elapsed = "turn.answer.elapsed_seconds", answer.elapsed_seconds
    require(answer.HasField("elapsed_seconds"), field, "be set", "nothing")
    valid = math.isfinite(elapsed) and elapsed >= before
    require(valid, field, f"be finite and at least {before:g}", elapsed)
    return elapsed


def _evaluations(
    messages: Sequence[pb.Evaluation], count: int, *, late: bool
) -> tuple[Evaluation, ...]:
    field = "turn.answer.evaluations"
    fits = len(messages) <= count if late else len(messages) == count
    require(fits, field, f"have {count} entries", len(messages))
    return tuple(
        _evaluation(message, f"{field}[{index}]") for index, message in enumerate(messages)
    )


def _evaluation(message: pb.Evaluation, field: str) -> Evaluation:
    outcome = message.WhichOneof("outcome")
    require(outcome is not None, field, "be set", "nothing")
    outside = outcome != "value" or not math.isfinite(message.value)
    # Where f has no value, these say nothing, and a caller need not fill them in.
    if not outside:
        predicted, moved = message.predicted, message.moved
        require(math.isfinite(predicted), f"{field}.predicted", "be finite", predicted)
        valid = math.isfinite(moved) and moved >= 0
        require(valid, f"{field}.moved", "be finite and at least 0", moved)
    return Evaluation(
        value=message.value,
        predicted=message.predicted,
        moved=message.moved,
        outside=outside,
        message=message.outside or message.error,
    )


def _values(answer: pb.Answer, count: int) -> Array:
    values = Fields(answer, "turn.answer.").array("values")
    require(values.shape == (count,), "turn.answer.values", f"have shape ({count},)", values.shape)
    require(values.dtype.kind != "b", "turn.answer.values", "be numbers", values.dtype)
    return values


def _encode_ask(ask: Any) -> pb.Ask:
    message = pb.Ask(stage=ask.stage, fraction_done=ask.fraction_done)
    if isinstance(ask, Ask):
        selections = {probe.selection: None for probe in ask.probes if probe.selection}
        numbers = {selection: number for number, selection in enumerate(selections)}
        message.selections.extend(_encode_selection(selection) for selection in selections)
        message.probes.extend(
            pb.Probe(
                tensor=probe.tensor,
                begin=probe.begin,
                end=probe.end,
                seed=probe.seed % 2**64,
                step=probe.step,
                selection=numbers[probe.selection] if probe.selection else None,
            )
            for probe in ask.probes
        )
        return message
    message.coordinates.CopyFrom(
        pb.CoordinateProbes(tensor=ask.tensor, begin=ask.begin, end=ask.end, step=ask.step)
    )
    message.point.extend(tensors.encode(ask.point or {}))
    return message


def _encode_selection(selection: Selection) -> pb.Selection:
    parts = [
        pb.Part(tensor=part.tensor, scale=part.scale, classes=part.classes)
        for part in selection.parts
    ]
    return pb.Selection(parts=parts)


def _encode_result(value: Any) -> pb.Result:
    if isinstance(value, Report):
        return pb.Result(report=report.encode(value))
    return pb.Result(tensors=tensors.encode(value))


def step(
    request: pb.BlackBoxServiceStepRequest,
    seal: Seal,
    *,
    holder: str = "",
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    checkpoint: Checkpoint = never_stop,
) -> pb.BlackBoxServiceStepResponse:
    """Take one turn of a session that the caller holds: replay it, then go one further.

    Parameters
    ----------
    request : Message
        The session, in its token or by the turns that its caller has said, and the next turn.
    seal : Seal
        What opens and makes tokens.
    holder : str
        Who the caller is: a token is of no use to another.
    max_message_bytes, checkpoint : int, callable
        The largest answer, and what raises if nobody waits for it any more.
    """
    turn = request.turn
    checkpoint()
    if request.token:
        require(not request.earlier, "earlier", "be left out with a token", "turns")
        turns = seal.open(request.token, turn.answer.mark, holder, checkpoint)
        session: Session | None = _replay(turns, "token", max_message_bytes, checkpoint)
    else:
        turns = [_bytes(earlier) for earlier in request.earlier]
        session = _replay(turns, "earlier", max_message_bytes, checkpoint) if turns else None
    checkpoint()
    session = _take(session, turn, max_message_bytes)
    checkpoint()
    if session.asked is None:
        return pb.BlackBoxServiceStepResponse(reply=session.reply)
    token = seal.close([*turns, _bytes(turn)], session.mark, holder, checkpoint)
    return pb.BlackBoxServiceStepResponse(token=token, reply=session.reply)


def _bytes(turn: pb.Turn) -> bytes:
    return turn.SerializeToString(deterministic=True)


def _replay(
    turns: Sequence[bytes], field: str, max_message_bytes: int, checkpoint: Checkpoint
) -> Session:
    session: Session | None = None
    try:
        for turn in turns:
            checkpoint()
            session = _take(session, pb.Turn.FromString(turn), max_message_bytes)
    except (InvalidInput, tensor.MalformedTensor, DecodeError) as error:
        raise InvalidInput(field, "hold a session", str(error)) from None
    if session is None or session.asked is None:
        raise InvalidInput(field, "hold an unfinished session", "another")
    return session


def _take(
    session: Session | None,
    turn: pb.Turn,
    max_message_bytes: int,
    hold: Callable[[Need], None] = lambda _: None,
) -> Session:
    said = turn.WhichOneof("say")
    expected = "start" if session is None else "answer"
    require(said == expected, "turn", f"hold `{expected}`", said)
    if session is None:
        return Session(turn.start, max_message_bytes, hold)
    session.tell(turn.answer)
    return session


def _next(
    requests: Iterator[pb.BlackBoxServiceConverseRequest],
) -> pb.BlackBoxServiceConverseRequest:
    try:
        return next(requests)
    except StopIteration:
        raise Abandoned("the caller left before the result") from None
    except grpc.RpcError:
        raise CallerLeft from None


class BlackBoxServicer(black_box_pb2_grpc.BlackBoxServiceServicer):
    """The two transports of a session."""

    def __init__(
        self,
        *,
        max_sessions: int = MAX_SESSIONS,
        idle_seconds: float = IDLE_SECONDS,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        look: Callable[[Any], Checkpoint] = lambda _: never_stop,
        keys: Callable[[], Sequence[bytes]] | None = None,
        memory: Shares | None = None,
    ) -> None:
        self.memory = memory or Shares(UNLIMITED, "bytes of memory")
        self.seal = Seal(keys or keys_of(""))
        self.look = look
        self.idle_seconds = idle_seconds
        self.max_message_bytes = max_message_bytes
        self.sessions = threading.BoundedSemaphore(max_sessions)

    def Step(
        self, request: pb.BlackBoxServiceStepRequest, context: grpc.ServicerContext
    ) -> pb.BlackBoxServiceStepResponse:
        call = CURRENT.get(None)
        response = step(
            request,
            self.seal,
            holder=call.token if call else "",
            max_message_bytes=self.max_message_bytes,
            checkpoint=self.look(context),
        )
        decoded.require_sendable(response, "token", self.max_message_bytes)
        return response

    def Converse(
        self,
        requests: Iterator[pb.BlackBoxServiceConverseRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[pb.BlackBoxServiceConverseResponse]:
        if not self.sessions.acquire(blocking=False):
            raise Overloaded("too many open conversations")
        try:
            with self.memory.growing(caller_of(context)) as hold:
                yield from self._held(requests, context, hold)
        finally:
            self.sessions.release()

    def _held(
        self,
        requests: Iterator[pb.BlackBoxServiceConverseRequest],
        context: grpc.ServicerContext,
        hold: Callable[[int], None],
    ) -> Iterator[pb.BlackBoxServiceConverseResponse]:
        """Hold a conversation and its memory."""

        def holding(need: Need) -> None:
            need.require_at_most(self.memory.each)
            hold(need.size)

        session: Session | None = None
        while session is None or session.asked is not None:
            with Watchdog(context, self.idle_seconds):
                request = _next(requests)
            session = _take(session, request.turn, self.max_message_bytes, holding)
            response = pb.BlackBoxServiceConverseResponse(reply=session.reply)
            decoded.require_sendable(response, "turn", self.max_message_bytes)
            # What was said and is sent is not kept while the caller thinks.
            session.forget()
            del request
            # One who does not read is as silent as one who does not speak.
            with Watchdog(context, self.idle_seconds):
                yield response
            del response
