"""Hypotheses in which numbers are fitted to what was sent: shares of functions, weights of samples.

The derivatives of a network are linear in what flows back from one node. What a share of each
function does to all tensors is computed once, and the shares follow by least squares, from the
tensors that the node's error reaches first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oracle.diagnosis.bits import Evidence
from oracle.diagnosis.hypotheses import TABLE, Hypothesis
from oracle.diagnosis.linear import condition, least_squares
from oracle.diagnosis.samples import MOST_SAMPLES, only
from oracle.diagnosis.tensors import equals, listed, some, tensor_factor
from oracle.graphs.graph import Plan, Step
from oracle.operators.operator import Curve, Family, Vjp
from oracle.values import Float64

FARTHEST = 300.0
"""Numbers beyond this are not looked for: their powers leave float64."""

ROUNDS = 12
"""Steps of Gauss and Newton for one number."""

Part = Callable[[int, Vjp, Sequence[str]], Mapping[str, Float64]]
"""Some of the derivatives by parameters, with that of a node replaced."""


@dataclass(frozen=True)
class Fitting:
    """What numbers are fitted to: the tensors that are `open`, with some nodes' slips `taken`."""

    plan: Plan
    evidence: Evidence
    part: Part
    taken: Mapping[int, Vjp]
    open: Sequence[str]
    values: Mapping[str, Float64]


def fits(what: Fitting) -> Iterator[Hypothesis]:
    """Yield the families and curves of every node, fitted to the tensors that are open."""
    for place, step in enumerate(what.plan.steps):
        near = first_reached(what.plan, place, what.open)
        if place in what.taken or not near:
            continue
        fit = _Fit(what.evidence, what.part, place, near)
        yield from _scaled(fit, what, step)
        for family in step.operator.families:
            yield from _family(fit, family)
        yield from _samples(fit, what.plan, step)
        for curve in step.operator.curves:
            yield from _curve(fit, step, curve)
        yield from recovered(what, place, step)


def _scaled(fit: _Fit, what: Fitting, step: Step) -> Iterator[Hypothesis]:
    """Yield a factor of all that flows back through a node, or of one derivative that it gives."""
    signature = step.operator.signature
    inputs = [k for k, name in enumerate(step.node.inputs) if name in what.plan.shapes]
    names = [signature.input_at(k).name for k in inputs if not signature.input_at(k).constant]
    for some_of in [names, *([name] for name in names)] if len(names) > 1 else [names]:
        yield from _scaled_part(fit, what, step, some_of)


def _scaled_part(
    fit: _Fit, what: Fitting, step: Step, names: Sequence[str]
) -> Iterator[Hypothesis]:
    right = step.operator.differentiate

    def bases(*given: Any, **attributes: Any) -> list[dict[str, Any]]:
        found = right(*given, **attributes)
        return [{n: found[n]() if callable(found[n]) else found[n] for n in names if n in found}]

    shares = _shares(fit, bases, 1)
    if shares is None or not np.isfinite(shares[0]):
        return
    fitted = shares[0]
    near = max(1e-3, 4 * what.evidence.comparison.unit_roundoff)
    if abs(fitted - 1.0) <= near / 1e3:
        return
    known = [1.0, 2.0, 0.5, *equals(abs(fitted), what.evidence.sizes, near).values()]
    meant = [math.copysign(k, fitted) for k in known if math.isclose(abs(fitted), k, rel_tol=near)]
    touched = _touched(what, fit.place, names)
    for factor, count in [*((k, 0) for k in meant if k != 1.0), (fitted, 1)]:
        finding = tensor_factor(listed(touched), factor, what.evidence.sizes)
        yield Hypothesis(
            fit.place, "tensor_factor", "", "", _mix(bases, [factor]), TABLE, count, finding
        )


def _touched(what: Fitting, place: int, names: Sequence[str]) -> list[str]:
    """Return the open tensors that depend on some of the derivatives that a node gives."""
    step = what.plan.steps[place]
    signature = step.operator.signature
    below = {n for k, n in enumerate(step.node.inputs) if signature.input_at(k).name in names}
    for other in reversed(what.plan.steps[:place]):
        if not below.isdisjoint(other.node.outputs):
            below |= set(other.node.inputs)
    return [n for n in what.open if n in below]


