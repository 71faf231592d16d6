"""Gradients of a function that stays here: the oracle names points, this module evaluates them."""

from __future__ import annotations

import functools
import math
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import grpc
import numpy as np

from gradient_oracle import arrays, channel, trees, waiting
from gradient_oracle.calls import understood
from gradient_oracle.errors import ServerFailure, invalid, unserved
from gradient_oracle.report import Report
from gradient_oracle.transport import Connection
from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.gradcheck.v1 import black_box_pb2_grpc
from oracle.splitmix import positive_signs
from oracle.values import STEP, Array
from oracle.wire import black_box, report, tensor

CHUNK = 2**16
"""Entries that are moved at a time, so that a probe needs no array of the size of x."""

Function: TypeAlias = Callable[[Any], Any]
Progress: TypeAlias = Callable[[str, float], None]
Transport: TypeAlias = Literal["stream", "unary"]
Say: TypeAlias = Callable[[pb.Turn], pb.Reply]

DAY = 86_400.0


class OutsideDomain(Exception):
    """Raised by a caller's f to say that it is not defined at this point: a fact, not a failure."""


def require_callable(argument: str, value: Any) -> Any:
    """Return an argument that can be called."""
    if not callable(value):
        raise invalid(argument, "be a function", f"a {type(value).__name__}")
    return value


def require_finite(argument: str, values: Array) -> None:
    """Raise if an array holds NaN or an infinity."""
    if not np.isfinite(values).all():
        raise invalid(argument, "be finite", "NaN or infinity")


class Point:
    """The caller's x and a place to evaluate beside it: a copy of x, or in place x itself."""

    def __init__(
        self,
        f: Function,
        x: Any,
        *,
        in_place: bool = False,
        cotangent: Any = None,
        argument: str = "x",
    ):
        self.f = require_callable("f", f)
        self.tree = trees.rooted(x)
        self.leaves = trees.flatten(self.tree, argument)
        self.in_place = in_place
        self.departure = waiting.departure()
        self.paired = "cotangent"
        self.value_dtype = np.dtype(np.float64)
        self.cotangent = (
            None if cotangent is None else arrays.to_numpy(cotangent, "cotangent").astype(float)
        )
        if self.cotangent is not None:
            require_finite("cotangent", self.cotangent)
        self.floating = [leaf for leaf in self.leaves if leaf.floating]
        if not self.floating:
            found = ", ".join(sorted({str(leaf.array.dtype) for leaf in self.leaves}))
            raise invalid(argument, "hold a tensor of a floating type", found or "no tensor")
        copies = [self._place(leaf) for leaf in self.leaves]
        self.scratch = [
            copy.reshape(-1)
            for leaf, copy in zip(self.leaves, copies, strict=True)
            if leaf.floating
        ]
        self.arrays = copies
        self.shared = self.tree if in_place else self._hand_over()
        self.copied_each_time = not all(arrays.shares(leaf.original) for leaf in self.leaves)

    def _place(self, leaf: trees.Leaf) -> Array:
        if not self.in_place:
            return np.array(leaf.array, order="C", ndmin=0)
        writable = arrays.shares(leaf.original) and leaf.array.flags.writeable
        if leaf.floating and not (writable and leaf.array.flags.c_contiguous):
            raise invalid(leaf.path, "be writable and C-contiguous for in_place=True", "not")
        return leaf.array

    def _hand_over(self) -> Any:
        return trees.rebuild(
            self.tree,
            [
                arrays.from_numpy(array, leaf.original)
                for leaf, array in zip(self.leaves, self.arrays, strict=True)
            ],
        )

    @contextmanager
    def replaced(self, index: int, begin: int, end: int) -> Iterator[Array]:
        """Let the entries begin <= i < end of a floating tensor be written, then put them back.

        Also when the caller has left: what it does with x from then on stays.
        """
        known = 0 <= index < len(self.scratch) and 0 <= begin <= end <= self.scratch[index].size
        if not known:
            raise ServerFailure(f"the server asks for entries {begin}:{end} of tensor {index}")
        entries = self.scratch[index][begin:end]
        with self.departure.undoing(functools.partial(np.copyto, entries, entries.copy())):
            yield entries

    def value(self) -> Array:
        """Return f at the point as it stands, as a 0-d array of f's own type."""
        x = self._hand_over() if self.copied_each_time else self.shared
        result = arrays.to_numpy(self.f(x), "f")
        self.value_dtype = result.dtype if result.dtype in arrays.FLOATING else np.dtype(np.float64)
        if self.cotangent is not None:
            if self.cotangent.shape != result.shape:
                shapes = f"{self.cotangent.shape}"
                raise invalid(self.paired, f"have the shape of f(x) {result.shape}", shapes)
            return np.asarray(np.vdot(self.cotangent, result.astype(float)))
        if result.size != 1:
            requirement = "return one number, or be given cotangent= for a vector"
            raise invalid("f", requirement, f"shape {result.shape}")
        return result.reshape(())


