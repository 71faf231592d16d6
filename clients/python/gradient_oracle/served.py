"""The operators that a server serves, with what it tells of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from typing import Any

from oracle.gradcheck.v1 import operator_pb2 as pb
from oracle.gradcheck.v1 import tensor_pb2
from oracle.spelling import meant
from oracle.wire import attributes, codes


@dataclass(frozen=True)
class Input:
    """What an operator reads: whether it may be left out, is constant, or comes several times."""

    name: str
    optional: bool = False
    constant: bool = False
    variadic: bool = False


@dataclass(frozen=True)
class Output:
    """What an operator writes: whether a node may leave it out, or has several of it."""

    name: str
    optional: bool = False
    variadic: bool = False


@dataclass(frozen=True)
class Slip:
    """A mistake that is known by name: its code, a sentence, and the line that fixes it."""

    code: str
    message: str
    remedy: str = ""


@dataclass(frozen=True)
class Operator:
    """An operator: ONNX's name, inputs, outputs and attributes, and what is known of its gradient.

    `attributes` holds the defaults, None where there is none; `required` names those that a node
    must have. `dtypes` are the types of gradients that can be checked. `slips` and `formula` are
    told by `oracle.operators()` only. `str(operator)` is what a person reads.
    """

    name: str
    domain: str
    version: int
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    attributes: Mapping[str, Any]
    required: tuple[str, ...]
    dtypes: tuple[str, ...]
    slips: tuple[Slip, ...]
    formula: str

    @classmethod
    def of(cls, message: pb.Operator) -> Operator:
        """Read the message."""
        return cls(
            message.name,
            message.domain,
            message.version,
            tuple(Input(i.name, i.optional, i.constant, i.variadic) for i in message.inputs),
            tuple(Output(o.name, o.optional, o.variadic) for o in message.outputs),
            {item.name: _default(item) for item in message.attributes},
            tuple(item.name for item in message.attributes if item.required),
            tuple(codes.name(tensor_pb2.DataType, number) for number in message.data_types),
            tuple(Slip(item.code, item.message, item.remedy) for item in message.slips),
            message.formula,
        )

    @property
    def needed_outputs(self) -> int:
        """How many outputs a node writes at least."""
        return sum(not output.optional for output in self.outputs)

    @property
    def variadic(self) -> bool:
        """Whether a node has several of the one output."""
        return self.outputs[-1].variadic

    def written(self, attributes: Mapping[str, Any], parts: Sized | None = None) -> int:
        """Return how many outputs a node writes if it is not told: as many as there are parts."""
        if not self.variadic:
            return self.needed_outputs
        told = attributes.get("num_outputs")
        return told if isinstance(told, int) else 1 if parts is None else len(parts)

    def output_names(self, count: int) -> list[str]:
        """Return the names of the first outputs; several of one are numbered."""
        if self.variadic:
            return [f"{self.outputs[0].name}_{k}" for k in range(count)]
        return [output.name for output in self.outputs[:count]]

    def call(self) -> str:
        """Return how the operator is called: "Gemm(A, B, [C], *, alpha=1.0)"."""
        return f"{self.name}({', '.join(self._arguments())})"

    def _arguments(self) -> Iterator[str]:
        for one in self.inputs:
            name = f"*{one.name}" if one.variadic else one.name
            yield f"[{name}]" if one.optional else name
        if self.attributes:
            yield "*"
        for name, default in self.attributes.items():
            yield name if name in self.required else f"{name}={_shown(default)}"

    def signature(self) -> str:
        """Return how the operator is called and what comes out: "Relu(X) -> Y"."""
        names = [f"*{o.name}" if o.variadic else o.name for o in self.outputs]
        shown = [f"[{n}]" if o.optional else n for n, o in zip(names, self.outputs, strict=True)]
        return f"{self.call()} -> {', '.join(shown)}"

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of the mistakes that are known, each once."""
        return tuple(dict.fromkeys(slip.code for slip in self.slips))

    @property
    def formulas(self) -> tuple[str, ...]:
        """The formulas of the value and of the gradient, without the text around them."""
        first, *others = self.formula.splitlines()
        indented = [line.strip() for line in others if line.startswith("    ")]
        return (first.partition(": ")[2], *indented)

    def __str__(self) -> str:
        home = f"ONNX, version {self.version}" if not self.domain else f"domain {self.domain!r}"
        constant = [one.name for one in self.inputs if one.constant]
        lines = [self.signature(), "", self.formula, "", f"From: {home}"]
        if constant:
            lines.append(f"Not differentiated: {', '.join(constant)}")
        lines.append(f"Gradients in: {', '.join(self.dtypes)}")
        if self.slips:
            lines.append("Known mistakes:")
            lines += [f"  {slip.code}: {slip.message}" for slip in self.slips]
        return "\n".join(lines)


def _default(message: pb.OperatorAttribute) -> Any:
    return attributes.value(message.default, "default") if message.HasField("default") else None


def _shown(value: Any) -> str:
    if isinstance(value, float) and value == int(value):
        return f"{value:.1f}"
    return f"{value:g}" if isinstance(value, float) else repr(value)


class Served(Mapping[str, Operator]):
    """The operators of a server by name; each is read when it is asked for."""

    def __init__(self, messages: Iterable[pb.Operator]) -> None:
        self._messages = {message.name: message for message in messages}
        self._read: dict[str, Operator] = {}

    def __getitem__(self, name: str) -> Operator:
        if name not in self._read:
            self._read[name] = Operator.of(self._messages[name])
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._messages

    def __iter__(self) -> Iterator[str]:
        return iter(self._messages)

    def __len__(self) -> int:
        return len(self._messages)

    def unknown(self, name: str) -> str:
        """Return a name that is not among them, with the one that may have been meant."""
        near = meant(name, self)
        return f"{name!r}; {near} is one" if near else f"{name!r}; `operators()` lists them"
