"""Verdicts on gradients of known functions; the tolerance follows from the arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from oracle.checking import budget
from oracle.checking.budget import Arithmetic, Evaluation
from oracle.checking.comparison import Comparison
from oracle.enclosure import losses as enclosed_losses
from oracle.enclosure import simple_net as enclosed_simple_net
from oracle.enclosure import two_layer_net as enclosed_two_layer_net
from oracle.findings import FindingKind, InconclusiveReason
from oracle.reference.requirements import (
    require_delta,
    require_floating,
    require_rank,
    require_shape,
    require_simple_net,
    require_targets,
    require_two_layer_net,
    widen,
    widen_targets,
)
from oracle.reference.targets import distribution
from oracle.slices import entrywise, first_of, holds_anywhere, largest_size
from oracle.values import (
    DELTA,
    HISTOGRAM_EDGES,
    Array,
    BudgetMap,
    Checkpoint,
    Entry,
    Finding,
    Float64,
    InvalidInput,
    ReferenceGradient,
    ReferenceKind,
    Report,
    TensorReport,
    TwoLayerNetParameters,
    Verdict,
    never_stop,
)

ENCLOSURE_LIMIT = 20_000_000
"""Multiply-adds of a forward pass up to which balls are used: about half a second."""

ENCLOSURE_ENTRIES = 300_000
"""Entries of a gradient, and numbers in the layers, up to which balls are used: a matrix of them
takes 40 ms, and the softmax of them some seconds.
"""

HALVED = 0.5
"""Share of the gradient that must not pass in its place.

A tensor whose every entry may be off by half of itself could be halved, and a budget of its largest
entry hides one entry of that size: agreement means nothing in either case.
"""

WORST_ENTRIES = 5
"""Entries of a tensor that a report shows."""

SURVEYED = 2**18
"""Entries counted between two checkpoints: about 20 ms."""

VANISHING = 1e-4
"""Share of its unsaturated size below which a gradient that rounding hides counts as zero.

Saturated outputs have gradients of 1e-12 or 1e-40, which no evaluation in the candidate's type can
tell from zero. Zero is then the right answer, and a candidate that is not zero within rounding
fails. Where rounding hides more than this share, the check is inconclusive.
"""

_FLOAT64 = budget.arithmetic("float64")

Explain = Callable[[Comparison], tuple[Finding, ...]]


def gradient_two_layer_net(
    parameters: TwoLayerNetParameters,
    x: Array,
    t: Array,
    *,
    delta: float = DELTA,
    checkpoint: Checkpoint = never_stop,
) -> ReferenceGradient:
    """Return the exact derivative of the two-layer net's loss, with a bound on its own error.

    Balls up to `ENCLOSURE_LIMIT` multiply-adds and `ENCLOSURE_ENTRIES` numbers, float64 with its
    derived bound above. Shapes as in `TwoLayerNetParameters`; `x` (N, D) or (D,).
    """
    require_two_layer_net(parameters, x, t, checkpoint=checkpoint)
    require_delta(delta)
    D, H = parameters.W1.shape
    K = parameters.W2.shape[1]
    samples = 1 if x.ndim == 1 else x.shape[0]
    if _affordable(samples * (D * H + H * K), H * (D + K), samples * (H + K)):
        return enclosed_two_layer_net.gradient(parameters, x, t, delta=delta, checkpoint=checkpoint)
    ours = budget.two_layer_net(parameters, x, t, _FLOAT64, delta=delta, checkpoint=checkpoint)
    return _derived(ours.tensors, ours.budget, checkpoint)


def gradient_simple_net(
    W: Array, x: Array, t: Array, *, delta: float = DELTA, checkpoint: Checkpoint = never_stop
) -> ReferenceGradient:
    """Return the exact derivative of the simple net's loss, tensor "W"; see the two-layer net."""
    require_simple_net(W, x, t, checkpoint=checkpoint)
    require_delta(delta)
    samples = 1 if x.ndim == 1 else x.shape[0]
    if _affordable(samples * W.size, W.size, samples * W.shape[1]):
        return enclosed_simple_net.gradient(W, x, t, delta=delta, checkpoint=checkpoint)
    ours = budget.simple_net(W, x, t, _FLOAT64, delta=delta, checkpoint=checkpoint)
    return _derived(ours.tensors, ours.budget, checkpoint)


