"""BlackBoxService: one session, held on a stream or carried in a token."""

from __future__ import annotations

import hashlib
import importlib
import math
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from oracle.checking.black_box import coordinates
from oracle.checking.black_box.conversation import (
    Answer,
    Ask,
    CheckTask,
    Evaluation,
    TensorSpec,
)
from oracle.findings import FindingKind
from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.gradcheck.v1 import black_box_pb2_grpc
from oracle.service.gate import CallerLeft, Overloaded
from oracle.service.status import Abandoned
from oracle.values import STEP, Array, Checkpoint, Finding, InvalidInput, Report, never_stop
from oracle.wire import black_box, report, tensor

MAX_EVALUATIONS = 1_000_000
MAX_COORDINATES = 100_000_000
MAX_SESSIONS = 256
"""Streams at a time; each holds a thread of a pool that no other call waits for."""
IDLE_SECONDS = 600.0
"""How long a caller may think about one ask."""
MAGIC = b"gradient-oracle session 1\0"
DIGEST_BYTES = 16
PIECE = 2**20
"""Bytes of a token that are packed or unpacked between two looks at the caller."""
MAX_SESSION_BYTES = 2**26
"""Bound on what a token may unpack to: 2,000,000 evaluations."""


class Session:
    """The conversation without its transport: a generator, its last ask, and the count of asks.

    It is deterministic: the same turns lead to the same replies.
    """

    def __init__(self, start: pb.Start) -> None:
        self.generator: Any = _begin(start)
        self.allowed = _allowed(start)
        self.seconds_allowed = _seconds_allowed(start)
        self.number = -1
        self.used = 0
        self.seconds_used = 0.0
        self.asked: Any = None
        self.reply = self._advance(None)

    def tell(self, answer: pb.Answer) -> None:
        """Take the answer to the last ask and go on to the next reply."""
        if answer.number != self.number:
            raise InvalidInput("turn.answer.number", f"be {self.number}", f"{answer.number}")
        if isinstance(self.asked, Ask):
            if self.seconds_allowed is not None:
                self.seconds_used = _elapsed(answer, self.seconds_used)
            late = self.seconds_allowed is not None and self.seconds_used >= self.seconds_allowed
            evaluations = _evaluations(answer.evaluations, len(self.asked.probes), late=late)
            values: Any = Answer(evaluations, self.seconds_used)
            self.used += len(evaluations)
        else:
            values = _values(answer, 2 * (self.asked.end - self.asked.begin))
            self.used += values.size
        self.reply = self._advance(values)

    def _advance(self, values: Any) -> pb.Reply:
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
        return pb.Reply(ask=ask)


def _require(condition: bool, field: str, requirement: str, was: object) -> None:
    if not condition:
        raise InvalidInput(field, requirement, f"{was}")


def _begin(start: pb.Start) -> Any:
    task = start.WhichOneof("task")
    if task == "check":
        # The judgement is loaded by the first check: the document's own functions do without it.
        judgement = importlib.import_module("oracle.checking.black_box.judgement")
        return judgement.check(_check_task(start.check))
    if task == "numerical_gradient":
        request = start.numerical_gradient
        _require(bool(request.tensors), "turn.start.numerical_gradient.tensors", "not be empty", 0)
        tensors = {
            message.name: _template(message, f"turn.start.numerical_gradient.tensors[{index}]")
            for index, message in enumerate(request.tensors)
        }
        step = request.step if request.HasField("step") else STEP
        return coordinates.numerical_gradient(tensors, step=_step(step, task))
    if task == "gradient_descent":
        descent = start.gradient_descent
        initial = black_box.decode_tensors(descent.initial, "turn.start.gradient_descent.initial")
        _require(bool(initial), "turn.start.gradient_descent.initial", "not be empty", 0)
        for index, array in enumerate(initial.values()):
            field = f"turn.start.gradient_descent.initial[{index}].tensor"
            _require(bool(np.isfinite(array).all()), field, "be finite", "NaN or infinity")
        rate = descent.learning_rate if descent.HasField("learning_rate") else 0.01
        _require(
            math.isfinite(rate), "turn.start.gradient_descent.learning_rate", "be finite", rate
        )
        step = descent.step if descent.HasField("step") else STEP
        return coordinates.gradient_descent(
            initial, step=_step(step, task), learning_rate=rate, step_count=_step_count(descent)
        )
    raise InvalidInput("turn.start.task", "be set", "nothing")


