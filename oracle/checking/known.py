"""Exact derivatives of graphs of known operators, and checks against them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from oracle.arithmetic.balls import BallNumbers, enclose
from oracle.arithmetic.dtypes import FLOAT64, ROUNDING, Arithmetic, arithmetic
from oracle.arithmetic.errors import one_sign
from oracle.arithmetic.float64 import Float64Numbers
from oracle.arithmetic.numbers import Number, Numbers
from oracle.arithmetic.rounded import Rounded, RoundedNumbers
from oracle.checking.verdict import Evaluation, InTheMean, Question, judge
from oracle.diagnosis.comparison import Comparison
from oracle.graphs.evaluation import cotangents_of, forward, reverse
from oracle.graphs.graph import Plan
from oracle.values import (
    Array,
    Finding,
    InvalidInput,
    ReferenceGradient,
    ReferenceKind,
    Report,
    Verdict,
    never_stop,
)

ENCLOSURE_LIMIT = 20_000_000
"""Multiply-adds of a forward pass up to which balls are used: about half a second."""

ENCLOSURE_ENTRIES = 300_000
"""Numbers in all tensors up to which balls are used: a matrix of them takes 40 ms, and the softmax
of them some seconds.
"""

CONVENTIONS = (0.5, 0.0, 1.0)
"""Slopes of a step at its kink that people use: each is right if it is used everywhere."""


@dataclass(frozen=True)
class Known:
    """A graph whose inputs fit it, and what is asked of it.

    `wanted` names the inputs by which it is differentiated, `cotangents` weighs the outputs (ones
    where nothing is given), `stored` names the tensors that go through memory, all if None.
    """

    plan: Plan
    wanted: tuple[str, ...]
    cotangents: Mapping[str, Array] | None = None
    stored: Collection[str] | None = None

    def gradient(self, xp: Numbers) -> dict[str, Number]:
        """Return the derivatives in a kind of number."""
        with np.errstate(all="ignore"):
            values = forward(xp, self.plan, self.stored)
            above = cotangents_of(xp, self.plan, self.cotangents)
            found = reverse(xp, self.plan, values, above, wanted=self.wanted, stored=self.stored)
        shapes = self.plan.shapes
        return {n: found[n] if n in found else xp.exact(np.zeros(shapes[n])) for n in self.wanted}

    def bounded(self, how: Arithmetic, kink: float) -> tuple[dict[str, Rounded], int]:
        """Return the derivatives with what an arithmetic may do to them, and how many kinks."""
        numbers = RoundedNumbers(how, kink)
        return self.gradient(numbers), numbers.kinks


def known(
    plan: Plan,
    cotangents: Mapping[str, Array] | None = None,
    wanted: Sequence[str] | None = None,
    stored: Collection[str] | None = None,
) -> Known:
    """Return what is asked of a graph, if it can be differentiated so.

    Raises
    ------
    InvalidInput
        If a cotangent has another shape than its output, or names none; or if a name that is
        wanted is no input that can be differentiated.
    """
    for name, array in (cotangents or {}).items():
        if name not in plan.graph.outputs:
            has = ", ".join(plan.graph.outputs)
            raise InvalidInput("cotangent", f"be for an output of the graph ({has})", repr(name))
        if tuple(array.shape) != plan.shapes[name]:
            requirement = f"have the shape {plan.shapes[name]} of {name}"
            raise InvalidInput("cotangent", requirement, f"shape {array.shape}")
    names = plan.differentiable if wanted is None else tuple(wanted)
    for name in names:
        if name not in plan.differentiable:
            has = ", ".join(plan.differentiable) or "none"
            requirement = f"be for inputs that can be differentiated ({has})"
            raise InvalidInput("gradient", requirement, repr(name))
    if not names:
        raise InvalidInput("inputs", "hold one that can be differentiated", "none")
    for name in stored or ():
        if name not in plan.shapes:
            raise InvalidInput("stored", "name tensors of the graph", repr(name))
    return Known(plan, names, cotangents, stored)


def value(plan: Plan) -> dict[str, Array]:
    """Return the outputs in float64.

    Raises
    ------
    InvalidInput
        If an output is not finite; the place is the first node that has no value at its inputs.
    """
    with np.errstate(all="ignore"):
        values = forward(Float64Numbers(), plan)
    if not all(np.isfinite(values[name]).all() for name in plan.graph.outputs):
        raise _without_value(plan, values)
    return {name: np.asarray(values[name], dtype=np.float64) for name in plan.graph.outputs}


def _without_value(plan: Plan, values: Mapping[str, Number]) -> InvalidInput:
    """Return the error of the first node that makes what is not finite of what is."""
    for k, step in enumerate(plan.steps):
        for name in filter(None, step.node.outputs):
            bad = np.argwhere(~np.isfinite(values[name]))
            if len(bad) and all(np.isfinite(values[n]).all() for n in step.node.inputs if n):
                place = f" at {bad[0].tolist()}" if bad[0].size else ""
                was = f"{float(values[name][tuple(bad[0])])} in {name!r}{place}"
                requirement = f"have a value that float64 holds, as {step.node} computes it"
                return InvalidInput(f"graph.nodes[{k}]", requirement, was)
    return InvalidInput("inputs", "lead to outputs that are finite in float64", "others")


def reference(
    what: Known, *, unit: float = FLOAT64.u, kink: float = 0.5
) -> tuple[ReferenceGradient, int]:
    """Return the exact derivatives with a bound on their own error, and how many kinks were met.

    Float64 with its derived bound where that is far below `unit`, the roundoff of a candidate;
    balls otherwise, up to `ENCLOSURE_LIMIT` multiply-adds and `ENCLOSURE_ENTRIES` numbers.
    """
    derived, kinks = _derived(what, kink)
    if derived.exact_radius <= FAR_BELOW * unit or not _affordable(what.plan):
        return derived, kinks

    def evaluate(xp: BallNumbers) -> dict[str, Number]:
        return what.gradient(xp)

    return enclose(evaluate, kink=kink)


FAR_BELOW = 2.0**-4
"""Share of a candidate's roundoff that the radius of its reference may be, of the largest entry."""