def gradient_mean_squared_error(
    y: Array, t: Array, *, checkpoint: Checkpoint = never_stop
) -> ReferenceGradient:
    """Return y - t, the derivative of ½ Σ (y - t)² with respect to `y`, tensor "y"."""
    _require_pair(y, t, checkpoint)
    if _affordable(y.size, y.size):
        return enclosed_losses.mean_squared_error_gradient(y, t, checkpoint=checkpoint)
    bound = budget.mean_squared_error(y, t, _FLOAT64, checkpoint)
    return _derived({"y": _difference(y, t, checkpoint)}, bound, checkpoint)


def gradient_cross_entropy_error(
    y: Array, t: Array, *, delta: float = DELTA, checkpoint: Checkpoint = never_stop
) -> ReferenceGradient:
    """Return -t / (y + delta) / N, the derivative with respect to `y` (N, K) or (K,), tensor "y".

    Raises
    ------
    InvalidInput
        If y + delta is zero where a target is not.
    """
    _require_probabilities(y, t, delta, checkpoint)
    targets = distribution(t, y.shape[-1], checkpoint).reshape(y.shape)
    samples = 1 if y.ndim == 1 else len(y)

    def infinite(y: Array, targets: Float64) -> Array:
        return np.asarray((y.astype(np.float64) + delta == 0.0) & (targets != 0.0))

    def value(y: Array, targets: Float64) -> Float64:
        guarded = np.maximum(y.astype(np.float64) + delta, 5e-324)
        return np.where(targets == 0.0, 0.0, -targets / guarded / samples)

    if holds_anywhere(infinite, y, targets, checkpoint=checkpoint):
        raise InvalidInput("delta", "be positive where `y` is 0", str(delta))
    if _affordable(y.size, y.size):
        return enclosed_losses.cross_entropy_error_gradient(
            y, t, delta=delta, checkpoint=checkpoint
        )
    bound = budget.cross_entropy_error(y, t, _FLOAT64, delta=delta, checkpoint=checkpoint)
    found = entrywise(value, y, targets, checkpoint=checkpoint)
    return _derived({"y": found}, bound, checkpoint)


def check_two_layer_net(
    parameters: TwoLayerNetParameters,
    x: Array,
    t: Array,
    gradient: Mapping[str, Array | None],
    *,
    delta: float = DELTA,
    accumulation_dtype: str | None = None,
    checkpoint: Checkpoint = never_stop,
) -> Report:
    """Check a candidate gradient of the two-layer net, tensors "W1", "b1", "W2", "b2".

    Parameters
    ----------
    parameters, x, t
        The inputs at which the candidate was computed.
    gradient : mapping
        The candidate; its dtype is the arithmetic that it is judged by.
    delta : float
        Guard inside the logarithm of the loss that is meant; 0 for the textbook loss.
    accumulation_dtype : str, optional
        Type of the candidate's sums, if wider than its own.
    checkpoint : callable
        Called at least every 50 ms.

    Returns
    -------
    Report
    """
    require_two_layer_net(parameters, x, t, checkpoint=checkpoint)
    require_delta(delta)
    D, H = parameters.W1.shape
    K = parameters.W2.shape[1]
    sizes = {"N": 1 if x.ndim == 1 else x.shape[0], "D": D, "H": H, "K": K}
    shapes = {name: tensor.shape for name, tensor in parameters.tensors().items()}

    def explain(comparison: Comparison) -> tuple[Finding, ...]:
        from oracle.checking.diagnosis import explain_two_layer_net  # noqa: PLC0415

        return explain_two_layer_net(parameters, x, t, comparison, delta=delta)

    question = _Question(
        "two-layer net",
        shapes,
        sizes,
        delta,
        lambda: gradient_two_layer_net(parameters, x, t, delta=delta, checkpoint=checkpoint),
        lambda how, d: budget.two_layer_net(parameters, x, t, how, delta=d, checkpoint=checkpoint),
        explain,
    )
    return _check(question, gradient, accumulation_dtype, checkpoint)