def _template(message: pb.BlackBoxTensor, field: str) -> Array:
    """Return an array of the type and shape of the caller's, which takes no memory of its own."""
    dtype = np.dtype(black_box.decode_dtype(message.data_type, f"{field}.data_type"))
    shape = tuple(message.shape)
    valid = all(length >= 0 for length in shape) and math.prod(shape) <= MAX_COORDINATES
    _require(valid, f"{field}.shape", f"hold 0 to {MAX_COORDINATES} entries", shape)
    return np.broadcast_to(np.zeros((), dtype), shape)


def _step(step: float, task: str) -> float:
    valid = math.isfinite(step) and step > 0
    _require(valid, f"turn.start.{task}.step", "be finite and positive", step)
    return step


def _step_count(descent: pb.BlackBoxGradientDescent) -> int:
    count = descent.step_count if descent.HasField("step_count") else 100
    _require(count >= 0, "turn.start.gradient_descent.step_count", "be at least 0", count)
    return count


def _check_task(request: pb.BlackBoxCheck) -> CheckTask:
    field = "turn.start.check"
    _require(bool(request.tensors), f"{field}.tensors", "not be empty", "none")
    most = request.max_evaluations if request.HasField("max_evaluations") else 2_000
    _require(1 <= most <= MAX_EVALUATIONS, f"{field}.max_evaluations", "be 1 to 1000000", most)
    miss = request.miss_probability if request.HasField("miss_probability") else 0.01
    _require(0 < miss < 1, f"{field}.miss_probability", "be between 0 and 1", miss)
    resolution = request.resolution if request.HasField("resolution") else None
    seconds = request.max_seconds if request.HasField("max_seconds") else None
    for name, given in (("resolution", resolution), ("max_seconds", seconds)):
        valid = given is None or (math.isfinite(given) and given > 0)
        _require(valid, f"{field}.{name}", "be finite and positive", given)
    return CheckTask(
        tensors=tuple(
            _tensor_spec(message, f"{field}.tensors[{index}]")
            for index, message in enumerate(request.tensors)
        ),
        value_dtype=black_box.decode_dtype(request.value_data_type, f"{field}.value_data_type"),
        resolution=resolution,
        max_evaluations=most,
        miss_probability=miss,
        seed=request.seed,
        subject=request.subject or "f",
        max_seconds=math.inf if seconds is None else seconds,
    )


def _tensor_spec(message: pb.BlackBoxTensor, field: str) -> TensorSpec:
    shape = tuple(message.shape)
    _require(all(length >= 0 for length in shape), f"{field}.shape", "not be negative", shape)
    numbers = (
        message.largest,
        message.mean_square,
        message.gradient_largest,
        message.gradient_norm,
    )
    fault = _fault(message, shape)
    valid = all(math.isfinite(number) and number >= 0 for number in numbers)
    _require(valid, field, "hold finite numbers of at least 0", numbers)
    return TensorSpec(
        message.name,
        shape,
        black_box.decode_dtype(message.data_type, f"{field}.data_type"),
        math.prod(shape),
        *numbers,
        fault,
    )


def _fault(message: pb.BlackBoxTensor, shape: tuple[int, ...]) -> Finding | None:
    name = message.name
    match message.WhichOneof("gradient_fault"):
        case "gradient_missing":
            text = f"{name} is missing from the gradient"
            return Finding(FindingKind.MISSING_TENSOR, name, text)
        case "gradient_shape":
            was = tuple(message.gradient_shape.lengths)
            text = f"{name} has the shape {was} in the gradient, and {shape} in x"
            return Finding(FindingKind.SHAPE_MISMATCH, name, text)
        case "gradient_not_finite":
            count, size = message.gradient_not_finite, math.prod(shape)
            text = f"{name} holds {count:,} of {size:,} entries that are not finite"
            return Finding(FindingKind.NOT_FINITE, name, text, evidence={"entries": float(count)})
    return None