def _some(paths: Sequence[str]) -> str:
    return ", ".join(paths[:4]) + (", ..." if len(paths) > 4 else "")


class Gradient:
    """The caller's gradient beside its x: predicts changes, entry by entry in float64.

    `tensors` has one array, or None, for each floating tensor of x.
    """

    def __init__(self, gradient: Any, point: Point, argument: str = "gradient") -> None:
        found = self._arrays(gradient, point, argument)
        known = [leaf.path for leaf in point.leaves]
        more = [path for path in found if path not in known]
        if more:
            # A tuple of gradients for a dict of parameters, as autograd returns it, say.
            those = f"hold no tensors but those of x, which are {_some(known)}"
            raise invalid(argument, those, _some(more))
        self.leaves = point.floating
        self.tensors = [found.get(leaf.path) for leaf in point.floating]
        self.entries = [np.zeros(0) if t is None else t.reshape(-1) for t in self.tensors]

    def require_floating(self, argument: str) -> None:
        """Raise if a tensor has a type in which no derivative is kept."""
        for leaf, array in zip(self.leaves, self.tensors, strict=True):
            if array is not None and array.dtype not in arrays.FLOATING:
                requirement = f"be of a floating type in `{leaf.path}`"
                raise invalid(argument, requirement, f"{array.dtype}")

    def require_fit(self, argument: str) -> None:
        """Raise unless every tensor is there and has the shape of that of x."""
        for leaf, array in zip(self.leaves, self.tensors, strict=True):
            shape = None if array is None else array.shape
            if shape != leaf.array.shape:
                requirement = f"have the shape of x {leaf.array.shape} in `{leaf.path}`"
                raise invalid(argument, requirement, shape)

    @staticmethod
    def _arrays(gradient: Any, point: Point, argument: str) -> dict[str, Array]:
        if gradient is None:
            return {}
        if arrays.library(point.tree):
            return {point.floating[0].path: arrays.to_numpy(gradient, argument)}
        leaves = trees.flatten(gradient, argument)
        if len(leaves) == len(point.floating) == 1:
            return {point.floating[0].path: leaves[0].array}
        return {leaf.path: leaf.array for leaf in leaves}


def _move(point: Point, gradient: Gradient, probe: pb.Probe) -> tuple[float, float]:
    """Move the entries of a probe; return the predicted change and the largest movement."""
    entries, slopes = point.scratch[probe.tensor], gradient.entries[probe.tensor]
    predicted, largest = 0.0, 0.0
    for begin in range(probe.begin, probe.end, CHUNK):
        end = min(begin + CHUNK, probe.end)
        before = entries[begin:end].astype(np.float64)
        positive = positive_signs(probe.seed, begin, end)
        moved = before + np.where(positive, probe.step, -probe.step)
        point.departure.write(entries, slice(begin, end), moved)
        change = entries[begin:end].astype(np.float64) - before
        predicted += float(np.dot(slopes[begin:end].astype(np.float64), change))
        largest = max(largest, float(np.abs(change).max()))
    return predicted, largest


def _evaluate(point: Point, gradient: Gradient, probe: pb.Probe) -> pb.Evaluation:
    with point.replaced(probe.tensor, probe.begin, probe.end):
        predicted, moved = _move(point, gradient, probe) if probe.step else (0.0, 0.0)
        try:
            value = float(point.value())
        except OutsideDomain as outside:
            return pb.Evaluation(outside=str(outside)[:200], predicted=predicted, moved=moved)
    return black_box.encode_evaluation(value, predicted, moved)


