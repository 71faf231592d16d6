"""The exact derivative of the two-layer net's loss."""

from __future__ import annotations

import flint
import numpy as np

from oracle.enclosure.balls import Ball, ball_matrix, enclose, product, score_derivative, softmax
from oracle.reference.targets import distribution
from oracle.values import (
    DELTA,
    Array,
    Checkpoint,
    ReferenceGradient,
    TwoLayerNetParameters,
    never_stop,
)


def gradient(
    parameters: TwoLayerNetParameters,
    x: Array,
    t: Array,
    *,
    delta: float = DELTA,
    checkpoint: Checkpoint = never_stop,
) -> ReferenceGradient:
    """Enclose the derivative of the loss with respect to every parameter.

        a1 = x @ W1 + b1,  z = sigmoid(a1),  g2 = dL/d(z @ W2 + b2),  g1 = (g2 @ W2^T) * z * (1 - z)
        dW2 = z^T g2,  db2 = Σ_n g2,  dW1 = x^T g1,  db1 = Σ_n g1

    Parameters
    ----------
    parameters : TwoLayerNetParameters
    x : (N, D) or (D,) float
    t : labels or targets
    delta : float
        Guard inside the logarithm.
    checkpoint : callable
        Called at least every 50 ms.

    Returns
    -------
    ReferenceGradient
        Tensors "W1", "b1", "W2", "b2".
    """
    samples = np.atleast_2d(x.astype(np.float64))
    N = len(samples)
    H, K = parameters.W2.shape
    targets = distribution(t, K).tolist()
    b1 = parameters.b1.astype(np.float64).tolist()
    b2 = parameters.b2.astype(np.float64).tolist()

    def evaluate() -> dict[str, list[Ball]]:
        hidden = product(samples, ball_matrix(parameters.W1), checkpoint)
        z: list[Ball] = []
        slope: list[Ball] = []
        for i, a in enumerate(hidden):
            decay = (-(a + b1[i % H])).exp()
            value = 1 / (1 + decay)
            z.append(value)
            slope.append(decay * value * value)  # z (1 - z), without forming 1 - z
            if i % 2048 == 0:
                checkpoint()
        z_matrix = flint.arb_mat(N, H, z)
        W2 = ball_matrix(parameters.W2)
        raw = product(z_matrix, W2, checkpoint)
        g2: list[Ball] = []
        for n, row in enumerate(targets):
            y = softmax([s + b for s, b in zip(raw[n * K : (n + 1) * K], b2, strict=True)])
            g2 += score_derivative(y, row, delta, N)
            if n * K % 1024 < K:
                checkpoint()
        g2_matrix = flint.arb_mat(N, K, g2)
        back = product(g2_matrix, W2.transpose(), checkpoint)
        g1_matrix = flint.arb_mat(N, H, [d * s for d, s in zip(back, slope, strict=True)])
        checkpoint()
        ones = np.ones((1, N))
        return {
            "W1": product(samples, g1_matrix, checkpoint, transposed=True),
            "b1": product(ones, g1_matrix, checkpoint),
            "W2": product(z_matrix, g2_matrix, checkpoint, transposed=True),
            "b2": product(ones, g2_matrix, checkpoint),
        }

    shapes = {name: tensor.shape for name, tensor in parameters.tensors().items()}
    return enclose(evaluate, shapes, checkpoint)
