"""The table of operators as the server tells it."""

from __future__ import annotations

from typing import Any

from oracle.arithmetic.dtypes import ROUNDING
from oracle.gradcheck.v1 import operator_pb2 as pb
from oracle.operators.operator import REQUIRED, Operator, Signature
from oracle.operators.table import OPERATORS
from oracle.wire import attributes
from oracle.wire.tensor import encode_data_type


def encode_operators() -> list[pb.Operator]:
    """Return the messages of all operators, by name."""
    return [_encode(OPERATORS[name]) for name in sorted(OPERATORS)]


def _encode(operator: Operator) -> pb.Operator:
    signature = operator.signature
    return pb.Operator(
        name=signature.name,
        domain=signature.domain,
        version=signature.version,
        inputs=[
            pb.OperatorInput(
                name=one.name,
                optional=one.optional,
                constant=one.constant,
                variadic=one.variadic,
            )
            for one in signature.inputs
        ],
        outputs=_outputs(signature),
        attributes=[_attribute(name, default) for name, default in signature.attributes.items()],
        data_types=[encode_data_type(name) for name in ROUNDING],
        slips=[
            pb.OperatorSlip(code=slip.code, message=slip.says, remedy=slip.remedy)
            for slip in operator.slips
        ],
        formula=operator.text.strip(),
    )


def _outputs(signature: Signature) -> list[pb.OperatorOutput]:
    needed = len(signature.outputs) - signature.optional_outputs
    return [
        pb.OperatorOutput(name=name, optional=k >= needed)
        for k, name in enumerate(signature.outputs)
    ]


def _attribute(name: str, default: Any) -> pb.OperatorAttribute:
    if default is REQUIRED or default is None:
        return pb.OperatorAttribute(name=name, required=default is REQUIRED)
    (value,) = attributes.encode({name: default})
    return pb.OperatorAttribute(name=name, default=value)
