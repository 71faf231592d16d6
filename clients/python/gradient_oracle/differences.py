"""The document's numerical gradient and its descent, of a function that stays here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradient_oracle import arrays, trees
from gradient_oracle.called import Called, Function, OutsideDomain, require_callable
from gradient_oracle.calls import understood
from gradient_oracle.claims import describe
from gradient_oracle.conversation import Progress, Transport
from gradient_oracle.evaluation import Evaluator
from gradient_oracle.manner import Manner, arguments
from gradient_oracle.points import Move, Point
from gradient_oracle.transport import Connection
from gradient_oracle.waiting import Departure
from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.values import STEP, Array
from oracle.wire import black_box, tensor, tensors


class EntryMove(Move):
    """One entry moved by a step, as the document's loop does."""

    def __init__(self, index: int, entry: int, step: float) -> None:
        super().__init__(index, entry, entry + 1)
        self.step = step

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells this point from others of the same x."""
        return (self.tensor, self.begin, self.end, self.step)

    def __str__(self) -> str:
        return f"moved by {self.step:+.3g}"

    def write(self, entries: Array, departure: Departure) -> None:
        """Move the entry."""
        departure.write(entries, 0, entries[0] + self.step)


def _answer(evaluate: Evaluator) -> Callable[[pb.Ask], pb.Answer]:
    def answer(ask: pb.Ask) -> pb.Answer:
        asked = ask.coordinates
        moves = [
            EntryMove(asked.tensor, entry, step)
            for entry in range(asked.begin, asked.end)
            for step in (asked.step, -asked.step)
        ]
        values = []
        for outcome in evaluate(moves):
            if outcome.value is None:
                raise OutsideDomain(outcome.outside)
            values.append(outcome.value.number)
        return pb.Answer(number=ask.number, values=tensor.encode(black_box.concatenate(values)))

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
    args: Any = (),
    timeout: float | None = None,
    progress: Progress | None = None,
    in_place: bool = False,
    transport: Transport = "auto",
    workers: Any = 1,
    vectorized: bool = False,
    journal: Any = None,
) -> Any:
    """Take the document's central difference (f(x + h e_i) - f(x - h e_i)) / 2h, with f here.

    Equal to the document's loop bit for bit, in the types of f and of `x`.

    Parameters
    ----------
    f, x, args, timeout, progress, in_place, transport, workers, vectorized, journal
        As for `check_gradient`.
    h : float
        The step.

    Returns
    -------
    as `x`
        The gradient; zero in tensors that are not floating.
    """
    manner = Manner(timeout, progress, transport, workers, vectorized, journal)
    require_callable("f", f)
    point = Point(Called(f, arguments(args)), x, in_place=in_place)
    start = pb.Start(
        numerical_gradient=pb.BlackBoxNumericalGradient(
            tensors=describe(point), step=arrays.real("h", h)
        )
    )
    with manner.evaluator(point) as evaluate:
        return _like_x(point, manner.converse(client, start, _answer(evaluate)))


def gradient_descent(
    client: Connection,
    f: Function,
    init_x: Any,
    lr: float = 0.01,
    step_num: int = 100,
    *,
    h: float = STEP,
    args: Any = (),
    timeout: float | None = None,
    progress: Progress | None = None,
    transport: Transport = "auto",
    workers: Any = 1,
    vectorized: bool = False,
    journal: Any = None,
    return_trajectory: bool = False,
) -> Any:
    """Follow the document's gradient descent x <- x - lr * numerical_gradient(f, x), with f here.

    Parameters
    ----------
    f, args, timeout, progress, transport, workers, vectorized, journal
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
    manner = Manner(timeout, progress, transport, workers, vectorized, journal)
    require_callable("f", f)
    point = Point(Called(f, arguments(args)), init_x, argument="init_x")
    initial = {leaf.path: leaf.array for leaf in point.floating}
    task = pb.BlackBoxGradientDescent(
        initial=tensors.encode(initial),
        step=arrays.real("h", h),
        learning_rate=arrays.real("lr", lr),
        step_count=arrays.integer("step_num", step_num, least=-(2**31), most=2**31 - 1),
    )
    trajectory: list[Any] = []
    # The points on the way depend on the step and the rate, by which the journal knows them.
    question = f"{task.step.hex()} {task.learning_rate.hex()}".encode()
    with manner.evaluator(point, question) as evaluate:
        answered = _answer(evaluate)

        def answer(ask: pb.Ask) -> pb.Answer:
            if ask.point:
                point.place_at(_decode(ask.point))
                evaluate.base += 1
                if return_trajectory:
                    trajectory.append(_like_x(point, pb.Result(tensors=ask.point)))
            return answered(ask)

        result = manner.converse(client, pb.Start(gradient_descent=task), answer)
    end = _like_x(point, result)
    return (end, [*trajectory, end]) if return_trajectory else end