def _coordinate_values(point: Point, coordinates: pb.CoordinateProbes) -> Array:
    """Evaluate at x_i + h and x_i - h for every i, as the document's loop does."""
    values = []
    step = coordinates.step
    with point.replaced(coordinates.tensor, coordinates.begin, coordinates.end) as entries:
        for index in range(entries.size):
            kept = entries[index]
            for moved in (kept + step, kept - step):
                point.departure.write(entries, index, moved)
                values.append(point.value())
            point.departure.write(entries, index, kept)
    return black_box.concatenate(values)


def _stream(client: Connection, timeout: float | None) -> Iterator[Say]:
    turns: queue.SimpleQueue[pb.BlackBoxServiceConverseRequest | None] = queue.SimpleQueue()
    stub = black_box_pb2_grpc.BlackBoxServiceStub(client.channel)
    # Nobody knows how long the caller's f takes, but a forgotten conversation ends some day.
    call = stub.Converse(iter(turns.get, None), timeout=timeout or DAY)

    def say(turn: pb.Turn) -> pb.Reply:
        turns.put(pb.BlackBoxServiceConverseRequest(turn=turn))
        try:
            response = next(call, None)
        except grpc.RpcError as error:
            raise client.failure(error, timeout or DAY) from error
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
        try:
            response = stub.Step(request, timeout=seconds, wait_for_ready=True)
        except grpc.RpcError as error:
            raise client.failure(error, seconds) from error
        token = response.token
        return response.reply

    yield say


_TRANSPORTS: dict[str, Callable[[Connection, float | None], Iterator[Say]]] = {
    "stream": _stream,
    "unary": _unary,
}


def _converse(
    client: Connection,
    start: pb.Start,
    answer: Callable[[pb.Ask], pb.Answer],
    *,
    transport: Transport,
    timeout: float | None,
    progress: Progress | None,
) -> pb.Result:
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


def _describe(point: Point, gradient: Gradient | None = None) -> list[pb.BlackBoxTensor]:
    messages = []
    for index, (leaf, entries) in enumerate(zip(point.floating, point.scratch, strict=True)):
        message = pb.BlackBoxTensor(
            name=leaf.path, shape=leaf.array.shape, data_type=black_box.encode_dtype(entries.dtype)
        )
        largest, square, not_finite = _largest_and_square(entries)
        if not_finite:
            raise invalid(leaf.path, "be finite", "NaN or infinity")
        if gradient is not None:
            message.largest, message.mean_square = largest, square / max(1, entries.size)
            _describe_gradient(message, gradient.tensors[index], leaf.array.shape)
        messages.append(message)
    return messages


def _describe_gradient(
    message: pb.BlackBoxTensor, tensor: Array | None, shape: tuple[int, ...]
) -> None:
    if tensor is None:
        message.gradient_missing = True
    elif tensor.shape != shape:
        message.gradient_shape.lengths.extend(tensor.shape)
        message.gradient_shape.SetInParent()
    elif tensor.size:
        message.gradient_largest, square, not_finite = _largest_and_square(tensor.reshape(-1))
        message.gradient_norm = math.sqrt(square)
        if not_finite:
            message.gradient_not_finite = not_finite


def _largest_and_square(entries: Array) -> tuple[float, float, int]:
    """Return max |a_i|, the sum of a_i^2, and how many do not count, not being finite."""
    largest, square, not_finite = 0.0, 0.0, 0
    for begin in range(0, entries.size, CHUNK):
        chunk = entries[begin : begin + CHUNK].astype(np.float64)
        finite = np.isfinite(chunk)
        if not finite.all():
            not_finite += int(np.count_nonzero(~finite))
            chunk[~finite] = 0.0
        largest = max(largest, float(np.abs(chunk).max()))
        square += float(np.dot(chunk, chunk))
    return largest, square, not_finite


