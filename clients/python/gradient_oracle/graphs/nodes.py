"""Nodes as data: a model of ONNX, a list as in JSON, or one operator by its name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradient_oracle.arrays import called
from gradient_oracle.errors import invalid
from gradient_oracle.graphs.network import Network, encode_attributes
from gradient_oracle.served import Operator, Served
from oracle.gradcheck.v1 import graph_pb2 as pb

KEYS = ("op_type", "inputs", "outputs", "attributes", "domain", "name")
"""What a node in JSON holds: the names of the contract."""


@dataclass(frozen=True)
class Model:
    """Nodes with the arrays that they bring along, by the names of inputs.

    `inputs` names what a caller has to give, empty where the nodes alone say it.
    """

    nodes: tuple[pb.Node, ...]
    outputs: tuple[str, ...]
    name: str = "network"
    initializers: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()

    def network(self, inputs: Mapping[str, Any]) -> Network:
        """Return the net at inputs, which replace what the model brings along.

        Raises
        ------
        InvalidRequest
            If one is missing, or is read by no node.
        """
        read = dict.fromkeys(name for node in self.nodes for name in node.inputs if name)
        for name in self.inputs:
            if name not in inputs and name not in self.initializers:
                was = ", ".join(inputs) or "nothing"
                raise invalid("inputs", f"hold {name}, an input of {self.name}", was)
        known = dict.fromkeys((*self.inputs, *read))
        for name in inputs:
            if name not in known:
                written = {output for node in self.nodes for output in node.outputs}
                has = ", ".join(one for one in known if one not in written)
                raise invalid("inputs", f"hold inputs of {self.name} ({has})", repr(name))
        given = {name: array for name, array in inputs.items() if array is not None}
        brought = {n: array for n, array in self.initializers.items() if n in read}
        answer: Any = self.outputs[0] if len(self.outputs) == 1 else {n: n for n in self.outputs}
        return Network(list(self.nodes), {**brought, **given}, answer, self.name, self._label)

    def _label(self, place: int, part: str) -> str:
        node = self.nodes[place]
        name = f" {node.name!r}" if node.name else ""
        return f"net: nodes[{place}]{part} ({node.op_type}{name})"


def of_json(document: Any) -> Model:
    """Return the model of a list of nodes, or of a dict that holds `nodes`, `outputs` and `name`.

    Raises
    ------
    InvalidRequest
        If it is none; the message says where.
    """
    whole = document if isinstance(document, Mapping) else {"nodes": document}
    for key in whole:
        if key not in {"nodes", "outputs", "name"}:
            raise invalid("net", "hold nodes, outputs and name", repr(key))
    listed = whole.get("nodes")
    if not isinstance(listed, Sequence) or isinstance(listed, str | bytes) or not listed:
        raise invalid("net", "hold a list of nodes", called(listed))
    nodes = tuple(_node(item, f"net: nodes[{k}]") for k, item in enumerate(listed))
    outputs = _names(whole.get("outputs", nodes[-1].outputs[:1]), "net: outputs")
    return Model(
        nodes, outputs or tuple(nodes[-1].outputs[:1]), _text(whole, "name", "net") or "network"
    )


def _node(item: Any, label: str) -> pb.Node:
    if not isinstance(item, Mapping):
        raise invalid(label, f"hold {', '.join(KEYS)}", called(item))
    for key in item:
        if key not in KEYS:
            raise invalid(label, f"hold nothing but {', '.join(KEYS)}", repr(key))
    if not item.get("op_type"):
        raise invalid(f"{label}.op_type", "be the name of an operator", "nothing")
    return pb.Node(
        op_type=_text(item, "op_type", label),
        domain=_text(item, "domain", label),
        name=_text(item, "name", label),
        inputs=_names(item.get("inputs", ()), f"{label}.inputs"),
        outputs=_names(item.get("outputs", ()), f"{label}.outputs"),
        attributes=encode_attributes(item.get("attributes", {}), f"{label}.attributes"),
    )


def _text(item: Mapping[str, Any], key: str, label: str) -> str:
    value = item.get(key, "")
    if not isinstance(value, str):
        raise invalid(f"{label}.{key}", "be a text", called(value))
    return value


def _names(value: Any, label: str) -> tuple[str, ...]:
    names = (
        list(value)
        if not isinstance(value, str | bytes | Mapping) and hasattr(value, "__iter__")
        else None
    )
    if names is None or not all(isinstance(name, str) for name in names):
        raise invalid(label, "be a list of names", called(value))
    return tuple(names)


def of_operator(
    operator: Operator, inputs: Mapping[str, Any], attributes: Any, cotangent: Any
) -> Network:
    """Return the net of one operator, whose inputs have ONNX's names.

    Those of a variadic input are a list under its name, or have names of their own. An optional
    output is written if it has a cotangent.

    Raises
    ------
    InvalidRequest
        If an input is missing or unknown.
    """
    left = {name: array for name, array in inputs.items() if array is not None}
    given: dict[str, Any] = {}
    names: list[str] = []
    for one in operator.inputs:
        if one.variadic:
            several = left.pop(one.name, None)
            if isinstance(several, list | tuple):
                left = {f"{one.name}_{k}": array for k, array in enumerate(several)} | left
            elif several is not None:
                left = {one.name: several, **left}
            names += left
            given |= left
            left = {}
        elif one.name in left:
            names.append(one.name)
            given[one.name] = left.pop(one.name)
        elif one.optional:
            names.append("")
        else:
            was = ", ".join(inputs) or "nothing"
            raise invalid("inputs", f"hold {one.name}, an input of {operator.name}", was)
    if left:
        has = ", ".join(one.name for one in operator.inputs)
        raise invalid("inputs", f"hold inputs of {operator.name} ({has})", repr(next(iter(left))))
    while names and not names[-1]:
        names.pop()
    weighed = set(cotangent) if isinstance(cotangent, Mapping) else set()
    count = operator.written(attributes or {}, inputs.get("split"))
    count = max([count, *(k + 1 for k, o in enumerate(operator.outputs) if o.name in weighed)])
    outputs = operator.output_names(count)
    # An output that has the name of an input would be read in its place.
    written = [f"{name}_out" if name in given else name for name in outputs]
    node = pb.Node(
        op_type=operator.name,
        domain=operator.domain,
        inputs=names,
        outputs=written,
        attributes=encode_attributes(attributes or {}, "attributes"),
    )
    answer: Any = written[0] if count == 1 else dict(zip(outputs, written, strict=True))

    def label(_: int, part: str) -> str:
        found = re.match(r"\.(inputs|attributes)(?:\[(\d+)\])?", part)
        if not found:
            return "net"
        called = names if found[1] == "inputs" else [item.name for item in node.attributes]
        return f"{found[1]}[{called[int(found[2])]!r}]" if found[2] else found[1]

    return Network([node], given, answer, operator.name, label)


def operator_of(name: str, served: Served, argument: str = "net") -> Operator:
    """Return an operator by its name.

    Raises
    ------
    InvalidRequest
        If the server has none of this name; for the name of a file, what reads it.
    """
    if name in served:
        return served[name]
    if name.endswith(".onnx"):
        raise invalid(argument, "be a model, as gradient_oracle.onnx.load reads it", repr(name))
    raise invalid(argument, "be an operator that the oracle serves", served.unknown(name))
