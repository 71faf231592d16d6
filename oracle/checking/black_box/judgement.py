"""The verdict on a gradient of a function that is known only by its values.

What is measured is the excess e(h) = ([f(x+hd) - f(x-hd)] - <g, (x+hd) - (x-hd)>) / 2h, with the
points that the dtype really holds; it tends to 0 for a correct gradient. Coarse steps may agree
with each other and be wrong, so every finer step has a veto. Bars are estimates, not proofs.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np

from oracle.checking.black_box.conversation import (
    Ask,
    Check,
    CheckTask,
    Evaluation,
    Probe,
    TensorSpec,
)
from oracle.findings import FindingKind, InconclusiveReason
from oracle.splitmix import positive_signs
from oracle.values import (
    Direction,
    Entry,
    Finding,
    Measurement,
    ReferenceKind,
    Report,
    Rung,
    TensorReport,
    Verdict,
)

_MISS = 0.8125
_EXTRA_EVALUATIONS = 320


@dataclass(frozen=True)
class _Slope:
    """The excess along one direction, its error bar, and what else its ladder shows."""

    excess: float
    error: float
    predicted: float
    rung: int
    reason: InconclusiveReason | None
    subgradient: bool
    rungs: tuple[Rung, ...]


def _unit(dtype: str) -> float:
    if dtype == "bfloat16":
        return 2.0**-8
    return float(np.finfo(dtype).eps) / 2


def _ladder(task: CheckTask, spec: TensorSpec) -> list[float]:
    fine = _unit(task.value_dtype) < 1e-12 and _unit(spec.dtype) < 1e-12
    ratio, count = (8.0, 9) if fine else (8.0, 8)
    start = 0.0617 * max(1.0, math.sqrt(spec.mean_square)) / max(1.0, spec.size) ** 0.25
    smallest = 8 * _unit(spec.dtype) * max(spec.largest, 1e-30)
    return [h for h in (start / ratio**k for k in range(count)) if h >= smallest] or [smallest]


def _pairs(index: int, begin: int, end: int, seed: int, steps: Sequence[float]) -> list[Probe]:
    return [Probe(index, begin, end, seed, s * h) for h in steps for s in (1.0, -1.0)]


def _judge(
    steps: Sequence[float], answers: Sequence[Evaluation], value: float, noise: float
) -> _Slope:
    """Choose the rung with the smallest bar after the veto of every finer one."""
    rows = []
    for h, above, below in zip(steps, answers[0::2], answers[1::2], strict=True):
        numbers = (above.value, below.value, above.predicted, below.predicted)
        if above.outside or below.outside or not all(map(math.isfinite, numbers)):
            continue
        predicted = (above.predicted - below.predicted) / (2 * h)
        right = (above.value - value - above.predicted) / h
        left = (value - below.value + below.predicted) / h
        gap = abs(above.value - 2 * value + below.value) / h
        rows.append((h, (right + left) / 2, predicted, noise / h, gap, right, left))
    if len(rows) < 2:
        return _Slope(0, math.inf, 0, 0, InconclusiveReason.DOMAIN, False, ())
    best: tuple[float, float, int] = (math.inf, 0.0, 0)
    rungs = [Rung(rows[0][0], rows[0][1] + rows[0][2], rows[0][1] + rows[0][2], rows[0][3])]
    for k in range(1, len(rows)):
        h, excess, predicted, blur, *_ = rows[k]
        ratio = (rows[k - 1][0] / h) ** 2
        extrapolated = (ratio * excess - rows[k - 1][1]) / (ratio - 1)
        bar = abs(extrapolated - excess) + (ratio * blur + rows[k - 1][3]) / (ratio - 1)
        for finer in rows[k + 1 :]:
            shrink = 2 * abs(excess - extrapolated) * (finer[0] / h) ** 2
            bar = max(bar, abs(finer[1] - extrapolated) - shrink - finer[3])
        if bar < best[0]:
            best = (bar, extrapolated, k)
        rungs.append(Rung(h, excess + predicted, extrapolated + predicted, blur))
    bar, excess, chosen = best
    reason = None
    subgradient = False
    seen = [k for k in range(1, len(rows)) if all(r[4] > 8 * r[3] for r in rows[k - 1 : k + 1])]
    end = seen[-1] if seen else 0
    resolved = any(r[4] + 8 * r[3] < rows[end][4] / 4 for r in rows[end + 1 :])
    if seen and not resolved:
        last, before = rows[end], rows[end - 1]
        power = math.log(before[4] / last[4]) / math.log(before[0] / last[0])
        if power < 0.5:
            reason = InconclusiveReason.JUMP if power < -0.5 else InconclusiveReason.KINK
            low, high = sorted(last[5:7])
            blur = 2 * last[3]
            subgradient = power >= -0.5 and low - blur <= 0 <= high + blur
    return _Slope(excess, bar, rows[chosen][2], chosen, reason, subgradient, tuple(rungs))


def _noise(values: Sequence[float]) -> float:
    """Return the estimate of a difference table of equally spaced values (ECnoise)."""
    table = np.asarray(values, np.float64)
    if not np.all(np.isfinite(table)):
        return 0.0
    levels = []
    for order in range(1, 7):
        table = np.diff(table)
        gamma = math.factorial(order) ** 2 / math.factorial(2 * order)
        levels.append(math.sqrt(gamma * float(np.mean(table**2))))
    return min(levels[3:])


def _locate(  # noqa: PLR0917
    index: int, size: int, steps: Sequence[float], value: float, noise: float, allowed: float
) -> Generator[Ask, Sequence[Evaluation], tuple[int, _Slope] | None]:
    """Halve the range that holds an error; None unless exactly one entry is wrong."""
    begin, end = 0, size
    found: _Slope | None = None
    while end - begin > 1 or found is None:
        middle = (begin + end + 1) // 2
        halves = [(b, e) for b, e in ((begin, middle), (middle, end)) if e > b]
        probes = [p for b, e in halves for p in _pairs(index, b, e, 1, steps)]
        answers = yield Ask(tuple(probes), "locating the error", 0.9)
        width = 2 * len(steps)
        slopes = [
            _judge(steps, answers[i * width : (i + 1) * width], value, noise)
            for i in range(len(halves))
        ]
        wrong = [i for i, s in enumerate(slopes) if abs(s.excess) > 4 * (2 * s.error + allowed)]
        if len(wrong) != 1:
            return None
        found = slopes[wrong[0]]
        begin, end = halves[wrong[0]]
    return begin, found


def _factor(slopes: Sequence[_Slope], allowed: float) -> float | None:
    """Return r where every measured slope is r times the predicted one, within its bar."""
    predicted = np.array([s.predicted for s in slopes])
    measured = predicted + np.array([s.excess for s in slopes])
    if not np.any(measured):
        return None
    ratio = float(predicted @ measured / (measured @ measured))
    bars = np.array([2 * s.error + allowed for s in slopes]) * 4 * max(1.0, abs(ratio))
    return ratio if np.all(np.abs(predicted - ratio * measured) <= bars) else None


def check(task: CheckTask) -> Check:  # noqa: PLR0912, PLR0915
    """Judge a gradient by values of its function.

    Parameters
    ----------
    task : CheckTask
        The tensors of x and the effort.

    Returns
    -------
    generator
        Yields `Ask`, is sent the evaluations in order, returns a `Report` of measured kind.
    """
    value_unit = _unit(task.value_dtype)
    specs = [(i, s) for i, s in enumerate(task.tensors) if s.size]
    ladders = {i: _ladder(task, s) for i, s in specs}
    probes = [Probe(0, 0, 0, task.seed, 0.0)] * 3 if specs else []
    for i, s in specs:
        probes += _pairs(i, 0, s.size, task.seed + 1, ladders[i])
    if specs:
        i, s = max(specs, key=lambda pair: pair[1].gradient_norm)
        spacing = max(ladders[i][-1] / 8, 8 * _unit(s.dtype) * s.largest)
        probes += [Probe(i, 0, s.size, task.seed + 1, k * spacing) for k in range(-4, 5)]
    spent = len(probes)
    if not specs or spent > task.max_evaluations:
        return _report(task, (), (), (), spent=0, value=math.nan, noise=0.0, same=True, miss=1.0)
    answers = yield Ask(tuple(probes), "first directions", 0.0)
    repeats = [a.value for a in answers[:3]]
    value = repeats[0]
    if any(a.outside for a in answers[:3]) or not math.isfinite(value):
        return _report(
            task, (), (), (), spent=spent, value=value, noise=0.0, same=True, miss=1.0,
            reason=InconclusiveReason.DOMAIN,
        )  # fmt: skip
    scatter = max(repeats) - min(repeats)
    level = _noise([a.value - a.predicted for a in answers[-9:]])
    noise = max(2 * value_unit * abs(value), 3 * level, 3 * scatter)

    slopes: dict[int, list[_Slope]] = {}
    place = 3
    for i, _ in specs:
        width = 2 * len(ladders[i])
        slopes[i] = [_judge(ladders[i], answers[place : place + width], value, noise)]
        place += width

    wanted = math.ceil(math.log(task.miss_probability) / math.log(_MISS)) - 1
    room = min(_EXTRA_EVALUATIONS, task.max_evaluations - spent)
    more = max(0, min(wanted, room // (4 * len(specs))))
    short = {}
    for i, _ in specs:
        rung = max(1, slopes[i][0].rung)
        short[i] = ladders[i][rung - 1 : rung + 1]
    if more:
        probes = [
            p
            for i, s in specs
            for n in range(more)
            for p in _pairs(i, 0, s.size, task.seed + 2 + n, short[i])
        ]
        answers = yield Ask(tuple(probes), "random directions", 0.3)
        spent += len(probes)
        place = 0
        for i, _ in specs:
            width = 2 * len(short[i])
            for _ in range(more):
                slopes[i].append(_judge(short[i], answers[place : place + width], value, noise))
                place += width

    largest = max(s.gradient_norm for _, s in specs)
    tensors, directions, findings = [], [], []
    reasons: list[InconclusiveReason] = []
    for i, s in specs:
        allowed = 64 * _unit(s.dtype) * s.gradient_norm
        scale = max(
            s.gradient_norm,
            0.01 * largest,
            *(abs(m.predicted + m.excess) for m in slopes[i]),
        )
        resolution = task.resolution or (1e-3 if max(value_unit, _unit(s.dtype)) < 1e-12 else 3e-2)
        verdicts = []
        kinked = slopes[i][0].reason
        for m in slopes[i]:
            bar = 2 * m.error + allowed
            verdict = Verdict.INCONCLUSIVE
            if kinked or m.reason:
                reasons.append(kinked or m.reason or InconclusiveReason.KINK)
                if slopes[i][0].subgradient and m.subgradient:
                    verdict = Verdict.PASS
                    reasons.pop()
            elif abs(m.excess) > 4 * bar:
                verdict = Verdict.FAIL
            elif abs(m.excess) <= bar <= resolution * scale:
                verdict = Verdict.PASS
            elif scatter:
                reasons.append(InconclusiveReason.NOT_DETERMINISTIC)
            else:
                reasons.append(InconclusiveReason.NOISE)
            verdicts.append(verdict)
            directions.append(
                Direction(
                    s.name, 0, s.size, m.predicted, m.predicted + m.excess, bar, verdict, m.rungs
                )
            )
        widest = max(2 * m.error + allowed for m in slopes[i])
        used = max(abs(m.excess) / max(2 * m.error + allowed, 1e-300) for m in slopes[i])
        worst: tuple[Entry, ...] = ()
        if Verdict.FAIL in verdicts:
            outcome = Verdict.FAIL
            ratio = _factor(slopes[i], allowed)
            if s.gradient_largest == 0:
                message = f"The gradient of {s.name} is zero, the function's is not."
                findings.append(Finding(FindingKind.ZERO_TENSOR, s.name, message))
            elif ratio is not None and s.size > 1:
                kind = FindingKind.SIGN_FLIPPED if ratio < 0 else FindingKind.TENSOR_FACTOR
                message = f"{s.name} is {ratio:.6g} times what was measured."
                evidence = {"factor": ratio}
                findings.append(Finding(kind, s.name, message, f"divide by {ratio:.6g}", evidence))
            elif spent + 8 * (s.size.bit_length() + 1) <= task.max_evaluations:
                located = yield from _locate(i, s.size, short[i], value, noise, allowed)
                spent += 8 * (s.size.bit_length() + 1)
                if located:
                    at, m = located
                    sign = 1.0 if _positive(at) else -1.0
                    where = tuple(int(n) for n in np.unravel_index(at, s.shape))
                    candidate, reference = sign * m.predicted, sign * (m.predicted + m.excess)
                    worst = (Entry(where, candidate, reference, 2 * m.error + allowed),)
                    message = f"Only {s.name}{list(where)} is wrong."
                    findings.append(
                        Finding(FindingKind.SINGLE_ENTRIES, s.name, message, entries=worst)
                    )
        elif Verdict.INCONCLUSIVE in verdicts:
            outcome = Verdict.INCONCLUSIVE
        else:
            outcome = Verdict.PASS
            if slopes[i][0].subgradient:
                message = f"f has a kink at x; {s.name} lies between the one-sided slopes."
                findings.append(Finding(FindingKind.SUBGRADIENT, s.name, message))
        limit = 10 * widest / scale if scale else math.inf
        tensors.append(
            TensorReport(s.name, s.shape, outcome, used, limit, scale, widest, worst, len(worst))
        )
    return _report(
        task, tensors, directions, findings, spent=spent, value=value, noise=noise,
        same=scatter == 0, miss=_MISS ** (more + 1), reason=reasons[0] if reasons else None,
    )  # fmt: skip


def _positive(at: int) -> bool:
    return bool(positive_signs(1, at, at + 1)[0])


def _report(
    task: CheckTask,
    tensors: Sequence[TensorReport],
    directions: Sequence[Direction],
    findings: Sequence[Finding],
    *,
    spent: int,
    value: float,
    noise: float,
    same: bool,
    miss: float,
    reason: InconclusiveReason | None = InconclusiveReason.BUDGET_SPENT,
) -> Report:
    verdicts = [t.verdict for t in tensors]
    verdict = Verdict.INCONCLUSIVE
    if Verdict.FAIL in verdicts:
        verdict = Verdict.FAIL
    elif verdicts and all(v == Verdict.PASS for v in verdicts):
        verdict = Verdict.PASS
    limit = max((t.detection_limit for t in tensors), default=math.inf)
    summary = {
        Verdict.PASS: "The measured slopes agree with the gradient "
        f"(an error above {limit:.1g} would be missed with probability {miss:.2g}).",
        Verdict.FAIL: "The measured slopes contradict the gradient.",
        Verdict.INCONCLUSIVE: f"The values of f do not tell: {reason}.",
    }[verdict]
    return Report(
        subject=task.subject,
        verdict=verdict,
        reason=reason if verdict == Verdict.INCONCLUSIVE else None,
        summary=summary,
        findings=tuple(findings),
        tensors=tuple(tensors),
        budget_used=max((t.budget_used for t in tensors), default=0.0),
        detection_limit=limit,
        candidate_dtype=task.tensors[0].dtype if task.tensors else task.value_dtype,
        accumulation_dtype=task.value_dtype,
        reference_kind=ReferenceKind.MEASURED,
        entries=sum(t.size for t in task.tensors),
        measurement=Measurement(spent, value, noise, same, miss, tuple(directions)),
    )
