"""A function that draws random numbers, as with dropout, is told so soon.

Every ask begins with x itself. Where its values there lie as far apart as a good part of all values
around, up to the longest steps, chance hides whatever slopes there are: every further evaluation
would be in vain.
"""

from __future__ import annotations

import math

from oracle.checking.black_box.conversation import Answer, Ask, Check, CheckTask
from oracle.findings import InconclusiveReason
from oracle.values import Measurement, Report, Verdict

SHARE = 0.25
"""Of the spread of all values. An error bar holds three times that of the values at x: beyond a
quarter it is wider than three quarters of the steepest change, and no tensor passes with it."""


def watched(check: Check, task: CheckTask) -> Check:
    """Let a check go on as long as it is not chance alone that it measures.

    Parameters
    ----------
    check : generator
        The check.
    task : CheckTask
        What it is about.

    Returns
    -------
    generator
        Yields what `check` asks and returns what it does, or that f is not deterministic.
    """
    at_x: list[float] = []
    low, high, count = math.inf, -math.inf, 0
    answer: Answer | None = None
    while True:
        try:
            ask: Ask = check.send(answer)  # type: ignore[arg-type]
        except StopIteration as end:
            return end.value
        answer = yield ask
        count += len(answer.evaluations)
        for probe, evaluation in zip(ask.probes, answer.evaluations, strict=False):
            if evaluation.outside or not math.isfinite(evaluation.value):
                continue
            low, high = min(low, evaluation.value), max(high, evaluation.value)
            if probe.step == 0:
                at_x.append(evaluation.value)
        scatter = max(at_x) - min(at_x) if at_x else 0.0
        if scatter and scatter > SHARE * (high - low):
            check.close()
            return _report(task, count, at_x[0], scatter)


def _report(task: CheckTask, count: int, value: float, scatter: float) -> Report:
    return Report(
        subject=task.subject,
        verdict=Verdict.INCONCLUSIVE,
        reason=InconclusiveReason.NOT_DETERMINISTIC,
        summary="the function gives different values at the same point",
        findings=(),
        tensors=(),
        budget_used=0.0,
        detection_limit=math.inf,
        candidate_dtype=task.tensors[0].gradient_dtype or task.tensors[0].dtype,
        accumulation_dtype=task.value_dtype,
        reference_kind=None,
        entries=sum(t.size for t in task.tensors),
        measurement=Measurement(count, value, 3 * scatter, False, 1.0),
        notes=(f"At x itself it gave values that lie {scatter:.2g} apart.",),
    )
