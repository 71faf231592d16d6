"""What may have been done to one node of a graph, or to the graph: the table of a diagnosis."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from oracle.graphs.graph import Node, Plan, Step, plan
from oracle.operators.operator import Operator, Vjp
from oracle.operators.table import OPERATORS
from oracle.values import Finding, Float64, InvalidInput

TABLE = 8.0
"""Bits that one of some two hundred slips costs."""

DELTA = 1.0
"""Bits that the loss without its guard costs: one of two that people mean."""


BIASES = ((0.0, "left out of"), (2.0, "added twice in"), (-1.0, "subtracted in"))
"""What is done to a bias in a forward pass."""


@dataclass(frozen=True)
class Hypothesis:
    """One thing that was written otherwise: in which node, what it is called, and its vjp.

    `node` is below 0 if it is another forward pass. `fitted` counts numbers that were fitted to
    what was sent. `finding` is what is said of it, where its own words would not do.
    """

    node: int
    code: str
    says: str
    remedy: str
    wrong: Vjp
    cost: float = TABLE
    fitted: int = 0
    finding: Finding | None = None


@dataclass(frozen=True)
class World:
    """Another forward pass: its plan, what is said of it, and derivatives that are kept."""

    plan: Plan
    hypothesis: Hypothesis | None
    cost: float
    kept: Mapping[int, Vjp] = field(default_factory=dict)


def _nothing(*_: Any, **__: Any) -> dict[str, Any]:
    return {}


def hypotheses(what: Plan, values: Mapping[str, Float64]) -> Iterator[Hypothesis]:
    """Yield the slips of every node, and the tensors that may have stood in another's place."""
    for k, step in enumerate(what.steps):
        for slip in step.operator.slips:
            yield Hypothesis(k, slip.code, slip.says, slip.remedy, slip.wrong)
        if step.operator.signature.activation:
            yield from _other_slopes(k, step)
            yield from _moved_slopes(what, k, step)
        yield from _substituted(what, values, k, step)


def _other_slopes(place: int, step: Step) -> Iterator[Hypothesis]:
    """Yield the derivatives of other functions, at the input and at the output of the node."""
    own = step.operator.name
    remedy = f"Multiply by the derivative of {own}, at its input."
    for other in OPERATORS.values():
        if other.signature.activation and other.name != own:
            for at_output, where in ((False, ""), (True, " at its output")):
                said = f"the derivative is that of {other.name}{where}, not that of {own}"
                wrong = _slope_of(step, other, at_output)
                yield Hypothesis(place, "wrong_activation_derivative", said, remedy, wrong)


def _moved_slopes(what: Plan, place: int, step: Step) -> Iterator[Hypothesis]:
    """Yield derivatives of a function that are taken at another place than its input."""
    own, code = step.operator.name, "wrong_activation_derivative"
    remedy = f"Multiply by the derivative of {own}, at its input."
    for where, move in PLACES:
        said = f"the derivative of {own} is taken at {where}"
        yield Hypothesis(place, code, said, remedy, _slope_at(step, move))
    masked = f"the derivative of {own} is multiplied by the mask of a ReLU"
    yield Hypothesis(place, code, masked, remedy, _masked(step))
    squared = f"the derivative of {own} is squared"
    yield Hypothesis(place, code, squared, remedy, _squared(step))
    for other in what.steps:
        if step.node.inputs[0] in other.node.outputs and len(other.node.inputs) == 3:
            bias = what.inputs.get(other.node.inputs[2])
            if other.operator.name == "Gemm" and bias is not None:
                said = (
                    f"the derivative of {own} is taken at its input without {other.node.inputs[2]}"
                )
                less = np.asarray(bias, np.float64)
                yield Hypothesis(place, code, said, remedy, _slope_at(step, _less(less)))


def _less(bias: Float64) -> Callable[[Float64], Float64]:
    return lambda X: X - bias


PLACES: tuple[tuple[str, Callable[[Float64], Float64]], ...] = (
    ("the first sample", lambda X: X[:1]),
    ("the last sample", lambda X: X[-1:]),
    ("the mean over the batch", lambda X: X.mean(axis=0, keepdims=True)),
    ("the sample before", lambda X: np.roll(X, 1, axis=0)),
    ("the sample after", lambda X: np.roll(X, -1, axis=0)),
    ("minus its input", lambda X: -X),
    ("twice its input", lambda X: 2.0 * X),
    ("half its input", lambda X: 0.5 * X),
)
"""Where a slope may be taken by mistake."""