def _allowed(start: pb.Start) -> int:
    if start.HasField("check"):
        return start.check.max_evaluations if start.check.HasField("max_evaluations") else 2_000
    if start.HasField("numerical_gradient"):
        shapes = (message.shape for message in start.numerical_gradient.tensors)
        return 2 * sum(math.prod(shape) for shape in shapes)
    descent = start.gradient_descent
    shapes = (message.tensor.shape for message in descent.initial)
    return 2 * _step_count(descent) * sum(math.prod(shape) for shape in shapes)


def _seconds_allowed(start: pb.Start) -> float | None:
    return start.check.max_seconds if start.check.HasField("max_seconds") else None


def _elapsed(answer: pb.Answer, before: float) -> float:
    field, elapsed = "turn.answer.elapsed_seconds", answer.elapsed_seconds
    _require(answer.HasField("elapsed_seconds"), field, "be set", "nothing")
    valid = math.isfinite(elapsed) and elapsed >= before
    _require(valid, field, f"be finite and at least {before:g}", elapsed)
    return elapsed


def _evaluations(
    messages: Sequence[pb.Evaluation], count: int, *, late: bool
) -> tuple[Evaluation, ...]:
    field = "turn.answer.evaluations"
    fits = len(messages) <= count if late else len(messages) == count
    _require(fits, field, f"have {count} entries", len(messages))
    for index, message in enumerate(messages):
        _require(
            message.WhichOneof("outcome") is not None, f"{field}[{index}]", "be set", "nothing"
        )
    return tuple(_evaluation(message) for message in messages)


def _evaluation(message: pb.Evaluation) -> Evaluation:
    outside = message.WhichOneof("outcome") != "value" or not math.isfinite(message.value)
    return Evaluation(
        value=message.value,
        predicted=message.predicted,
        moved=message.moved,
        outside=outside,
        message=message.outside or message.error,
    )


def _values(answer: pb.Answer, count: int) -> Array:
    values = tensor.decode(answer.values, "turn.answer.values")
    _require(values.shape == (count,), "turn.answer.values", f"have shape ({count},)", values.shape)
    _require(values.dtype.kind != "b", "turn.answer.values", "be numbers", values.dtype)
    return values


def _encode_ask(ask: Any) -> pb.Ask:
    message = pb.Ask(stage=ask.stage, fraction_done=ask.fraction_done)
    if isinstance(ask, Ask):
        message.probes.extend(
            pb.Probe(
                tensor=probe.tensor,
                begin=probe.begin,
                end=probe.end,
                seed=probe.seed % 2**64,
                step=probe.step,
            )
            for probe in ask.probes
        )
        return message
    message.coordinates.CopyFrom(
        pb.CoordinateProbes(tensor=ask.tensor, begin=ask.begin, end=ask.end, step=ask.step)
    )
    message.point.extend(black_box.encode_tensors(ask.point or {}))
    return message


def _encode_result(value: Any) -> pb.Result:
    if isinstance(value, Report):
        return pb.Result(report=report.encode(value))
    return pb.Result(tensors=black_box.encode_tensors(value))


def seal(turns: Sequence[bytes], checkpoint: Checkpoint = never_stop) -> bytes:
    """Pack the turns of a session into a token: magic, digest, compressed turns."""
    compressor, digest = zlib.compressobj(6), hashlib.sha256()
    pieces = []
    for turn in turns:
        checkpoint()
        pieces.append(compressor.compress(len(turn).to_bytes(4, "little") + turn))
        digest.update(pieces[-1])
    pieces.append(compressor.flush())
    digest.update(pieces[-1])
    return MAGIC + digest.digest()[:DIGEST_BYTES] + b"".join(pieces)


def unseal(token: bytes, checkpoint: Checkpoint = never_stop) -> list[bytes]:
    """Unpack the turns of a session from its token.

    Raises
    ------
    InvalidInput
        If the token is damaged, foreign, or of another version.
    """
    head = len(MAGIC) + DIGEST_BYTES
    digest, body = hashlib.sha256(), memoryview(token)[head:]
    for begin in range(0, len(body), PIECE):
        checkpoint()
        digest.update(body[begin : begin + PIECE])
    if not token.startswith(MAGIC) or digest.digest()[:DIGEST_BYTES] != token[len(MAGIC) : head]:
        raise InvalidInput("token", "be one that this version returned", "a damaged or foreign one")
    plain, unpacker = bytearray(), zlib.decompressobj()
    try:
        for begin in range(0, len(body), PIECE):
            packed = bytes(body[begin : begin + PIECE])
            while packed and len(plain) < MAX_SESSION_BYTES:
                checkpoint()
                plain += unpacker.decompress(packed, PIECE)
                packed = unpacker.unconsumed_tail
    except zlib.error as error:
        raise InvalidInput("token", "be one that this version returned", str(error)) from None
    turns, at = [], 0
    while at < len(plain):
        length = int.from_bytes(plain[at : at + 4], "little")
        turns.append(bytes(plain[at + 4 : at + 4 + length]))
        at += 4 + length
    return turns


