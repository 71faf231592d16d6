"""What requests of GraphService hold: a graph that fits its inputs, or the wrong field."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from oracle.checking.known import Known, known
from oracle.gradcheck.v1 import graph_pb2 as pb
from oracle.graphs import probe
from oracle.graphs.graph import Graph, Node, Plan, is_floating, plan
from oracle.operators.table import OPERATORS
from oracle.reference.requirements import MOST_NUMBERS
from oracle.service.estimates import Need, need
from oracle.service.requests import floating_type, require, require_printable, require_room
from oracle.service.tasks import MAX_TENSORS
from oracle.values import Array, InvalidInput
from oracle.wire import attributes, tensors
from oracle.wire.tensor import MAX_RANK, decode_data_type

OnGraph: TypeAlias = pb.EvaluateRequest | pb.DifferentiateRequest | pb.CheckRequest


def planned(request: OnGraph) -> Plan:
    """Return the graph of a request with its inputs, if they fit and nothing in it is too large."""
    require_few(request.inputs, "inputs")
    inputs = tensors.decode(request.inputs, "inputs")
    return planned_with(request.graph, inputs)


def planned_with(message: pb.Graph, inputs: Mapping[str, Array]) -> Plan:
    """Return a graph with these inputs, if they fit and nothing in it is too large."""
    graph = decode_graph(message, tuple(inputs))
    try:
        found = plan(graph, inputs)
    except InvalidInput as error:
        raise InvalidInput(f"graph.{error.argument}", error.requirement, error.was) from None
    _require_sizes(found)
    _require_finite(found)
    return found


def decode_graph(message: pb.Graph, inputs: tuple[str, ...]) -> Graph:
    """Return the graph of a message; unless outputs are named, it is the first of the last node."""
    require_few(message.nodes, "graph.nodes")
    require_few(message.outputs, "graph.outputs")
    nodes = tuple(_node(node, f"graph.nodes[{k}]") for k, node in enumerate(message.nodes))
    require_printable(message.name, "graph.name")
    for k, name in enumerate(inputs):
        require_printable(name, f"inputs[{k}].name")
    for k, name in enumerate(message.outputs):
        require_printable(name, f"graph.outputs[{k}]")
    outputs = tuple(message.outputs) or tuple(nodes[-1].outputs[:1] if nodes else ())
    return Graph(nodes, inputs, outputs, message.name or "network")


def _node(message: pb.Node, where: str) -> Node:
    for kind in ("op_type", "name", "domain"):
        require_printable(getattr(message, kind), f"{where}.{kind}")
    for kind, names in (("inputs", message.inputs), ("outputs", message.outputs)):
        for k, name in enumerate(names):
            require_printable(name, f"{where}.{kind}[{k}]")
    return Node(
        message.op_type,
        tuple(message.inputs),
        tuple(message.outputs),
        attributes.decode(message.attributes, f"{where}.attributes"),
        message.name,
        message.domain,
    )


def encode_graph(graph: Graph) -> pb.Graph:
    """Return the message of a graph."""
    nodes = [
        pb.Node(
            op_type=node.operator,
            domain=node.domain,
            name=node.name,
            inputs=node.inputs,
            outputs=node.outputs,
            attributes=attributes.encode(node.attributes),
        )
        for node in graph.nodes
    ]
    return pb.Graph(nodes=nodes, outputs=graph.outputs, name=graph.name)


def require_few(messages: Sequence[Any], field: str) -> None:
    """Raise if there are more tensors or nodes than a network has."""
    few = len(messages) <= MAX_TENSORS
    require(few, field, f"hold at most {MAX_TENSORS} of its kind", f"{len(messages)}")


def _require_sizes(found: Plan) -> None:
    for k, step in enumerate(found.steps):
        for j, name in enumerate(step.node.outputs):
            where, shape = f"graph.nodes[{k}].outputs[{j}]", found.shapes.get(name, ())
            numbers = math.prod(shape)
            requirement = f"have at most {MOST_NUMBERS} numbers (max_numbers) in {step.node}"
            require(numbers <= MOST_NUMBERS, where, requirement, f"{numbers}, shape {shape}")
            requirement = f"have at most {MAX_RANK} dimensions (max_rank) in {step.node}"
            require(len(shape) <= MAX_RANK, where, requirement, f"{len(shape)}")


def needed(each: int, found: Plan) -> Need:
    """Return what a graph needs of memory, at so many bytes for each number in it."""
    outputs = {name for step in found.steps for name in step.node.outputs}
    numbers = {name: math.prod(shape) for name, shape in found.shapes.items()}
    nodes = sum(size for name, size in numbers.items() if name in outputs)
    return need(each, {"inputs": sum(numbers.values()) - nodes, "graph.nodes": nodes})


def _require_finite(found: Plan) -> None:
    """Raise if what is computed with is not finite; a constant input of an operator may be."""
    places = {name: k for k, name in enumerate(found.graph.inputs)}
    for step in found.steps:
        for j, name in enumerate(step.node.inputs):
            array = found.inputs.get(name)
            if array is None or step.operator.signature.input_at(j).constant:
                continue
            if is_floating(array) and not np.isfinite(array).all():
                field = f"inputs[{places[name]}].tensor"
                raise InvalidInput(field, "be finite", f"NaN or infinity in {name!r}")


def asked(plan: Plan, request: pb.DifferentiateRequest) -> Known:
    """Return what is asked of a graph, if its outputs and inputs can be weighed and wanted so."""
    for k, name in enumerate(request.wanted):
        _require_differentiable(plan, name, f"wanted[{k}]")
    return known(plan, _cotangents(plan, request), tuple(request.wanted) or None)


def _require_differentiable(plan: Plan, name: str, field: str) -> None:
    has = ", ".join(plan.differentiable) or "none"
    requirement = f"be that of a floating input on which the outputs depend ({has})"
    require(name in plan.differentiable, field, requirement, repr(name))


def _cotangents(plan: Plan, request: pb.DifferentiateRequest | pb.CheckRequest) -> dict[str, Array]:
    """Return the cotangents of a request, which must be finite and of the shapes of outputs."""
    found = tensors.decode(request.cotangents, "cotangents")
    for k, (name, array) in enumerate(found.items()):
        where = f"cotangents[{k}]"
        has = ", ".join(plan.graph.outputs)
        requirement = f"be that of an output of the graph ({has})"
        require(name in plan.graph.outputs, f"{where}.name", requirement, repr(name))
        shape = plan.shapes[name]
        requirement = f"have the shape {shape} of {name}"
        require(array.shape == shape, f"{where}.tensor", requirement, f"{array.shape}")
        finite = bool(np.isfinite(array).all())
        require(finite, f"{where}.tensor", "be finite", f"NaN or infinity in {name!r}")
    return found


def candidate(plan: Plan, request: pb.CheckRequest) -> dict[str, Array | None]:
    """Return a caller's gradient, of inputs that can be differentiated; tensors may be missing."""
    found = tensors.decode_some(request.gradient, "gradient")
    require(bool(found), "gradient", "hold at least one tensor", "none")
    for k, name in enumerate(found):
        _require_differentiable(plan, name, f"gradient[{k}].name")
    return found


