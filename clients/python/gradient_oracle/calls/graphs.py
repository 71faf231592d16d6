"""The methods on nets of known operators: their value, their exact gradient, and the check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradient_oracle.arrays import called, encode, encode_data_type, integer, real
from gradient_oracle.arrays import seed as encode_seed
from gradient_oracle.calls import Call
from gradient_oracle.errors import invalid
from gradient_oracle.graphs.forms import network
from gradient_oracle.graphs.network import Network, require_inputs
from gradient_oracle.graphs.nodes import operator_of
from gradient_oracle.report import Report
from gradient_oracle.served import Served
from oracle.gradcheck.v1 import graph_pb2 as pb
from oracle.gradcheck.v1 import report_pb2, server_pb2, tensor_pb2
from oracle.values import Array
from oracle.wire import attributes as wire_attributes
from oracle.wire import codes, tensors
from oracle.wire.message import build


class Gradient(dict[str, Array]):
    """Derivatives by the name of an input, and how far they can be trusted.

    `proven` says whether the bound is a proof, by ball arithmetic, or derived. `radius` bounds the
    distance of every entry from the exact value; `relative_radius` is the same before the result
    was rounded to float64, over the largest entry of the tensor; `correctly_rounded` says that
    every entry is the nearest float64. `kinks` counts arguments that lie exactly at a kink, where
    the mean of both slopes stands.
    """

    def __init__(
        self, arrays: Mapping[str, Array], certainty: report_pb2.Certainty, kinks: int
    ) -> None:
        super().__init__(arrays)
        kind = codes.name(report_pb2.ReferenceKind, certainty.reference_kind)
        self.proven = kind == "enclosure"
        self.radius = certainty.radius
        self.relative_radius = certainty.relative_radius
        self.correctly_rounded = certainty.correctly_rounded
        self.kinks = kinks


@dataclass(frozen=True)
class GraphProbe:
    """Inputs that tell wrong gradients apart, attributes that go with them, and a cotangent."""

    inputs: dict[str, Array]
    attributes: dict[str, Any]
    cotangent: Any


def operators(served: Served, names: Sequence[str] | None = None) -> Call[Served]:
    """Ask for the operators that nets may hold, with formulas and the mistakes that are known.

    Parameters
    ----------
    names : sequence of str, optional
        Those that are asked for; all by default.

    Returns
    -------
    mapping of str to Operator
        By name; `str(operator)` is what a person reads.
    """
    asked = list(served) if names is None else _names("names", names)
    for name in asked:
        operator_of(name, served, "names")
    request = server_pb2.GetServerInfoRequest(described=asked)

    def read(response: server_pb2.GetServerInfoResponse) -> Served:
        return Served(message for message in response.operators if message.name in asked)

    return Call(request, read, lambda _: "names")


def value(served: Served, net: Any, inputs: Any, *, attributes: Any = None) -> Call[Any]:
    """Evaluate a net of known operators in float64.

    Parameters
    ----------
    net : function, str, model or list of nodes
        A function of `ops` and of arrays by name, which is traced: `ops` has the operators that
        the server serves, under ONNX's names. Or the name of one operator, what
        `gradient_oracle.onnx.load` returns, or nodes as in JSON.
    inputs : dict of arrays
        By the names of the function's parameters, of the operator's inputs, or of the model's.
    attributes : dict, optional
        Attributes of one operator.

    Returns
    -------
    float, array, or a tuple or dict of them
        What the net returns.

    Raises
    ------
    InvalidRequest
        If an operator, an attribute or a name is unknown, or a shape does not fit.
    """
    made = network(served, net, inputs, attributes)
    request = build(pb.EvaluateRequest, graph=made.graph(), inputs=made.tensors())
    return Call(request, lambda response: made.answered(_arrays(response.outputs)), made.called)


def gradient(
    served: Served,
    net: Any,
    inputs: Any,
    *,
    cotangent: Any = None,
    attributes: Any = None,
    wanted: Sequence[str] | None = None,
) -> Call[Gradient]:
    """Compute the exact gradient of a net of known operators, with its certainty.

    Parameters
    ----------
    net, inputs, attributes
        As in `value`. Arrays of integers are not differentiated.
    cotangent : array, or a tuple or dict of arrays, optional
        Weights of what the net returns, in its form: the gradient is that of the weighed sum.
        Without any, all weights are 1.
    wanted : sequence of str, optional
        Names of the inputs by which it is differentiated; all that can be by default.

    Returns
    -------
    Gradient
        A dict of float64 arrays by the names of inputs, which knows its own certainty.
    """
    made = network(served, net, inputs, attributes, cotangent)
    request = build(
        pb.DifferentiateRequest,
        graph=made.graph(),
        inputs=made.tensors(),
        cotangents=_cotangents(made, cotangent),
        wanted=_names("wanted", wanted),
    )

    def read(response: pb.DifferentiateResponse) -> Gradient:
        arrays = _arrays(response.gradient)
        found = {name: array for name, array in arrays.items() if name in made.inputs}
        return Gradient(found, response.certainty, response.kinks)

    return Call(request, read, made.called)


def check(
    served: Served,
    net: Any,
    inputs: Any,
    gradient: Any,
    *,
    cotangent: Any = None,
    attributes: Any = None,
    compute: str | None = None,
    accumulate: str | None = None,
    store: str | None = None,
    stored: Sequence[str] | None = None,
    scale: float | None = None,
) -> Call[Report]:
    """Check a gradient of a net of known operators.

    Parameters
    ----------
    net, inputs, attributes
        As in `value`.
    gradient : dict of arrays
        What is claimed, for some or all inputs; for the only one an array will do. Its dtype says
        in which arithmetic it was computed; None, or a wrong shape, is a finding.
    cotangent : array, or a tuple or dict of arrays, optional
        As in `gradient`: what the backward pass began with.
    compute, accumulate : str, optional
        Types of single operations and of sums. By default those of the gradient, and float32 where
        it is float16 or bfloat16.
    store : str, optional
        The type in which tensors were stored between operators, if it is narrower than that of the
        gradient, as under autocast.
    stored : sequence of str, optional
        The tensors that were stored; the others stayed in registers. All by default.
    scale : float, optional
        The gradient is so many times what it should be, as loss scaling leaves it.

    Returns
    -------
    Report
        The verdict; on a failure the name of the bug, where, and the numbers that show it.
    """
    made = network(served, net, inputs, attributes, cotangent)
    candidate = made.candidate(gradient)
    request = build(
        pb.CheckRequest,
        graph=made.graph(),
        inputs=made.tensors(),
        cotangents=_cotangents(made, cotangent),
        gradient=_candidate(candidate),
        arithmetic=pb.GraphArithmetic(
            compute_data_type=_type("compute", compute),
            accumulation_data_type=_type("accumulate", accumulate),
            store_data_type=_type("store", store),
            stored=_names("stored", stored),
            scale=None if scale is None else real("scale", scale),
        ),
    )
    names = list(candidate)
    return Call(
        request, lambda response: Report(response.report), lambda field: made.called(field, names)
    )


def probe(
    served: Served,
    net: Any,
    shapes: Any = None,
    *,
    labels: Any = None,
    dtype: str = "float64",
    seed: int = 0,
) -> Call[GraphProbe]:
    """Draw inputs at which wrong gradients of a net differ from the right one.

    Parameters
    ----------
    net : function, str, model or list of nodes
        As in `value`.
    shapes : dict of tuples of int, optional
        Shapes of the inputs; one operator by its name has a probe of its own without them.
    labels : dict of int, optional
        Inputs that are whole numbers, with the number below which they are: classes, say.
    dtype : "float64", "float32", "float16" or "bfloat16"
        Type of the other inputs, and of the cotangent.
    seed : int
        Seed of the numbers.

    Returns
    -------
    GraphProbe
        `inputs`, `attributes` and `cotangent`.
    """
    number = encode_data_type("dtype", dtype)
    if isinstance(net, str) and shapes is None:
        request = pb.GraphServiceProbeRequest(
            op_type=operator_of(net, served).name, data_type=number, seed=encode_seed(seed)
        )
        return Call(request, _probe_of_operator)
    below = require_inputs({} if labels is None else labels)
    wanted = {name: _shape(f"shapes[{name!r}]", s) for name, s in _shapes(shapes).items()}
    made = network(served, net, wanted)
    if made.constants:
        raise invalid("net", "take all arrays as inputs", f"{len(made.constants)} in it")
    specs = [
        pb.TensorSpec(name=name, shape=shape)
        if name not in below
        else pb.TensorSpec(
            name=name,
            shape=shape,
            data_type=tensor_pb2.DATA_TYPE_INT64,
            below=integer(f"labels[{name!r}]", below[name]),
        )
        for name, shape in made.inputs.items()
    ]
    request = pb.GraphServiceProbeRequest(
        graph=made.graph(), inputs=specs, data_type=number, seed=encode_seed(seed)
    )

    def read(response: pb.GraphServiceProbeResponse) -> GraphProbe:
        weights = made.answered(_arrays(response.cotangents))
        return GraphProbe(_arrays(response.inputs), {}, weights)

    return Call(request, read, made.called)


def _probe_of_operator(response: pb.GraphServiceProbeResponse) -> GraphProbe:
    (node,) = response.graph.nodes
    weights: Any = _arrays(response.cotangents)
    if len(weights) == 1:
        (weights,) = weights.values()
    found = wire_attributes.decode(node.attributes, "attributes")
    return GraphProbe(_arrays(response.inputs), found, weights)


def _shapes(shapes: Any) -> dict[str, Any]:
    if not isinstance(shapes, Mapping):
        raise invalid("shapes", "map names of inputs to shapes", called(shapes))
    return require_inputs(shapes)


def _shape(label: str, shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, list | tuple):
        raise invalid(label, "be a tuple of lengths", called(shape))
    return tuple(integer(label, length, least=0) for length in shape)


def _cotangents(made: Network, cotangent: Any) -> Any:
    weights = made.cotangents(cotangent)
    return [{"name": n, "tensor": encode(f"cotangent of {n}", a)} for n, a in weights.items()]


def _candidate(gradient: Mapping[str, Any]) -> Any:
    return [
        {"name": name} | ({} if a is None else {"tensor": encode(f"gradient[{name!r}]", a)})
        for name, a in gradient.items()
    ]


def _type(argument: str, name: str | None) -> tensor_pb2.DataType.ValueType:
    if name is None:
        return tensor_pb2.DATA_TYPE_UNSPECIFIED
    return encode_data_type(argument, name)


def _names(argument: str, names: Any) -> list[str]:
    if names is None:
        return []
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise invalid(argument, "be a list of names", repr(names))
    return list(names)


def _arrays(messages: Any) -> dict[str, Array]:
    """Return the arrays of messages, as the caller's own to write to."""
    return {name: array.copy() for name, array in tensors.decode(messages, "tensors").items()}
