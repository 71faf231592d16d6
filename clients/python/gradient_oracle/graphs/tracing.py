"""A Python function of `ops`, traced into a graph: it is called once, with names for arrays."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from gradient_oracle.arrays import called, require_ordinary
from gradient_oracle.errors import invalid
from gradient_oracle.graphs.network import Network, constant, encode_attributes
from gradient_oracle.served import Operator, Served
from oracle.gradcheck.v1 import graph_pb2 as pb

UFUNCS = {
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "true_divide": "Div",
    "matmul": "MatMul",
    "power": "Pow",
    "negative": "Neg",
}
"""What Python's operators mean, by the name that NumPy has for them."""


class Trace:
    """The nodes of a function that is being called."""

    def __init__(self, served: Served, taken: Mapping[str, Any]) -> None:
        self.served = served
        self.nodes: list[pb.Node] = []
        self.labels: list[str] = []
        self.constants: dict[str, Any] = {}
        self._originals: list[Any] = []
        self._taken = set(taken)

    def operator(self, name: str) -> Operator:
        """Return an operator that is served."""
        if name not in self.served:
            raise invalid("net", "use operators that the oracle serves", self.served.unknown(name))
        return self.served[name]

    def apply(self, operator: Operator, given: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        """Add a node, and return its output, or a tuple of several."""
        label = f"net: ops.{operator.name} in {_caller()}"
        named = dict(named)
        count = named.pop("outputs", operator.written(named))
        most = len(operator.outputs)
        if not isinstance(count, int) or count < 1 or (count > most and not operator.variadic):
            raise invalid(label, f"have 1 to {most} outputs", repr(count))
        inputs = [self._name(value, label) for value in given]
        for place, one in enumerate(operator.inputs):
            if one.name not in named:
                continue
            if place < len(inputs):
                raise invalid(label, f"get {one.name} once", "it by place and by name")
            inputs += [""] * (place - len(inputs))
            inputs.append(self._name(named.pop(one.name), label))
        for one, name in zip(operator.inputs, inputs, strict=False):
            if not name and not one.optional:
                raise invalid(label, f"get its {one.name}", "None")
        attributes = {name: value for name, value in named.items() if value is not None}
        names = [self._free(operator.name, place) for place in range(count)]
        self.labels.append(label)
        self.nodes.append(
            pb.Node(
                op_type=operator.name,
                domain=operator.domain,
                inputs=inputs,
                outputs=names,
                attributes=encode_attributes(attributes, f"{label}, attributes"),
            )
        )
        outputs = tuple(Traced(self, name) for name in names)
        return outputs[0] if count == 1 else outputs

    def _free(self, operator: str, place: int) -> str:
        number = 1 + sum(node.op_type == operator for node in self.nodes)
        name = f"{operator}_{number}" + (f"_{place}" if place else "")
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def _name(self, value: Any, label: str) -> str:
        if value is None:
            return ""
        if isinstance(value, Traced):
            if value.trace is not self:
                raise invalid(label, "read tensors of this call", "one of another call")
            return value.name
        for k, original in enumerate(self._originals):
            if original is value:
                return list(self.constants)[k]
        name = f"constant_{len(self.constants) + 1}"
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        self.constants[name] = constant(value, label)
        self._originals.append(value)
        return name


def _caller() -> str:
    """Return the file and the line of the function that is traced."""
    frame = sys._getframe(1)
    while frame.f_back and str(frame.f_globals.get("__name__")).startswith("gradient_oracle."):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


class Ops:
    """The operators that the server serves, as functions of tensors: `ops.Gemm(x, W, b)`.

    Inputs come in ONNX's order, attributes by name; `outputs=3` asks for optional outputs,
    and says how many there are of Split's.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        trace = self._trace
        operator = trace.operator(name)

        def call(*inputs: Any, **attributes: Any) -> Any:
            return trace.apply(operator, inputs, attributes)

        call.__name__, call.__doc__ = name, operator.signature()
        return call

    def __dir__(self) -> list[str]:
        return list(self._trace.served)


def _refuse(what: str, was: str) -> NoReturn:
    requirement = f"not {what}, as it is called once, to be traced, without numbers"
    raise invalid(f"net: {_caller()}", requirement, was)


def _operation(name: str, *, reflected: bool = False) -> Any:
    def method(self: Traced, *others: Any) -> Any:
        operator = self.trace.operator(name)
        inputs = (*others, self) if reflected else (self, *others)
        return self.trace.apply(operator, inputs, {})

    return method


class Traced:
    """A tensor of the net while it is traced: it has a name, and no numbers."""

    __slots__ = ("name", "trace")
    __hash__ = object.__hash__

    def __init__(self, trace: Trace, name: str) -> None:
        self.trace = trace
        self.name = name

    __add__, __radd__ = _operation("Add"), _operation("Add", reflected=True)
    __sub__, __rsub__ = _operation("Sub"), _operation("Sub", reflected=True)
    __mul__, __rmul__ = _operation("Mul"), _operation("Mul", reflected=True)
    __truediv__, __rtruediv__ = _operation("Div"), _operation("Div", reflected=True)
    __matmul__, __rmatmul__ = _operation("MatMul"), _operation("MatMul", reflected=True)
    __pow__, __rpow__ = _operation("Pow"), _operation("Pow", reflected=True)
    __neg__ = _operation("Neg")

    def __repr__(self) -> str:
        return f"<{self.name}, a tensor that is traced>"

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if method == "__call__" and ufunc.__name__ in UFUNCS and not options:
            operator = self.trace.operator(UFUNCS[ufunc.__name__])
            return self.trace.apply(operator, inputs, {})
        return _refuse("call functions of NumPy", f"np.{ufunc.__name__}; write it with ops")

    def __array_function__(self, function: Any, *_: Any) -> Any:
        return _refuse("call functions of NumPy", f"np.{function.__name__}; write it with ops")

    def __array__(self, *_: Any, **__: Any) -> Any:
        return _refuse("turn a tensor into an array", "np.asarray or the like")

    def __bool__(self) -> bool:
        return _refuse("branch on a tensor", "a test of one")

    def __eq__(self, _: object) -> Any:
        return _refuse("compare tensors or branch on them", "a comparison")

    __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__

    def __float__(self) -> float:
        return _refuse("turn a tensor into a number", "float()")

    __int__ = __index__ = __complex__ = __float__

    def __iter__(self) -> Any:
        return _refuse("go through the entries of a tensor", "a loop or an unpacking")

    def __len__(self) -> int:
        return _refuse("ask for the length of a tensor", "len()")

    def __getitem__(self, _: Any) -> Any:
        return _refuse("index a tensor", "[...]; ops.Slice or ops.Gather take parts")

    def __setitem__(self, _: Any, __: Any) -> None:
        _refuse("write to a tensor", "[...] = ...; every operator makes a new one")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _refuse("ask a tensor for attributes", f".{name}")


def trace(net: Any, inputs: Mapping[str, Any], served: Served) -> Network:
    """Return the graph of a function: its parameters after the first are the names of inputs.

    Raises
    ------
    InvalidRequest
        If inputs and parameters differ, or the function does what cannot be traced; the message
        has the line.
    """
    require_ordinary("net", net)
    name = _called(net)
    made = Trace(served, inputs)
    arguments: list[Any] = [Ops(made)]
    named: dict[str, Any] = {}
    left = {key: None if array is None else Traced(made, key) for key, array in inputs.items()}
    for parameter in _parameters(net, name):
        if parameter.kind is parameter.VAR_KEYWORD:
            named |= left
            left = {}
        elif parameter.kind is parameter.VAR_POSITIONAL:
            raise invalid("net", "have a name for each input", f"{name}(ops, *{parameter.name})")
        elif parameter.name in left:
            held = left.pop(parameter.name)
            if parameter.kind is parameter.POSITIONAL_ONLY:
                arguments.append(held)
            else:
                named[parameter.name] = held
        elif parameter.default is parameter.empty:
            has = ", ".join(inputs) or "nothing"
            raise invalid("inputs", f"hold {parameter.name}, a parameter of {name}", has)
    if left:
        has = ", ".join(p.name for p in _parameters(net, name)) or "none"
        raise invalid("inputs", f"hold parameters of {name} ({has})", repr(next(iter(left))))
    answer = _answer(net(*arguments, **named), made, name)
    if not made.nodes:
        raise invalid("net", "apply at least one operator", "none")
    given = {key: array for key, array in inputs.items() if array is not None}
    return Network(
        made.nodes, given, answer, name, lambda k, _: made.labels[k], constants=made.constants
    )


def _called(net: Any) -> str:
    """Return what a report calls a function: its name, or that of what it wraps."""
    name = str(getattr(net, "__name__", "") or getattr(getattr(net, "func", net), "__name__", ""))
    return name if name.isidentifier() else "net"


def _parameters(net: Any, name: str) -> list[inspect.Parameter]:
    try:
        first, *others = inspect.signature(net).parameters.values()
    except (TypeError, ValueError):
        raise invalid("net", "be a function of ops and inputs", called(net)) from None
    if first.kind in {first.VAR_KEYWORD, first.KEYWORD_ONLY, first.VAR_POSITIONAL}:
        raise invalid("net", "take ops as its first parameter", f"{name}({first})")
    return others


def _answer(result: Any, made: Trace, name: str) -> Any:
    if isinstance(result, Traced):
        return _own(result, made)
    if isinstance(result, Mapping) and result:
        return {key: _own(one, made) for key, one in result.items()}
    if isinstance(result, list | tuple) and result:
        return tuple(_own(one, made) for one in result)
    if result is None:
        was = f"None; {name} lacks a `return`"
        raise invalid("net", "return a tensor, or a tuple or dict of tensors", was)
    return _own(result, made)


def _own(one: Any, made: Trace) -> str:
    if not isinstance(one, Traced):
        raise invalid("net", "return what operators compute from its inputs", called(one))
    if one.trace is not made:
        raise invalid("net", "return tensors of this call", "one of another call")
    return one.name
