"""Hypotheses in which numbers are fitted to what was sent: shares of functions, weights of samples.

The derivatives of a network are linear in what flows back from one node. What a share of each
function does to all tensors is computed once, and the shares follow by least squares, from the
tensors that the node's error reaches first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from oracle.diagnosis.bits import Evidence
from oracle.diagnosis.hypotheses import TABLE, Hypothesis
from oracle.diagnosis.linear import least_squares
from oracle.diagnosis.tensors import some
from oracle.graphs.graph import Plan, Step
from oracle.operators.operator import Curve, Family, Vjp
from oracle.values import Float64

MOST_SAMPLES = 64
"""Samples whose weights are fitted, at most: each is a number."""

ROUNDS = 12
"""Steps of Gauss and Newton for one number."""

Gradient = Callable[[Mapping[int, Vjp]], Mapping[str, Float64]]
"""The derivatives by all parameters, with those of some nodes replaced."""


def fits(
    plan: Plan,
    evidence: Evidence,
    gradient: Gradient,
    taken: Mapping[int, Vjp],
    open_: Sequence[str],
) -> Iterator[Hypothesis]:
    """Yield the families and curves of every node, fitted to the tensors that are open."""
    for place, step in enumerate(plan.steps):
        if place in taken:
            continue
        near = _first_reached(plan, place, open_)
        if not near:
            continue
        fit = _Fit(evidence, gradient, taken, place, near)
        for family in step.operator.families:
            yield from _family(fit, family)
        yield from _samples(fit, plan, step)
        for curve in step.operator.curves:
            yield from _curve(fit, step, curve)


class _Fit:
    """What is sent and predicted of some tensors, in units of their rounding."""

    def __init__(
        self,
        evidence: Evidence,
        gradient: Gradient,
        taken: Mapping[int, Vjp],
        place: int,
        names: Sequence[str],
    ) -> None:
        self.evidence = evidence
        self.gradient = gradient
        self.taken = taken
        self.place = place
        self.names = names
        self.sent = self.row({n: evidence.sent(n) for n in names})

    def row(self, tensors: Mapping[str, Float64]) -> Float64:
        return np.concatenate([(tensors[n] / self.evidence.noise(n)).ravel() for n in self.names])

    def of(self, wrong: Vjp) -> Float64:
        return self.row(self.gradient({**self.taken, self.place: wrong}))


Bases = Callable[..., Sequence[Mapping[str, Any]]]


def _one(bases: Bases, k: int) -> Vjp:
    return lambda *given, **attributes: bases(*given, **attributes)[k]


def _mix(bases: Bases, shares: Sequence[float]) -> Vjp:
    def wrong(*given: Any, **attributes: Any) -> dict[str, Any]:
        total: dict[str, Any] = {}
        for share, basis in zip(shares, bases(*given, **attributes), strict=True):
            for name, part in basis.items():
                total[name] = total[name] + share * part if name in total else share * part
        return total

    return wrong


def _family(fit: _Fit, family: Family) -> Iterator[Hypothesis]:
    count = _count(fit, family.bases)
    shares = _shares(fit, family.bases, count) if count else None
    if shares is not None:
        said = family.says.format(*(f"{share:.4g}" for share in shares))
        wrong = _mix(family.bases, shares)
        yield Hypothesis(fit.place, family.code, said, family.remedy, wrong, fitted=count)


def _count(fit: _Fit, bases: Bases) -> int:
    """Return how many functions there are, by asking for them once."""
    counted = 0

    def counting(*given: Any, **attributes: Any) -> dict[str, Any]:
        nonlocal counted
        found = bases(*given, **attributes)
        counted = len(found)
        return dict(found[0])

    fit.gradient({**fit.taken, fit.place: counting})
    return counted if 2 * counted < len(fit.sent) else 0


def _shares(fit: _Fit, bases: Bases, count: int) -> list[float] | None:
    nothing = fit.of(_mix(bases, [0.0] * count))
    columns = np.column_stack([fit.of(_one(bases, k)) - nothing for k in range(count)])
    norms = np.linalg.norm(columns, axis=0)
    if not (np.isfinite(columns).all() and np.all(norms > 0)):
        return None
    shares = least_squares(columns / norms, fit.sent - nothing, 1e-13) / norms
    return [float(share) for share in shares]


def _samples(fit: _Fit, plan: Plan, step: Step) -> Iterator[Hypothesis]:
    """Yield weights of the samples in a loss, the last node."""
    first = step.node.inputs[0]
    shape = plan.shapes[first]
    if plan.shapes[step.node.outputs[0]] != () or len(shape) < 2:
        return
    N = shape[0]
    if not 1 < N <= MOST_SAMPLES:
        return
    name = step.operator.signature.inputs[0].name
    right = step.operator.differentiate

    def bases(*given: Any, **attributes: Any) -> list[dict[str, Any]]:
        whole = right(*given, **attributes)[name]
        whole = whole() if callable(whole) else whole
        on = np.eye(N).reshape(N, N, *[1] * (len(shape) - 1))
        return [{name: whole * on[n]} for n in range(N)]

    shares = _shares(fit, bases, N) if len(fit.sent) > 2 * N else None
    if shares is None:
        return
    weights = np.array(shares)
    top = float(np.abs(weights).max())
    kept = np.abs(weights) > 1e-2 * top
    if not top or np.ptp(weights) <= 1e-3 * top:
        return
    if not kept.all() and np.ptp(weights[kept]) <= 1e-2 * top:
        level = 1.0 if abs(weights[kept].mean() - 1) < 1e-2 else float(weights[kept].mean())
        gone = np.flatnonzero(~kept)
        says = f"the samples {some(gone)} have no part in the gradient"
        if len(gone) == 1:
            says = f"sample {int(gone[0])} has no part in the gradient"
        wrong = _mix(bases, np.where(kept, level, 0.0).tolist())
        cost = TABLE + N + (level != 1.0) * TABLE
        remedy = "Sum over all samples of the batch."
        yield Hypothesis(fit.place, "dropped_samples", says, remedy, wrong, cost=cost)
    says = f"the samples have weights, from {weights.min():.3g} to {weights.max():.3g}"
    remedy = "Weigh all samples alike."
    yield Hypothesis(fit.place, "sample_weights", says, remedy, _mix(bases, shares), fitted=N)


def _curve(fit: _Fit, step: Step, curve: Curve) -> Iterator[Hypothesis]:
    """Yield the number that brings a curve nearest to what was sent."""

    def at(c: float) -> Vjp:
        return lambda *given, **attributes: curve.of(c, *given, **attributes)

    usual = curve.usual(step.attributes)
    for start in curve.starts:
        c = start
        for _ in range(ROUNDS):
            here = fit.of(at(c))
            slope = (fit.of(at(c + 1e-6)) - fit.of(at(c - 1e-6))) / 2e-6
            bottom = float(slope @ slope)
            if not (np.isfinite(here).all() and np.isfinite(bottom) and bottom > 0):
                break
            move = float(slope @ (fit.sent - here)) / bottom
            c += float(np.clip(move, -1 - abs(c), 1 + abs(c)))
            if abs(move) < 1e-12 * (1 + abs(c)):
                break
        if np.isfinite(c) and not math.isclose(c, usual, rel_tol=1e-4, abs_tol=1e-4):
            said = curve.says.format(f"{c:.4g}")
            yield Hypothesis(fit.place, curve.code, said, curve.remedy, at(c), fitted=1)


def _first_reached(plan: Plan, place: int, open_: Sequence[str]) -> list[str]:
    """Return the open tensors that a node's error reaches first: those of the nearest nodes."""
    below = set(plan.steps[place].node.inputs)
    found: list[str] = [n for n in plan.steps[place].node.inputs if n in open_]
    for step in reversed(plan.steps[:place]):
        if below.isdisjoint(step.node.outputs):
            continue
        below |= set(step.node.inputs)
        near = [n for n in step.node.inputs if n in open_]
        if near and not found:
            return near
    return found