def _slope_at(step: Step, move: Callable[[Float64], Float64]) -> Vjp:
    def wrong(xp: Any, dY: Any, X: Any, **attributes: Any) -> dict[str, Any]:
        at = np.broadcast_to(move(X), X.shape) if X.ndim else X
        return dict(step.operator.differentiate(xp, dY, at, **attributes))

    return wrong


def _masked(step: Step) -> Vjp:
    def wrong(xp: Any, dY: Any, X: Any, **attributes: Any) -> dict[str, Any]:
        return dict(step.operator.differentiate(xp, dY * (X > 0), X, **attributes))

    return wrong


def _squared(step: Step) -> Vjp:
    def wrong(xp: Any, dY: Any, X: Any, **attributes: Any) -> dict[str, Any]:
        found = step.operator.differentiate(xp, np.ones_like(X), X, **attributes)
        return {name: dY * slope * slope for name, slope in found.items()}

    return wrong


def _slope_of(step: Step, other: Operator, at_output: bool) -> Vjp:
    attributes = other.complete({})

    def wrong(xp: Any, dY: Any, X: Any, **own: Any) -> dict[str, Any]:
        at = step.operator.evaluate(xp, X, **own) if at_output else X
        return _named_as(step, other.differentiate(xp, dY, at, **attributes))

    return wrong


