"""Models in ONNX's files, read by the package `onnx`: pip install gradient-oracle[onnx].

model = gradient_oracle.onnx.load("net.onnx")
report = oracle.check(model, {"x": x}, gradient)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from gradient_oracle.errors import OracleError, invalid
from gradient_oracle.graphs.network import encode_attributes
from gradient_oracle.graphs.nodes import Model
from oracle.gradcheck.v1 import graph_pb2 as pb

__all__ = ["Model", "load", "of"]


def load(path: str | PathLike[str]) -> Model:
    """Read a file; what it holds of weights becomes inputs, under their names.

    Parameters
    ----------
    path : str or path
        A file with a model of ONNX.

    Returns
    -------
    Model
        A net for `oracle.value`, `oracle.gradient` and `oracle.check`. Its inputs are those that
        the file leaves open; its weights may be replaced by inputs of the same names.

    Raises
    ------
    OracleError
        If the package `onnx` is not installed.
    InvalidRequest
        If the file is no model, or has nodes that hold graphs.
    """
    onnx = _package()
    from google.protobuf.message import DecodeError

    try:
        # Programs that write such files call every graph alike: the file has the better name.
        return replace(of(onnx.load(path)), name=Path(path).stem)
    except (OSError, DecodeError) as error:
        raise invalid("path", "be a file with a model of ONNX", f"{path}: {error}") from error


def _package() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise OracleError("models of ONNX need: pip install 'gradient-oracle[onnx]'") from error
    return onnx


def of(model: Any) -> Model:
    """Return the net of a model that is loaded already: `onnx.ModelProto` or `onnx.GraphProto`."""
    onnx = _package()
    graph = getattr(model, "graph", model)
    if not isinstance(graph, onnx.GraphProto):
        raise invalid("net", "be a model of ONNX", type(model).__name__)
    weights = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    nodes = []
    for k, node in enumerate(graph.node):
        label = f"net: node {node.name or k} ({node.op_type})"
        attributes = dict(_attributes(onnx, node, label))
        if node.op_type == "Constant":
            (weights[node.output[0]],) = (np.asarray(value) for value in attributes.values())
            continue
        nodes.append(
            pb.Node(
                op_type=node.op_type,
                domain=node.domain,
                name=node.name,
                inputs=node.input,
                outputs=node.output,
                attributes=encode_attributes(attributes, f"{label} attributes"),
            )
        )
    return Model(
        tuple(nodes),
        tuple(item.name for item in graph.output),
        graph.name or "network",
        weights,
        tuple(item.name for item in graph.input if item.name not in weights),
    )


def _attributes(onnx: Any, node: Any, label: str) -> Iterator[tuple[str, Any]]:
    kinds = onnx.AttributeProto
    for item in node.attribute:
        value = onnx.helper.get_attribute_value(item)
        if item.type == kinds.FLOAT:
            value = _meant(value)
        elif item.type == kinds.FLOATS:
            value = [_meant(entry) for entry in value]
        elif item.type == kinds.STRING:
            value = value.decode()
        elif item.type == kinds.STRINGS:
            value = [entry.decode() for entry in value]
        elif item.type == kinds.TENSOR:
            value = onnx.numpy_helper.to_array(value)
        elif item.type not in {kinds.INT, kinds.INTS}:
            raise invalid(
                label, "hold numbers, texts and tensors only", f"{item.name} of another type"
            )
        yield item.name, value


def _meant(value: float) -> float:
    """Return the shortest number that a file rounds so: it has 1e-5 in float32."""
    return float(str(np.float32(value)))
