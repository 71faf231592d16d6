"""The forms in which a caller may give a net, brought into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradient_oracle.arrays import called
from gradient_oracle.errors import invalid
from gradient_oracle.graphs.network import Network, require_inputs
from gradient_oracle.graphs.nodes import Model, of_json, of_operator, operator_of
from gradient_oracle.graphs.tracing import trace
from gradient_oracle.served import Served


def network(
    served: Served, net: Any, inputs: Any, attributes: Any = None, cotangent: Any = None
) -> Network:
    """Return a net at inputs.

    Raises
    ------
    InvalidRequest
        If it is no net, or the inputs are not those that it has.
    """
    arrays = require_inputs(inputs)
    if isinstance(net, str):
        return of_operator(operator_of(net, served), arrays, attributes, cotangent)
    if attributes is not None:
        raise invalid(
            "attributes", "be left out, but for one operator by its name", repr(attributes)
        )
    if type(net).__module__.partition(".")[0] == "onnx":
        from gradient_oracle import onnx

        net = onnx.of(net)
    if isinstance(net, Model):
        return net.network(arrays)
    if isinstance(net, Mapping | Sequence):
        return of_json(net).network(arrays)
    if callable(net):
        return trace(net, arrays, served)
    requirement = "be a function of ops, the name of an operator, a model of ONNX, or nodes"
    raise invalid("net", requirement, called(net))
