"""The walk through a graph: which slips, in which node, give the gradient that was sent.

A gradient with a slip is the reverse pass with the derivative of one node replaced; a compound has
several replaced; another forward pass is another graph. Each is an account, and the bits that are
left of it decide (`bits`).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from oracle.arithmetic.float64 import Float64Numbers
from oracle.diagnosis import returned
from oracle.diagnosis.alone import alone
from oracle.diagnosis.bits import DECISIVE, Evidence, Match
from oracle.diagnosis.comparison import Comparison
from oracle.diagnosis.fits import Fitting, Part, first_reached, fits
from oracle.diagnosis.hypotheses import Hypothesis, hypotheses, worlds
from oracle.diagnosis.samples import MOST_SAMPLES, of_samples, only
from oracle.diagnosis.sentences import of_factor, of_hypothesis
from oracle.diagnosis.tensors import (
    explain_tensor,
    low_precision,
    merged,
    moved,
    representable_in,
    unexplained,
)
from oracle.findings import FindingKind as Kind
from oracle.graphs.evaluation import cotangents_of, forward, reverse
from oracle.graphs.graph import Plan
from oracle.operators.operator import Vjp
from oracle.values import Array, Finding, Float64

DEEPEST = 4
"""Slips of one account, at most."""

KEPT = 3
"""First slips that are followed further: a wrong one may explain more bits than a right one alone.
"""

MOST_DERIVATIVES = 150_000
"""Derivatives of nodes that a diagnosis evaluates, at most: some seconds. What is found by then is
said; a network of a hundred nodes is searched whole once, and one of a thousand in part.
"""


class Effort:
    """How many derivatives of nodes are left: a count, so that a question gets one answer."""

    def __init__(self) -> None:
        self.left = MOST_DERIVATIVES

    def spent(self, nodes: int) -> bool:
        """Take off a pass over some nodes; tell whether nothing was left for it."""
        self.left -= max(nodes, 1)
        return self.left < 0


@dataclass(frozen=True)
class Question:
    """A graph at its inputs, and by what it is differentiated."""

    plan: Plan
    wanted: tuple[str, ...]
    cotangents: Mapping[str, Array] | None = None

    def values(self) -> dict[str, Float64]:
        """Return every tensor of the forward pass."""
        with np.errstate(all="ignore"):
            return forward(Float64Numbers(), self.plan)

    def gradient(
        self,
        values: Mapping[str, Float64],
        instead: Mapping[int, Vjp],
        flows: dict[int, dict[str, Float64]] | None = None,
    ) -> dict[str, Float64]:
        """Return the derivatives with those of some nodes replaced.

        `flows` is filled with what flows back to each place.
        """
        xp = Float64Numbers()
        with np.errstate(all="ignore"):
            above = cotangents_of(xp, self.plan, self.cotangents)
            found = reverse(
                xp, self.plan, values, above, wanted=self.wanted, instead=instead, kept=flows
            )
        return self._named(found, self.wanted)

    def part(
        self,
        values: Mapping[str, Float64],
        instead: Mapping[int, Vjp],
        begun: tuple[int, Mapping[str, Float64]],
        names: Sequence[str],
    ) -> dict[str, Float64]:
        """Return some of the derivatives, from what flows back to a place."""
        xp = Float64Numbers()
        with np.errstate(all="ignore"):
            found = reverse(xp, self.plan, values, {}, wanted=names, instead=instead, begun=begun)
        return self._named(found, names)

    def _named(self, found: Mapping[str, Float64], names: Sequence[str]) -> dict[str, Float64]:
        shapes = self.plan.shapes
        return {n: np.asarray(found[n]) if n in found else np.zeros(shapes[n]) for n in names}


@dataclass(frozen=True)
class Account:
    """What was done, in which world, and what that leaves unexplained."""

    slips: tuple[Hypothesis, ...] = ()
    match: Match | None = None
    prediction: Mapping[str, Float64] = field(default_factory=dict)
    bits: float = 0.0

    def of_samples(self, question: Question) -> Mapping[str, Float64]:
        """Return what each sample adds to the derivatives, (N, ...) by name; nothing if unknown."""
        step = question.plan.steps[-1]
        shape = question.plan.shapes[step.node.inputs[0]]
        if question.plan.shapes[step.node.outputs[0]] != () or len(shape) < 2:
            return {}
        if not 1 < shape[0] <= MOST_SAMPLES:
            return {}
        place = len(question.plan.steps) - 1
        values = question.values()
        instead = {one.node: one.wrong for one in self.slips if one.node >= 0}
        right = instead.get(place, step.operator.differentiate)
        parts = [
            question.gradient(values, {**instead, place: only(right, n)}) for n in range(shape[0])
        ]
        return {n: np.stack([part[n] for part in parts]) for n in question.wanted}

    @property
    def explained(self) -> tuple[str, ...]:
        """Names of the tensors that follow from it."""
        return self.match.names if self.match else ()


def explain(
    question: Question, comparison: Comparison, sizes: Mapping[str, int]
) -> tuple[Finding, ...]:
    """Name what is wrong with a gradient of a graph that failed its check."""
    if found := low_precision(comparison):
        return found
    first = _explain(question, comparison, sizes)
    if any(f.kind is Kind.UNEXPLAINED for f in first) and (narrow := representable_in(comparison)):
        return _explain(question, narrow[1], sizes)
    return first


def _explain(
    question: Question, comparison: Comparison, sizes: Mapping[str, int]
) -> tuple[Finding, ...]:
    evidence = Evidence(comparison, sizes)
    parameters = {n: question.plan.inputs[n] for n in question.wanted}
    if found := returned.in_place_of_parameters(parameters, comparison):
        return found
    if found := returned.changed(comparison):
        return found
    if not any(np.any(evidence.sent(n)) for n in comparison.candidate):
        each = (explain_tensor(comparison, n, sizes) for n in evidence.wrong)
        return merged([f for f in each if f is not None])
    effort = Effort()
    accounts = [_grown(question, evidence, Account(), question.values(), effort=effort)]
    for world in worlds(question.plan, question.wanted):
        if effort.spent(len(question.plan.steps)):
            break
        changed = replace(question, plan=world.plan)
        values = changed.values()
        if not all(np.isfinite(v).all() for v in values.values()):
            continue
        begun = Account((world.hypothesis,) if world.hypothesis else (), bits=-world.cost)
        for kept in ({}, world.kept):
            plain = changed.gradient(values, kept)
            match = evidence.match(plain)
            if match and match.bits - world.cost >= DECISIVE:
                begun_here = replace(
                    begun, match=match, prediction=plain, bits=match.bits - world.cost
                )
                accounts.append(
                    _grown(changed, evidence, begun_here, values, effort=effort, kept=kept)
                )
            if not world.kept:
                break
    best = max(accounts, key=lambda a: (a.bits, -len(a.slips)))
    findings, open_ = _said(question, evidence, best)
    rest = [unexplained(comparison, n) for n in open_]
    return merged([*findings, *rest]) or (unexplained(comparison, ""),)


def _grown(
    question: Question,
    evidence: Evidence,
    begun: Account,
    values: Mapping[str, Float64],
    *,
    effort: Effort,
    kept: Mapping[int, Vjp] | None = None,
) -> Account:
    """Return the account to which slips were added as long as they explain more than they cost."""
    table = list(hypotheses(question.plan, values))
    if begun.match is None:
        plain = question.gradient(values, kept or {})
        match = evidence.match(plain)
        begun = Account(begun.slips, match, plain, (match.bits if match else 0.0) + begun.bits)
    front, best = [begun], begun

    for _ in range(DEEPEST):
        found: list[Account] = []
        for account in front:
            if set(evidence.wrong) <= set(account.explained):
                continue
            taken = {one.node: one.wrong for one in account.slips if one.node >= 0}
            open_ = [n for n in evidence.wrong if n not in account.explained]
            replaced = {**(kept or {}), **taken}
            flows: dict[int, dict[str, Float64]] = {}
            question.gradient(values, replaced, flows)
            part = _partial(question, values, replaced, flows)
            fitted = fits(Fitting(question.plan, evidence, part, taken, open_, values))
            for slip in itertools.chain(table, fitted):
                if effort.spent(slip.node + 1):
                    break
                if any(slip.node == other.node for other in account.slips):
                    continue
                near = first_reached(question.plan, slip.node, open_)
                if not near:
                    continue
                instead = dict(kept or {})
                for one in (*account.slips, slip):
                    if one.node >= 0:
                        instead[one.node] = _both(instead.get(one.node), one.wrong)
                at = slip.node, flows[slip.node]
                if evidence.match(question.part(values, instead, at, near), slip.fitted):
                    prediction = question.gradient(values, instead)
                    found += _extended(evidence, account, slip, prediction)
        found.sort(key=lambda a: -a.bits)
        front = [a for a in found if a.bits >= best.bits + DECISIVE][:KEPT]
        if not front:
            return best
        best = front[0]
    return best


def _partial(
    question: Question,
    values: Mapping[str, Float64],
    replaced: Mapping[int, Vjp],
    flows: Mapping[int, Mapping[str, Float64]],
) -> Part:
    """Return what gives some derivatives, with that of one more node replaced."""

    def part(place: int, wrong: Vjp, names: Sequence[str]) -> dict[str, Float64]:
        return question.part(values, {**replaced, place: wrong}, (place, flows[place]), names)

    return part


def _extended(
    evidence: Evidence, account: Account, slip: Hypothesis, prediction: Mapping[str, Float64]
) -> list[Account]:
    """Return the account with one more slip, if it explains more and takes nothing back."""
    if not all(np.isfinite(p).all() for p in prediction.values()):
        return []
    match = evidence.match(prediction, slip.fitted + sum(one.fitted for one in account.slips))
    if match is None or not set(account.explained) <= set(match.names):
        return []
    slips = (*account.slips, slip)
    return [Account(slips, match, prediction, match.bits - sum(one.cost for one in slips))]


def _both(first: Vjp | None, second: Vjp) -> Vjp:
    if first is None:
        return second

    def both(*arguments: Any, **attributes: Any) -> dict[str, Any]:
        return {**first(*arguments, **attributes), **second(*arguments, **attributes)}

    return both


def _said(
    question: Question, evidence: Evidence, account: Account
) -> tuple[list[Finding], list[str]]:
    """Return the findings of an account, and the tensors of which none speaks."""
    comparison = evidence.comparison
    findings = [of_hypothesis(question.plan, slip) for slip in account.slips]
    factor = account.match.factor if account.match else 1.0
    explained = [n for n in account.explained if n in evidence.wrong]
    rest = [n for n in evidence.wrong if n not in explained]
    if explained and factor != 1.0:
        every = not rest and set(evidence.wrong) == set(comparison.candidate)
        findings += of_factor(factor, explained, evidence.sizes, every=every)
    expected = {n: factor * account.prediction[n] for n in rest}
    view = moved(comparison, expected) if rest else comparison
    open_ = []
    for name in rest:
        parameter = np.asarray(question.plan.inputs[name], np.float64)
        found = of_samples(evidence, name, account.of_samples(question), factor)
        found = found or alone(view, name, parameter, evidence.sizes)
        if found is None:
            open_.append(name)
        else:
            findings.append(found)
    return findings, open_


__all__ = ["Question", "explain"]
