"""A graph: nodes in order, each an operator with the names of its inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from oracle.operators.operator import Operator, Shape
from oracle.operators.table import OPERATORS
from oracle.values import Array, InvalidInput


@dataclass(frozen=True)
class Node:
    """One operator of a graph: ONNX's NodeProto. An absent input has the name ""."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """Nodes in the order in which they are evaluated, and the names of what goes in and out."""

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    name: str = "network"


@dataclass(frozen=True)
class Step:
    """A node whose operator is known and whose attributes are complete."""

    node: Node
    operator: Operator
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """A graph that fits its inputs: what is evaluated, and what can be differentiated.

    `inputs` holds the arrays by name, `shapes` the shape of every tensor, `differentiable` the
    inputs by which a derivative exists and is not zero for want of a path.
    """

    graph: Graph
    steps: tuple[Step, ...]
    inputs: Mapping[str, Array]
    shapes: Mapping[str, Shape]

    @cached_property
    def differentiable(self) -> tuple[str, ...]:
        """Names of the inputs that can be differentiated, in the order of the graph."""
        reached = set(self.graph.outputs)
        for step in reversed(self.steps):
            if not reached.isdisjoint(step.node.outputs):
                places = enumerate(step.node.inputs)
                signature = step.operator.signature
                reached |= {name for k, name in places if not signature.input_at(k).constant}
        return tuple(n for n in self.graph.inputs if n in reached and is_floating(self.inputs[n]))


def is_floating(a: Array) -> bool:
    """Tell whether an array holds floating numbers; bfloat16 is one of them."""
    return a.dtype.kind == "f" or a.dtype.name in {"bfloat16", "float8_e4m3fn", "float8_e5m2"}


def plan(graph: Graph, inputs: Mapping[str, Array]) -> Plan:
    """Return the graph with its inputs, if they fit.

    Raises
    ------
    InvalidInput
        If an operator, attribute or name is unknown, a name is given twice or used before it is
        computed, or a shape does not fit; `argument` is the place, as ``nodes[2].inputs[0]``.
    """
    _require_names("inputs", graph.inputs, inputs)
    if not graph.nodes:
        raise InvalidInput("nodes", "hold at least one node", "none")
    if not graph.outputs:
        raise InvalidInput("outputs", "name at least one tensor", "none")
    shapes: dict[str, Shape] = {name: tuple(inputs[name].shape) for name in graph.inputs}
    later = {name for node in graph.nodes for name in node.outputs}
    steps = []
    for k, node in enumerate(graph.nodes):
        step = _step(f"nodes[{k}]", node)
        _require_known(f"nodes[{k}]", node, shapes, later)
        arguments = [_argument(f"nodes[{k}]", step, j, shapes, inputs) for j in range(_most(step))]
        try:
            found = step.operator.shapes(*arguments, **step.attributes)
        except InvalidInput as error:
            names = [one.name for one in step.operator.signature.inputs]
            where = f"nodes[{k}] ({node.operator})"
            if error.argument in names and names.index(error.argument) < len(node.inputs):
                where += f", {error.argument} = {node.inputs[names.index(error.argument)]}"
            else:
                where += f", {error.argument}"
            raise InvalidInput(where, error.requirement, error.was) from None
        for name, shape in zip(node.outputs, found, strict=False):
            if name:
                shapes[name] = tuple(shape)
        steps.append(step)
    for j, name in enumerate(graph.outputs):
        if name not in shapes:
            raise InvalidInput(f"outputs[{j}]", "name a tensor of the graph", repr(name))
    return Plan(graph, tuple(steps), dict(inputs), shapes)


def _most(step: Step) -> int:
    """Return how many arguments the operator gets: its own inputs, and the variadic ones."""
    return max(len(step.operator.signature.inputs), len(step.node.inputs))


def _require_names(argument: str, names: Sequence[str], inputs: Mapping[str, Array]) -> None:
    for name in names:
        if not name:
            raise InvalidInput(argument, "have names", "an empty one")
        if names.count(name) > 1:
            raise InvalidInput(argument, "have names that differ", f"{name!r} twice")
        if name not in inputs:
            raise InvalidInput(argument, f"hold {name}", ", ".join(inputs) or "nothing")
    for name in inputs:
        if name not in names:
            known = ", ".join(names) or "no inputs"
            raise InvalidInput(argument, f"hold inputs of the graph ({known})", repr(name))


def _step(where: str, node: Node) -> Step:
    operator = OPERATORS.get(node.operator)
    if operator is None:
        raise InvalidInput(f"{where}.op_type", "be an operator that is served", node.operator)
    signature = operator.signature
    most = len(signature.inputs)
    least = sum(not one.optional for one in signature.inputs)
    count = len(node.inputs)
    if count < least or (count > most and not signature.inputs[-1].variadic):
        names = ", ".join(one.name for one in signature.inputs)
        numbers = f"{least}" if least == most else f"{least} to {most}"
        raise InvalidInput(
            f"{where} ({node.operator}) inputs", f"have {numbers} names ({names})", str(count)
        )
    outputs = len(signature.outputs)
    if not outputs - signature.optional_outputs <= len(node.outputs) <= outputs:
        raise InvalidInput(
            f"{where} ({node.operator}) outputs",
            f"have at most {outputs} names ({', '.join(signature.outputs)})",
            str(len(node.outputs)),
        )
    try:
        attributes = operator.complete(node.attributes)
    except InvalidInput as error:
        place = f"{where} ({node.operator}) attribute {error.argument}"
        raise InvalidInput(place, error.requirement, error.was) from None
    return Step(node, operator, attributes)


def _require_known(where: str, node: Node, shapes: Mapping[str, Shape], later: set[str]) -> None:
    for j, name in enumerate(node.inputs):
        if name and name not in shapes:
            requirement = "be computed by an earlier node" if name in later else "be known"
            raise InvalidInput(f"{where}.inputs[{j}]", f"{requirement}", repr(name))
    for j, name in enumerate(node.outputs):
        if name in shapes or (name and node.outputs.count(name) > 1):
            raise InvalidInput(f"{where}.outputs[{j}]", "have a name of its own", repr(name))


def _argument(
    where: str, step: Step, place: int, shapes: Mapping[str, Shape], inputs: Mapping[str, Array]
) -> Any:
    signature = step.operator.signature
    given = step.node.inputs[place] if place < len(step.node.inputs) else ""
    wanted = signature.input_at(place)
    if not given:
        if not wanted.optional:
            raise InvalidInput(f"{where}.inputs[{place}]", f"be given as {wanted.name}", "nothing")
        return None
    if wanted.constant:
        if given not in inputs:
            raise InvalidInput(
                f"{where}.inputs[{place}]",
                f"be an input of the graph, as {wanted.name} is not differentiated",
                f"{given!r}, which a node computes",
            )
        return inputs[given]
    return shapes[given]