def step(
    token: bytes, turn: pb.Turn, *, checkpoint: Checkpoint = never_stop
) -> tuple[bytes, pb.Reply]:
    """Take one turn of a session that lives in its token: replay it, then go one further."""
    checkpoint()
    turns = unseal(token, checkpoint) if token else []
    session = _replay(turns, checkpoint) if token else None
    checkpoint()
    session = _take(session, turn)
    checkpoint()
    if session.asked is None:
        return b"", session.reply
    said = [*turns, turn.SerializeToString(deterministic=True)]
    return seal(said, checkpoint), session.reply


def _replay(turns: Sequence[bytes], checkpoint: Checkpoint) -> Session:
    session: Session | None = None
    try:
        for turn in turns:
            checkpoint()
            session = _take(session, pb.Turn.FromString(turn))
    except (InvalidInput, tensor.MalformedTensor, DecodeError) as error:
        raise InvalidInput("token", "hold a session", str(error)) from None
    if session is None or session.asked is None:
        raise InvalidInput("token", "hold an unfinished session", "another")
    return session


def _take(session: Session | None, turn: pb.Turn) -> Session:
    said = turn.WhichOneof("say")
    expected = "start" if session is None else "answer"
    _require(said == expected, "turn", f"hold `{expected}`", said)
    if session is None:
        return Session(turn.start)
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


class Watchdog:
    """Cancels a stream whose caller is silent for too long."""

    def __init__(self, context: grpc.ServicerContext, seconds: float) -> None:
        self.context = context
        self.seconds = seconds
        self.timer: threading.Timer | None = None

    def __enter__(self) -> None:
        self.timer = threading.Timer(self.seconds, self.context.cancel)
        self.timer.daemon = True
        self.timer.start()

    def __exit__(self, *exception: object) -> None:
        if self.timer is not None:
            self.timer.cancel()


class BlackBoxServicer(black_box_pb2_grpc.BlackBoxServiceServicer):
    """The two transports of a session."""

    def __init__(
        self,
        *,
        max_sessions: int = MAX_SESSIONS,
        idle_seconds: float = IDLE_SECONDS,
        look: Callable[[Any], Checkpoint] = lambda _: never_stop,
    ) -> None:
        self.look = look
        self.idle_seconds = idle_seconds
        self.sessions = threading.BoundedSemaphore(max_sessions)

        def converse(
            requests: Iterator[pb.BlackBoxServiceConverseRequest], context: grpc.ServicerContext
        ) -> Iterator[pb.BlackBoxServiceConverseResponse]:
            return self._converse(requests, context)

        # Streams wait for their callers, so they have threads of their own and no other call waits
        # for one. A few more than sessions: those tell the caller that there are too many.
        pool = futures.ThreadPoolExecutor(max_sessions + 8, "black-box")
        converse.experimental_thread_pool = pool  # type: ignore[attr-defined]
        self.Converse: Any = converse

    def Step(
        self, request: pb.BlackBoxServiceStepRequest, context: grpc.ServicerContext
    ) -> pb.BlackBoxServiceStepResponse:
        token, reply = step(request.token, request.turn, checkpoint=self.look(context))
        return pb.BlackBoxServiceStepResponse(token=token, reply=reply)

    def _converse(
        self,
        requests: Iterator[pb.BlackBoxServiceConverseRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[pb.BlackBoxServiceConverseResponse]:
        if not self.sessions.acquire(blocking=False):
            raise Overloaded("too many open conversations")
        try:
            session: Session | None = None
            while session is None or session.asked is not None:
                with Watchdog(context, self.idle_seconds):
                    request = _next(requests)
                session = _take(session, request.turn)
                yield pb.BlackBoxServiceConverseResponse(reply=session.reply)
        finally:
            self.sessions.release()