def how(plan: Plan, request: pb.CheckRequest) -> dict[str, Any]:
    """Return how a caller computed, as the arguments of `known.check`."""
    message = request.arithmetic
    for k, name in enumerate(message.stored):
        has = name in plan.shapes
        require(has, f"arithmetic.stored[{k}]", "name a tensor of the graph", repr(name))
    cotangents = _cotangents(plan, request)
    if message.HasField("scale"):
        scale = message.scale
        fits = math.isfinite(scale) and scale != 0
        require(fits, "arithmetic.scale", "be finite and not 0", scale)
        ones = {name: np.ones(plan.shapes[name]) for name in plan.graph.outputs}
        cotangents = {
            name: scale * array.astype(np.float64) for name, array in (cotangents or ones).items()
        }
    types = ("compute_data_type", "accumulation_data_type", "store_data_type")
    compute, accumulate, store = (
        floating_type(getattr(message, name), f"arithmetic.{name}") for name in types
    )
    return {
        "cotangents": cotangents,
        "compute": compute,
        "accumulate": accumulate,
        "store": store,
        "stored": tuple(message.stored) or None,
    }


def require_answerable(plan: Plan, names: Sequence[str], field: str, max_bytes: int) -> None:
    """Raise unless tensors of these names fit into a message together."""
    numbers = sum(math.prod(plan.shapes[name]) for name in names)
    require_room(field, f"{', '.join(names)}", numbers, max_bytes)


def probed(request: pb.GraphServiceProbeRequest) -> tuple[Plan, str]:
    """Return what a probe is asked for, with inputs that are drawn, and the type of these."""
    dtype = floating_type(request.data_type, "data_type") or "float64"
    subject = request.WhichOneof("subject")
    require(subject is not None, "subject", "be set, to `op_type` or `graph`", "nothing")
    if subject == "op_type":
        name = request.op_type
        require(name in OPERATORS, "op_type", "be an operator that is served", repr(name))
        require(not request.inputs, "inputs", "be empty for an operator", len(request.inputs))
        return probe.of_operator(OPERATORS[name], dtype, request.seed), dtype
    inputs = probe.drawn(_wanted(request.inputs, dtype), request.seed)
    return planned_with(request.graph, inputs), dtype


def _wanted(messages: Sequence[pb.TensorSpec], untyped: str) -> dict[str, probe.Wanted]:
    require_few(messages, "inputs")
    found: dict[str, probe.Wanted] = {}
    total = 0
    for k, message in enumerate(messages):
        where, shape = f"inputs[{k}]", tuple(message.shape)
        was = f"{message.name!r} twice" if message.name else "none"
        free = bool(message.name) and message.name not in found
        require(free, f"{where}.name", "be a name of its own", was)
        require(min(shape, default=0) >= 0, f"{where}.shape", "not be negative", shape)
        few = len(shape) <= MAX_RANK
        require(few, f"{where}.shape", f"have at most {MAX_RANK} dimensions", len(shape))
        total += math.prod(shape)
        requirement = f"leave at most {MOST_NUMBERS} numbers (max_numbers) in all inputs"
        require(total <= MOST_NUMBERS, f"{where}.shape", requirement, f"{total}")
        below = message.below if message.HasField("below") else 2
        require(below >= 1, f"{where}.below", "be at least 1", below)
        number = message.data_type
        dtype = decode_data_type(number, f"{where}.data_type") if number else untyped
        found[message.name] = probe.Wanted(
            shape, dtype, min(below, 2) if dtype == "bool" else below
        )
    return found
