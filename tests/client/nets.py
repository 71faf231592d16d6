"""A small net as a caller writes it, and its gradient as a person does."""

from __future__ import annotations

import numpy as np

RNG = np.random.default_rng(4)
INPUTS = {
    "x": RNG.normal(size=(5, 4)),
    "t": np.array([0, 2, 1, 1, 0]),
    "W1": RNG.normal(size=(4, 6)),
    "b1": RNG.normal(size=6),
    "W2": RNG.normal(size=(6, 3)),
}
NODES = [
    {"op_type": "Gemm", "inputs": ["x", "W1", "b1"], "outputs": ["a1"]},
    {"op_type": "Relu", "inputs": ["a1"], "outputs": ["z1"]},
    {
        "op_type": "Gemm",
        "inputs": ["z1", "W2"],
        "outputs": ["a2"],
        "attributes": {"alpha": 2.0},
        "name": "last",
    },
    {"op_type": "SoftmaxCrossEntropyLoss", "inputs": ["a2", "t"], "outputs": ["loss"]},
]


def net(ops, x, t, W1, b1, W2):  # noqa: PLR0917 - a net has as many inputs
    """Return the loss."""
    hidden = ops.Relu(ops.Gemm(x, W1, b1))
    return ops.SoftmaxCrossEntropyLoss(ops.Gemm(hidden, W2, alpha=2.0), t)


def by_hand():
    """Return the loss and its gradient by the parameters."""
    x, t, W1, b1, W2 = INPUTS.values()
    a1 = x @ W1 + b1
    z1 = np.maximum(a1, 0)
    y = np.exp(2 * z1 @ W2)
    y /= y.sum(axis=1, keepdims=True)
    da2 = (y - np.eye(3)[t]) / len(x)
    da1 = 2 * da2 @ W2.T * (a1 > 0)
    gradient = {"W1": x.T @ da1, "b1": da1.sum(0), "W2": 2 * z1.T @ da2}
    return -np.log(y[np.arange(5), t]).mean(), gradient
