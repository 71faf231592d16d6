"""Exact derivatives of the losses with respect to the predictions."""

from __future__ import annotations

import flint
import numpy as np

from oracle.enclosure.balls import enclose
from oracle.reference.targets import distribution
from oracle.values import DELTA, Array, Checkpoint, ReferenceGradient, never_stop


def mean_squared_error_gradient(
    y: Array, t: Array, *, checkpoint: Checkpoint = never_stop
) -> ReferenceGradient:
    """Enclose dE/dy = y - t for E = ½ Σ (y - t)²; `y` and `t` have one shape, tensor "y"."""
    predictions, targets = y.astype(np.float64).ravel(), t.astype(np.float64).ravel()
    return enclose(
        lambda: {
            "y": [
                flint.arb(p) - w
                for p, w in zip(predictions.tolist(), targets.tolist(), strict=True)
            ]
        },
        {"y": y.shape},
        checkpoint,
        argument="y",
    )


def cross_entropy_error_gradient(
    y: Array, t: Array, *, delta: float = DELTA, checkpoint: Checkpoint = never_stop
) -> ReferenceGradient:
    """Enclose dE/dy = -t / (y + delta) / N for `y` (N, K) or (K,) and labels or targets `t`."""
    rows = np.atleast_2d(y.astype(np.float64))
    targets = distribution(t, rows.shape[1])
    samples = len(rows)
    return enclose(
        lambda: {
            "y": [
                -flint.arb(w) / (flint.arb(p) + delta) / samples if w else flint.arb(0)
                for p, w in zip(rows.ravel().tolist(), targets.ravel().tolist(), strict=True)
            ]
        },
        {"y": y.shape},
        checkpoint,
        argument="y",
    )
