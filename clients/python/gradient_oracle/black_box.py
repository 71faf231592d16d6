"""Methods about a function that stays here: the oracle names points, where it is evaluated."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradient_oracle import arrays, trees
from gradient_oracle.calls import understood
from gradient_oracle.conversation import Progress, Transport, converse
from gradient_oracle.errors import invalid, unserved
from gradient_oracle.points import (
    Function,
    Gradient,
    Point,
    coordinate_values,
    describe,
    evaluate,
    largest_and_square,
    require_callable,
    require_finite,
)
from gradient_oracle.report import Report
from gradient_oracle.transport import Connection
from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.values import STEP, Array
from oracle.wire import black_box, tensor, tensors


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
    transport: Transport = "auto",
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
        The widest error bar of a direction with which a tensor passes, relative to the norm of its
        gradient. The `detection_limit` of a pass counts several bars and is relative to the largest
        entry: it may be larger.
    max_evaluations : int
        The most evaluations of f: 400 for a gradient that agrees and 1,600 to find what is wrong
        in another. What is allowed beyond is spent where a float32 function of many kinks would
        leave a limit above 1.
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
    transport : "auto", "stream" or "unary"
        One stream; unary calls, each of which any of several servers can answer; or a stream that
        goes on by unary calls when it breaks: no evaluation is asked for again.
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
    point.try_first()
    start = pb.BlackBoxCheck(
        tensors=describe(point, slopes),
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
            evaluations = [evaluate(point, slopes, probe) for probe in ask.probes]
            return pb.Answer(number=ask.number, evaluations=evaluations)
        if not ask.HasField("seconds_allowed"):
            version = client.server.version if client.server else ""
            raise unserved(client.address, "know max_seconds", version)
        reply = pb.Answer(number=ask.number)
        for probe in ask.probes:
            if time.monotonic() - began >= ask.seconds_allowed:
                break
            reply.evaluations.append(evaluate(point, slopes, probe))
        reply.elapsed_seconds = time.monotonic() - began
        return reply

    result = converse(
        client,
        pb.Start(check=start),
        answer,
        transport=transport,
        timeout=timeout,
        progress=progress,
    )
    return understood(Report, result.report)


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
    transport: Transport = "auto",
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
    return max(least, math.sqrt(sum(largest_and_square(t)[1] for t in tensors) / count))


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
    transport: Transport = "auto",
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
        values = coordinate_values(point, ask.coordinates)
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
    transport: Transport = "auto",
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
            tensors=describe(point), step=arrays.real("h", h)
        )
    )
    answer = _coordinate_answer(point)
    result = converse(
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
    transport: Transport = "auto",
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
            initial=tensors.encode(initial),
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

    result = converse(
        client, start, answer, transport=transport, timeout=timeout, progress=progress
    )
    end = _like_x(point, result)
    return (end, [*trajectory, end]) if return_trajectory else end
