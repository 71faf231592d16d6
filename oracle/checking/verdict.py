"""Pass, fail or inconclusive, of a candidate beside the exact gradient and its budget."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from oracle.arithmetic.dtypes import FLOAT64, ROUNDING, Arithmetic
from oracle.checking import deltas
from oracle.checking.survey import HALVED, tensor_report
from oracle.diagnosis.comparison import LARGER, Comparison
from oracle.findings import FindingKind, InconclusiveReason
from oracle.slices import first_of, holds_anywhere, largest_size, parts
from oracle.values import (
    Array,
    Checkpoint,
    Finding,
    Float64,
    InvalidInput,
    ReferenceGradient,
    ReferenceKind,
    Report,
    TensorReport,
    Verdict,
)


@dataclass(frozen=True)
class Evaluation:
    """The gradient in float64, and the bound on any evaluation of it in some arithmetic.

    `scale` is the size of each tensor's largest entry where nothing cancels or is saturated.
    """

    tensors: Mapping[str, Float64]
    budget: Mapping[str, Float64]
    scale: Mapping[str, float]


@dataclass(frozen=True)
class Question:
    """What is asked of a candidate: its form, the exact gradient, the budget, and the diagnosis.

    `exact` gives the reference for a candidate of some unit roundoff, `evaluate` the gradient and
    its budget in some arithmetic for some delta, `explain` the causes of what fails; `with_delta`
    tells those who forgot delta where it belongs, `in_the_mean` what the error of half precision is
    in the mean.
    """

    subject: str
    shapes: Mapping[str, tuple[int, ...]]
    sizes: Mapping[str, int]
    delta: float | None
    exact: Callable[[float], ReferenceGradient]
    evaluate: Callable[[Arithmetic, float], Evaluation]
    explain: Callable[[Comparison], tuple[Finding, ...]]
    with_delta: str = ""
    in_the_mean: Callable[[Arithmetic, Comparison], InTheMean] | None = None


@dataclass(frozen=True)
class InTheMean:
    """What a candidate's error is in the mean: the causes of what fails, and what is seen."""

    findings: tuple[Finding, ...]
    limit: float


def judge(
    question: Question,
    gradient: Mapping[str, Array | None],
    arithmetic_of: Callable[[str], Arithmetic],
    checkpoint: Checkpoint,
) -> Report:
    """Return the verdict on a candidate, of which a tensor may be missing.

    `arithmetic_of` gives the arithmetic of a candidate that is stored in some type.
    """
    sent = Counter(str(g.dtype) for g in gradient.values() if g is not None)
    known = [name for name, _ in sent.most_common() if name in ROUNDING]
    dtype = next(iter(known or sent), "float64")
    how = arithmetic_of(dtype)
    blank = Report(
        subject=question.subject,
        verdict=Verdict.FAIL,
        reason=None,
        summary="",
        findings=(),
        tensors=(),
        budget_used=float("inf"),
        detection_limit=float("inf"),
        candidate_dtype=how.store,
        accumulation_dtype=how.accumulate,
        reference_kind=ReferenceKind.ENCLOSURE,
        entries=0,
        delta=question.delta,
        sizes=question.sizes,
    )
    faults = _form_faults(question, gradient, dtype, checkpoint)
    if faults:
        return replace(blank, findings=faults, summary=_sentence(faults[0]))

    candidate = {name: _held(gradient, name) for name in question.shapes}
    reference = question.exact(how.w)
    delta = question.delta if question.delta is not None else 0.0
    allowed, scale = _allowed(question.evaluate(how, delta), reference, checkpoint)
    comparison = Comparison(candidate, reference.tensors, allowed, how.w, checkpoint)
    tensors = tuple(
        tensor_report(n, comparison, reference.radius[n], scale.get(n, 0.0), checkpoint)
        for n in candidate
    )
    report = replace(
        blank,
        tensors=tensors,
        budget_used=max(tensor.budget_used for tensor in tensors),
        detection_limit=max(tensor.detection_limit for tensor in tensors),
        reference_kind=reference.kind,
        entries=sum(tensor.size for tensor in candidate.values()),
    )
    within = report.budget_used <= 1.0
    if within:
        report = _within(report)
        if question.in_the_mean is not None and how.stores_narrower:
            report = _in_the_mean(report, question.in_the_mean(how, comparison))
            if report.verdict is Verdict.FAIL:
                return report
        del comparison, reference, allowed  # The textbook's are as large.
    # Of a candidate that is right the textbook alone is asked about.
    tried = [d for d in deltas.others(question.delta) if d == 0.0 or not within]
    right = {
        d: _right_for(d, candidate, how, question.evaluate, checkpoint, tell=not within)
        for d in tried
    }
    matched = [d for d, names in right.items() if len(names) == len(candidate)]
    if within:
        unique = None if matched else question.delta
        return replace(report, matched_delta=unique)
    report = replace(report, matched_delta=matched[0] if matched else None)

    # A hypothesis 1e308 times too large is off by infinity or NaN, and does not fit.
    with np.errstate(all="ignore"):
        findings = (
            (deltas.finding(matched[0], delta, question.with_delta),)
            if matched
            else _explanation(question, comparison, how)
        )
    plain = right.get(0.0, ())
    outside = [t.name for t in tensors if t.budget_used > 1.0 and t.name in plain]
    notes = () if matched or not outside else (_without_delta(outside, delta),)
    return replace(report, findings=findings, summary=_sentence_of(findings, tensors), notes=notes)


