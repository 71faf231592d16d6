"""Forward and reverse through a graph, in any arithmetic."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.graphs.graph import Plan, Step, is_floating
from oracle.operators.operator import Vjp
from oracle.values import Array

Values = Mapping[str, Number]
"""Every tensor of a graph by its name."""


def forward(xp: Numbers, plan: Plan, stored: Collection[str] | None = None) -> dict[str, Number]:
    """Return every tensor of the graph.

    `stored` names those that go through memory, where a type may be narrower than that of the
    operations; None means all.
    """
    values: dict[str, Number] = {
        name: xp.held(array) if is_floating(array) else xp.exact(array)
        for name, array in plan.inputs.items()
    }
    for step in plan.steps:
        arguments, names = _arguments(step, values, plan), step.node.outputs
        outputs = step.operator.value(xp, arguments, step.attributes, names)
        for name, output in zip(names, outputs, strict=False):
            if name:
                kept = stored is None or name in stored
                values[name] = xp.stored(output) if kept else output
    return values


def reverse(
    xp: Numbers,
    plan: Plan,
    values: Values,
    cotangents: Mapping[str, Number],
    *,
    wanted: Collection[str] | None = None,
    stored: Collection[str] | None = None,
    instead: Mapping[int, Vjp] | None = None,
    begun: tuple[int, Mapping[str, Number]] | None = None,
    kept: dict[int, dict[str, Number]] | None = None,
) -> dict[str, Number]:
    """Return Σ cotangent · output differentiated by every tensor of the graph.

    `wanted` names inputs of the graph; None means all that can be differentiated. What leads to
    none of them is not computed. A tensor that is used several times gets the sum of what flows
    back from each use; one from which nothing leads to the outputs is left out. `instead` replaces
    some of the derivatives of the node at a place, by those that somebody else wrote. `begun` goes
    on at a place, with what flows back to there; `kept` is filled with that of every place.
    """
    last, flows = len(plan.steps) - 1, dict(cotangents)
    if begun is not None:
        last, flows = begun[0], dict(begun[1])
    needed = _leading_to(plan, plan.differentiable if wanted is None else wanted)
    for place in range(last, -1, -1):
        if kept is not None:
            kept[place] = dict(flows)
        step = plan.steps[place]
        above = [flows.get(name) if name else None for name in step.node.outputs]
        if all(one is None for one in above):
            continue
        signature = step.operator.signature
        optional = len(step.node.outputs)
        if not signature.variadic_outputs:
            optional = len(signature.outputs) - signature.optional_outputs
        above = [
            xp.full(values[name], 0.0) if one is None and k < optional else one
            for k, (name, one) in enumerate(zip(step.node.outputs, above, strict=True))
        ]
        above += [None] * (len(signature.outputs) - len(above))
        arguments = _arguments(step, values, plan)
        names = {
            signature.input_at(k).name for k, name in enumerate(step.node.inputs) if name in needed
        }
        if not names:
            continue
        found = dict(step.operator.vjp(xp, above, arguments, step.attributes, names))
        if instead and place in instead:
            found.update(instead[place](xp, *above, *arguments, **step.attributes))
        for name, gradient in _by_name(step, found):
            if name not in needed:
                continue
            through = stored is None or name in stored
            flow = xp.stored(gradient) if through else gradient
            flows[name] = flows[name] + flow if name in flows else flow
    return flows


def _leading_to(plan: Plan, wanted: Collection[str]) -> set[str]:
    """Return the tensors that depend on the inputs that are wanted."""
    needed = set(wanted)
    for step in plan.steps:
        if not needed.isdisjoint(step.node.inputs):
            needed |= set(step.node.outputs)
    return needed


def _arguments(step: Step, values: Values, plan: Plan) -> list[Any]:
    signature = step.operator.signature
    count = max(len(signature.inputs), len(step.node.inputs))
    arguments: list[Any] = []
    for k in range(count):
        name = step.node.inputs[k] if k < len(step.node.inputs) else ""
        wanted = signature.input_at(k)
        if wanted.variadic and not name:
            continue
        if not name:
            arguments.append(None)
        else:
            arguments.append(plan.inputs[name] if wanted.constant else values[name])
    return arguments


def _by_name(step: Step, found: Mapping[str, Any]) -> list[tuple[str, Number]]:
    signature = step.operator.signature
    pairs = []
    for k, name in enumerate(step.node.inputs):
        wanted = signature.input_at(k)
        if not name or wanted.constant or wanted.name not in found:
            continue
        gradient = found[wanted.name]
        first = len(signature.inputs) - 1
        pairs.append((name, gradient[k - first] if wanted.variadic else gradient))
    return pairs


def cotangents_of(
    xp: Numbers, plan: Plan, given: Mapping[str, Array] | None = None
) -> dict[str, Number]:
    """Return the cotangents of the outputs: those that were given, or 1 where none is.

    If there are some, an output without one does not count.
    """
    if given:
        return {name: xp.held(given[name]) for name in plan.graph.outputs if name in given}
    return {name: xp.exact(np.ones(plan.shapes[name])) for name in plan.graph.outputs}
