"""What is wrong with a gradient of the document's simpleNet.

It is the upper layer of the two-layer net without a bias: W = x.T @ dY, with dY the derivative by
the scores. So the tables and the recovery of that layer serve here, under this net's names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from oracle.checking.backward import Pass, output_error, softmax
from oracle.checking.diagnosis import recovery
from oracle.checking.diagnosis.faults import fault
from oracle.checking.diagnosis.hypotheses import Hypothesis, closest, factor_of_any, summed
from oracle.checking.diagnosis.losses import other_delta
from oracle.checking.mistakes import OUTPUTS, other_inputs
from oracle.diagnosis.comparison import Comparison
from oracle.diagnosis.tensors import best_factor, explain_each, low_precision, unexplained
from oracle.findings import FindingKind as Kind
from oracle.reference.targets import distribution
from oracle.values import DELTA, Array, Finding

Sizes = Mapping[str, int]

SAMPLED = 48
"""Rows of W that a hypothesis has to agree with before it is computed for all of them."""

FEWEST = 5
"""Equations that a family of three free numbers takes to be told from others."""

MOST_PRODUCTS = 10**6
"""More products of an input and an error than this are not spent on what no table holds."""

MOST_LEFT_OUT = 128
"""Samples of a larger batch are not left out one by one."""

NAMES = {"W1": "W", "W2": "W", "a1": "x", "a2": "a", "z1": "x", "dA1": "dY"}
"""What the two-layer net's names stand for here; a is x @ W."""


def explain_simple_net(
    W: Array, x: Array, t: Array, comparison: Comparison, sizes: Sizes, *, delta: float
) -> tuple[Finding, ...]:
    """Name what is wrong with a gradient of the simple net that failed its check.

    Parameters
    ----------
    W, x, t : (D, K) array, (N, D) or (D,) array, (N,), (N, K) or (K,) array
        The weights, the inputs and the targets.
    comparison : Comparison
        The candidate, tensor "W", beside the reference.
    sizes : mapping of str to int
        Sizes that factors may equal.
    delta : float
        The constant inside the logarithm.

    Returns
    -------
    tuple of Finding
        At least one; `UNEXPLAINED` where no known cause fits.
    """
    if not np.any(comparison.candidate["W"]):
        return explain_each(comparison, sizes)
    found = low_precision(comparison)
    if found:
        return found
    with np.errstate(all="ignore"):
        passes = {d: _forward(W, x, t, d, comparison) for d in dict.fromkeys((delta, 0.0, DELTA))}
        right = {d: p.x.T @ p.output_error for d, p in passes.items()}
        for d, expected in right.items():
            if d != delta and comparison.fits("W", expected, slack=1.0):
                return (replace(other_delta(delta, d), tensor=""),)
        found = factor_of_any(comparison, "W", right.values(), sizes)
        return found or _explained(list(passes.values()), comparison, sizes)


def _forward(W: Array, x: Array, t: Array, delta: float, comparison: Comparison) -> Pass:
    """Return the pass of an upper layer whose hidden units are x, without biases."""
    weights, rows = W.astype(np.float64), np.atleast_2d(x).astype(np.float64)
    K = W.shape[1]
    a = rows @ weights
    return Pass(
        x=rows,
        t=distribution(t, K),
        W1=weights,
        W2=weights,
        b1=np.zeros(K),
        b2=np.zeros(K),
        a1=rows,
        z1=rows,
        a2=a,
        y=softmax(a),
        delta=delta,
        checkpoint=comparison.checkpoint,
    )


def _explained(passes: list[Pass], comparison: Comparison, sizes: Sizes) -> tuple[Finding, ...]:
    """Explain dY by what is known, then W by itself, then dY by what is recovered."""
    known = (hypothesis for p in passes for hypothesis in _known(p))
    found = _closest(comparison, known, passes[0], sizes)
    if not found:
        single = (_fault(p, comparison, sizes) for p in passes)
        found = tuple(f for f in single if f and not _is_vague(f, passes[0]))[:1]
    if not found:
        found = _closest(comparison, _recovered(passes, comparison), passes[0], sizes)
    return tuple(_named(f) for f in found) or (unexplained(comparison, "W"),)


def _recovered(passes: list[Pass], comparison: Comparison) -> Iterator[tuple[Finding, Pass, Array]]:
    """Yield what the largest rows of W say about dY, if they are enough and not too many."""
    rows, sampled = _sampled(comparison)
    p = passes[0]
    if _equations(p) < FEWEST or len(rows) * p.K * p.N > MOST_PRODUCTS:
        return
    upper = _renamed_to("W2", comparison if sampled is None else sampled)
    for p in sorted(passes, key=lambda p: p.delta):
        part = replace(p, z1=p.x[:, rows], W2=p.W2[rows])
        for finding, error in recovery.outputs(part, upper):
            if not _is_vague(finding, p):
                yield finding, p, error