def _derived(what: Known, kink: float) -> tuple[ReferenceGradient, int]:
    found, kinks = what.bounded(FLOAT64, kink)
    tensors = {name: tensor.value for name, tensor in found.items()}
    with np.errstate(all="ignore"):
        radius = {name: tensor.budget for name, tensor in found.items()}
        relative = max(
            float(radius[n].max(initial=0.0)) / max(float(np.abs(g).max(initial=0.0)), LEAST)
            for n, g in tensors.items()
        )
    bounded = relative if np.isfinite(relative) else np.inf
    gradient = ReferenceGradient(tensors, radius, ReferenceKind.DERIVED_BOUND, bounded, False)
    return gradient, kinks


LEAST = float(np.finfo(np.float64).tiny)
"""What is divided by instead of zero."""


def _affordable(plan: Plan) -> bool:
    numbers = sum(int(np.prod(shape)) for shape in plan.shapes.values())
    return numbers <= ENCLOSURE_ENTRIES and work(plan) <= ENCLOSURE_LIMIT


def work(plan: Plan) -> int:
    """Return the multiply-adds of a forward pass: of products, and one for each number."""
    total = 0
    for step in plan.steps:
        shapes = [plan.shapes[name] for name in step.node.inputs if name]
        out = sum(int(np.prod(plan.shapes[n])) for n in step.node.outputs if n)
        depth = max((shape[-1] for shape in shapes if shape), default=1)
        total += out * depth
    return total


def evaluation(
    what: Known, how: Arithmetic, kink: float = 0.5, scale: Mapping[str, float] | None = None
) -> Evaluation:
    """Return the derivatives, what an arithmetic may do to them, and how large they may be.

    `scale` says how large each tensor is where nothing cancels or saturates, if that is known.
    """
    found, _ = what.bounded(how, kink)
    with np.errstate(all="ignore"):
        budget = {n: np.nan_to_num(g.budget, nan=np.inf, posinf=np.inf) for n, g in found.items()}
    return Evaluation({n: g.value for n, g in found.items()}, budget, scale or _sizes(what, kink))


def _sizes(what: Known, kink: float) -> dict[str, float]:
    """Return how large each tensor would be if nothing in its sums cancelled.

    An error of the whole cotangent goes through the derivatives by magnitude.
    """
    numbers = RoundedNumbers(FLOAT64, kink)
    with np.errstate(all="ignore"):
        values = forward(numbers, what.plan)
        above = {
            name: Rounded(one.value, one_sign(np.abs(one.value)), FLOAT64)
            for name, one in cotangents_of(numbers, what.plan, what.cotangents).items()
        }
        found = reverse(numbers, what.plan, values, above, wanted=what.wanted)
        return {n: float(np.max(found[n].off, initial=0.0)) for n in what.wanted if n in found}