def _in_the_mean(report: Report, mean: InTheMean) -> Report:
    """Return the report with what is seen in the mean, where entries alone tell little."""
    if mean.findings:
        summary = _sentence(mean.findings[0])
        return replace(
            report,
            verdict=Verdict.FAIL,
            reason=None,
            findings=mean.findings,
            summary=summary,
            notes=(),
        )
    note = (
        f"An entry that is off by {report.detection_limit:.2g} of the largest, or a tensor that is "
        f"off by {mean.limit:.2%} as a whole, would have been seen."
    )
    return replace(report, notes=(*report.notes, note))


def _explanation(
    question: Question, comparison: Comparison, how: Arithmetic
) -> tuple[Finding, ...]:
    from oracle.checking.diagnosis import explain_tensors  # noqa: PLC0415

    if question.in_the_mean is not None and how.stores_narrower:
        named = question.in_the_mean(how, comparison).findings
        if named and named[0].kind is not FindingKind.UNEXPLAINED:
            return named
    try:
        return question.explain(comparison)
    except np.linalg.LinAlgError:
        # A least-squares fit overflowed. What the numbers say by themselves needs none.
        return explain_tensors(comparison, question.sizes)


def _allowed(
    rounding: Evaluation, reference: ReferenceGradient, checkpoint: Checkpoint
) -> tuple[dict[str, Float64], Mapping[str, float]]:
    """Return budget plus radius, and the unsaturated sizes; the values are not kept."""
    allowed = {}
    for name, bound in rounding.budget.items():
        checkpoint()
        allowed[name] = np.asarray(bound + reference.radius[name])
    checkpoint()
    return allowed, rounding.scale


def _within(report: Report) -> Report:
    blind = [t.name for t in report.tensors if t.verdict is Verdict.INCONCLUSIVE]
    if blind:
        right = [t.name for t in report.tensors if t.name not in blind]
        summary = (
            f"rounding in {report.candidate_dtype} may halve {_listed(blind)}, or hide an entry of "
            "the size of the largest, so agreement means nothing there"
        )
        if right:
            summary = f"{_listed(right)} {'is' if len(right) == 1 else 'are'} right; " + summary
        return replace(
            report,
            verdict=Verdict.INCONCLUSIVE,
            reason=InconclusiveReason.VACUOUS_BUDGET,
            summary=summary,
            notes=_wider_sums(report),
        )
    zero = [t for t in report.tensors if t.detection_limit >= 1.0]
    half = [t for t in report.tensors if 1.0 > t.detection_limit > HALVED]
    seen = [t.name for t in report.tensors if t not in zero and t not in half]
    said = [f"the gradient is right in {_listed(seen)}"] if seen else []
    if half:
        names = _listed([t.name for t in half])
        said.append(f"of {names} rounding in {report.candidate_dtype} leaves little to be said")
    if zero:
        hidden = [t.name for t in zero]
        are, they = ("is", "it") if len(zero) == 1 else ("are", "they")
        said.append(
            f"{_listed(hidden)} {are} zero within the rounding of {report.candidate_dtype}, "
            f"as {they} must be"
        )
    summary = "; ".join(said)
    if len(seen) == len(report.tensors):
        summary = "the gradient is right in every tensor"
    elif len(zero) == len(report.tensors):
        summary = (
            f"the gradient is zero within the rounding of {report.candidate_dtype}, as it must be"
        )
    notes = tuple(
        f"{t.name} is {t.largest_reference:.0e} at most, which {report.candidate_dtype} cannot "
        f"tell from zero; up to {t.detection_limit * t.largest_reference:.0e} passes"
        for t in zero
    ) + tuple(
        f"the pass says nothing of {t.name}: rounding in {report.candidate_dtype} may hide up to "
        f"{t.detection_limit:.0%} of its largest entry"
        for t in half
    )
    return replace(report, verdict=Verdict.PASS, summary=summary, notes=notes)


