"""Plain float64 arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import BLOCK, Axes, Number, Numbers, blocks
from oracle.arithmetic.special import (
    erf,
    logsumexp,
    others,
    sigmoid,
    sigmoid_slope,
    softmax,
    tanh_slope,
    winners,
)
from oracle.values import Array


class Float64Numbers(Numbers):
    """Evaluates a formula in float64, as NumPy does."""

    def exact(self, a: Array) -> Number:  # noqa: D102
        return np.asarray(a, dtype=np.float64)

    held = exact

    @property
    def pi(self) -> Number:  # noqa: D102
        return self.exact(np.asarray(np.pi))

    def is_zero(self, x: Number) -> Array:  # noqa: D102
        return np.asarray(x == 0.0)

    def stored(self, x: Number) -> Number:  # noqa: D102
        return x

    def moved(  # noqa: D102
        self,
        x: Number,
        move: Callable[[Array], Array],
        axes: Sequence[int | None],  # noqa: ARG002
    ) -> Number:
        return move(x)

    def rowwise(  # noqa: D102
        self, function: Callable[..., Number], *arrays: Any, size: int | None = None
    ) -> Any:
        rows, numbers = len(arrays[0]), size or max(np.size(array) for array in arrays)
        if numbers <= BLOCK:
            return function(*arrays)
        found: list[Array] = []
        several = False
        for block in blocks(rows, numbers):
            parts = function(*(array[block] for array in arrays))
            several = isinstance(parts, tuple)
            each = parts if several else (parts,)
            found = found or [np.empty((rows, *part.shape[1:])) for part in each]
            for whole, part in zip(found, each, strict=True):
                whole[block] = part
        return tuple(found) if several else found[0]

    def reshape(self, x: Number, shape: Sequence[int]) -> Number:  # noqa: D102
        return x.reshape(tuple(shape))

    def concat(self, parts: Sequence[Number], axis: int) -> Number:  # noqa: D102
        return np.concatenate(list(parts), axis=axis)

    def sum(self, x: Number, axis: Axes = None, *, keepdims: bool = False) -> Number:  # noqa: D102
        over = tuple(axis) if isinstance(axis, Sequence) else axis
        return np.asarray(np.sum(x, axis=over, keepdims=keepdims))

    def matmul(self, a: Number, b: Number, plus: Number | None = None) -> Number:  # noqa: D102
        return a @ b if plus is None else a @ b + plus

    def scatter_add(self, x: Number, indices: Array, length: int) -> Number:  # noqa: D102
        total = np.zeros((length, *x.shape[1:]))
        np.add.at(total, indices, x)
        return total

    def max(self, x: Number, axis: int, *, keepdims: bool = False) -> Number:  # noqa: D102
        return np.asarray(np.max(x, axis=axis, keepdims=keepdims))

    def winners(self, x: Number, axis: int) -> Number:  # noqa: D102
        shares, tied = winners(x, axis, self.kink)
        self.kinks += tied
        return shares

    def choose(  # noqa: D102
        self, c: Number, above: Number, below: Number, *, smooth: bool = False
    ) -> Number:
        at = c == 0
        if not at.any():
            return np.where(c > 0, above, below)
        self.kinks += 0 if smooth else int(np.count_nonzero(at))
        middle = self.kink * above + (1.0 - self.kink) * below
        return np.where(at, middle, np.where(c > 0, above, below))

    def where(self, mask: Array, above: Number, below: Number) -> Number:  # noqa: D102
        return np.where(mask, above, below)

    def power(self, x: Number, exponent: Number) -> Number:  # noqa: D102
        return np.power(x, exponent)

    def exp(self, x: Number) -> Number:  # noqa: D102
        return np.exp(x)

    def expm1(self, x: Number) -> Number:  # noqa: D102
        return np.expm1(x)

    def log(self, x: Number) -> Number:  # noqa: D102
        return np.log(x)

    def log1p(self, x: Number) -> Number:  # noqa: D102
        return np.log1p(x)

    def sqrt(self, x: Number) -> Number:  # noqa: D102
        return np.sqrt(x)

    def tanh(self, x: Number) -> Number:  # noqa: D102
        return np.tanh(x)

    def tanh_slope(self, x: Number) -> Number:  # noqa: D102
        return tanh_slope(x)

    def sigmoid(self, x: Number) -> Number:  # noqa: D102
        return sigmoid(x)

    def sigmoid_slope(self, x: Number) -> Number:  # noqa: D102
        return sigmoid_slope(x)

    def erf(self, x: Number) -> Number:  # noqa: D102
        return erf(x)

    def sin(self, x: Number) -> Number:  # noqa: D102
        return np.sin(x)

    def cos(self, x: Number) -> Number:  # noqa: D102
        return np.cos(x)

    def softplus(self, x: Number) -> Number:  # noqa: D102
        return np.logaddexp(0.0, x)

    def softmax(  # noqa: D102
        self, x: Number, axis: int = -1, mask: Array | None = None
    ) -> Number:
        return softmax(x, axis, mask)

    def logsumexp(  # noqa: D102
        self, x: Number, axis: int = -1, *, keepdims: bool = False
    ) -> Number:
        total = logsumexp(x, axis)
        return total if keepdims else np.squeeze(total, axis=axis)

    def others(self, x: Number, axis: int = -1) -> Number:  # noqa: D102
        return others(x, axis)
