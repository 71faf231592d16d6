"""What RNN, GRU and LSTM have in common: directions, lengths, and the way through time and back.

A cell takes what the input adds to its gates, and its state, and returns the next state; backwards
it takes what flows back to the next state, and returns what flows to the gates and to the state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Shape
from oracle.values import Array

State = tuple[Number, ...]


@dataclass(frozen=True)
class Weights:
    """Weights of one direction: R (gates H, H), its bias (gates H,), and peepholes, or None."""

    R: Number
    bias: Number
    peepholes: Number | None = None


@dataclass(frozen=True)
class Flows:
    """What flows back through one step.

    `gates` to what the input adds to them, `again` to what the state adds to them; `fed` are the
    parts of the gates by what they multiply R with: (first, last, input). `more` is by peepholes.
    """

    gates: Number
    again: Number
    fed: tuple[tuple[int, int, Number], ...]
    state: State
    more: Number | None = None


Step = Callable[[Numbers, Number, State, Weights], tuple[State, Any]]
Back = Callable[[Numbers, Any, State, Weights], Flows]


@dataclass(frozen=True)
class Cell:
    """A cell: how many gates and tensors of state it has, and both ways through it."""

    gates: int
    states: int
    step: Step
    back: Back


@dataclass(frozen=True)
class Sequences:
    """Inputs of a network, each as ONNX gives it, and what people change about it by mistake.

    `through_time` is False where nothing flows from one step to the one before, `shifted` counts
    the steps by which states are taken too late, `all_forwards` is True where none is turned.
    """

    X: Number
    W: Number
    R: Number
    B: Number | None
    lengths: Array | None
    initial: tuple[Number | None, ...]
    P: Number | None
    direction: str
    layout: int
    through_time: bool = True
    shifted: int = 0
    all_forwards: bool = False

    @property
    def directions(self) -> tuple[bool, ...]:
        """For each direction whether it runs backwards."""
        named = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
        return named[self.direction]

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Length, batch and inputs."""
        a, b, inputs = self.X.shape
        return (b, a, inputs) if self.layout else (a, b, inputs)

    @property
    def hidden(self) -> int:
        """Size of the state."""
        return int(self.R.shape[2])


def picked(xp: Numbers, x: Number, k: int, axis: int = 0) -> Number:
    """Return one entry along an axis, without the axis."""
    slices = [slice(None)] * x.ndim
    slices[axis] = slice(k, k + 1)
    return xp.reshape(xp.part(x, slices), (*x.shape[:axis], *x.shape[axis + 1 :]))


def columns(xp: Numbers, x: Number, k: int, n: int) -> Number:
    """Return the columns of the gate k of n each."""
    return xp.part(x, (slice(None), slice(k * n, (k + 1) * n)))


def stacked(xp: Numbers, parts: Sequence[Number], axis: int) -> Number:
    """Return arrays of one shape along a new axis."""
    return xp.concat([xp.expand_dims(part, axis) for part in parts], axis)


def _weights(xp: Numbers, given: Sequences, d: int, gates: int) -> tuple[Number, Number, Weights]:
    """Return W, the bias of the input, and the weights of the state, of one direction."""
    n = gates * given.hidden
    zero = xp.exact(np.zeros(n))
    both = None if given.B is None else picked(xp, given.B, d)
    biases = [zero if both is None else xp.part(both, (slice(k, k + n),)) for k in (0, n)]
    peepholes = None if given.P is None else picked(xp, given.P, d)
    weights = Weights(picked(xp, given.R, d), biases[1], peepholes)
    return picked(xp, given.W, d), biases[0], weights


def _seen(given: Sequences, t: int) -> Array | None:
    return None if given.lengths is None else (given.lengths > t)[:, np.newaxis]


@dataclass
class Run:
    """One direction on its way: inputs, states before each step, and what the cell kept."""

    W: Number
    weights: Weights
    order: list[int]
    x: list[Number]
    before: list[State]
    kept: list[Any]
    outputs: list[Number]
    last: State


def run(xp: Numbers, given: Sequences, cell: Cell, d: int) -> Run:
    """Return one direction from the first step to the last."""
    T, batch, _ = given.sizes
    W, bias, weights = _weights(xp, given, d, cell.gates)
    order = list(range(T))[:: -1 if given.directions[d] and not given.all_forwards else 1]
    x = [picked(xp, given.X, t, 1 if given.layout else 0) for t in range(T)]
    initial = [None if one is None else picked(xp, one, d, given.layout) for one in given.initial]
    zero = xp.exact(np.zeros((batch, given.hidden)))
    state: State = tuple(zero if one is None else one for one in initial[: cell.states])
    outputs: list[Number] = [zero] * T
    found = Run(W, weights, order, x, [], [], outputs, state)
    for t in order:
        gates = xp.matmul(x[t], xp.swapped(W)) + bias
        after, kept = cell.step(xp, gates, state, weights)
        found.before.append(state)
        found.kept.append(kept)
        seen = _seen(given, t)
        outputs[t] = after[0]
        if seen is not None:
            outputs[t] = xp.where(seen, after[0], 0.0)
            after = tuple(xp.where(seen, new, old) for new, old in zip(after, state, strict=True))
        state = after
    found.last = state
    return found


