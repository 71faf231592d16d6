"""Ball matrices in rising precision, and their correctly rounded float64 values."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import flint
import numpy as np

from oracle.values import (
    Array,
    Checkpoint,
    Float64,
    InvalidInput,
    ReferenceGradient,
    ReferenceKind,
)

Ball: TypeAlias = Any
BallMatrix: TypeAlias = Any

FIRST_PRECISION = 128
"""53 bits of a float64, 70 of margin: enough unless the problem is ill-conditioned."""

ROUNDING_PRECISION = 512
"""An entry whose rounding is undecided at this precision is taken to be a tie or an exact zero."""

LAST_PRECISION = 16384
"""Where an enclosure gives up: beyond it the inputs are outside the range of any float64 use."""

PROVEN = 2.0**-70
"""Radius, relative to the largest entry of a tensor, below which an enclosure is accepted."""

BLOCK = 200_000
"""Multiply-adds between two checkpoints, and between two chances of other threads to run.

About 2 ms at the first precision; smaller blocks would cost no more.
"""

CHUNK = 8192
"""Entries rounded between two checkpoints: about 10 ms."""

_precision = threading.RLock()  # python-flint keeps one precision for the whole process


def ball_matrix(a: Array) -> BallMatrix:
    """Return a matrix of exact balls; a vector becomes a row."""
    rows = np.atleast_2d(a.astype(np.float64))
    return flint.arb_mat(rows.shape[0], rows.shape[1], rows.ravel().tolist())


def product(
    a: Array | BallMatrix, b: BallMatrix, checkpoint: Checkpoint, *, transposed: bool = False
) -> list[Ball]:
    """Return the entries of a @ b, row by row, in blocks of rows between checkpoints.

    `a` is a float array or a matrix of balls; its transpose is meant if `transposed`.
    """
    if isinstance(a, np.ndarray):
        left = (a.T if transposed else a).astype(np.float64)
        rows, terms = left.shape
        numbers = left.ravel().tolist()
    else:
        balls = a.transpose() if transposed else a
        rows, terms = balls.nrows(), balls.ncols()
        numbers = balls.entries()
    step = max(1, BLOCK // max(1, terms * b.ncols()))
    entries: list[Ball] = []
    for begin in range(0, rows, step):
        checkpoint()
        end = min(rows, begin + step)
        block = flint.arb_mat(end - begin, terms, numbers[begin * terms : end * terms])
        entries += (block * b).entries()
    return entries


def softmax(scores: Sequence[Ball]) -> list[Ball]:
    """Return exp(s_k) / Σ_j exp(s_j) of one row; exact in the relative sense however small."""
    largest = max(scores, key=lambda score: float(score.mid()))
    weights = [(score - largest).exp() for score in scores]
    total = sum(weights[1:], weights[0])
    return [weight / total for weight in weights]


def score_derivative(
    y: Sequence[Ball], t: Sequence[float], delta: float, samples: int
) -> list[Ball]:
    """Return the derivative of -1/N Σ_k t_k log(y_k + delta) with respect to the scores behind y.

        r_k = t_k / (y_k + delta),   g_j = y_j / N * Σ_{k != j} y_k (r_k - r_j)

    1 - y_j is formed as the sum of the others, so that a saturated row costs no precision.
    """
    ratio = [flint.arb(w) / (p + delta) if w else flint.arb(0) for p, w in zip(y, t, strict=True)]
    others = _sums_of_others(y)
    weighted = _sums_of_others([p * r for p, r in zip(y, ratio, strict=True)])
    return [
        p * (w - r * o) / samples for p, r, o, w in zip(y, ratio, others, weighted, strict=True)
    ]


def _sums_of_others(values: Sequence[Ball]) -> list[Ball]:
    before, after = [flint.arb(0)], [flint.arb(0)]
    for value in values[:-1]:
        before.append(before[-1] + value)
    for value in values[:0:-1]:
        after.append(after[-1] + value)
    return [b + a for b, a in zip(before, after[::-1], strict=True)]


def enclose(
    evaluate: Callable[[], Mapping[str, list[Ball]]],
    shapes: Mapping[str, tuple[int, ...]],
    checkpoint: Checkpoint,
    argument: str = "x",
) -> ReferenceGradient:
    """Evaluate in rising precision until every tensor is proven, and round it to float64.

    Parameters
    ----------
    evaluate : callable
        Returns the entries of every tensor at the precision that is set.
    shapes : mapping
        Shape of every tensor.
    checkpoint : callable
        Called between blocks.
    argument : str
        Whose extreme numbers keep the gradient from being enclosed, if anything does.

    Returns
    -------
    ReferenceGradient
        Midpoints rounded. `correctly_rounded` is true if both ends of every ball round to
        the same float64; an entry that is exactly zero by cancellation cannot be proven so, and is
        returned as 0 with its radius.

    Raises
    ------
    InvalidInput
        If no precision gives a finite enclosure: the gradient is beyond any float64 use.
    """
    precision = FIRST_PRECISION
    while precision <= LAST_PRECISION:
        checkpoint()
        while not _precision.acquire(timeout=0.02):
            checkpoint()
        former = flint.ctx.prec
        try:
            flint.ctx.prec = precision
            balls = evaluate()
            answer = _rounded(balls, shapes, checkpoint)
        finally:
            flint.ctx.prec = former
            _precision.release()
        proven = answer.exact_radius < PROVEN
        if proven and (answer.correctly_rounded or precision >= ROUNDING_PRECISION):
            return answer
        precision *= 2
    raise InvalidInput(argument, "lead to a gradient that float64 holds", "extreme numbers")


def _rounded(
    balls: Mapping[str, list[Ball]],
    shapes: Mapping[str, tuple[int, ...]],
    checkpoint: Checkpoint,
) -> ReferenceGradient:
    tensors: dict[str, Float64] = {}
    radii: dict[str, Float64] = {}
    exact_radius, all_rounded = 0.0, True
    for name, entries in balls.items():
        low, high = np.empty(len(entries)), np.empty(len(entries))
        largest, widest = flint.arb(0), flint.arb(0)
        for begin in range(0, len(entries), CHUNK):
            checkpoint()
            chunk = entries[begin : begin + CHUNK]
            low[begin : begin + CHUNK] = [float(ball.lower()) for ball in chunk]
            high[begin : begin + CHUNK] = [float(ball.upper()) for ball in chunk]
            largest = max(largest, *(abs(ball.mid()) for ball in chunk), key=float)
            widest = max(widest, *(ball.rad() for ball in chunk), key=float)
        rounded = low == high
        middle = np.where(rounded, low, 0.0)
        for i in np.flatnonzero(~rounded):
            middle[i] = 0.0 if entries[i].contains(0) else float(entries[i].mid())
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            exact_radius = np.inf
        elif float(widest) > 0.0:
            relative = float(widest / largest) if float(largest) > 0.0 else np.inf
            exact_radius = max(exact_radius, np.nextafter(relative, np.inf))
        all_rounded = all_rounded and bool(rounded.all())
        # Half a unit in the last place, or the ball where its rounding is undecided.
        half = np.maximum(np.spacing(np.abs(middle)) / 2, np.finfo(np.float64).smallest_subnormal)
        with np.errstate(invalid="ignore"):  # An end that is infinite is not finite either way.
            undecided = np.maximum(high - middle, middle - low)
        radius = np.where(rounded, half, np.nextafter(undecided, np.inf) + half)
        tensors[name] = middle.reshape(shapes[name])
        radii[name] = radius.reshape(shapes[name])
    return ReferenceGradient(
        tensors, radii, ReferenceKind.ENCLOSURE, float(exact_radius), all_rounded
    )
