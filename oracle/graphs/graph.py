"""A graph: nodes in order, each an operator with the names of its inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from oracle.operators.operator import Operator, Shape, Signature
from oracle.operators.table import OPERATORS
from oracle.spelling import meant
from oracle.values import Array, InvalidInput


@dataclass(frozen=True)
class Node:
    """One operator of a graph: ONNX's NodeProto. An absent input has the name "".

    `name` is what an error calls the node beside its place; `domain` may be left out.
    """

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    domain: str = ""

    def __str__(self) -> str:
        return f"{self.operator} {self.name!r}" if self.name else self.operator


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
    _require_names(graph.inputs, inputs)
    if not graph.nodes:
        raise InvalidInput("nodes", "hold at least one node", "none")
    if not graph.outputs:
        raise InvalidInput("outputs", "name at least one tensor", "none")
    shapes: dict[str, Shape] = {name: tuple(inputs[name].shape) for name in graph.inputs}
    later = {name: k for k, node in reversed([*enumerate(graph.nodes)]) for name in node.outputs}
    steps = []
    for k, node in enumerate(graph.nodes):
        where = f"nodes[{k}]"
        step = _step(where, node)
        _require_known(where, node, shapes, later)
        arguments = [_argument(where, step, j, shapes, inputs) for j in range(_most(step))]
        try:
            found = step.operator.shapes(*arguments, **step.attributes)
        except InvalidInput as error:
            raise _placed(where, node, step.operator.signature, error) from None
        if step.operator.signature.variadic_outputs and len(node.outputs) != len(found):
            requirement = f"hold {len(found)} names, as many as {node} has outputs"
            raise InvalidInput(f"{where}.outputs", requirement, str(len(node.outputs)))
        for name, shape in zip(node.outputs, found, strict=False):
            if name:
                shapes[name] = _filled(f"{where}.outputs", node, name, tuple(shape))
        steps.append(step)
    for j, name in enumerate(graph.outputs):
        if name not in shapes:
            raise InvalidInput(f"outputs[{j}]", "name a tensor of the graph", repr(name))
    if len(set(graph.outputs)) < len(graph.outputs):
        raise InvalidInput("outputs", "name each tensor once", ", ".join(graph.outputs))
    return Plan(graph, tuple(steps), dict(inputs), shapes)


def _most(step: Step) -> int:
    """Return how many arguments the operator gets: its own inputs, and the variadic ones."""
    return max(len(step.operator.signature.inputs), len(step.node.inputs))


def _require_names(names: Sequence[str], inputs: Mapping[str, Array]) -> None:
    known: set[str] = set()
    for name in names:
        if not name:
            raise InvalidInput("inputs", "have names", "an empty one")
        if name in known:
            raise InvalidInput("inputs", "have names that differ", f"{name!r} twice")
        if name not in inputs:
            raise InvalidInput("inputs", f"hold {name}", ", ".join(inputs) or "nothing")
        known.add(name)
    for name in inputs:
        if name not in known:
            has = ", ".join(names) or "none"
            raise InvalidInput("inputs", f"hold nothing but inputs of the graph ({has})", name)


def _step(where: str, node: Node) -> Step:
    operator = OPERATORS.get(node.operator)
    if operator is None:
        near = meant(node.operator, OPERATORS)
        was = f"{node.operator!r}" + (f"; {near} is one" if near else "")
        raise InvalidInput(f"{where}.op_type", "be an operator that is served", was)
    signature = operator.signature
    if node.domain and node.domain not in {signature.domain, signature.domain or "ai.onnx"}:
        requirement = f"be {signature.domain or 'ai.onnx'} for {node}, or empty"
        raise InvalidInput(f"{where}.domain", requirement, repr(node.domain))
    most = len(signature.inputs)
    least = sum(not one.optional for one in signature.inputs)
    count = len(node.inputs)
    if count < least or (count > most and not signature.inputs[-1].variadic):
        names = ", ".join(one.name for one in signature.inputs)
        numbers = f"{least}" if least == most else f"{least} to {most}"
        numbers = f"at least {least}" if signature.inputs[-1].variadic else numbers
        requirement = f"hold {numbers} names, the inputs of {node} ({names})"
        raise InvalidInput(f"{where}.inputs", requirement, str(count))
    most = len(signature.outputs)
    least = most - signature.optional_outputs
    if not (least <= len(node.outputs) <= most or signature.variadic_outputs):
        names = ", ".join(signature.outputs)
        numbers = f"{least}" if least == most else f"{least} to {most}"
        requirement = f"hold {numbers} names, the outputs of {node} ({names})"
        raise InvalidInput(f"{where}.outputs", requirement, str(len(node.outputs)))
    try:
        attributes = operator.complete(node.attributes)
    except InvalidInput as error:
        raise _placed(where, node, signature, error) from None
    return Step(node, operator, attributes)


def _placed(where: str, node: Node, signature: Signature, error: InvalidInput) -> InvalidInput:
    """Return the error of an operator about one of its inputs or attributes, with its place."""
    requirement, was = f"{error.requirement} as {error.argument} of {node}", error.was
    names = [one.name for one in signature.inputs]
    given = list(node.attributes)
    if error.argument in names:
        place = names.index(error.argument)
        if place < len(node.inputs) and node.inputs[place]:
            where, was = f"{where}.inputs[{place}]", f"{was} of {node.inputs[place]!r}"
        else:
            where = f"{where}.inputs"
    elif error.argument in given:
        where = f"{where}.attributes[{given.index(error.argument)}]"
        if error.argument not in signature.attributes:
            requirement = error.requirement
    else:
        where = f"{where}.attributes"
    return InvalidInput(where, requirement, was)


def _require_known(
    where: str, node: Node, shapes: Mapping[str, Shape], later: Mapping[str, int]
) -> None:
    for j, name in enumerate(node.inputs):
        if name and name not in shapes:
            requirement = "be an input of the graph, or an output of an earlier node"
            was = f"{name!r}, which nodes[{later[name]}] computes" if name in later else repr(name)
            raise InvalidInput(f"{where}.inputs[{j}]", f"{requirement}, as {node} reads it", was)
    for j, name in enumerate(node.outputs):
        if name in shapes or (name and node.outputs.count(name) > 1):
            requirement = f"have a name of its own, as {node} writes it"
            raise InvalidInput(f"{where}.outputs[{j}]", requirement, f"{name!r} twice")
    if not node.outputs[0]:
        raise InvalidInput(f"{where}.outputs[0]", f"have a name, as {node} writes it", "none")


def _argument(
    where: str, step: Step, place: int, shapes: Mapping[str, Shape], inputs: Mapping[str, Array]
) -> Any:
    given = step.node.inputs[place] if place < len(step.node.inputs) else ""
    wanted = step.operator.signature.input_at(place)
    if not given:
        if not wanted.optional:
            requirement = f"have a name, as {step.node} needs its {wanted.name}"
            raise InvalidInput(f"{where}.inputs[{place}]", requirement, "none")
        return None
    if wanted.constant:
        if given not in inputs:
            raise InvalidInput(
                f"{where}.inputs[{place}]",
                f"be an input of the graph, as {step.node} does not differentiate {wanted.name}",
                f"{given!r}, which a node computes",
            )
        return inputs[given]
    return _filled(f"{where}.inputs[{place}]", step.node, given, shapes[given])


def _filled(where: str, node: Node, name: str, shape: Shape) -> Shape:
    """Return the shape of a tensor that holds numbers; others have no gradient to be judged."""
    if 0 in shape:
        was = f"{name!r} of shape {shape}"
        raise InvalidInput(where, f"hold at least one number, as {node} computes with it", was)
    return shape
