"""The two-layer net's forward and backward pass with every stage open to be changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from oracle.reference.targets import distribution
from oracle.values import Array, Checkpoint, TwoLayerNetParameters, never_stop

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


def product(a: Array, b: Array) -> Array:
    """Return a @ b; in half precision as processors do it, summed in float32 and rounded once.

    NumPy has no fast product of its own for half precision.
    """
    if a.dtype == np.float16:
        return np.asarray((a.astype(np.float32) @ b.astype(np.float32)).astype(np.float16))
    return np.asarray(a @ b)


@dataclass(frozen=True)
class Pass:
    """One forward pass: a1 = x W1 + b1, z1 = sigmoid(a1), a2 = z1 W2 + b2, y = softmax(a2).

    `t` is one row per sample. `output_error` is the derivative of the loss with respect to a2,
    (N, K), the mean over the batch included. `checkpoint` is called by everything that is
    made of the pass.
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
    checkpoint: Checkpoint = never_stop

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

    @property
    def weight(self) -> Array:
        """What delta makes of y - t in each row: p / (p + delta), p the label's probability."""
        if self.delta == 0:
            return np.ones((self.N, 1), self.y.dtype)
        seen = self.t * (self.y / (self.y + self.y.dtype.type(self.delta)))
        return np.asarray(seen.sum(axis=1, keepdims=True))

    def onehot(self, labels: Array) -> Array:
        """Return targets with a 1 at each label."""
        return distribution(labels, self.K).astype(self.y.dtype)


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
    checkpoint: Checkpoint = never_stop,
) -> Pass:
    """Run the network in `dtype`; `t` is integer labels or floating targets."""
    W1, b1, W2, b2 = (a.astype(dtype) for a in parameters.tensors().values())
    rows = np.atleast_2d(x).astype(dtype)
    checkpoint()
    a1 = rows @ W1 + b1
    checkpoint()
    z1 = sigmoid(a1)
    checkpoint()
    a2 = z1 @ W2 + b2
    T = distribution(t, len(b2)).astype(dtype)
    return Pass(rows, T, W1, W2, b1, b2, a1, z1, a2, softmax(a2), delta, checkpoint)


def backward(
    forward_pass: Pass,
    *,
    output: Array | None = None,
    derivative: Array | None = None,
    weights: Array | None = None,
) -> dict[str, Array]:
    """Return the gradient; the keywords replace the right output error, derivative or W2."""
    p = forward_pass
    p.checkpoint()
    dY = p.output_error if output is None else output
    dA = product(dY, (p.W2 if weights is None else weights).T)
    p.checkpoint()
    dA = dA * (p.z1 * (1 - p.z1) if derivative is None else derivative)
    p.checkpoint()
    W1 = product(p.x.T, dA)
    p.checkpoint()
    return {"W1": W1, "b1": dA.sum(axis=0), "W2": product(p.z1.T, dY), "b2": dY.sum(axis=0)}
