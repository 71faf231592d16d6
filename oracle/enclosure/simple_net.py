"""The exact derivative of the simple net's loss."""

from __future__ import annotations

import flint
import numpy as np

from oracle.enclosure.balls import Ball, ball_matrix, enclose, product, score_derivative, softmax
from oracle.reference.targets import distribution
from oracle.values import DELTA, Array, Checkpoint, ReferenceGradient, never_stop


def gradient(
    W: Array, x: Array, t: Array, *, delta: float = DELTA, checkpoint: Checkpoint = never_stop
) -> ReferenceGradient:
    """Enclose dL/dW = x^T g, with g the derivative with respect to the scores x @ W.

    Parameters
    ----------
    W : (D, K) float
    x : (N, D) or (D,) float
    t : labels or targets
    delta : float
        Guard inside the logarithm.
    checkpoint : callable
        Called at least every 50 ms.

    Returns
    -------
    ReferenceGradient
        Tensor "W".
    """
    samples = np.atleast_2d(x.astype(np.float64))
    classes = W.shape[1]
    targets = distribution(t, classes).tolist()

    def evaluate() -> dict[str, list[Ball]]:
        scores = product(samples, ball_matrix(W), checkpoint)
        slopes: list[Ball] = []
        for n, row in enumerate(targets):
            y = softmax(scores[n * classes : (n + 1) * classes])
            slopes += score_derivative(y, row, delta, len(samples))
            if n * classes % 1024 < classes:
                checkpoint()
        g = flint.arb_mat(len(samples), classes, slopes)
        return {"W": product(samples, g, checkpoint, transposed=True)}

    return enclose(evaluate, {"W": W.shape}, checkpoint)