class _Fit:
    """What is sent and predicted of some tensors, in units of their rounding."""

    def __init__(
        self,
        evidence: Evidence,
        part: Part,
        place: int,
        names: Sequence[str],
    ) -> None:
        self.evidence = evidence
        self.part = part
        self.place = place
        self.names = names
        self.sent = self.row({n: evidence.sent(n) for n in names})

    def row(self, tensors: Mapping[str, Float64]) -> Float64:
        return np.concatenate([(tensors[n] / self.evidence.noise(n)).ravel() for n in self.names])

    def of(self, wrong: Vjp) -> Float64:
        return self.row(self.part(self.place, wrong, self.names))


Bases = Callable[..., Sequence[Mapping[str, Any]]]


def _one(bases: Bases, k: int) -> Vjp:
    return lambda *given, **attributes: bases(*given, **attributes)[k]


def _mix(bases: Bases, shares: Sequence[float]) -> Vjp:
    def wrong(*given: Any, **attributes: Any) -> dict[str, Any]:
        total: dict[str, Any] = {}
        for share, basis in zip(shares, bases(*given, **attributes), strict=True):
            for name, part in basis.items():
                total[name] = _added(total.get(name), share, part)
        return total

    return wrong


def _added(total: Any, share: float, part: Any) -> Any:
    """Return total + share part; of an input that comes several times they are lists."""
    if isinstance(part, list | tuple):
        before = total or [None] * len(part)
        return [_added(b, share, p) for b, p in zip(before, part, strict=True)]
    return share * part if total is None else total + share * part


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
        return dict(found[0]) if found else {}

    fit.of(counting)
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
    right = step.operator.differentiate

    def bases(*given: Any, **attributes: Any) -> list[Mapping[str, Any]]:
        return [only(right, n)(*given, **attributes) for n in range(N)]

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
            c = float(np.clip(c, -FARTHEST, FARTHEST))
            if abs(move) < 1e-12 * (1 + abs(c)):
                break
        if np.isfinite(c) and not math.isclose(c, usual, rel_tol=1e-4, abs_tol=1e-4):
            said = curve.says.format(f"{c:.4g}")
            yield Hypothesis(fit.place, curve.code, said, curve.remedy, at(c), fitted=1)


def first_reached(plan: Plan, place: int, open_: Sequence[str]) -> list[str]:
    """Return the open tensors that a node's error reaches first: those of the nearest nodes."""
    if place < 0:
        return list(open_)
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


MOST_CONDITION = 1e4
"""Inputs of a worse condition than this lose too many digits of what is recovered through them."""


def recovered(what: Fitting, place: int, step: Step) -> Iterator[Hypothesis]:
    """Yield the derivative by the input of a node that the weights before it tell.

    If Y = A B, dB = Aᵀ dY determines dY where A has as many columns as it has rows.
    """
    for k, name in enumerate(step.node.inputs):
        before = next((s for s in what.plan.steps if name in s.node.outputs), None)
        if before is None or before.operator.name not in ("Gemm", "MatMul"):
            continue
        weights = before.node.inputs[1]
        if weights not in what.open or before.attributes.get("transA"):
            continue
        A = what.values[before.node.inputs[0]]
        B = what.evidence.sent(weights)
        B = B.T if before.attributes.get("transB") else B
        if A.ndim != 2 or not 1 <= len(A) <= min(A.shape[1], 512):
            continue
        if condition(A) > MOST_CONDITION:
            continue
        error = least_squares(A.T, B)
        argument = step.operator.signature.input_at(k).name
        yield from _read(what, place, step, argument, error)
        says = f"the derivative by {name} is not that of {step.operator.name}"
        remedy = f"Look at the derivative of {step.operator.name}: what follows from it is right."
        count = what.evidence.numbers(weights)
        wrong = _constant(argument, error)
        yield Hypothesis(place, "unexplained", says, remedy, wrong, TABLE, count)


def _constant(argument: str, error: Float64) -> Vjp:
    return lambda *_, **__: {argument: error}


def _read(
    what: Fitting, place: int, step: Step, argument: str, error: Float64
) -> Iterator[Hypothesis]:
    """Yield what an operator reads off the derivative that was recovered."""
    if step.operator.read is None:
        return
    signature = step.operator.signature
    given = [
        (what.plan.inputs if signature.input_at(k).constant else what.values)[n] if n else None
        for k, n in enumerate(step.node.inputs)
    ]
    for code, says, remedy, meant, count in step.operator.read(error, *given, **step.attributes):
        wrong = _constant(argument, meant)
        yield Hypothesis(place, code, says, remedy, wrong, TABLE + count)