def value(xp: Numbers, given: Sequences, cells: Sequence[Cell]) -> tuple[Number, ...]:
    """Return Y, and the last states; there is a cell for each direction."""
    runs = [run(xp, given, cell, d) for d, cell in enumerate(cells)]
    Y = stacked(xp, [stacked(xp, one.outputs, 0) for one in runs], 1)
    last = [stacked(xp, [one.last[k] for one in runs], 0) for k in range(cells[0].states)]
    if given.layout:
        Y = xp.transpose(Y, (2, 0, 1, 3))
        last = [xp.transpose(one, (1, 0, 2)) for one in last]
    return (Y, *last)


def output_shapes(X: Shape, R: Shape, direction: str, layout: int, states: int) -> list[Shape]:
    """Return the shapes of Y and the last states."""
    D, H = 2 if direction == "bidirectional" else 1, R[2]
    if layout:
        return [(*X[:2], D, H), *[(X[0], D, H)] * states]
    return [(X[0], D, X[1], H), *[(D, X[1], H)] * states]


def named(found: dict[str, Number], names: dict[str, str]) -> dict[str, Number]:
    """Return derivatives by the names of the inputs."""
    return {names.get(key, key): one for key, one in found.items()}


def vjp(
    xp: Numbers, given: Sequences, cells: Sequence[Cell], above: Sequence[Number | None]
) -> dict[str, Number]:
    """Return the derivatives, by the names W, R, B, X, P and 0, 1 of the states."""
    flows = [_back(xp, given, cell, d, above) for d, cell in enumerate(cells)]
    found = {
        name: stacked(xp, [one[name] for one in flows], 0)
        for name in ("W", "R", *(["B"] if given.B is not None else []))
    }
    if given.P is not None:
        found["P"] = stacked(xp, [one["P"] for one in flows], 0)
    for k, held in enumerate(given.initial):
        if held is not None:
            found[str(k)] = stacked(xp, [one[str(k)] for one in flows], given.layout)
    dX = flows[0]["X"]
    for one in flows[1:]:
        dX = dX + one["X"]
    found["X"] = xp.transpose(dX, (1, 0, 2)) if given.layout else dX
    return found


def _back(
    xp: Numbers, given: Sequences, cell: Cell, d: int, above: Sequence[Number | None]
) -> dict[str, Number]:
    """Return the derivatives of one direction, from the last step to the first."""
    on = run(xp, given, cell, d)
    T, batch, _ = given.sizes
    zero = xp.exact(np.zeros((batch, given.hidden)))
    dY = None if above[0] is None else picked(xp, above[0], d, 2 if given.layout else 1)
    last = [*above[1:], None, None][: cell.states]
    state: State = tuple(zero if one is None else picked(xp, one, d, given.layout) for one in last)
    flows: list[Flows] = []
    steps: list[int] = []
    for step in reversed(range(T)):
        t = on.order[step]
        dh = state[0] if dY is None else state[0] + picked(xp, dY, t, 1 if given.layout else 0)
        flow: State = (dh, *state[1:])
        seen = _seen(given, t)
        inner = flow if seen is None else tuple(xp.where(seen, one, 0.0) for one in flow)
        one = cell.back(xp, on.kept[step], inner, on.weights)
        flows.append(one)
        steps.append(step)
        before = one.state if given.through_time else tuple(zero for _ in one.state)
        if seen is not None:
            before = tuple(xp.where(seen, new, old) for new, old in zip(before, state, strict=True))
        state = before
    return _collected(xp, on, flows, steps, state, given)


def _collected(
    xp: Numbers, on: Run, flows: list[Flows], steps: list[int], state: State, given: Sequences
) -> dict[str, Number]:
    """Return the derivatives of one direction of what flowed back at each of its steps."""
    T, batch, inputs = given.sizes
    gates = xp.concat([one.gates for one in flows], 0)
    again = xp.concat([one.again for one in flows], 0)
    x = xp.concat([on.x[on.order[step]] for step in steps], 0)
    rows = []
    for part, (first, last, _) in enumerate(flows[0].fed):
        fed = [flows[(k + given.shifted) % T].fed[part][2] for k in range(T)]
        mine = xp.part(again, (slice(None), slice(first, last)))
        rows.append(xp.matmul(xp.swapped(mine), xp.concat(fed, 0)))
    dx = xp.reshape(xp.matmul(gates, on.W), (T, batch, inputs))
    places = np.argsort([on.order[step] for step in steps])
    found = {
        "W": xp.matmul(xp.swapped(gates), x),
        "R": xp.concat(rows, 0),
        "B": xp.concat([xp.sum(gates, 0), xp.sum(again, 0)], 0),
        "X": xp.take(dx, places, 0),
        **{str(k): one for k, one in enumerate(state)},
    }
    if flows[0].more is not None:
        found["P"] = xp.sum(xp.concat([one.more for one in flows], 0), 0)
    return found


def drawn(
    rng: np.random.Generator, gates: int, states: Sequence[str], *, agreed: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return inputs and attributes of a probe; `agreed` has one direction and whole sequences."""
    T, batch, inputs, H, D = 4, 3, 2, 3, 1 if agreed else 2
    found: dict[str, Any] = {
        "X": rng.normal(size=(T, batch, inputs)),
        "W": 0.7 * rng.normal(size=(D, gates * H, inputs)),
        "R": 0.7 * rng.normal(size=(D, gates * H, H)),
        "B": 0.5 * rng.normal(size=(D, 2 * gates * H)),
        **{name: rng.normal(size=(D, batch, H)) for name in states},
    }
    if agreed:
        return found, {"hidden_size": H}
    found["sequence_lens"] = np.array([4, 2, 3])
    return found, {"hidden_size": H, "direction": "bidirectional"}
