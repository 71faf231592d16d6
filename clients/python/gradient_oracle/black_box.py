"""Check the gradient of a function that stays here: the oracle names points, f is evaluated."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gradient_oracle import arrays, trees
from gradient_oracle.called import Called, Function, Outcome, require_callable, value_and_gradient
from gradient_oracle.calls import understood
from gradient_oracle.claims import Gradient, JointMove, SignMove, describe, move_of
from gradient_oracle.conversation import Progress, Transport
from gradient_oracle.errors import invalid, unserved
from gradient_oracle.evaluation import AnotherType, Enough, seconds_over
from gradient_oracle.manner import Manner, arguments, bytes_of, name_of
from gradient_oracle.outputs import pairing
from gradient_oracle.points import Point
from gradient_oracle.report import Report
from gradient_oracle.transport import Connection
from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.values import STEP
from oracle.wire import black_box


@dataclass(frozen=True)
class Effort:
    """How much a check may do, and how sure it has to be."""

    resolution: float | None = None
    max_evaluations: int = 2_000
    max_seconds: float | None = None
    miss_probability: float = 0.01
    seed: int = 0
    claim: pb.BlackBoxClaim.ValueType = pb.BLACK_BOX_CLAIM_UNSPECIFIED
    central_step: float | None = None
    accuracy: float = 0.0


def check_gradient(
    client: Connection,
    f: Function,
    x: Any,
    gradient: Any = ...,
    *,
    args: Any = (),
    jac: bool = False,
    resolution: float | None = None,
    max_evaluations: int = 2_000,
    max_seconds: float | None = None,
    miss_probability: float = 0.01,
    seed: int = 0,
    random: bool = False,
    f_accuracy: float = 0.0,
    method: Literal["central"] | None = None,
    h: float = STEP,
    timeout: float | None = None,
    progress: Progress | None = None,
    in_place: bool = False,
    transport: Transport = "auto",
    workers: Any = 1,
    vectorized: bool = False,
    journal: Any = None,
    name: str | None = None,
    cotangent: Any = None,
) -> Report:
    """Check the gradient of any function; f stays here and only its values travel.

    Parameters
    ----------
    f : callable
        Takes what `x` is and returns a number. An exception in f comes out as itself, but
        `OutsideDomain`, NaN and infinity say that f is not defined at a point.
    x : array, nested dicts, lists and tuples of arrays of NumPy, torch or jax, or a torch module
        Where to check. Not modified. Integer and boolean tensors are held fixed. Of a module the
        parameters, by their names, are x, and f is given a copy of the module.
    gradient : as `x`, or callable
        What is claimed: df/dx, in its floating tensors; with a `cotangent` c, J^T c. One that is
        missing or None, has another shape or is not finite fails the check; integers, and tensors
        that `x` does not hold, are refused. A function is called with `x` and `args`.
    args : tuple
        What f takes after `x`.
    jac : bool
        f returns its value and its gradient, as for `scipy.optimize.minimize`; `gradient` is left
        out.
    resolution : float, optional
        The widest error bar of a direction with which a tensor passes, relative to the norm of its
        gradient. The `detection_limit` of a pass counts several bars and is relative to the largest
        entry: it may be larger.
    max_evaluations : int
        The most evaluations of f: 400 for a gradient that agrees and 1,600 to find what is wrong
        in another. What is allowed beyond is spent where a float32 function of many kinks would
        leave a limit above 0.5.
    max_seconds : float, optional
        The most seconds to go on evaluating f: the check plans with what an evaluation takes, and
        is inconclusive if it is not settled by then. An evaluation that has begun is not given up;
        that is what `timeout` is for.
    miss_probability : float
        The probability of missing a wrong gradient that is allowed.
    seed : int
        Seed of all random choices.
    random : bool
        f draws random numbers: it takes `seed` as its last argument, as does a callable `gradient`,
        and draws the same ones whenever it is given the same seed.
    f_accuracy : float
        What the values of f are off by at most, relative to their size, where a solver's tolerance
        leaves more than rounding: a difference that it explains fails no gradient.
    method : "central", optional
        Judge a gradient that is itself numerical as what it is: the central difference
        (f(x + h e_i) - f(x - h e_i)) / 2h, within rounding, entry by entry.
    h : float
        The step of `method="central"`.
    timeout : float, optional
        Seconds of the whole conversation, after which it is `DeadlineExceeded`. With it f is
        called in a thread, which is left behind if f hangs.
    progress : callable, optional
        Is told (stage, fraction done), at last 1.
    in_place : bool
        Evaluate in `x` itself, which is restored even when f raises or is left behind at the
        `timeout`, instead of in a copy.
    transport : "auto", "stream" or "unary"
        One stream; unary calls, each of which any of several servers can answer; or a stream that
        goes on by unary calls when it breaks: no evaluation is asked for again.
    workers : int, Executor or callable
        Evaluate f at several points at a time, with the same result: in so many processes (-1: one
        for each core), in an executor of `concurrent.futures` or of its kind (Dask, Ray, MPI,
        loky), or by a function like map.
    vectorized : bool
        f takes a stack of points, each tensor with one more axis in front, and returns a value for
        each.
    journal : path or Journal, optional
        Keeps the values of f; the same call with the same journal goes on where it ended.
    name : str, optional
        Name of f in the report.
    cotangent : as f(x), optional
        c, for an f whose value is an array, or nested dicts, lists and tuples of arrays:
        <c, f(x)> is checked.

    Returns
    -------
    Report
        The verdict and its reasons.

    Raises
    ------
    InvalidRequest
        If an argument does not fit.
    """
    if method not in (None, "central"):
        raise invalid("method", 'be "central", or left out', repr(method))
    step = None if method is None else arrays.real("h", h)
    effort = Effort(
        resolution,
        max_evaluations,
        max_seconds,
        miss_probability,
        seed,
        central_step=step,
        accuracy=arrays.real("f_accuracy", f_accuracy),
    )
    manner = Manner(timeout, progress, transport, workers, vectorized, journal)
    require_callable("f", f)
    given = (*arguments(args), arrays.seed(seed)) if random else arguments(args)
    weights = None if cotangent is None else pairing(cotangent)
    if jac and vectorized:
        raise invalid("jac", "be left out with vectorized=True", "both")
    called = Called(f, given, weights, first=bool(jac))
    if callable(gradient) or jac:
        gradient = _claimed(called, x, gradient)
    if gradient is ...:
        raise invalid("gradient", "be given, or be what f returns with jac=True", "neither")
    point = Point(called, x, in_place=in_place)
    return check(client, point, gradient, effort, manner, name=name or name_of(f))


def _claimed(called: Called, x: Any, gradient: Any) -> Any:
    """Return the gradient that a function of the caller's claims at x."""
    if called.first:
        if gradient is not ...:
            raise invalid("gradient", "be left out with jac=True", "both")
        return value_and_gradient(called.f(x, *called.args))[1]
    if trees.is_module(gradient):
        return {name: tensor.grad for name, tensor in gradient.named_parameters()}
    require_callable("gradient", gradient)
    claimed = gradient(x, *called.args)
    if claimed is None:
        raise invalid("gradient", "return the gradient", "None: is a `return` missing?")
    return claimed