def check_simple_net(
    W: Array,
    x: Array,
    t: Array,
    gradient: Mapping[str, Array | None],
    *,
    delta: float = DELTA,
    accumulation_dtype: str | None = None,
    checkpoint: Checkpoint = never_stop,
) -> Report:
    """Check a candidate gradient of the simple net, tensor "W"; see `check_two_layer_net`."""
    require_simple_net(W, x, t, checkpoint=checkpoint)
    require_delta(delta)
    D, K = W.shape
    sizes = {"N": 1 if x.ndim == 1 else x.shape[0], "D": D, "K": K}

    def explain(comparison: Comparison) -> tuple[Finding, ...]:
        from oracle.checking.diagnosis import explain_simple_net  # noqa: PLC0415

        return explain_simple_net(W, x, t, comparison, sizes, delta=delta)

    question = _Question(
        "simple net",
        {"W": W.shape},
        sizes,
        delta,
        lambda: gradient_simple_net(W, x, t, delta=delta, checkpoint=checkpoint),
        lambda how, d: budget.simple_net(W, x, t, how, delta=d, checkpoint=checkpoint),
        explain,
    )
    return _check(question, gradient, accumulation_dtype, checkpoint)


def check_mean_squared_error(
    y: Array,
    t: Array,
    gradient: Mapping[str, Array | None],
    *,
    accumulation_dtype: str | None = None,
    checkpoint: Checkpoint = never_stop,
) -> Report:
    """Check a candidate derivative of the mean squared error, tensor "y"."""
    _require_pair(y, t, checkpoint)
    sizes = _loss_sizes(y)

    def evaluate(how: Arithmetic, _: float) -> Evaluation:
        value = _difference(y, t, checkpoint)
        size = max(largest_size(y, checkpoint), largest_size(t, checkpoint))
        bound = budget.mean_squared_error(y, t, how, checkpoint)
        return Evaluation({"y": value}, bound, {"y": size})

    def explain(comparison: Comparison) -> tuple[Finding, ...]:
        from oracle.checking.diagnosis import explain_mean_squared_error  # noqa: PLC0415

        return explain_mean_squared_error(y, t, comparison, sizes)

    question = _Question(
        "mean squared error",
        {"y": y.shape},
        sizes,
        None,
        lambda: gradient_mean_squared_error(y, t, checkpoint=checkpoint),
        evaluate,
        explain,
    )
    return _check(question, gradient, accumulation_dtype, checkpoint)


def check_cross_entropy_error(
    y: Array,
    t: Array,
    gradient: Mapping[str, Array | None],
    *,
    delta: float = DELTA,
    accumulation_dtype: str | None = None,
    checkpoint: Checkpoint = never_stop,
) -> Report:
    """Check a candidate derivative of the cross-entropy error by `y`, tensor "y"."""
    _require_probabilities(y, t, delta, checkpoint)
    sizes = _loss_sizes(y)
    targets = distribution(t, y.shape[-1], checkpoint).reshape(y.shape)
    samples = 1 if y.ndim == 1 else len(y)

    def evaluate(how: Arithmetic, d: float) -> Evaluation:
        def by_entry(y: Array, targets: Float64) -> Float64:
            guarded = np.maximum(y.astype(np.float64) + d, np.finfo(np.float64).tiny)
            return np.asarray(-targets / guarded / samples)

        value = entrywise(by_entry, y, targets, checkpoint=checkpoint)
        bound = budget.cross_entropy_error(y, t, how, delta=d, checkpoint=checkpoint)
        return Evaluation({"y": value}, bound, {"y": 1.0 / samples})

    def explain(comparison: Comparison) -> tuple[Finding, ...]:
        from oracle.checking.diagnosis import explain_cross_entropy_error  # noqa: PLC0415

        return explain_cross_entropy_error(y, targets, comparison, sizes, delta=delta)

    question = _Question(
        "cross-entropy error",
        {"y": y.shape},
        sizes,
        delta,
        lambda: gradient_cross_entropy_error(y, t, delta=delta, checkpoint=checkpoint),
        evaluate,
        explain,
    )
    return _check(question, gradient, accumulation_dtype, checkpoint)


