"""A net in the form in which it is sent, and what the caller calls its parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradient_oracle.arrays import called, encode, to_numpy
from gradient_oracle.errors import InvalidRequest, argument_of, invalid
from oracle.gradcheck.v1 import graph_pb2 as pb
from oracle.values import Array, InvalidInput
from oracle.wire import attributes

Answer = str | Sequence[str] | Mapping[str, str]
"""What the net returns: the name of one output, or a list or a dict of names."""


@dataclass
class Network:
    """Nodes, the arrays that they read, and the form of what comes out.

    `inputs` are the caller's arrays and `constants` those that stand in the net itself. `label`
    says what the caller calls a node, or a part of it that begins with "." in the contract.
    """

    nodes: list[pb.Node]
    inputs: dict[str, Any]
    answer: Answer
    name: str
    label: Callable[[int, str], str]
    constants: dict[str, Any] = field(default_factory=dict)

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs, each once."""
        if isinstance(self.answer, str):
            return [self.answer]
        names = self.answer.values() if isinstance(self.answer, Mapping) else self.answer
        return list(dict.fromkeys(names))

    def graph(self) -> pb.Graph:
        """Return the message of the graph."""
        return pb.Graph(nodes=self.nodes, outputs=self.outputs, name=self.name)

    def tensors(self) -> Any:
        """Return the fields of the messages of all arrays that nodes read."""
        named = {f"inputs[{name!r}]": name for name in self.inputs}
        sent = [(label, name, self.inputs[name]) for label, name in named.items()]
        sent += [("net", name, array) for name, array in self.constants.items()]
        return [{"name": name, "tensor": encode(label, array)} for label, name, array in sent]

    def answered(self, arrays: Mapping[str, Array]) -> Any:
        """Return outputs in the form in which the net returns them; a scalar is a number."""
        plain = {name: array[()] if array.ndim == 0 else array for name, array in arrays.items()}
        if isinstance(self.answer, str):
            return plain[self.answer]
        if isinstance(self.answer, Mapping):
            return {key: plain[name] for key, name in self.answer.items()}
        return tuple(plain[name] for name in self.answer)

    def cotangents(self, cotangent: Any) -> dict[str, Any]:
        """Return weights of the outputs by name, given in the form in which the net returns them.

        Raises
        ------
        InvalidRequest
            If there are others than outputs.
        """
        if cotangent is None:
            return {}
        if isinstance(self.answer, str):
            if not isinstance(cotangent, Mapping):
                return {self.answer: cotangent}
            pairs = [(f"cotangent[{key!r}]", key, one) for key, one in cotangent.items()]
            known: Mapping[Any, str] = {self.answer: self.answer}
        elif isinstance(self.answer, Mapping):
            if not isinstance(cotangent, Mapping):
                has = ", ".join(map(str, self.answer))
                raise invalid("cotangent", f"map outputs ({has}) to arrays", called(cotangent))
            pairs = [(f"cotangent[{key!r}]", key, one) for key, one in cotangent.items()]
            known = self.answer
        else:
            count = len(self.answer)
            if not isinstance(cotangent, list | tuple) or len(cotangent) != count:
                raise invalid("cotangent", f"be a list of {count} arrays", called(cotangent))
            pairs = [(f"cotangent[{k}]", k, one) for k, one in enumerate(cotangent)]
            known = dict(enumerate(self.answer))
        found: dict[str, Any] = {}
        for label, key, one in pairs:
            if key not in known:
                has = ", ".join(map(str, known))
                raise invalid("cotangent", f"be for outputs of the net ({has})", repr(key))
            if one is not None:
                array = to_numpy(one, label)
                name = known[key]
                # An output that is returned twice counts as often.
                found[name] = array if name not in found else found[name] + array
        return found

    def candidate(self, gradient: Any) -> dict[str, Any]:
        """Return the caller's gradient by the names of inputs.

        An array alone is that of the only floating input.
        """
        if isinstance(gradient, Mapping):
            return {str(name): array for name, array in gradient.items()}
        floating = [
            name
            for name, array in self.inputs.items()
            if to_numpy(array, f"inputs[{name!r}]").dtype.kind not in "iub"
        ]
        if len(floating) != 1:
            has = ", ".join(self.inputs)
            raise invalid("gradient", f"map names of inputs ({has}) to arrays", called(gradient))
        return {floating[0]: gradient}

    def called(self, field: str, gradient: Sequence[str] = ()) -> str:
        """Return what the caller calls a field of the request."""
        found = re.match(r"(\w+)(?:\.nodes)?\[(\d+)\](.*)", field)
        if not found or field.startswith("arithmetic."):
            return _ARGUMENTS.get(re.split(r"\[", field)[0], argument_of(field))
        kind, place, rest = found[1], int(found[2]), found[3]
        if kind == "graph" and field.startswith("graph.nodes"):
            return self.label(place, rest)
        if kind == "gradient" and place < len(gradient):
            return f"gradient[{gradient[place]!r}]"
        names = list(self.inputs)
        if kind == "inputs" and place < len(names):
            return f"inputs[{names[place]!r}]"
        return _ARGUMENTS.get(kind, "net")


_ARGUMENTS = {
    "graph": "net",
    "graph.nodes": "net",
    "graph.outputs": "net",
    "inputs": "inputs",
    "gradient": "gradient",
    "cotangents": "cotangent",
    "wanted": "wanted",
    "arithmetic.compute_data_type": "compute",
    "arithmetic.accumulation_data_type": "accumulate",
    "arithmetic.store_data_type": "store",
    "arithmetic.stored": "stored",
    "arithmetic.scale": "scale",
}
"""Arguments of the methods by the fields of the contract that they become."""


def require_inputs(inputs: Any) -> dict[str, Any]:
    """Return the caller's arrays by name.

    Raises
    ------
    InvalidRequest
        If they are not in a dict with names.
    """
    if not isinstance(inputs, Mapping):
        raise invalid("inputs", "map names to arrays", called(inputs))
    for name in inputs:
        if not isinstance(name, str) or not name:
            raise invalid("inputs", "have names", repr(name))
    return dict(inputs)


def encode_attributes(given: Any, label: str) -> list[pb.Attribute]:
    """Return the messages of attributes; `label` is what the caller calls them all.

    Raises
    ------
    InvalidRequest
        If they are not in a dict, or one is of a type that no attribute has.
    """
    if not isinstance(given, Mapping):
        raise invalid(label, "map names to values", called(given))
    try:
        return attributes.encode({str(name): value for name, value in given.items()})
    except InvalidInput as error:
        raise invalid(f"{label}[{error.argument!r}]", error.requirement, error.was) from None


def constant(value: Any, label: str) -> Array:
    """Return an array that stands in a net itself."""
    try:
        return to_numpy(np.asarray(value) if isinstance(value, list | tuple) else value, label)
    except (InvalidRequest, ValueError):
        requirement = "read tensors, arrays and numbers"
        raise invalid(label, requirement, called(value)) from None