def check(
    client: Connection, point: Point, gradient: Any, effort: Effort, manner: Manner, *, name: Any
) -> Report:
    """Hold the conversation about a gradient at a point."""
    began = time.monotonic()
    slopes = Gradient(gradient, point)
    slopes.require_floating("gradient")
    if not any(entries.size for entries in point.scratch):
        raise invalid("x", "hold an entry to move", "none")
    if not isinstance(name, str):
        raise invalid("name", "be a str", f"a {type(name).__name__}")
    weights = point.called.pairing
    question = bytes_of(list(weights.weights.values())) if weights else b""
    tensors = describe(point, slopes)
    with manner.evaluator(point, question) as evaluate:
        evaluate.first()

        def answer(ask: pb.Ask) -> pb.Answer:
            moves = [move_of(probe, ask.selections, slopes) for probe in ask.probes]
            outcomes = evaluate(moves, _enough(client, ask, began, effort.max_seconds))
            reply = pb.Answer(number=ask.number, evaluations=encoded(moves, outcomes))
            if effort.max_seconds is not None:
                reply.elapsed_seconds = time.monotonic() - began
            return reply

        def conversation() -> pb.Result:
            start = pb.Start(check=_start(point, tensors, effort, name))
            return manner.converse(client, start, answer)

        try:
            result = conversation()
        except AnotherType:
            evaluate.again()
            result = conversation()
    return understood(Report, result.report)


def _start(
    point: Point, tensors: Sequence[pb.BlackBoxTensor], effort: Effort, name: str
) -> pb.BlackBoxCheck:
    start = pb.BlackBoxCheck(
        tensors=tensors,
        value_data_type=black_box.encode_dtype(point.value_dtype),
        max_evaluations=arrays.integer("max_evaluations", effort.max_evaluations, most=2**31 - 1),
        miss_probability=arrays.real("miss_probability", effort.miss_probability),
        seed=arrays.seed(effort.seed),
        subject=name,
        claim=effort.claim,
    )
    if effort.accuracy:
        start.value_accuracy = effort.accuracy
    if effort.central_step is not None:
        start.central_step = effort.central_step
    if effort.resolution is not None:
        start.resolution = arrays.real("resolution", effort.resolution)
    if effort.max_seconds is not None:
        start.max_seconds = arrays.real("max_seconds", effort.max_seconds)
    return start


def _enough(client: Connection, ask: pb.Ask, began: float, seconds: float | None) -> Enough:
    if seconds is None:
        return lambda: False
    if not ask.HasField("seconds_allowed"):
        version = client.server.version if client.server else ""
        raise unserved(client.address, "know max_seconds", version)
    return seconds_over(began, ask.seconds_allowed)


def encoded(
    moves: Sequence[SignMove | JointMove], outcomes: Sequence[Outcome]
) -> list[pb.Evaluation]:
    """Return f at the moves and the changes that the gradient predicts there, as messages."""
    evaluations = []
    for move, outcome in zip(moves, outcomes, strict=False):
        predicted, moved = move.predicted, move.largest
        if outcome.value is None:
            told = pb.Evaluation(outside=outcome.outside, predicted=predicted, moved=moved)
            evaluations.append(told)
        else:
            value = float(outcome.value.number)
            evaluations.append(black_box.encode_evaluation(value, predicted, moved))
    return evaluations
