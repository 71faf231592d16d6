"""The two-layer net's forward and backward pass with every stage open to be changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from oracle.values import Array, TwoLayerNetParameters

Tensors = Mapping[str, Array]


def softmax(scores: Array, axis: int | None = -1) -> Array:
    """Return exp(scores) over its sum along `axis`; over all entries if `axis` is None."""
    shifted = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=axis, keepdims=True))


def sigmoid(a: Array) -> Array:
    """Return 1 / (1 + exp(-a)), without overflow."""
    small = np.exp(-np.abs(a))
    one = np.ones((), dtype=a.dtype)
    return np.asarray(np.where(a >= 0, one, small) / (one + small))


@dataclass(frozen=True)
class Pass:
    """One forward pass: a1 = x W1 + b1, z1 = sigmoid(a1), a2 = z1 W2 + b2, y = softmax(a2).

    `t` is one row per sample. `output_error` is the derivative of the loss with respect to a2,
    (N, K), the mean over the batch included.
    """

    x: Array
    t: Array
    W1: Array
    W2: Array
    b1: Array
    b2: Array
    a1: Array
    z1: Array
    a2: Array
    y: Array
    delta: float

    @property
    def N(self) -> int:  # noqa: N802
        """Number of samples."""
        return int(self.x.shape[0])

    @property
    def K(self) -> int:  # noqa: N802
        """Number of classes."""
        return int(self.W2.shape[1])

    @property
    def output_error(self) -> Array:
        """Derivative of the loss with respect to a2."""
        return output_error(self.y, self.t, self.delta)

    def onehot(self, labels: Array) -> Array:
        """Return targets with a 1 at each label."""
        return np.eye(self.K, dtype=self.y.dtype)[labels]


def output_error(y: Array, t: Array, delta: float) -> Array:
    """Derivative of -sum(t log(y + delta)) / N with respect to the scores behind y."""
    weighted = t * (y / (y + y.dtype.type(delta))) if delta > 0 else t
    return np.asarray((y * weighted.sum(axis=1, keepdims=True) - weighted) / y.dtype.type(len(y)))


def forward(
    parameters: TwoLayerNetParameters,
    x: Array,
    t: Array,
    *,
    delta: float,
    dtype: str = "float64",
) -> Pass:
    """Run the network in `dtype`; `t` is integer labels or floating targets."""
    W1, b1, W2, b2 = (a.astype(dtype) for a in parameters.tensors().values())
    rows = np.atleast_2d(x).astype(dtype)
    targets = np.asarray(t)
    if np.issubdtype(targets.dtype, np.integer):
        targets = np.eye(len(b2))[targets.reshape(-1)]
    a1 = rows @ W1 + b1
    z1 = sigmoid(a1)
    a2 = z1 @ W2 + b2
    T = np.atleast_2d(targets).astype(dtype)
    return Pass(rows, T, W1, W2, b1, b2, a1, z1, a2, softmax(a2), delta)


def backward(
    forward_pass: Pass,
    *,
    output: Array | None = None,
    derivative: Array | None = None,
    weights: Array | None = None,
) -> dict[str, Array]:
    """Return the gradient; the keywords replace the right output error, derivative or W2."""
    p = forward_pass
    dY = p.output_error if output is None else output
    dA = dY @ (p.W2 if weights is None else weights).T
    dA = dA * (p.z1 * (1 - p.z1) if derivative is None else derivative)
    return {"W1": p.x.T @ dA, "b1": dA.sum(axis=0), "W2": p.z1.T @ dY, "b2": dY.sum(axis=0)}