def check_gradient(
    client: Connection,
    f: Function,
    x: Any,
    gradient: Any,
    *,
    resolution: float | None = None,
    max_evaluations: int = 2_000,
    max_seconds: float | None = None,
    miss_probability: float = 0.01,
    seed: int = 0,
    timeout: float | None = None,
    progress: Progress | None = None,
    in_place: bool = False,
    transport: Transport = "stream",
    name: str | None = None,
    cotangent: Any = None,
) -> Report:
    """Check the gradient of any function; f stays here and only its values travel.

    Parameters
    ----------
    f : callable
        Takes what `x` is and returns a number. An exception in f comes out as itself, but
        `OutsideDomain`, NaN and infinity say that f is not defined at a point.
    x : array, or nested dicts, lists and tuples of arrays, of NumPy, torch or jax
        Where to check. Not modified. Integer and boolean tensors are held fixed.
    gradient : as `x`
        What is claimed: df/dx, in its floating tensors; with a `cotangent` c, J^T c. One that is
        missing or None, has another shape or is not finite fails the check; integers, and tensors
        that `x` does not hold, are refused.
    resolution : float, optional
        The relative error that a pass should exclude.
    max_evaluations : int
        The most evaluations of f.
    max_seconds : float, optional
        The most seconds to go on evaluating f: the check plans with what an evaluation takes, and
        is inconclusive if it is not settled by then. An evaluation that has begun is not given up;
        that is what `timeout` is for.
    miss_probability : float
        The probability of missing a wrong gradient that is allowed.
    seed : int
        Seed of all random choices.
    timeout : float, optional
        Seconds of the whole conversation, after which it is `DeadlineExceeded`. With it f is
        called in a thread, which is left behind if f hangs.
    progress : callable, optional
        Is told (stage, fraction done).
    in_place : bool
        Evaluate in `x` itself, which is restored even when f raises or is left behind at the
        `timeout`, in place of in a copy.
    transport : "stream" or "unary"
        One stream, or stateless calls that any server can answer.
    name : str, optional
        Name of f in the report.
    cotangent : array, optional
        c, for an f whose value is an array: <c, f(x)> is checked.

    Returns
    -------
    Report
        The verdict and its reasons.

    Raises
    ------
    InvalidRequest
        If an argument does not fit.
    """
    began = time.monotonic()
    point = Point(f, x, in_place=in_place, cotangent=cotangent)
    slopes = Gradient(gradient, point)
    slopes.require_floating("gradient")
    if not any(entries.size for entries in point.scratch):
        raise invalid("x", "hold an entry to move", "none")
    if not isinstance(name, str | None):
        raise invalid("name", "be a str", f"a {type(name).__name__}")
    point.value()
    start = pb.BlackBoxCheck(
        tensors=_describe(point, slopes),
        value_data_type=black_box.encode_dtype(point.value_dtype),
        max_evaluations=arrays.integer("max_evaluations", max_evaluations, most=2**31 - 1),
        miss_probability=arrays.real("miss_probability", miss_probability),
        seed=arrays.seed(seed),
        subject=name or str(getattr(f, "__name__", "f")),
    )
    if resolution is not None:
        start.resolution = arrays.real("resolution", resolution)
    if max_seconds is not None:
        start.max_seconds = arrays.real("max_seconds", max_seconds)

    def answer(ask: pb.Ask) -> pb.Answer:
        if max_seconds is None:
            evaluations = [_evaluate(point, slopes, probe) for probe in ask.probes]
            return pb.Answer(number=ask.number, evaluations=evaluations)
        if not ask.HasField("seconds_allowed"):
            version = client.server.version if client.server else ""
            raise unserved(client.address, "know max_seconds", version)
        reply = pb.Answer(number=ask.number)
        for probe in ask.probes:
            if time.monotonic() - began >= ask.seconds_allowed:
                break
            reply.evaluations.append(_evaluate(point, slopes, probe))
        reply.elapsed_seconds = time.monotonic() - began
        return reply

    result = _converse(
        client,
        pb.Start(check=start),
        answer,
        transport=transport,
        timeout=timeout,
        progress=progress,
    )
    return Report(understood(report.decode, result.report))