def check(
    plan: Plan,
    gradient: Mapping[str, Array | None],
    *,
    cotangents: Mapping[str, Array] | None = None,
    compute: str | None = None,
    accumulate: str | None = None,
    store: str | None = None,
    stored: Collection[str] | None = None,
    subject: str | None = None,
) -> Report:
    """Check a candidate gradient of a graph; tensors of it may be left out.

    Parameters
    ----------
    plan : Plan
        The graph with the inputs at which the candidate was computed.
    gradient : mapping
        The candidate by the names of inputs; its dtype is what it is stored in.
    cotangents : mapping, optional
        Weights of the outputs; ones where nothing is given.
    compute, accumulate : str, optional
        Types of the candidate's operations and sums; see `oracle.arithmetic.dtypes.arithmetic`.
    store : str, optional
        Type in which tensors go through memory, if it is narrower than the candidate's dtype.
    stored : collection of str, optional
        Tensors that go through memory in that type; all if None.

    Returns
    -------
    Report
    """
    what = known(plan, cotangents, tuple(gradient), stored)
    name = subject or plan.graph.name

    def arithmetic_of(dtype: str) -> Arithmetic:
        if store and dtype in ROUNDING and ROUNDING[store].u < ROUNDING[dtype].u:
            raise InvalidInput("store", f"not be wider than {dtype}, the gradient's type", store)
        return arithmetic(store or dtype, compute=compute, accumulate=accumulate)

    def judged(kink: float) -> tuple[Report, int]:
        return _report(name, what, gradient, arithmetic_of, kink)

    reports = [judged(CONVENTIONS[0])]
    if reports[0][1]:
        reports += [judged(kink) for kink in CONVENTIONS[1:]]
    best = min(range(len(reports)), key=lambda k: reports[k][0].budget_used)
    report, kinks = reports[best]
    if kinks and report.verdict is Verdict.PASS:
        note = (
            f"{kinks:,} inputs lie exactly at a kink; the gradient takes the slope there as "
            f"{CONVENTIONS[best]:g}, which is right if it is the same everywhere."
        )
        report = replace(report, notes=(*report.notes, note))
    return report


def in_the_mean(what: Known, how: Arithmetic, comparison: Comparison) -> InTheMean:
    """Return what the error of a candidate in half precision is in the mean."""
    from oracle.checking import mean  # noqa: PLC0415
    from oracle.diagnosis import walk  # noqa: PLC0415
    from oracle.diagnosis.hypotheses import hypotheses  # noqa: PLC0415

    asked = walk.Question(what.plan, what.wanted, what.cotangents)
    values = asked.values()
    slips = (
        (slip, asked.gradient(values, {slip.node: slip.wrong}))
        for slip in hypotheses(what.plan, values)
    )
    found = mean.mean(what.gradient, how, comparison.candidate, comparison.reference, slips)
    fails = found.failed or found.failed_line
    named = mean.findings(found, what.wanted, sizes(what.plan)) if fails else ()
    return InTheMean(named, max(found.factors.values(), default=1.0))


def _report(
    subject: str,
    what: Known,
    gradient: Mapping[str, Array | None],
    arithmetic_of: Callable[[str], Arithmetic],
    kink: float,
) -> tuple[Report, int]:
    met = 0

    def exact(unit: float) -> ReferenceGradient:
        nonlocal met
        found, met = reference(what, unit=unit, kink=kink)
        return found

    def explain(comparison: Comparison) -> tuple[Finding, ...]:
        from oracle.diagnosis import walk  # noqa: PLC0415

        asked = walk.Question(what.plan, what.wanted, what.cotangents)
        return walk.explain(asked, comparison, sizes(what.plan))

    question = Question(
        subject,
        {name: what.plan.shapes[name] for name in what.wanted},
        sizes(what.plan),
        None,
        exact,
        lambda how, _: evaluation(what, how, kink),
        explain,
        in_the_mean=lambda how, comparison: in_the_mean(what, how, comparison),
    )
    return judge(question, gradient, arithmetic_of, never_stop), met


def sizes(plan: Plan) -> dict[str, int]:
    """Return the lengths that a factor may equal: N samples and K classes at the end, and others.

    N and K are the axes of what enters the last node; an input's other axes have its name.
    """
    last = plan.steps[-1].node.inputs[0]
    shape = plan.shapes[last]
    found = {"N": shape[0], "K": shape[-1]} if len(shape) > 1 else {}
    for name in plan.graph.inputs:
        for axis, length in enumerate(plan.shapes[name]):
            if length > 1 and length not in found.values():
                found[f"{name}.shape[{axis}]"] = length
    return found
