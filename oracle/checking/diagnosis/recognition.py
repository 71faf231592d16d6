"""What a recovered dY says about the y and the t in it.

Each family has far fewer free numbers than dY has entries, and is yielded whether it fits or not:
the gradient that follows from it is compared with the candidate within rounding.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from oracle.checking.backward import Pass, output_error, softmax
from oracle.checking.mistakes import LABELS, SOFTMAX
from oracle.diagnosis.linear import least_squares
from oracle.diagnosis.tensors import some
from oracle.findings import FindingKind as Kind
from oracle.values import Array, Finding, Float64

Recovered = tuple[Finding, Array]

LEAST_WEIGHT = 1e-3
"""Samples that delta takes more of than this hide what else stands in their rows."""


def recognised(p: Pass, dY: Float64) -> Iterator[Recovered]:
    """Yield what dY may be made of: its targets, its outputs, a bound."""
    weight = p.weight
    if weight.min() < LEAST_WEIGHT:
        return
    plain = dY / weight
    yield from _bounded(p, dY)
    yield from _labels(p, plain)
    for found, error in _other_outputs(p, plain):
        yield found, weight * error


def _other_outputs(p: Pass, plain: Float64) -> Iterator[Recovered]:
    yield from _whole(p, plain)
    for scale in dict.fromkeys((1.0, float(p.N))):
        y = p.N * plain / scale + p.t
        for found, other in _outputs(p, y):
            yield found, scale * (other - p.t) / p.N


def _labels(p: Pass, plain: Float64) -> Iterator[Recovered]:
    """Read the targets off dY = s (y - targets) / N, where they are whole numbers."""
    with np.errstate(all="ignore"):
        ratio = np.median(p.N * plain / p.y)
    for scale in dict.fromkeys((float(ratio), 1.0, float(p.N))):
        if not scale or not np.isfinite(scale):
            continue
        used = p.y - p.N * plain / scale
        whole = np.rint(used)
        if np.any(np.abs(used - whole) > 0.05) or np.abs(whole).max() > p.N:
            continue
        if np.array_equal(whole, p.t):
            continue
        if np.all(np.sort(whole, axis=1)[:, -2:] == [0, 1]) and whole.min() == 0:
            message = f"The gradient is that of other labels: {some(whole.argmax(axis=1))}."
        else:
            sums = some(whole.sum(axis=1))
            message = f"The targets are not one 1 in each row; their sums are {sums}."
        remedy = f"Keep x and t in the same order. {LABELS}"
        found = Finding(Kind.WRONG_TARGETS, "", message, remedy)
        yield found, p.weight * (p.y - whole) / p.N
        if np.all(whole.sum(axis=1) == 1):
            yield found, output_error(p.y, whole, p.delta)


def _bounded(p: Pass, dY: Float64) -> Iterator[Recovered]:
    """Say that dY is right between two bounds, which at least two of its entries reach."""
    low, high = float(dY.min()), float(dY.max())
    margin = 1e-6 * (high - low)
    if dY.size < 9 or np.sum((dY <= low + margin) | (dY >= high - margin)) < 3:
        return
    message = f"dY is cut off at {low:.4g} and {high:.4g}, as clipping does."
    remedy = "Switch clipping off for the check."
    yield Finding(Kind.CLIPPED, "", message, remedy), np.clip(p.output_error, low, high)


def _whole(p: Pass, plain: Float64) -> Iterator[Recovered]:
    """Say that dY holds whole numbers, as the derivative of a hinge does."""
    for scale in (1.0, float(p.N)):
        numbers = np.rint(p.N * plain / scale)
        if np.any(np.abs(p.N * plain / scale - numbers) > 1e-3) or not numbers.any():
            continue
        message = "dY holds whole numbers over N, as that of a hinge does: y is no softmax."
        yield Finding(Kind.WRONG_FORWARD, "", message, SOFTMAX), scale * numbers / p.N
        return


def _outputs(p: Pass, y: Float64) -> Iterator[Recovered]:
    """Yield what may stand in place of the softmax, near to `y`."""

    def found(message: str) -> Finding:
        return Finding(Kind.WRONG_FORWARD, "", message, SOFTMAX)

    if p.K < 2 or p.y.size < 9:
        return
    low, high = float(y.min()), float(y.max())
    yield found(f"y is cut off at {low:.4g} and {high:.4g}."), np.clip(p.y, low, high)
    if p.N * p.K <= p.N + p.K + 1:
        return
    sizes = (y * p.y).sum(axis=1, keepdims=True) / (p.y**2).sum(axis=1, keepdims=True)
    if sizes.min() > 0:
        text = f"The rows of y do not sum to 1, but to numbers from {sizes.min():.4g} to "
        yield found(f"{text}{sizes.max():.4g}."), sizes * p.y
    columns = np.column_stack([p.a2.ravel(), np.repeat(np.eye(p.N), p.K, axis=0)])
    rises = least_squares(columns, y.ravel())
    text = f"y is {rises[0]:.4g} a2 and a number for each row, not the softmax of a2."
    yield found(text), (columns @ rises).reshape(y.shape)
    if np.any(y <= 0):
        return
    columns = np.column_stack([columns, np.tile(np.eye(p.K), (p.N, 1))])
    fitted = least_squares(columns, np.log(y).ravel())
    offsets = fitted[1 + p.N :] - fitted[1 + p.N :].mean()
    shown = np.round(offsets[:8], 4) + 0.0
    added = f" + {shown.tolist()}" if np.any(shown) else ""
    text = f"y is the softmax of {fitted[0]:.4g} a2{added}, not of a2."
    yield found(text), softmax(fitted[0] * p.a2 + offsets)