def _named_as(step: Step, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the one derivative of an activation under the name of the input of another."""
    (derivative,) = found.values()
    return {step.operator.signature.inputs[0].name: derivative}


def _substituted(
    what: Plan, values: Mapping[str, Float64], place: int, step: Step
) -> Iterator[Hypothesis]:
    """Yield derivatives of a node that are formed with another tensor of the same shape."""
    signature = step.operator.signature
    near = _neighbours(what, place)
    for k, name in enumerate(step.node.inputs):
        wanted = signature.input_at(k)
        if not name or wanted.constant or wanted.variadic:
            continue
        for other in near:
            if other == name or values[other].shape != values[name].shape:
                continue
            if np.array_equal(values[other], values[name]):
                continue
            yield Hypothesis(
                place,
                "wrong_inputs",
                f"the derivative is formed with {other} instead of {name}",
                f"Use {name}.",
                _with(step, k, values[other]),
            )


def _neighbours(what: Plan, place: int) -> list[str]:
    """Return the tensors around a node: what it takes and gives, and what those are made of."""
    step = what.steps[place]
    found = [*step.node.inputs, *step.node.outputs]
    for other in what.steps:
        if not set(other.node.outputs).isdisjoint(step.node.inputs):
            found += other.node.inputs
        if not set(other.node.inputs).isdisjoint(step.node.outputs):
            found += other.node.outputs
    floating = [n for n in dict.fromkeys(found) if n and n in what.shapes]
    return [n for n in floating if n not in what.inputs or what.inputs[n].dtype.kind != "i"]


def _with(step: Step, place: int, other: Float64) -> Vjp:
    outputs = max(len(step.operator.signature.outputs), len(step.node.outputs))

    def wrong(xp: Any, *given: Any, **attributes: Any) -> dict[str, Any]:
        arguments = list(given)
        arguments[outputs + place] = other
        found = step.operator.differentiate(xp, *arguments, **attributes)
        return {n: g() if callable(g) else g for n, g in found.items()}

    return wrong


def worlds(what: Plan, wanted: Collection[str]) -> Iterator[World]:
    """Yield other forward passes: another activation, no bias, other data, a loss without guard."""
    yield from _without_biases(what)
    yield from _other_data(what, wanted)
    for k, step in enumerate(what.steps):
        if step.attributes.get("delta"):
            node = replace(step.node, attributes={**step.node.attributes, "delta": 0.0})
            yield from _changed(what, k, node, None)
        if step.operator.signature.activation:
            for other in OPERATORS.values():
                if other.name != step.operator.name and other.signature.activation:
                    node = replace(step.node, operator=other.name, attributes={})
                    said = Hypothesis(
                        -1 - k,
                        "wrong_forward",
                        f"the gradient is that of {other.name} instead of {step.operator.name}",
                        f"Differentiate {step.operator.name}.",
                        _nothing,
                    )
                    kept = {k: _derivative_of(step, Step(node, other, other.complete({})))}
                    yield from _changed(what, k, node, said, kept)
        if step.operator.name == "Gemm" and len(step.node.inputs) == 3 and step.node.inputs[2]:
            for beta, says in BIASES:
                node = replace(step.node, attributes={**step.node.attributes, "beta": beta})
                bias = step.node.inputs[2]
                said = Hypothesis(
                    -1 - k,
                    "wrong_forward",
                    f"{bias} is {says} the forward pass",
                    f"Add {bias} once.",
                    _nothing,
                )
                yield from _changed(what, k, node, said, {k: _of(step)})


def _without_biases(what: Plan) -> Iterator[World]:
    """Yield the forward pass without any bias, where there are several."""
    nodes, gone = list(what.graph.nodes), []
    for k, step in enumerate(what.steps):
        if step.operator.name == "Gemm" and len(step.node.inputs) == 3 and step.node.inputs[2]:
            nodes[k] = replace(step.node, attributes={**step.node.attributes, "beta": 0.0})
            gone.append(k)
    if len(gone) > 1:
        says = "all biases are left out of the forward pass"
        said = Hypothesis(-1 - gone[0], "wrong_forward", says, "Add each bias once.", _nothing)
        graph = replace(what.graph, nodes=tuple(nodes))
        kept = {k: _of(what.steps[k]) for k in gone}
        yield World(plan(graph, what.inputs), said, said.cost, kept)


def _other_data(what: Plan, wanted: Collection[str]) -> Iterator[World]:
    """Yield the forward pass with its data changed beforehand, as people do."""
    for name in what.differentiable:
        x = what.inputs[name].astype(np.float64)
        if name in wanted or x.ndim < 2:
            continue
        place = next(k for k, step in enumerate(what.steps) if name in step.node.inputs)
        for text, used in changed_data(x):
            said = Hypothesis(
                -1 - place, "wrong_inputs", f"{name} {text}", f"Use {name} as it is.", _nothing
            )
            yield World(plan(what.graph, {**what.inputs, name: used}), said, said.cost)


def changed_data(x: Float64) -> Iterator[tuple[str, Float64]]:
    """Yield what people do to data beforehand: the end of a sentence about it, and the data."""
    spread, each = x.std(), x.std(axis=0)
    yield "was divided by 255", x / 255
    yield "was multiplied by 255", x * 255
    yield "was halved", x / 2
    yield "was moved to 2 x - 1", 2 * x - 1
    yield "was moved to x - 0.5", x - 0.5
    yield "had its mean taken off", x - x.mean()
    yield "had the mean of each column taken off", x - x.mean(axis=0)
    yield "was standardised", (x - x.mean()) / (spread + (spread == 0))
    yield "was standardised column by column", (x - x.mean(axis=0)) / (each + (each == 0))
    yield "was cut to whole numbers", np.trunc(x)


def _derivative_of(step: Step, world: Step) -> Vjp:
    """Return the derivative of an activation where another one stands in its forward pass."""

    def vjp(*arguments: Any, **_: Any) -> dict[str, Any]:
        return _named_as(world, step.operator.differentiate(*arguments, **step.attributes))

    return vjp


def _of(step: Step) -> Vjp:
    """Return the derivative of a node with its own attributes, whatever those of its world are."""

    def vjp(*arguments: Any, **_: Any) -> dict[str, Any]:
        found = step.operator.differentiate(*arguments, **step.attributes)
        return {n: g() if callable(g) else g for n, g in found.items()}

    return vjp


def _changed(
    what: Plan,
    place: int,
    node: Node,
    said: Hypothesis | None,
    kept: Mapping[int, Vjp] | None = None,
) -> Iterator[World]:
    nodes = [*what.graph.nodes]
    nodes[place] = node
    graph = replace(what.graph, nodes=tuple(nodes))
    try:
        yield World(plan(graph, what.inputs), said, said.cost if said else DELTA, kept or {})
    except InvalidInput:
        return
