"""Causes in words: the one place where what a diagnosis found becomes a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from oracle.diagnosis.hypotheses import Hypothesis
from oracle.diagnosis.tensors import factor_findings, listed, tensor_factor
from oracle.findings import FindingKind as Kind
from oracle.graphs.graph import Plan
from oracle.values import Finding


def of_hypothesis(what: Plan, slip: Hypothesis) -> Finding:
    """Return the finding of a slip, with the node in which it is."""
    if slip.finding is not None:
        return slip.finding
    place = slip.node if slip.node >= 0 else -1 - slip.node
    message = f"{_capital(slip.says)}{_where(what, place)}."
    return Finding(Kind(slip.code), "", message, slip.remedy, {"node": float(place)})


def _capital(says: str) -> str:
    """Return a sentence with a capital letter, unless a symbol as dX or φ(X) begins it."""
    word = says.split(maxsplit=1)[0]
    return says[0].upper() + says[1:] if word.islower() and word.isascii() else says


def _where(what: Plan, place: int) -> str:
    """Return where a node is, if the graph has several of its kind."""
    node = what.graph.nodes[place]
    same = [one for one in what.graph.nodes if one.operator == node.operator]
    if len(what.graph.nodes) == 1:
        return ""
    of = listed([name for name in node.inputs if name])
    made = listed([name for name in node.outputs if name])
    one = "" if len(same) == 1 else f", node {place}"
    return f" ({node.operator}{one}: {of} to {made})"


def of_factor(
    factor: float, names: Sequence[str], sizes: Mapping[str, int], *, every: bool
) -> tuple[Finding, ...]:
    """Return the finding of a factor that several tensors have in common."""
    if every:
        return factor_findings(factor, sizes)
    return (tensor_factor(listed(names), factor, sizes),)
