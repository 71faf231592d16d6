"""The table of operators as the server tells it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from oracle.arithmetic.dtypes import ROUNDING
from oracle.gradcheck.v1 import operator_pb2 as pb
from oracle.operators.operator import REQUIRED, Signature
from oracle.operators.table import OPERATORS
from oracle.values import InvalidInput
from oracle.wire import attributes
from oracle.wire.tensor import encode_data_type


def encode_operators(described: Sequence[str]) -> list[pb.Operator]:
    """Return the messages of all operators by name, with formula and slips of those described.

    Raises
    ------
    InvalidInput
        If one that should be described is not served.
    """
    for k, name in enumerate(described):
        if name not in OPERATORS:
            raise InvalidInput(f"described[{k}]", "be an operator that is served", repr(name))
    wanted = set(described)
    return [_described(name) if name in wanted else _brief(name) for name in sorted(OPERATORS)]


@functools.cache
def _brief(name: str) -> pb.Operator:
    signature = OPERATORS[name].signature
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
    )


@functools.cache
def _described(name: str) -> pb.Operator:
    operator, message = OPERATORS[name], pb.Operator()
    message.CopyFrom(_brief(name))
    message.formula = operator.text.strip()
    message.slips.extend(
        pb.OperatorSlip(code=slip.code, message=slip.says, remedy=slip.remedy)
        for slip in operator.slips
    )
    return message


def _outputs(signature: Signature) -> list[pb.OperatorOutput]:
    needed = len(signature.outputs) - signature.optional_outputs
    return [
        pb.OperatorOutput(name=name, optional=k >= needed, variadic=signature.variadic_outputs)
        for k, name in enumerate(signature.outputs)
    ]


def _attribute(name: str, default: Any) -> pb.OperatorAttribute:
    if default is REQUIRED or default is None:
        return pb.OperatorAttribute(name=name, required=default is REQUIRED)
    (value,) = attributes.encode({name: default})
    return pb.OperatorAttribute(name=name, default=value)