def check_jvp(
    client: Connection,
    f: Function,
    x: Any,
    tangent: Any,
    jvp: Any,
    *,
    resolution: float | None = None,
    max_evaluations: int = 2_000,
    max_seconds: float | None = None,
    miss_probability: float = 0.01,
    seed: int = 0,
    timeout: float | None = None,
    progress: Progress | None = None,
    transport: Transport = "stream",
    name: str | None = None,
) -> Report:
    """Check a Jacobian-vector product J v: the derivative of f(x + s v) at s = 0.

    The value of f is paired with weights +-[1, 2] drawn from `seed`, so that errors in different
    entries of `jvp` cannot cancel but with probability 0.

    Parameters
    ----------
    f : callable
        As for `check_gradient`; its value may be an array.
    x, tangent : as for `check_gradient`
        The point, and v of the same structure.
    jvp : array
        What is claimed: J v, of the shape of f(x).
    seed : int
        Seed of the weights and of all random choices.
    resolution, max_evaluations, max_seconds, miss_probability, timeout, progress, transport, name
        As for `check_gradient`.

    Returns
    -------
    Report
        The verdict; its one tensor is "s", which moves x along v by about the size of x.
    """
    point = Point(f, x)
    directions = Gradient(tangent, point, "tangent")
    directions.require_fit("tangent")
    for entries in directions.entries:
        require_finite("tangent", entries)
    origins = [leaf.array.reshape(-1) for leaf in point.floating]
    claimed = arrays.to_numpy(jvp, "jvp").astype(np.float64)
    weights = _weights(claimed.shape, seed)
    point.cotangent, point.paired = weights, "jvp"

    # A unit of s moves x by about its own size, less for many entries as along the directions of
    # a check; s is as coarse as x, so that its steps are those that x resolves. s = 1 is x.
    coarsest = max(
        (e.dtype for e in point.scratch), key=lambda kind: arrays.FLOATING.index(kind.type)
    )
    unit = _size(origins, least=1.0) / (_size(directions.entries) or 1.0)
    unit /= sum(tensor.size for tensor in origins) ** 0.25

    def along(moved: dict[str, Array]) -> Array:
        s = float(moved["s"][0]) - 1
        for entries, origin, direction in zip(
            point.scratch, origins, directions.entries, strict=True
        ):
            entries[...] = origin.astype(np.float64) + s * unit * direction.astype(np.float64)
        return point.value().astype(point.value_dtype)

    slope = np.array([unit * np.vdot(weights, claimed)])
    return check_gradient(
        client,
        along,
        {"s": np.ones(1, coarsest)},
        {"s": slope},
        resolution=resolution,
        max_evaluations=max_evaluations,
        max_seconds=max_seconds,
        miss_probability=miss_probability,
        seed=seed,
        timeout=timeout,
        progress=progress,
        transport=transport,
        name=name or f"{getattr(f, '__name__', 'f')} along the tangent",
    )


def _size(tensors: Sequence[Array], *, least: float = 0.0) -> float:
    """Return the root mean square of all entries, at least `least`."""
    count = max(1, sum(tensor.size for tensor in tensors))
    return max(least, math.sqrt(sum(_largest_and_square(t)[1] for t in tensors) / count))


def _weights(shape: tuple[int, ...], seed: int) -> Array:
    """Draw weights +-[1, 2], with which errors in different entries cannot cancel but by chance."""
    rng = np.random.default_rng(arrays.seed(seed))
    return np.asarray(rng.uniform(1, 2, shape) * rng.choice([-1.0, 1.0], shape))


def check_adjoint(
    client: Connection,
    jvp: Function,
    vjp: Function,
    x: Any,
    *,
    cotangent: Any = None,
    resolution: float | None = None,
    max_evaluations: int = 2_000,
    max_seconds: float | None = None,
    miss_probability: float = 0.01,
    seed: int = 0,
    timeout: float | None = None,
    progress: Progress | None = None,
    transport: Transport = "stream",
    name: str | None = None,
) -> Report:
    """Check that two products belong to one Jacobian: <c, J v> = <J^T c, v> for all v.

    J v is linear in v, so that J^T c is the gradient of <c, J v> at every v. Whether J is the
    Jacobian of f is for `check_jvp`, or `check_gradient` with a cotangent, to say.

    Parameters
    ----------
    jvp : callable
        Takes a tangent v of the structure of `x` and returns J v.
    vjp : callable
        Takes a cotangent c of the shape and library of J v and returns J^T c, as `x`.
    x : as for `check_gradient`
        The point of the Jacobian: v has its structure and moves around it.
    cotangent : array, optional
        c; by default weights +-[1, 2] drawn from `seed`.
    resolution, max_evaluations, max_seconds, miss_probability, seed
        As for `check_gradient`.
    timeout, progress, transport, name
        As for `check_gradient`.

    Returns
    -------
    Report
        The verdict, on the tensors of `x`.
    """
    require_callable("jvp", jvp)
    require_callable("vjp", vjp)
    if cotangent is None:
        like = jvp(trees.rooted(x))
        product = arrays.to_numpy(like, "jvp")
        weights = _weights(product.shape, seed).astype(product.dtype)
        cotangent = arrays.from_numpy(weights, like) if arrays.library(like) else weights
    return check_gradient(
        client,
        jvp,
        x,
        vjp(cotangent),
        cotangent=cotangent,
        resolution=resolution,
        max_evaluations=max_evaluations,
        max_seconds=max_seconds,
        miss_probability=miss_probability,
        seed=seed,
        timeout=timeout,
        progress=progress,
        transport=transport,
        name=name or "J v and its adjoint",
    )