def _is_vague(finding: Finding, p: Pass) -> bool:
    """Tell whether a finding has as many free numbers as dY has: for two classes, one a sample."""
    fitted = {Kind.SAMPLE_WEIGHTS, Kind.WRONG_INPUTS, Kind.PERMUTED}
    return finding.kind in fitted and (p.K == 2 or _equations(p) <= 2)


def _equations(p: Pass) -> int:
    """Return how many independent numbers W holds, if the rows of dY sum to zero."""
    return min(p.x.shape) * (p.K - 1)


def _known(p: Pass) -> Iterator[tuple[Finding, Pass, Array]]:
    for mistake in OUTPUTS:
        error = mistake.compute(p)
        # There is no bias that could be left out.
        if not np.array_equal(error, p.output_error) and "b2" not in mistake.message:
            yield Finding(mistake.kind, "", f"{mistake.message}.", mistake.remedy), p, error
    for n in range(p.N) if 1 < p.N <= MOST_LEFT_OUT else ():
        message = f"Sample {n} has no part in the gradient."
        remedy = "Let every row of the batch count, and add the rows: dW += ..."
        yield (
            Finding(Kind.DROPPED_SAMPLES, "", message, remedy),
            p,
            np.where((np.arange(p.N) == n)[:, None], 0.0, p.output_error),
        )
    for text, x in other_inputs(p.x):
        if not np.array_equal(x, p.x):
            a = x @ p.W2
            other = replace(p, x=x, a1=x, z1=x, a2=a, y=softmax(a))
            finding = Finding(
                Kind.WRONG_FORWARD, "", f"The inputs {text}.", "Use the x that is checked."
            )
            yield finding, other, output_error(other.y, p.t, p.delta)


def _closest(
    comparison: Comparison,
    hypotheses: Iterable[tuple[Finding, Pass, Array]],
    p: Pass,
    sizes: Sizes,
) -> tuple[Finding, ...]:
    rows, sampled = _sampled(comparison)

    def gradients() -> Iterator[Hypothesis]:
        for finding, used, error in hypotheses:
            if sampled is not None:
                part = used.x[:, rows].T @ error
                view = summed(sampled, "W", part)
                if not np.all(np.isfinite(part)) or best_factor(view, {"W": part}, sizes) is None:
                    continue
            yield finding, used.x.T @ error

    return closest(comparison, "W", gradients(), sizes, equations=_equations(p), view_of=summed)


def _sampled(comparison: Comparison) -> tuple[Array, Comparison | None]:
    """Return the largest rows of large weights, and the comparison of these rows."""
    reference = comparison.reference["W"]
    if len(reference) <= 2 * SAMPLED:
        return np.arange(len(reference)), None
    rows = np.argsort(-np.abs(reference).max(axis=1))[:SAMPLED]
    return rows, replace(
        comparison,
        candidate={"W": comparison.candidate["W"][rows]},
        reference={"W": reference[rows]},
        allowed={"W": comparison.allowed["W"][rows]},
    )


def _fault(p: Pass, comparison: Comparison, sizes: Sizes) -> Finding | None:
    """Find what is wrong with W by itself: its inputs, its samples, its layout, some entries."""
    # There is no sigmoid whose derivative could be wrong.
    lower = replace(p, z1=np.zeros_like(p.z1))
    view = _renamed_to("W1", summed(comparison, "W", p.x.T @ p.output_error))
    return fault(lower, view, "W1", p.output_error, sizes)


def _renamed_to(name: str, comparison: Comparison) -> Comparison:
    """Return the comparison under a name of the two-layer net, which has biases besides."""
    K = comparison.candidate["W"].shape[1]
    return replace(
        comparison,
        candidate={name: comparison.candidate["W"]},
        reference={name: comparison.reference["W"], "b2": np.zeros(K)},
        allowed={name: comparison.allowed["W"], "b2": np.zeros(K)},
    )


def _named(finding: Finding) -> Finding:
    """Return the finding in the names of this net."""

    def translated(text: str) -> str:
        return re.sub(r"\b(W1|W2|dA1|a1|a2|z1)\b", lambda found: NAMES[found[0]], text)

    return replace(
        finding,
        tensor=translated(finding.tensor),
        message=translated(finding.message),
        remedy=translated(finding.remedy),
    )
