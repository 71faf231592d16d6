"""Names for what is wrong with a gradient of which only slopes are known: no formula is needed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from oracle.checking.black_box import location
from oracle.checking.black_box.conversation import TensorSpec
from oracle.checking.black_box.ladder import Line, Slope
from oracle.checking.black_box.session import Session, Steps
from oracle.checking.black_box.subject import Subject
from oracle.findings import FindingKind
from oracle.values import Finding, Verdict

PAIRS = 6
"""Entries of a matrix that are compared with their mirror images."""

CLEAR = 10.0
"""A prediction that exceeds its error bar so far is none that noise could be taken for."""

SHARP = 0.1
"""Share of a slope that its bar may be where the slope speaks for a factor."""

SAME = 1e-3
"""A measured factor that is so near to a whole number, relatively, is called that number."""

WHOLE = 256
"""A larger whole number is near by chance more often than not: 2 x 256 x `SAME` of a gap of 1."""


@dataclass(frozen=True)
class Measured:
    """The slopes of one tensor; the lines of all tensors have the same seeds in the same order."""

    index: int
    spec: TensorSpec
    slopes: Mapping[Line, Slope]
    allowed: float
    wrong: bool

    @classmethod
    def of(cls, subject: Subject, *, wrong: bool) -> Measured:
        """Return what was measured of a tensor, without the slopes that tell nothing."""
        slopes = {line: s for line, s in subject.slopes.items() if math.isfinite(s.error)}
        return cls(subject.index, subject.spec, slopes, subject.allowed, wrong)

    def bar(self, slope: Slope) -> float:
        """Return what a correct slope may be off by."""
        return 2 * slope.error + self.allowed


def common_factor(whole: Measured) -> Finding | None:
    """Name a factor of directions over all tensors."""
    ratio = factor([whole])
    return None if ratio is None else _named_factor("", "every tensor", ratio)


def of_groups(subject: Subject, outcomes: Sequence[Verdict]) -> list[Finding]:
    """Name what is wrong with entries of some sizes, which have directions of their own."""
    wrong = [g for g, v in zip(subject.groups, outcomes, strict=True) if v is Verdict.FAIL]
    only = all(v is not Verdict.INCONCLUSIVE for v in outcomes)
    single = {g.first: g.slopes[g.first] for g in wrong if g.spec.size == 1}
    if len(single) == len(wrong) and only:
        return [location.only(subject.spec, single)]
    findings = []
    name = subject.spec.name
    for group in wrong:
        ratio = factor([Measured.of(group, wrong=True)])
        which = f"{name}, in {group.spec.size:,} entries up to {group.spec.gradient_largest:.2g},"
        if ratio is not None:
            findings.append(_named_factor(name, which, ratio))
            continue
        message = f"{which} is wrong."
        remedy = "Look at what these small entries have in common: a bias, a feature, a unit."
        findings.append(Finding(FindingKind.UNEXPLAINED, name, message, remedy))
    return findings


def blurred(subjects: Sequence[Subject]) -> list[Finding]:
    """Say of tensors that many directions condemn what these show: a factor, or no more."""
    findings = []
    for subject in subjects:
        name = subject.spec.name
        if subject.factor is not None:
            findings.append(_named_factor(name, name, subject.factor))
            continue
        message = f"{name} is wrong: many directions together are off by more than the noise of f."
        remedy = "Compute f in float64 at this x: what blurs the directions then names the cause."
        findings.append(Finding(FindingKind.UNEXPLAINED, name, message, remedy))
    return findings


def explain(session: Session, tensors: Sequence[Measured]) -> Steps[list[Finding]]:
    """Name what is wrong, the simplest cause first.

    Parameters
    ----------
    session : Session
        Asks for the few slopes more that a hypothesis needs.
    tensors : sequence of Measured
        All tensors; `wrong` marks those that failed.

    Returns
    -------
    list of Finding
        At least one if a tensor is wrong.
    """
    wrong = [t for t in tensors if t.wrong]
    if not wrong:
        return []
    still = [t for t in wrong if _still(t)]
    if len(still) == len(tensors):
        return [_unused("", "x", still)]
    zero = [t for t in wrong if t.spec.gradient_largest == 0]
    if len(wrong) == len(tensors) > 1 and not zero:
        ratio = factor(tensors)
        if ratio is not None:
            return [_named_factor("", "every tensor", ratio)]
    findings = [_zero(t) for t in zero] + [_unused(t.spec.name, t.spec.name, [t]) for t in still]
    wrong = [t for t in wrong if t not in zero and t not in still]
    for a, b in _swapped(wrong):
        names = f"{a.spec.name} and {b.spec.name}"
        message = f"{names} stand in each other's place."
        remedy = "Return them the other way round, in the order of x."
        findings.append(Finding(FindingKind.SWAPPED_TENSORS, a.spec.name, message, remedy))
        wrong = [t for t in wrong if t.index not in {a.index, b.index}]
    for tensor in wrong:
        ratio = factor([tensor])
        if ratio is not None and (tensor.spec.size > 1 or _is_common(ratio)):
            findings.append(_named_factor(tensor.spec.name, tensor.spec.name, ratio))
        else:
            findings.append((yield from _layout_or_entries(session, tensor)))
    return findings


def factor(tensors: Sequence[Measured]) -> float | None:
    """Return r where every predicted slope is r times the measured one, within its bar."""
    pairs = [(t, slope) for t in tensors for slope in t.slopes.values()]
    if not pairs:
        return None
    predicted = np.array([slope.predicted for _, slope in pairs])
    measured = np.array([slope.measured for _, slope in pairs])
    bars = np.array([t.bar(slope) for t, slope in pairs])
    told = int(np.count_nonzero(bars <= SHARP * np.maximum(np.abs(predicted), np.abs(measured))))
    if len(pairs) > 1 and told < max(2, len(pairs) // 2):
        return None
    weights = 1 / np.maximum(bars, 1e-150) ** 2
    weights /= weights.max()
    bottom = float(np.sum(weights * measured**2))
    if not bottom > 0:
        return None
    ratio = float(np.sum(weights * predicted * measured)) / bottom
    fits = np.abs(predicted - ratio * measured) <= 2 * max(1.0, abs(ratio)) * bars
    return ratio if ratio and bool(np.all(fits)) else None


def _is_common(ratio: float) -> bool:
    """Tell whether a factor means something of one number, of which any other is a multiple."""
    return any(abs(ratio / common - 1) < SAME for common in (-1.0, 2.0, 0.5))


def _named_factor(tensor: str, name: str, ratio: float) -> Finding:
    what = f"the gradient of {name}" if tensor else "the gradient"
    if abs(ratio + 1) < 1e-2:
        message = f"{name[0].upper() + name[1:] if not tensor else name} has the opposite sign."
        remedy = "Return the derivative itself, and subtract it in the update only."
        if tensor:
            remedy = f"Negate {what}: look for a difference that is taken the wrong way round."
        return Finding(FindingKind.SIGN_FLIPPED, tensor, message, remedy, {"factor": ratio})
    kind = FindingKind.TENSOR_FACTOR if tensor else FindingKind.CONSTANT_FACTOR
    subject = name if tensor else "Every tensor"
    text = f"{ratio:.4g}" if abs(ratio - 1) > 1e-2 else f"1 {ratio - 1:+.2g}"
    message = f"{subject} is {text} times what was measured."
    return Finding(kind, tensor, message, _rescaled(what, ratio, text), {"factor": ratio})


def _rescaled(what: str, ratio: float, text: str) -> str:
    """Say by what to divide or multiply, and where such a factor comes from."""
    times, parts = round(abs(ratio)), round(1 / abs(ratio))
    sign = "-" if ratio < 0 else ""
    if 2 <= times <= WHOLE and abs(abs(ratio) / times - 1) < SAME:
        return (
            f"Divide {what} by {sign}{times}: f takes a mean or a share where the gradient takes "
            "the whole, or a term is added more than once."
        )
    if 2 <= parts <= WHOLE and abs(abs(ratio) * parts - 1) < SAME:
        return (
            f"Multiply {what} by {sign}{parts}: a factor of f is lost on the way back, an exponent "
            "say, or a mean is taken where f takes the sum."
        )
    return f"Divide {what} by {text}: look for a constant that only one of f and the gradient has."


def _zero(tensor: Measured) -> Finding:
    name = tensor.spec.name
    message = f"{name} is all zeros, the slopes of f are not."
    remedy = (
        f"Compute the gradient of {name}: its buffer comes back as it was made, or the way back "
        "to it is cut, by a detach say."
    )
    return Finding(FindingKind.ZERO_TENSOR, name, message, remedy)


def _still(tensor: Measured) -> bool:
    """Tell whether f has no slope at all along a tensor, as far as can be measured."""
    slopes = tensor.slopes.values()
    bars = [2 * tensor.bar(slope) for slope in slopes]
    claimed = any(abs(s.predicted) > CLEAR * bar for s, bar in zip(slopes, bars, strict=True))
    return claimed and all(abs(s.measured) <= bar for s, bar in zip(slopes, bars, strict=True))


def _unused(tensor: str, name: str, still: Sequence[Measured]) -> Finding:
    share = min(
        (abs(slope.measured) + t.bar(slope)) / abs(slope.predicted)
        for t in still
        for slope in t.slopes.values()
        if slope.predicted
    )
    message = (
        f"f changes with {name} by less than {share:.0e} of what the gradient says, if at all."
    )
    remedy = (
        "Make sure that f uses its argument: one that uses a variable from outside, or a copy made "
        "before, never sees the change."
    )
    return Finding(FindingKind.UNEXPLAINED, tensor, message, remedy, {"share": share})


def _swapped(wrong: Sequence[Measured]) -> list[tuple[Measured, Measured]]:
    """Pair tensors whose predicted slopes are the measured ones of the other.

    The signs of a direction depend on the seed and the flat index alone, so that the n-th lines of
    two tensors of one size are the same direction.
    """
    pairs: list[tuple[Measured, Measured]] = []
    for n, a in enumerate(wrong):
        for b in wrong[n + 1 :]:
            taken = any(t is u for pair in pairs for u in pair for t in (a, b))
            if a.spec.size == b.spec.size and not taken and _fits(a, b) and _fits(b, a):
                pairs.append((a, b))
    return pairs


def _fits(candidate: Measured, other: Measured) -> bool:
    """Tell whether the slopes that one tensor predicts are those measured of the other."""
    slopes = {(line.begin, line.end, line.seed): s for line, s in other.slopes.items()}
    rounding = 1e-3 * other.spec.gradient_norm
    shared = [
        (slope, slopes[line.begin, line.end, line.seed])
        for line, slope in candidate.slopes.items()
        if (line.begin, line.end, line.seed) in slopes
    ]
    return len(shared) > 1 and all(
        abs(mine.predicted - theirs.measured) <= 2 * other.bar(theirs) + rounding
        for mine, theirs in shared
    )


def _layout_or_entries(session: Session, tensor: Measured) -> Steps[Finding]:
    name, shape = tensor.spec.name, tensor.spec.shape
    if len(shape) == 2 and min(shape) > 1:
        mirrored = yield from _is_mirrored(session, tensor)
        if mirrored:
            what, remedy = "in the other memory order", "Write it row by row, as x is."
            if shape[0] == shape[1]:
                what = "transposed"
                remedy = "Return its transpose: write dY.T @ x for x.T @ dY, or the reverse."
            return Finding(FindingKind.TRANSPOSED, name, f"{name} is {what}.", remedy)
    if tensor.spec.size > 1:
        found = yield from location.locate(session, tensor.spec, tensor.slopes, tensor.allowed)
        if found is not None:
            return found
    slopes = tensor.slopes.values()
    remedy = "Check the parts of f one after the other: the first that fails holds the bug."
    if tensor.spec.size == 1:
        line, slope = min(tensor.slopes.items(), key=lambda pair: pair[1].error)
        entry = location.entry_of(tensor.spec, line, slope)
        message = f"{name} is {entry.candidate:.6g}, and {entry.reference:.6g} was measured."
        return Finding(FindingKind.UNEXPLAINED, name, message, remedy, entries=(entry,))
    predicted = np.array([s.predicted for s in slopes])
    measured = np.array([s.measured for s in slopes])
    size = float(np.linalg.norm(predicted) * np.linalg.norm(measured))
    cosine = float(predicted @ measured) / size if size > 0 else math.nan
    worst = max(slopes, key=lambda slope: abs(slope.predicted - slope.measured))
    message = (
        f"{name} differs in many directions, and no known cause explains it: at worst the gradient "
        f"predicts a slope of {worst.predicted:.3g}, and {worst.measured:.3g} was measured."
    )
    evidence = {"cosine": cosine} if math.isfinite(cosine) else {}
    return Finding(FindingKind.UNEXPLAINED, name, message, remedy, evidence)


def _is_mirrored(session: Session, tensor: Measured) -> Steps[bool]:
    """Compare what some entries predict with what is measured where they would have come from."""
    rows, columns = tensor.spec.shape
    best = min(tensor.slopes.values(), key=lambda s: s.error)
    rng = np.random.default_rng(session.task.seed)
    flat = sorted({int(n) for n in rng.integers(0, rows * columns, PAIRS)})
    sources = {n: (n % rows) * columns + n // rows for n in flat}
    entries = {*sources, *sources.values()}
    lines = {n: Line(tensor.index, n, n + 1, location.SEED) for n in sorted(entries)}
    if best.step <= 0 or not session.affords(2 * len(lines)):
        return False
    yield from session.measure({line: [best.step] for line in lines.values()}, "diagnosis")
    slopes = {n: session.glance(line, best) for n, line in lines.items()}
    signs = {n: location.sign(n) for n in lines}
    moved = 0
    for here, source in sources.items():
        claimed = signs[here] * slopes[here].predicted
        there = signs[source] * slopes[source].measured
        bar = 2 * (tensor.bar(slopes[source]) + tensor.bar(slopes[here]))
        if not abs(claimed - there) <= bar:
            return False
        moved += abs(slopes[here].excess) > bar
    return moved >= 2