def _coordinate_answer(point: Point) -> Callable[[pb.Ask], pb.Answer]:
    def answer(ask: pb.Ask) -> pb.Answer:
        values = _coordinate_values(point, ask.coordinates)
        return pb.Answer(number=ask.number, values=tensor.encode(values))

    return answer


def _decode(messages: Any) -> dict[str, Array]:
    return understood(lambda sent: black_box.decode_tensors(sent, "tensors"), messages)


def _like_x(point: Point, result: pb.Result) -> Any:
    """Give the tensors of a result the structure and the library of x, its fixed tensors zero."""
    found = _decode(result.tensors)
    return trees.rebuild(
        point.tree,
        [
            arrays.from_numpy(found.get(leaf.path, np.zeros_like(leaf.array)), leaf.original)
            for leaf in point.leaves
        ],
    )


def numerical_gradient(
    client: Connection,
    f: Function,
    x: Any,
    h: float = STEP,
    *,
    timeout: float | None = None,
    progress: Progress | None = None,
    in_place: bool = False,
    transport: Transport = "stream",
) -> Any:
    """Take the document's central difference (f(x + h e_i) - f(x - h e_i)) / 2h, with f here.

    Equal to the document's loop bit for bit, in the types of f and of `x`.

    Parameters
    ----------
    f, x, timeout, progress, in_place, transport
        As for `check_gradient`.
    h : float
        The step.

    Returns
    -------
    as `x`
        The gradient; zero in tensors that are not floating.
    """
    point = Point(f, x, in_place=in_place)
    start = pb.Start(
        numerical_gradient=pb.BlackBoxNumericalGradient(
            tensors=_describe(point), step=arrays.real("h", h)
        )
    )
    answer = _coordinate_answer(point)
    result = _converse(
        client, start, answer, transport=transport, timeout=timeout, progress=progress
    )
    return _like_x(point, result)


def gradient_descent(
    client: Connection,
    f: Function,
    init_x: Any,
    lr: float = 0.01,
    step_num: int = 100,
    *,
    h: float = STEP,
    timeout: float | None = None,
    progress: Progress | None = None,
    transport: Transport = "stream",
    return_trajectory: bool = False,
) -> Any:
    """Follow the document's gradient descent x <- x - lr * numerical_gradient(f, x), with f here.

    Parameters
    ----------
    f, timeout, progress, transport
        As for `check_gradient`.
    init_x : array or tree of arrays
        Where to start. Not modified.
    lr : float
        Learning rate.
    step_num : int
        How many steps.
    h : float
        The step of the central difference.
    return_trajectory : bool
        Return also every x on the way.

    Returns
    -------
    as `init_x`, or (as `init_x`, list of these)
        The end; with `return_trajectory` also the `step_num + 1` points from start to end.
    """
    point = Point(f, init_x, argument="init_x")
    initial = {leaf.path: leaf.array for leaf in point.floating}
    start = pb.Start(
        gradient_descent=pb.BlackBoxGradientDescent(
            initial=black_box.encode_tensors(initial),
            step=arrays.real("h", h),
            learning_rate=arrays.real("lr", lr),
            step_count=arrays.integer("step_num", step_num, least=-(2**31), most=2**31 - 1),
        )
    )
    trajectory: list[Any] = []
    evaluate = _coordinate_answer(point)

    def answer(ask: pb.Ask) -> pb.Answer:
        if ask.point:
            moved = _decode(ask.point)
            for leaf, entries in zip(point.floating, point.scratch, strict=True):
                entries[...] = moved[leaf.path].reshape(-1)
            if return_trajectory:
                trajectory.append(_like_x(point, pb.Result(tensors=ask.point)))
        return evaluate(ask)

    result = _converse(
        client, start, answer, transport=transport, timeout=timeout, progress=progress
    )
    end = _like_x(point, result)
    return (end, [*trajectory, end]) if return_trajectory else end
