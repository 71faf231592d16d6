"""A formula as somebody might evaluate it: in one type, with sums in an order of their own."""

from __future__ import annotations

import numpy as np

from oracle.arithmetic.float64 import Float64Numbers
from oracle.arithmetic.numbers import axes_of


class Evaluated(Float64Numbers):
    """Evaluates a formula in a type throughout; `order` is that of the terms of sums."""

    def __init__(self, dtype, order="numpy", rng=None, kink=0.5):
        super().__init__(kink)
        self.dtype = np.dtype(dtype)
        self.order = order
        self.rng = rng

    def exact(self, a):
        return np.asarray(a).astype(self.dtype)

    held = exact

    def erf(self, x):
        return super().erf(x).astype(self.dtype)

    def scatter_add(self, x, indices, length):
        return super().scatter_add(x, indices, length).astype(self.dtype)

    def ordered(self, n):
        if self.order == "reversed":
            return np.arange(n)[::-1]
        if self.order == "shuffled":
            return self.rng.permutation(n)
        return np.arange(n)

    def sum(self, x, axis=None, *, keepdims=False):
        over = axes_of(axis, x.ndim)
        if self.order == "numpy":
            return np.asarray(np.sum(x, axis=over, keepdims=keepdims, dtype=self.dtype))
        kept = [k for k in range(x.ndim) if k not in over]
        terms = x.transpose(*over, *kept).reshape(-1, *[x.shape[k] for k in kept])
        total = serial(terms, self.ordered(len(terms)), self.order == "lanes", self.dtype)
        shape = [1 if k in over else n for k, n in enumerate(x.shape)]
        return total.reshape(shape) if keepdims else total

    def matmul(self, a, b, plus=None):
        if self.order == "numpy":
            return a @ b if plus is None else (a @ b + plus).astype(self.dtype)
        stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = (np.broadcast_to(m, (*stack, *m.shape[-2:])) for m in (a, b))
        terms = np.moveaxis(a, -1, 0)[..., np.newaxis] * np.moveaxis(b, -2, 0)[..., np.newaxis, :]
        total = serial(terms, self.ordered(len(terms)), self.order == "lanes", self.dtype)
        return total if plus is None else (total + plus).astype(self.dtype)


def serial(terms, order, lanes, dtype):
    """Return the sum of terms one after the other, or of every fourth in a lane of its own."""
    if lanes and len(terms) >= 8:
        parts = np.stack(
            [serial(terms[k::4], range(len(terms[k::4])), False, dtype) for k in range(4)]
        )
        return serial(parts, range(4), False, dtype)
    total = np.zeros(terms.shape[1:], dtype=dtype)
    for k in order:
        total = (total + terms[k]).astype(dtype)
    return total
