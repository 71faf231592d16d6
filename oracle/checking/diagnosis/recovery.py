"""What the caller's code must have used, recovered from the gradient that it sent.

W2 and b2 are linear in dY, W1 and b1 in dA1. A family of mistakes with few free numbers is fitted
by least squares; what is recovered is a hypothesis like any other, compared within rounding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from oracle.checking.backward import Pass, output_error, softmax
from oracle.checking.diagnosis.recognition import Recovered, recognised
from oracle.checking.mistakes import ERROR, SOFTMAX
from oracle.diagnosis.comparison import ROUNDINGS, Comparison
from oracle.diagnosis.evidence import balanced, clear_of, even, resolved
from oracle.diagnosis.linear import condition, least_squares
from oracle.diagnosis.tensors import near_1, some
from oracle.findings import FindingKind as Kind
from oracle.values import Array, Finding, Float64

MOST_SAMPLES = 512
"""More samples than this are not searched for what each of them contributes."""

MOST_PRODUCTS = 10**9
"""More multiplications than this are not spent on one recovery."""

MOST_CONDITION = 1e4
"""Inputs of a worse condition than this lose too many digits of what is recovered through them."""

MAPPED = 1e-7
"""Rounding beyond which targets of the classes are not fitted.

At the document's initialisation y varies by 1e-2 from sample to sample, and any smooth function of
it is K numbers for each class but for the cube of that.
"""

SAMPLED = 48
"""Rows of W1 that the numbers of a family are fitted to."""


def outputs(p: Pass, comparison: Comparison) -> Iterator[Recovered]:
    """Yield each dY that W2 and b2 may come from, with what it says about the code.

    Whatever stands in place of y - t, the code may or may not multiply it by what delta makes of
    the right label: the equations are weighted by that, and delta = 0 has a pass of its own.
    """
    widened, values = _layer_2(p, comparison)
    free = spare_equations(p, comparison)
    weighted, share = p.weight * widened, _allowed_share(comparison)
    for found, error in _sharpness(p, weighted, values, free, share):
        yield found, p.weight * error
    for found, error in _mixture(p, weighted, values, free):
        yield found, p.weight * error
    if p.delta:
        yield from _smoothed(p, widened, values, free)
    weights = _sample_weights(p, comparison, each=2)
    if weights is not None:
        yield from _weighted(p, weights)
    squares = (p.output_error**2).sum(axis=1)
    # A smaller change of y is to first order that of many causes, and rounding hides the second.
    least = min(8 * share**0.5, 0.05)
    for dY in output_errors(p, comparison):
        if p.N * np.abs(dY - p.output_error).max() > least:
            yield from recognised(p, dY)
        if 1 < p.N <= free // 2 and np.all(squares > 0):
            yield from _weighted(p, (dY * p.output_error).sum(axis=1) / squares)
    if any(comparison.is_coarse(name) for name in comparison.candidate):
        return  # Many numbers take many digits.
    whole = _allowed_share(comparison) > MAPPED
    for found, error in _class_map(p, p.weight * widened, values, free, whole=whole):
        yield found, p.weight * error
    for found, error in _polynomial(p, p.weight * widened, values, free):
        yield found, p.weight * error


def _allowed_share(comparison: Comparison) -> float:
    largest = comparison.largest("W2")
    return float(comparison.allowed["W2"].max(initial=0.0)) / largest if largest else 1.0


def equations(p: Pass, comparison: Comparison) -> int:
    """Return how many numbers W2 and b2 tell about dY.

    One for each class, or one fewer if the rows of dY sum to zero, for each combination of samples
    that rounding lets be seen: at the document's initialisation z1 is 0.5 everywhere, and it shows
    far fewer than there are samples.
    """
    widened, _ = _layer_2(p, comparison)
    names = [n for n in comparison.candidate if n[-1] == "2"]
    noise = max(clear_of(comparison, n) for n in names)
    tied = p.K > 1 and all(balanced(comparison, n, sent(comparison, n)) for n in names)
    return resolved(widened, p.output_error, noise) * (p.K - tied)


def spare_equations(p: Pass, comparison: Comparison) -> int:
    """Return how many numbers may be fitted to W2 and b2 with one equation left to check them.

    Where rounding is coarse an equation is worth few digits, and three of them have to be left.
    """
    coarse = any(comparison.is_coarse(n) for n in comparison.candidate)
    return equations(p, comparison) - (3 if coarse else 1)


def dropped_samples(p: Pass, comparison: Comparison) -> Iterator[Recovered]:
    """Yield dY without some samples, if W2 and b2 say that their weight is zero."""
    weights = _sample_weights(p, comparison, each=1)
    if weights is None:
        return
    largest = np.nanmax(np.abs(weights))
    near = max(1e-2, ROUNDINGS * comparison.unit_roundoff)
    dropped = np.abs(weights) < near * largest
    kept = weights[~dropped & np.isfinite(weights)]
    if not dropped.any() or not kept.size or np.ptp(kept) > near * largest:
        return
    which = some(np.flatnonzero(dropped))
    verb = "has" if dropped.sum() == 1 else "have"
    message = f"{dropped.sum()} of {p.N} samples {verb} no part in the gradient: {which}."
    remedy = "Let every row of the batch count, and add the rows: dW += ..."
    level = float(kept.mean())
    level = 1.0 if abs(level - 1) < near else level
    found = Finding(Kind.DROPPED_SAMPLES, "", message, remedy, {"weight": level})
    yield found, p.output_error * np.where(dropped, 0.0, level)[:, None]


def unreached_classes(p: Pass, comparison: Comparison) -> Iterator[Recovered]:
    """Yield dY without the classes whose columns are zero in W2 and in b2."""
    zero = ~np.any(_layer_2(p, comparison)[1], axis=0)
    if not at_an_end(zero):
        return
    message = f"Some classes have no part in the gradient: {some(np.flatnonzero(zero))}."
    remedy = "Let the loop over the classes, or the slice, reach all of them."
    yield Finding(Kind.SINGLE_ENTRIES, "", message, remedy), np.where(zero, 0, p.output_error)


def _layer_2(p: Pass, comparison: Comparison) -> tuple[Float64, Float64]:
    """Return A and B with B = A.T @ dY, the equations that W2 and b2 are, or W2 alone."""
    if "b2" not in comparison.candidate:
        return p.z1, sent(comparison, "W2")
    widened = np.column_stack([p.z1, np.ones(p.N)])
    return widened, np.vstack([sent(comparison, "W2"), sent(comparison, "b2")])


def at_an_end(which: Array) -> bool:
    """Tell whether some but not all are set, all of them first or all of them last."""
    return bool(which[0] != which[-1] and np.count_nonzero(np.diff(which)) == 1)


def sent(comparison: Comparison, name: str) -> Float64:
    """Return a tensor of the candidate, widened."""
    return comparison.candidate[name].astype(np.float64)


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-3 * max(abs(a), abs(b))


def _mixture(p: Pass, widened: Float64, values: Float64, free: int) -> Iterator[Recovered]:
    """Fit dY = (a y - b t + c) / N: three numbers."""
    level = (p.y - 1 / p.K) / p.N
    yield from _mixed(p, [p.y / p.N, -p.t / p.N, level], widened, values, free)


def _smoothed(p: Pass, widened: Float64, values: Float64, free: int) -> Iterator[Recovered]:
    """Fit the same numbers with targets that delta weighs as it does in the loss."""
    seen = p.t * p.y / (p.y + p.delta)
    level = output_error(p.y, np.full_like(p.y, 1 / p.K), p.delta)
    yield from _mixed(p, [p.y * p.weight / p.N, -seen / p.N, level], widened, values, free)


def _mixed(
    p: Pass, bases: list[Float64], widened: Float64, values: Float64, free: int
) -> Iterator[Recovered]:
    columns = np.column_stack([(widened.T @ base).ravel() for base in bases])
    if free < 1:
        return
    if free < 3 or p.y.size < 9:
        # Few numbers leave room for two: y itself is taken as right, a = 1.
        columns[:, 2] -= columns[:, 0]
        b, c = least_squares(columns[:, 1:], values.ravel() - columns[:, 0])
        if abs(c) < 1e-6 < abs(b - round(b)):
            return
        shares = np.array([1 - c, b, c])
    else:
        shares = least_squares(columns, values.ravel())
    a, b, c = float(shares[0] + shares[2]), float(shares[1]), float(-shares[2] / p.K)
    a, b, c = (0.0 if abs(k) < NOTHING * max(abs(a), abs(b), abs(c)) else k for k in (a, b, c))
    if a and abs(b / a - 1) < 1e-4:
        return
    error = sum((k * base for k, base in zip(shares, bases, strict=True)), 0 * p.y)
    message = f"dY is ({_combined(a, b, c)}) / N in place of (y - t) / N"
    remedy = "Write dY = (y - t) / N, with t as it was given."
    if p.N > 1 and _near(a, p.N) and _near(b, 1):
        message += ": only t is divided by N"
        remedy = "Put y - t in parentheses: dY = (y - t) / N."
    elif p.N > 1 and _near(a, 1) and _near(b, p.N):
        message += ": only y is divided by N"
        remedy = "Put y - t in parentheses: dY = (y - t) / N."
    elif a and b and abs(c - (b - a) / p.K) <= 1e-3 * abs(a):
        if 0 < a / b < 1:
            message = f"The outputs are flatter than softmax(a2): {a / b:.4g} y {_signed(c / b)}."
            yield Finding(Kind.WRONG_FORWARD, "", message, SOFTMAX, {"y": a / b}), error / b
            return
        message = f"The targets are smoothed: {b / a:.4g} t {_signed(-c / a)} in place of t"
        error = error / a
    evidence = {"y": a, "t": b, "constant": c}
    yield Finding(Kind.WRONG_TARGETS, "", f"{message}.", remedy, evidence), error


NOTHING = 1e-6
"""Share of the largest number of a sum below which another says nothing."""


def _combined(a: float, b: float, c: float) -> str:
    """Return a y - b t + c, without what is zero."""
    terms = [(a, " y"), (-b, " t"), (c, "")]
    text = " ".join(f"{_signed(k)}{name}" for k, name in terms if k).removeprefix("+ ")
    return re.sub(r"(^|[+-] )1 ([yt])", r"\1\2", re.sub("^- ", "-", text))


def _signed(term: float) -> str:
    return f"{'-' if term < 0 else '+'} {near_1(abs(term), 4)}"


def _polynomial(p: Pass, widened: Float64, values: Float64, free: int) -> Iterator[Recovered]:
    """Fit dY = a polynomial of y and t, entry by entry."""
    bases = [np.ones_like(p.y), p.y, p.t, p.y**2, p.y * p.t, p.y**3, p.y**2 * p.t]
    columns = np.column_stack([(widened.T @ base).ravel() for base in bases])
    norms = np.linalg.norm(columns, axis=0)
    if free < 2 * len(bases) or not np.all(norms > 0):
        return
    shares = least_squares(columns / norms, values.ravel(), 1e-13) / norms
    message = "dY is another function of y and t than (y - t) / N."
    found = Finding(Kind.SOFTMAX_JACOBIAN, "", message, ERROR)
    yield found, sum((c * base for c, base in zip(shares, bases, strict=True)), 0 * p.y)


def _sharpness(
    p: Pass, widened: Float64, values: Float64, free: int, share: float
) -> Iterator[Recovered]:
    """Fit dY = s (softmax(c a2) - t) / N by a few steps of Gauss and Newton from several c."""
    flat = values.ravel()
    if free < 1 or not np.any(np.ptp(p.a2, axis=1)):
        return
    for start in (0.1, 0.5, 2.0, 8.0, -1.0):
        c = start
        for _ in range(12):
            with np.errstate(all="ignore"):
                y = softmax(c * p.a2)
            slope = y * (p.a2 - (y * p.a2).sum(axis=1, keepdims=True))
            columns = np.column_stack([(widened.T @ d).ravel() / p.N for d in (y - p.t, slope)])
            if free < 3:
                # Few numbers leave room for one: s = 1.
                s, rest = 1.0, flat - columns[:, 0]
                change = least_squares(columns[:, 1:], rest)[0]
            else:
                s, change = _nearest_pair(columns, flat)
            step = float(change / s) if s else 0.0
            c += float(np.clip(step, -1 - abs(c), 1 + abs(c)))
            if abs(step) <= 1e-12 * abs(c):
                break
        if abs(c) < 1e-6:
            message = f"dY is {s:.4g} (1/K - t) / N: it does not depend on the scores."
            found = Finding(Kind.WRONG_FORWARD, "", message, SOFTMAX, {"factor": 0.0})
            yield found, s * (1 / p.K - p.t) / p.N
            continue
        if abs(c - 1) < 1e-4 or _is_like_entropy(p, c, share):
            continue
        message = f"The softmax is that of {near_1(c, 4)} a2 in place of a2."
        found = Finding(Kind.WRONG_FORWARD, "", message, SOFTMAX, {"factor": c})
        with np.errstate(all="ignore"):
            y = softmax(c * p.a2)
        if np.all(np.isfinite(y)):
            yield found, (y - p.t) / p.N


def _nearest_pair(columns: Array, values: Array) -> Float64:
    """Return the two shares of the columns nearest to values, to half of the digits of each."""
    (a, b), (_, c) = square = columns.T @ columns
    product = columns.T @ values
    if not np.all(np.isfinite(square)) or a * c - b * b <= 1e-12 * a * c:
        return least_squares(columns, values)
    return np.asarray(np.array([[c, -b], [-b, a]]) @ product / (a * c - b * b))


def _is_like_entropy(p: Pass, c: float, share: float) -> bool:
    """Tell whether rounding hides what tells softmax(c a2) from an entropy term of weight c - 1.

    They differ by the square of (c - 1) a2 only.
    """
    spread = float(np.ptp(p.a2, axis=1).max())
    return abs(c - 1) * spread <= 8 * share**0.5


def _class_map(
    p: Pass, widened: Float64, values: Float64, free: int, *, whole: bool
) -> Iterator[Recovered]:
    """Fit dY = (y - t M) / N, with M the same for every sample: what each class was taken for.

    M holds any numbers, or a 1 in each row if it has to be `whole`.
    """
    present = np.flatnonzero(np.any(p.t, axis=0))
    if 2 * len(present) * p.K > free or len(present) >= p.N:
        return
    columns = widened.T @ p.t[:, present] / p.N
    for scale in dict.fromkeys((1.0, float(p.N), -1.0, -float(p.N))):
        rest = widened.T @ p.y / p.N - values / scale
        used = least_squares(columns, rest)
        taken = np.rint(used)
        if np.all(np.abs(used - taken) < 0.05) and np.all(np.abs(taken).sum(axis=1) == 1):
            used = np.abs(taken)
            pairs = [f"{k} as {int(row.argmax())}" for k, row in zip(present, used, strict=True)]
            message = f"The labels are taken for others: {', '.join(pairs[:6])}."
        elif whole:
            continue
        else:
            message = "The targets of each class are other numbers than 0 and 1."
            # A class of one sample takes its weight in, or anything else that is wrong with it.
            other = np.any(np.abs(used - np.eye(p.K)[present]) > 1e-3, axis=1)
            if np.any(other & (p.t[:, present].sum(axis=0) < 2)):
                continue
        remedy = "Make t with np.eye(K)[labels], then dY = (y - t) / N."
        yield Finding(Kind.WRONG_TARGETS, "", message, remedy), (p.y - p.t[:, present] @ used) / p.N


def _sample_weights(p: Pass, comparison: Comparison, *, each: int) -> Float64 | None:
    """Fit one weight per sample: dY_n = w_n (y - t)_n / N; NaN where rounding hides a sample.

    Weights of 0 and 1 take one equation `each`, any others two.
    """
    widened, values = _layer_2(p, comparison)
    if not 1 < p.N <= min(equations(p, comparison) // each, MOST_SAMPLES):
        return None
    columns = np.einsum("nh,nk->hkn", widened, p.output_error).reshape(values.size, p.N)
    sizes = np.abs(columns).max(axis=0)
    seen = sizes > max(clear_of(comparison, n) for n in comparison.candidate if n[-1] == "2")
    if seen.sum() < 2:
        return None
    weights = np.full(p.N, np.nan)
    fitted = least_squares(columns[:, seen] / sizes[seen], values.ravel())
    weights[seen] = fitted / sizes[seen]
    return weights


def _weighted(p: Pass, weights: Float64) -> Iterator[Recovered]:
    low, high = np.nanmin(weights), np.nanmax(weights)
    if low < -1e-3 * abs(high) or high - low <= 1e-3 * abs(high):
        return  # Equal weights are one factor.
    message = "The samples do not count equally: their weights are from "
    message += f"{near_1(low, 4)} to {near_1(high, 4)}"
    classes = p.t.argmax(axis=1)
    groups = [weights[classes == k] for k in np.unique(classes)]
    if len(groups) < p.N and all(np.ptp(g) <= 1e-3 * max(-low, high) for g in groups):
        message += f", one per class: {', '.join(f'{g.mean():.4g}' for g in groups[:8])}"
    remedy = "Give every sample the weight 1 / N, if none is meant."
    seen = np.isfinite(weights)
    evidence = {f"weight_{n}": float(weights[n]) for n in np.flatnonzero(seen)[:16]}
    found = Finding(Kind.SAMPLE_WEIGHTS, "", f"{message}.", remedy, evidence)
    yield found, p.output_error * np.where(seen, weights, 1.0)[:, None]


def hidden_error(p: Pass, comparison: Comparison) -> Float64 | None:
    """Return the dA1 with W1 = x.T @ dA1, if there is one and b1 is its sum."""
    if not (p.x.shape[1] >= p.N and p.N <= MOST_SAMPLES):
        return None
    conditioned = condition(p.x)
    if conditioned > MOST_CONDITION:
        return None
    error = least_squares(p.x.T, sent(comparison, "W1"))
    agree = comparison.fits(
        "b1", error.sum(axis=0), slack=4 * conditioned, allowed=even(comparison, "b1")
    )
    follows = comparison.fits("W1", p.x.T @ error, allowed=even(comparison, "W1"))
    return error if agree and follows else None


def output_errors(p: Pass, comparison: Comparison) -> Iterator[Float64]:
    """Yield the dY with W2 = z1.T @ dY, if it is determined, and that which dA1 came from."""
    H, K = p.W2.shape
    few = min(H, MOST_SAMPLES) >= p.N
    if few and condition(p.z1) <= MOST_CONDITION:
        yield least_squares(p.z1.T, sent(comparison, "W2"))
    dA1 = hidden_error(p, comparison) if H > K and "W1" in comparison.candidate else None
    slope = p.z1 * (1 - p.z1)
    if dA1 is None or not slope.min() > 1e-6 or condition(p.W2) > MOST_CONDITION:
        return
    yield least_squares(p.W2, (dA1 / slope).T).T
