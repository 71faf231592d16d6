"""A numerical gradient judged as what it is: the central difference with a stated step.

    d_i = (f(x + h e_i) - f(x - h e_i)) / 2h

f is asked for the same values, so that the truncation of the difference, which the derivative
itself does not have, is the same on both sides; what is left is the rounding of f over h. Every
entry is compared, or as many as the evaluations allow: these are drawn by the seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oracle.checking.black_box import noise
from oracle.checking.black_box.conversation import Check, CheckTask, Evaluation, Probe, TensorSpec
from oracle.checking.black_box.ladder import Line
from oracle.checking.black_box.session import Session, Steps, TimeSpent
from oracle.findings import FindingKind, InconclusiveReason
from oracle.splitmix import outputs, positive_signs
from oracle.values import Entry, Finding, Measurement, Report, TensorReport, Verdict

TOGETHER = 256
"""Entries of one ask: what many workers have at a time, and a message holds easily."""
NOISES = 4.0
"""Noises of f by which the difference of two values may be off: two of each, on either side."""
SHOWN = 16
"""Wrong entries that are shown of a tensor."""


@dataclass
class Compared:
    """One entry: what the gradient predicts over 2h, what f does, and what may lie between."""

    entry: int
    predicted: float
    measured: float
    one_sided: float
    allowed: float
    width: float

    def off(self, ratio: float = 1.0) -> float:
        """Return how far the prediction is off, in what is allowed."""
        return abs(self.predicted - ratio * self.measured) / (max(1.0, abs(ratio)) * self.allowed)


def check(task: CheckTask, step: float) -> Check:
    """Judge a gradient as the central difference with a step.

    Parameters
    ----------
    task : CheckTask
        The tensors of x and the effort.
    step : float
        h.

    Returns
    -------
    generator
        Yields `Ask`, is sent an `Answer`, returns a `Report` of measured kind.
    """
    session = Session(task)
    faults = [spec.fault for spec in task.tensors if spec.fault is not None]
    if faults:
        return _report(session, step, {}, faults, whole=False)
    found: dict[int, list[Compared]] = {}
    whole = False
    try:
        largest = max(range(len(task.tensors)), key=lambda k: task.tensors[k].gradient_norm)
        spec = task.tensors[largest]
        if session.affords(2 * noise.POINTS + 3):
            line = Line(largest, 0, spec.size, task.seed + 1)
            yield from session.measure_noise(line, spec, 2)
        entries, whole = _entries(session)
        for begin in range(0, len(entries), TOGETHER):
            yield from _compare(session, step, entries[begin : begin + TOGETHER], found)
    except TimeSpent:
        whole = False
    return _report(session, step, found, [], whole=whole)


def _entries(session: Session) -> tuple[list[tuple[int, int]], bool]:
    """Return the entries to compare, all or a sample, and whether these are all."""
    specs = session.task.tensors
    total = sum(spec.size for spec in specs)
    # Every ask holds x itself once more.
    affordable = max(0, (session.left * TOGETHER) // (2 * TOGETHER + 1))
    bounds = np.cumsum([0, *(spec.size for spec in specs)])
    if total <= affordable:
        chosen = np.arange(total)
    else:
        drawn = outputs(session.task.seed, 0, 2 * affordable) % np.uint64(total)
        chosen = np.unique(drawn.astype(np.int64))[:affordable]
    tensors = np.searchsorted(bounds, chosen, side="right") - 1
    pairs = [(int(k), int(n - bounds[k])) for k, n in zip(tensors, chosen, strict=True)]
    return pairs, total <= affordable


def _compare(
    session: Session,
    step: float,
    entries: Sequence[tuple[int, int]],
    found: dict[int, list[Compared]],
) -> Steps[None]:
    seed = session.task.seed
    probes = [
        Probe(tensor, entry, entry + 1, seed, side * step)
        for tensor, entry in entries
        for side in (1.0, -1.0)
    ]
    answers = yield from session.ask(probes, "central differences")
    for n, (tensor, entry) in enumerate(entries):
        up, down = answers[2 * n : 2 * n + 2]
        if not bool(positive_signs(seed, entry, entry + 1)[0]):
            up, down = down, up
        compared = _compared(session, step, entry, (up, down), session.task.tensors[tensor])
        if compared is not None:
            found.setdefault(tensor, []).append(compared)


def _compared(
    session: Session, step: float, entry: int, ends: tuple[Evaluation, Evaluation], spec: TensorSpec
) -> Compared | None:
    """Return one entry, or None where f has no value."""
    up, down = ends
    if up.outside or down.outside or not all(map(math.isfinite, (up.value, down.value))):
        return None
    width = up.moved + down.moved
    predicted, measured = up.predicted - down.predicted, up.value - down.value
    unit = noise.unit_roundoff(spec.gradient_dtype or spec.dtype)
    # The candidate divides by 2h, and x holds a step that is rounded.
    stretched = abs(2 * step - width) / (2 * step)
    relative = 4 * unit + 2 * session.unit + stretched
    largest = max(abs(up.value), abs(down.value))
    blur = NOISES * max(session.noise, 2 * session.unit * largest)
    allowed = blur + relative * max(abs(predicted), abs(measured)) + 5e-324
    one_sided = 2 * (up.value - session.value)
    return Compared(entry, predicted, measured, one_sided, allowed, width)


def _report(
    session: Session,
    step: float,
    found: dict[int, list[Compared]],
    faults: list[Finding],
    *,
    whole: bool,
) -> Report:
    task = session.task
    tensors = tuple(_tensor(task.tensors[k], rows, whole=whole) for k, rows in found.items())
    wrong = [t for t in tensors if t.verdict is Verdict.FAIL]
    verdict, reason = Verdict.INCONCLUSIVE, InconclusiveReason.BUDGET_SPENT
    total, seen = sum(t.size for t in task.tensors), sum(map(len, found.values()))
    if wrong or faults:
        verdict = Verdict.FAIL
    elif not session.defined or (whole and seen < total):
        reason = InconclusiveReason.DOMAIN
    elif session.scatter > 0:
        reason = InconclusiveReason.NOT_DETERMINISTIC
    elif whole:
        verdict = Verdict.PASS
    named = f"the central difference with h = {step:g}"
    summaries = {
        Verdict.PASS: f"the gradient is {named}",
        Verdict.FAIL: f"the gradient is not {named}" if tensors else "the gradient does not fit x",
        Verdict.INCONCLUSIVE: f"{seen:,} of {total:,} entries were compared with {named}",
    }
    notes: tuple[str, ...] = ()
    if verdict is Verdict.INCONCLUSIVE and not whole and seen:
        notes = (f"All entries take max_evaluations={2 * total + 2 * noise.POINTS + 64}.",)
    if verdict is Verdict.PASS:
        notes = ("That the difference is near the derivative is for a check without method=.",)
    findings = (*faults, *_findings(session, found))
    return Report(
        subject=task.subject,
        verdict=verdict,
        reason=reason if verdict is Verdict.INCONCLUSIVE else None,
        summary=summaries[verdict],
        findings=findings,
        tensors=tensors,
        budget_used=max((t.budget_used for t in tensors), default=0.0),
        detection_limit=max((t.detection_limit for t in tensors), default=math.inf),
        candidate_dtype=task.tensors[0].gradient_dtype or task.tensors[0].dtype,
        accumulation_dtype=task.value_dtype,
        reference_kind=None,
        entries=seen,
        measurement=Measurement(
            session.used, session.value, session.noise if session.at_x else 0.0,
            session.scatter == 0, 0.0 if whole else 1.0,
        ),
        notes=notes,
    )  # fmt: skip


def _tensor(spec: TensorSpec, rows: Sequence[Compared], *, whole: bool) -> TensorReport:
    used = max(row.off() for row in rows)
    largest = max(abs(row.measured / row.width) for row in rows)
    widest = max(row.allowed / row.width for row in rows)
    wrong = [row for row in rows if row.off() > 1]
    verdict = Verdict.FAIL if wrong else Verdict.PASS if whole else Verdict.INCONCLUSIVE
    worst = tuple(_entry(spec, row) for row in _worst(wrong))
    limit = widest / largest if largest else math.inf
    return TensorReport(
        spec.name, spec.shape, verdict, used, limit, largest, widest, worst, len(wrong)
    )


def _worst(rows: Sequence[Compared]) -> list[Compared]:
    return sorted(rows, key=lambda row: -row.off())[:SHOWN]


def _entry(spec: TensorSpec, row: Compared) -> Entry:
    index = tuple(int(i) for i in np.unravel_index(row.entry, spec.shape)) if spec.shape else ()
    width = row.width
    return Entry(index, row.predicted / width, row.measured / width, row.allowed / width)


def _findings(session: Session, found: dict[int, list[Compared]]) -> list[Finding]:
    """Name what is wrong: a factor, a difference to one side, or entries."""
    findings = []
    for tensor, rows in found.items():
        wrong = [row for row in rows if row.off() > 1]
        if not wrong:
            continue
        spec = session.task.tensors[tensor]
        name, ratio = spec.name, _ratio(rows)
        entries = tuple(_entry(spec, row) for row in _worst(wrong))
        if all(abs(row.predicted - row.one_sided) <= row.allowed for row in rows):
            message = f"{name} is the difference to one side, (f(x + h) - f(x)) / h."
            remedy = "Divide f(x + h) - f(x - h) by 2h: its error falls with h^2."
            findings.append(Finding(FindingKind.UNEXPLAINED, name, message, remedy, {}, entries))
        elif ratio and all(row.off(ratio) <= 2 for row in rows):
            message = f"{name} is {ratio:.4g} times the central difference."
            remedy = "Divide f(x + h) - f(x - h) by 2h, not by another multiple of h."
            evidence = {"factor": ratio}
            findings.append(
                Finding(FindingKind.TENSOR_FACTOR, name, message, remedy, evidence, entries)
            )
        else:
            message = f"{name} differs from the central difference in {len(wrong):,} entries."
            remedy = "Put x_i back before the next entry is moved, and take h as it is stated."
            findings.append(Finding(FindingKind.SINGLE_ENTRIES, name, message, remedy, {}, entries))
    return findings


def _ratio(rows: Sequence[Compared]) -> float:
    bottom = sum((row.measured / row.allowed) ** 2 for row in rows)
    top = sum(row.predicted * row.measured / row.allowed**2 for row in rows)
    return top / bottom if bottom else 0.0
