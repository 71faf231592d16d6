"""Inputs that are drawn: those that tell an operator's slips apart, or those of any graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from oracle.arithmetic.dtypes import NUMPY
from oracle.graphs.graph import Graph, Node, Plan, is_floating, plan
from oracle.operators.operator import Operator
from oracle.values import Array


@dataclass(frozen=True)
class Wanted:
    """What is drawn for one input: its shape and type; whole numbers are below `below`."""

    shape: tuple[int, ...]
    dtype: str
    below: int = 2


def of_operator(operator: Operator, dtype: str, seed: int) -> Plan:
    """Return a graph of one operator at inputs that tell its slips apart."""
    case = operator.draw(np.random.default_rng(seed))
    names: list[str] = []
    inputs: dict[str, Array] = {}
    for one in operator.signature.inputs:
        given = case.inputs.get(one.name)
        arrays: dict[str, Any] = {one.name: given}
        if one.variadic:
            arrays = {f"{one.name}_{k}": array for k, array in enumerate(given or ())}
        for name, array in arrays.items():
            names.append("" if array is None else name)
            if array is not None:
                inputs[name] = _rounded(np.asarray(array), dtype)
    outputs = operator.signature.outputs
    if operator.signature.variadic_outputs:
        arguments = [inputs[name] if name else None for name in names]
        constants = [one.constant for one in operator.signature.inputs]
        shapes = operator.shapes(
            *(
                array if constant or array is None else array.shape
                for array, constant in zip(arguments, constants, strict=True)
            ),
            **operator.complete(case.attributes),
        )
        outputs = tuple(f"{outputs[0]}_{k}" for k in range(len(shapes)))
    node = Node(operator.name, tuple(names), outputs, case.attributes)
    return plan(Graph((node,), tuple(inputs), outputs, operator.name), inputs)


def drawn(wanted: Mapping[str, Wanted], seed: int) -> dict[str, Array]:
    """Return normally distributed numbers, and whole ones that are evenly distributed."""
    rng = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for name, one in wanted.items():
        if one.dtype in NUMPY:
            found[name] = rng.normal(size=one.shape).astype(NUMPY[one.dtype])
        else:
            found[name] = rng.integers(one.below, size=one.shape).astype(one.dtype)
    return found


def cotangents(found: Plan, dtype: str, seed: int) -> dict[str, Array]:
    """Return a weight for every output: normally distributed, 1 for a scalar."""
    rng = np.random.default_rng([seed, 1])
    shapes = {name: found.shapes[name] for name in found.graph.outputs}
    drawn = {n: rng.normal(size=shape) if shape else np.ones(()) for n, shape in shapes.items()}
    return {name: _rounded(np.asarray(array), dtype) for name, array in drawn.items()}


def _rounded(array: Array, dtype: str) -> Array:
    return array.astype(NUMPY[dtype]) if is_floating(array) else array