@dataclass(frozen=True)
class _Question:
    subject: str
    shapes: Mapping[str, tuple[int, ...]]
    sizes: Mapping[str, int]
    delta: float | None
    exact: Callable[[], ReferenceGradient]
    evaluate: Callable[[Arithmetic, float], Evaluation]
    explain: Explain


def _check(
    question: _Question,
    gradient: Mapping[str, Array | None],
    accumulation_dtype: str | None,
    checkpoint: Checkpoint,
) -> Report:
    sent = [str(g.dtype) for g in gradient.values() if g is not None] or ["float64"]
    dtype = next((name for name in sent if name in budget.TYPES), sent[0])
    if dtype not in budget.TYPES:
        raise InvalidInput("gradient", "be float64, float32, float16 or bfloat16", dtype)
    how = budget.arithmetic(dtype, accumulation_dtype)
    blank = Report(
        subject=question.subject,
        verdict=Verdict.FAIL,
        reason=None,
        summary="",
        findings=(),
        tensors=(),
        budget_used=float("inf"),
        detection_limit=float("inf"),
        candidate_dtype=how.dtype,
        accumulation_dtype=how.accumulation_dtype,
        reference_kind=ReferenceKind.ENCLOSURE,
        entries=0,
        delta=question.delta,
        sizes=question.sizes,
    )
    faults = _form_faults(question, gradient, dtype, checkpoint)
    if faults:
        return replace(blank, findings=faults, summary=_sentence(faults[0]))

    candidate = {name: _held(gradient, name) for name in question.shapes}
    reference = question.exact()
    delta = question.delta if question.delta is not None else 0.0
    allowed, scale = _allowed(question.evaluate(how, delta), reference, checkpoint)
    comparison = Comparison(candidate, reference.tensors, allowed, how.u, checkpoint)
    tensors = tuple(
        _tensor_report(n, comparison, reference.radius[n], scale.get(n, 0.0), checkpoint)
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
        del comparison, reference, allowed  # The textbook's are as large.
    plain = _textbook(candidate, how, question.evaluate, checkpoint) if delta else ()
    textbook = len(plain) == len(candidate)
    if question.delta == 0.0:
        report = replace(report, matched_delta=0.0 if within else None)
    elif question.delta is not None and within != textbook:
        report = replace(report, matched_delta=question.delta if within else 0.0)
    if within:
        return report

    # A hypothesis 1e308 times too large is off by infinity or NaN, and does not fit.
    with np.errstate(all="ignore"):
        findings = (_delta_ignored(delta),) if textbook else _explanation(question, comparison)
    outside = [t.name for t in tensors if t.budget_used > 1.0 and t.name in plain]
    notes = () if textbook or not outside else (_without_delta(outside, delta),)
    return replace(report, findings=findings, summary=_sentence_of(findings, tensors), notes=notes)


def _explanation(question: _Question, comparison: Comparison) -> tuple[Finding, ...]:
    from oracle.checking.diagnosis import explain_tensors  # noqa: PLC0415

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
        allowed[name] = np.add(bound, reference.radius[name], out=bound)
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
    if len(zero) == len(report.tensors):
        summary = (
            f"the gradient is zero within the rounding of {report.candidate_dtype}, as it must be"
        )
    else:
        summary = "the gradient is right in every tensor"
    notes = tuple(
        f"{t.name} is {t.largest_reference:.0e} at most, which {report.candidate_dtype} cannot "
        f"tell from zero; up to {t.detection_limit * t.largest_reference:.0e} passes"
        for t in zero
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


def _textbook(
    candidate: Mapping[str, Array],
    how: Arithmetic,
    evaluate: Callable[[Arithmetic, float], Evaluation],
    checkpoint: Checkpoint,
) -> tuple[str, ...]:
    """Return the tensors that are right for the loss without delta."""
    value = evaluate(how, 0.0)
    checkpoint()
    # The value errs too: as much as a float64 candidate, and nothing beside a narrower one.
    share = 2.0 if how.u == _FLOAT64.u else 1.0

    def off(candidate: Array, value: Float64, budget: Float64) -> Array:
        return np.asarray(~(np.abs(candidate.astype(np.float64) - value) <= share * budget))

    return tuple(
        n
        for n in candidate
        if not holds_anywhere(
            off, candidate[n], value.tensors[n], value.budget[n], checkpoint=checkpoint
        )
    )


def _form_faults(
    question: _Question,
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


def _delta_ignored(delta: float) -> Finding:
    return Finding(
        FindingKind.DELTA_IGNORED,
        "",
        f"the gradient is exact for the loss -log(y), but the loss that was asked for is "
        f"-log(y + {delta:g})",
        f"multiply each sample's (y - t) / N by y_t / (y_t + {delta:g}), or ask for delta=0",
        {"delta": delta, "matched_delta": 0.0},
    )


def _tensor_report(
    name: str, comparison: Comparison, radius: Float64, scale: float, checkpoint: Checkpoint
) -> TensorReport:
    candidate, reference = comparison.candidate[name], comparison.reference[name]
    allowed = comparison.allowed[name]

    def used_share(candidate: Array, reference: Float64, allowed: Float64) -> Float64:
        return np.asarray(np.abs(candidate.astype(np.float64) - reference) / allowed)

    with np.errstate(over="ignore"):
        share = entrywise(used_share, candidate, reference, allowed, checkpoint=checkpoint)
    checkpoint()
    largest = comparison.largest(name)
    checkpoint()
    widest = float(allowed.max(initial=0.0))
    checkpoint()
    used = float(share.max(initial=0.0))
    checkpoint()
    limit = widest / largest if largest > 0.0 else 0.0
    verdict = Verdict.PASS if used <= 1.0 else Verdict.FAIL
    if verdict is Verdict.PASS and limit >= HALVED and widest > VANISHING * scale:
        tells = limit < 1.0 and holds_anywhere(
            lambda r, bound: np.asarray(HALVED * np.abs(r) > bound),
            reference,
            allowed,
            checkpoint=checkpoint,
        )
        verdict = Verdict.PASS if tells else Verdict.INCONCLUSIVE
    flat = share.ravel()
    order, histogram = _survey(flat, checkpoint)
    worst = tuple(
        Entry(
            tuple(int(i) for i in np.unravel_index(at, share.shape)),
            float(candidate.flat[at]),
            float(reference.flat[at]),
            float(allowed.flat[at]),
        )
        for at in order
    )
    return TensorReport(
        name=name,
        shape=tuple(int(n) for n in share.shape),
        verdict=verdict,
        budget_used=used,
        detection_limit=limit,
        largest_reference=largest,
        radius=float(np.max(radius, initial=0.0)),
        worst=worst,
        wrong_entries=int(np.count_nonzero(share > 1.0)),
        budget_map=_budget_map(share),
        histogram=histogram,
    )


def _survey(flat: Float64, checkpoint: Checkpoint) -> tuple[list[int], tuple[int, ...]]:
    """Return where the worst entries are, the worst first, and the histogram of all."""
    largest: list[int] = []
    counts = np.zeros(len(HISTOGRAM_EDGES) - 1, dtype=np.int64)
    for begin in range(0, flat.size, SURVEYED):
        checkpoint()
        chunk = flat[begin : begin + SURVEYED]
        most = min(WORST_ENTRIES, chunk.size)
        largest += (begin + np.argpartition(-chunk, most - 1)[:most]).tolist()
        counts += np.histogram(np.minimum(chunk, 1e300), bins=np.array(HISTOGRAM_EDGES))[0]
    largest.sort(key=lambda at: -flat[at])
    return largest[:WORST_ENTRIES], tuple(counts.tolist())


def _budget_map(share: Float64) -> BudgetMap:
    grid = np.atleast_2d(share.reshape(share.shape[0], -1) if share.ndim > 1 else share)
    rows, columns = min(64, grid.shape[0]), min(64, grid.shape[1])
    if rows == 0 or columns == 0:
        return BudgetMap(rows, columns, ())
    down = np.arange(rows) * grid.shape[0] // rows
    right = np.arange(columns) * grid.shape[1] // columns
    cells = np.maximum.reduceat(np.maximum.reduceat(grid, down, axis=0), right, axis=1)
    return BudgetMap(rows, columns, tuple(cells.ravel().tolist()))


def _held(gradient: Mapping[str, Array | None], name: str) -> Array:
    tensor = gradient[name]
    return np.zeros(0) if tensor is None else tensor


def _sentence_of(findings: tuple[Finding, ...], tensors: tuple[TensorReport, ...]) -> str:
    if len(findings) == 1 and findings[0].kind is not FindingKind.UNEXPLAINED:
        return _sentence(findings[0])
    wrong = [tensor.name for tensor in tensors if tensor.verdict is Verdict.FAIL]
    return f"the gradient is wrong in {_listed(wrong)}"


def _sentence(finding: Finding) -> str:
    """Return the first sentence of a finding, to be read after a colon."""
    sentence = finding.message.split(". ")[0].rstrip(".")
    word = sentence.split(" ", 1)[0]
    return sentence[0].lower() + sentence[1:] if word[1:].islower() else sentence


def _loss_sizes(y: Array) -> dict[str, int]:
    return {"N": 1 if y.ndim == 1 else y.shape[0], "K": y.shape[-1]} if y.ndim else {}


def _affordable(multiply_adds: int, entries: int, layers: int = 0) -> bool:
    return multiply_adds <= ENCLOSURE_LIMIT and max(entries, layers) <= ENCLOSURE_ENTRIES


def _difference(y: Array, t: Array, checkpoint: Checkpoint) -> Float64:
    return entrywise(
        lambda y, t: y.astype(np.float64) - t.astype(np.float64), y, t, checkpoint=checkpoint
    )


def _derived(
    tensors: Mapping[str, Float64], bound: Mapping[str, Float64], checkpoint: Checkpoint
) -> ReferenceGradient:
    relative = max(
        largest_size(bound[n], checkpoint) / max(largest_size(tensors[n], checkpoint), 5e-324)
        for n in tensors
    )
    return ReferenceGradient(tensors, bound, ReferenceKind.DERIVED_BOUND, relative, False)


def _require_pair(y: Array, t: Array, checkpoint: Checkpoint) -> None:
    widen("y", y, checkpoint)
    widen_targets("t", t, checkpoint)
    require_shape("t", t, y.shape, "the shape of `y`")


def _require_probabilities(y: Array, t: Array, delta: float, checkpoint: Checkpoint) -> None:
    require_floating("y", y, checkpoint)
    require_rank("y", y, (1, 2), "(N, K) or (K,)")
    if holds_anywhere(lambda a: a < 0, y, checkpoint=checkpoint):
        raise InvalidInput("y", "not be negative", f"{y.min():g}")
    require_targets(y.shape, t, checkpoint)
    require_delta(delta)