def _wider_sums(report: Report) -> tuple[str, ...]:
    """Say how to declare what half-precision kernels usually do, to whom it may help."""
    narrow = {report.candidate_dtype, report.accumulation_dtype} <= {"float16", "bfloat16"}
    hint = 'If its sums are accumulated in float32, say so: accumulation_dtype="float32".'
    return (hint,) if narrow else ()


def _listed(names: Sequence[str]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]


def _without_delta(names: Sequence[str], delta: float) -> str:
    verb = "is" if len(names) == 1 else "are"
    return f"{_listed(names)} {verb} right for delta=0; delta={delta:g} was asked for."


def _right_for(
    delta: float,
    candidate: Mapping[str, Array],
    how: Arithmetic,
    evaluate: Callable[[Arithmetic, float], Evaluation],
    checkpoint: Checkpoint,
    *,
    tell: bool,
) -> tuple[str, ...]:
    """Return the tensors that are right for the loss with another delta.

    Where rounding may do more to a tensor than it is large anything is within its budget; to `tell`
    what was computed it has to be near.
    """
    value = evaluate(how, delta)
    checkpoint()
    # The value errs too: as much as a float64 candidate, and nothing beside a narrower one.
    share = 2.0 if how.w == FLOAT64.w else 1.0

    def off(candidate: Array, value: Float64, budget: Float64) -> Array:
        return np.asarray(~(np.abs(candidate.astype(np.float64) - value) <= share * budget))

    def near(name: str) -> bool:
        g, other = candidate[name], value.tensors[name]
        if not tell or not np.any(other):
            return True
        gap = np.float64(0.0)
        for part in parts(g.size, checkpoint):
            difference = g.ravel()[part].astype(np.float64) - other.ravel()[part]
            gap = max(gap, np.abs(difference).max())
        sizes = (largest_size(g, checkpoint), largest_size(other, checkpoint))
        return bool(LARGER * gap <= min(sizes))

    return tuple(
        n
        for n in candidate
        if not holds_anywhere(
            off, candidate[n], value.tensors[n], value.budget[n], checkpoint=checkpoint
        )
        and near(n)
    )


def _form_faults(
    question: Question,
    gradient: Mapping[str, Array | None],
    dtype: str,
    checkpoint: Checkpoint,
) -> tuple[Finding, ...]:
    faults: list[Finding] = []

    def infinite(a: Array) -> Array:
        return np.asarray(~np.isfinite(a))

    for name in gradient:
        if name not in question.shapes:
            raise InvalidInput("gradient", f"hold {', '.join(question.shapes)} only", name)
    for name, shape in question.shapes.items():
        tensor = gradient.get(name)
        if tensor is None:
            message = f"{name} is missing from the gradient"
            faults.append(Finding(FindingKind.MISSING_TENSOR, name, message))
        elif str(tensor.dtype) != dtype:
            message = f"{name} is {tensor.dtype}, the other tensors are {dtype}"
            faults.append(Finding(FindingKind.DTYPE_MISMATCH, name, message))
        elif tensor.shape != shape:
            message = f"{name} has the shape {tensor.shape}, its parameter has {shape}"
            faults.append(Finding(FindingKind.SHAPE_MISMATCH, name, message))
        elif (first := first_of(infinite, tensor, checkpoint=checkpoint)) is not None:
            count = int(tensor.size - np.count_nonzero(np.isfinite(tensor)))
            message = f"{name} holds {count:,} of {tensor.size:,} entries that are not finite"
            evidence = {"entries": float(count), **{f"index_{k}": i for k, i in enumerate(first)}}
            faults.append(Finding(FindingKind.NOT_FINITE, name, message, evidence=evidence))
    return tuple(faults)


def _held(gradient: Mapping[str, Array | None], name: str) -> Array:
    tensor = gradient[name]
    return np.zeros(0) if tensor is None else tensor


def _sentence_of(findings: tuple[Finding, ...], tensors: tuple[TensorReport, ...]) -> str:
    if len(findings) == 1 and findings[0].kind is not FindingKind.UNEXPLAINED:
        return _sentence(findings[0])
    wrong = [tensor.name for tensor in tensors if tensor.verdict is Verdict.FAIL]
    return f"the gradient is wrong in {_listed(wrong)}"


_END = re.compile(r"(?<!(?<!\.)\.\.)\.(?: |$)")
"""The full stop of a sentence, which may follow the three dots of a list."""


def _sentence(finding: Finding) -> str:
    """Return the first sentence of a finding, to be read after a colon."""
    sentence = _END.split(finding.message, maxsplit=1)[0]
    word = sentence.split(" ", 1)[0]
    return sentence[0].lower() + sentence[1:] if word[1:].islower() else sentence
