"""Whether one other z1 explains a whole gradient whose z1 is not sigmoid(x @ W1 + b1)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from oracle.checking.backward import Pass, output_error, sigmoid, softmax
from oracle.checking.diagnosis.recovery import sent
from oracle.diagnosis.comparison import Comparison
from oracle.diagnosis.evidence import even
from oracle.values import Array, Float64

MOST_UNKNOWN = 512
"""More entries of z1 than this are not solved for."""

STEPS = 24
"""Steps of Levenberg and Marquardt; from a z1 that is nearly the right one it takes five."""

SOON = 8
"""Steps after which nine tenths of what was left are explained, if a z1 explains it."""

FEWEST_SPARE = 6
"""Equations that are left to check a z1 once it is determined."""


def is_masked(p: Pass, dA1: Float64, comparison: Comparison) -> bool:
    """Tell whether some of dA1 is zero here and there, as a unit without slope makes it.

    A sum of several gradients has its zeros where all of them do.
    """
    zero = np.abs(dA1) <= 1e-6 * np.abs(dA1).max()
    # A unit that is dead for all samples tells of z1 only if it is zero in z1 as well.
    gone = zero.all(axis=0) & np.any(sent(comparison, "W2"), axis=1)
    some = zero & ~gone & ~zero.all(axis=1)[:, None]
    expected = np.abs((p.output_error @ p.W2.T) * p.z1 * (1 - p.z1))
    seen = expected > 1e-4 * expected.max()
    return bool(np.count_nonzero(some & seen) > 1)


def other_z1(p: Pass, dA1: Float64, comparison: Comparison) -> Float64 | None:
    """Return the z1 that dA1, W2 and b2 follow from: dA1 alone has as many numbers as z1."""
    spare = (p.W2.shape[0] + 1) * (p.K - 1)
    if p.z1.size > MOST_UNKNOWN or spare < FEWEST_SPARE:
        return None
    solutions = _solutions(p, dA1, comparison)
    return next((z1 for z1 in solutions if _follow_from(p, z1, comparison)), None)


def _solutions(p: Pass, dA1: Float64, comparison: Comparison) -> Iterator[Float64]:
    """Yield what is near to z1, and to what a normalisation over the batch makes of it."""
    starts = (p.z1, sigmoid(_normalised(p.a1)), _normalised(p.z1))
    for start in starts if p.N > 1 else starts[:1]:
        yield _solved(p, start, dA1, sent(comparison, "W2"), sent(comparison, "b2"))


def _normalised(a: Float64) -> Float64:
    spread = a.std(axis=0)
    return np.asarray((a - a.mean(axis=0)) / (spread + (spread == 0)))


def _follow_from(p: Pass, z1: Float64, comparison: Comparison) -> bool:
    dY = output_error(softmax(z1 @ p.W2 + p.b2), p.t, p.delta)
    error = (dY @ p.W2.T) * z1 * (1 - z1)
    expected = {"W1": p.x.T @ error, "b1": error.sum(axis=0)}
    expected |= {"W2": z1.T @ dY, "b2": dY.sum(axis=0)}
    return all(comparison.fits(n, g, allowed=even(comparison, n)) for n, g in expected.items())


def _solved(p: Pass, z1: Float64, dA1: Float64, W2: Float64, b2: Float64) -> Float64:
    """Return the z1, from a first one on, whose dA1, W2 and b2 are nearest to those given."""
    damping = 1e-3
    given = np.concatenate([dA1.ravel(), W2.ravel(), b2])
    held, slopes = _followed(p, z1)
    most = np.linalg.norm(given - held) / 10
    for step in range(STEPS):
        left = given - held
        square = slopes.T @ slopes
        scale = float(np.trace(square)) / len(square)
        far = step == SOON and np.linalg.norm(left) > most
        if far or not np.linalg.norm(left) > 1e-14 * np.linalg.norm(given):
            break
        square.flat[:: len(square) + 1] += damping * scale
        moved = z1 + np.linalg.solve(square, slopes.T @ left).reshape(z1.shape)
        followed, their_slopes = _followed(p, moved)
        if np.linalg.norm(given - followed) < np.linalg.norm(left):
            z1, held, slopes, damping = moved, followed, their_slopes, damping / 10
        else:
            damping *= 8
    return z1


def _followed(p: Pass, z1: Float64) -> tuple[Array, Array]:
    """Return dA1, W2 and b2 as they follow from z1, and their derivatives by it."""
    N, H = z1.shape
    y = softmax(z1 @ p.W2 + p.b2)
    dY = output_error(y, p.t, p.delta)
    back, slope = dY @ p.W2.T, z1 * (1 - z1)
    held = np.concatenate([(back * slope).ravel(), (z1.T @ dY).ravel(), dY.sum(axis=0)])
    rises = _errors_by_outputs(p, y) @ (y[:, :, None] * (np.eye(p.K) - y[:, None, :])) @ p.W2.T / N
    hidden = np.zeros((N, H, N, H))
    each = np.arange(N)
    hidden[each, :, each, :] = slope[:, :, None] * (p.W2 @ rises)
    units = np.arange(H)
    hidden[each[:, None], units, each[:, None], units] += back * (1 - 2 * z1)
    weights = np.einsum("nh,nkj->hknj", z1, rises)
    weights[units, :, :, units] += dY.T
    biases = np.transpose(rises, (1, 0, 2))
    rows = (block.reshape(-1, N * H) for block in (hidden, weights, biases))
    return held, np.concatenate(list(rows))


def _errors_by_outputs(p: Pass, y: Float64) -> Array:
    """Return the derivative by y of N dY = y Σ t y / (y + delta) - t y / (y + delta), by sample."""
    with np.errstate(all="ignore"):
        seen = np.where(p.t > 0, p.t * y / (y + p.delta), 0.0)
        change = np.where(p.t > 0, p.t * p.delta / (y + p.delta) ** 2, 0.0)
    own = seen.sum(axis=1)[:, None] - change
    return np.asarray(y[:, :, None] * change[:, None, :] + np.eye(p.K) * own[:, None, :])
