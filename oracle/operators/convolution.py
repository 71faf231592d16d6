"""What a convolution and its transpose have in common: products with what windows hold."""

from __future__ import annotations

import math
from dataclasses import dataclass

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.windows import Windows, by_group, flat, from_groups, gathered


@dataclass(frozen=True)
class Convolution:
    """A kernel in groups that slides over windows."""

    groups: int
    windows: Windows

    def slid(self, xp: Numbers, x: Number, kernel: Number, bias: Number | None = None) -> Number:
        """Return Σ kernel x for each position; the kernel is a `matrix`, x on the input's side."""
        cols = gathered(xp, flat(xp, x), self.windows.forth, self.groups)
        return from_groups(xp, xp.matmul(kernel, cols, bias), x.shape[0], self.windows.output)

    def spread(self, xp: Numbers, y: Number, kernel: Number, bias: Number | None = None) -> Number:
        """Return the transpose of `slid`; the kernel is one that is `transposed`."""
        cols = gathered(xp, flat(xp, y), self.windows.back, self.groups)
        return from_groups(xp, xp.matmul(kernel, cols, bias), y.shape[0], self.windows.input)

    def met(self, xp: Numbers, y: Number, x: Number) -> Number:
        """Return (groups, channels of y, channels of x · kernel): what meets under the kernel."""
        cols = gathered(xp, flat(xp, x), self.windows.forth, self.groups)
        return xp.matmul(by_group(xp, flat(xp, y), self.groups), xp.swapped(cols))


def matrix(xp: Numbers, W: Number, groups: int) -> Number:
    """Return a kernel (M, C, K1, ...) as (groups, M / groups, C · K)."""
    return xp.reshape(W, (groups, W.shape[0] // groups, math.prod(W.shape[1:])))


def transposed(xp: Numbers, W: Number, groups: int) -> Number:
    """Return a kernel (M, C, K1, ...) as (groups, C, M / groups · K)."""
    M, C, K = W.shape[0] // groups, W.shape[1], math.prod(W.shape[2:])
    turned = xp.transpose(xp.reshape(W, (groups, M, C, K)), (0, 2, 1, 3))
    return xp.reshape(turned, (groups, C, M * K))
