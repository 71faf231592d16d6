"""The primitives in which every formula is written, as far as they only move numbers.

`Numbers` is the namespace that a formula gets as `xp`. A formula also uses + - * / and unary - on
what the namespace returns. What computes is in the subclasses: `float64`, `balls`, `rounded`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from oracle.values import Array

Number: TypeAlias = Any
"""An array of one of the three kinds of number, or a Python float."""

Axes: TypeAlias = int | Sequence[int] | None


class Numbers(abc.ABC):
    """A kind of number. `kink` is the slope from 0 to 1 that a step has where it is undecided.

    `kinks` counts the places where an argument was exactly at a kink.
    """

    zero: Any = 0.0
    """What an array of objects holds where there is nothing."""

    def __init__(self, kink: float = 0.5) -> None:
        self.kink = kink
        self.kinks = 0

    # ---- what a kind of number brings --------------------------------------------------------

    @abc.abstractmethod
    def exact(self, a: Array) -> Number:
        """Return an array whose numbers are exact: masks, counts, indices."""

    @abc.abstractmethod
    def held(self, a: Array) -> Number:
        """Return an input, as the candidate holds it."""

    @property
    @abc.abstractmethod
    def pi(self) -> Number:
        """Return π."""

    @abc.abstractmethod
    def is_zero(self, x: Number) -> Array:
        """Tell where x is exactly 0."""

    @abc.abstractmethod
    def stored(self, x: Number) -> Number:
        """Return what is left of a tensor that goes through memory."""

    @abc.abstractmethod
    def moved(
        self, x: Number, move: Callable[[Array], Array], axes: Sequence[int | None]
    ) -> Number:
        """Return an array whose numbers are moved, copied or left out by `move`.

        `axes[k]` is where the axis k is afterwards, None if its entries are mixed with others.
        """

    @abc.abstractmethod
    def concat(self, parts: Sequence[Number], axis: int) -> Number:
        """Return the parts one after the other along an axis."""

    @abc.abstractmethod
    def sum(self, x: Number, axis: Axes = None, *, keepdims: bool = False) -> Number:
        """Return the sum along axes; along all if `axis` is None."""

    @abc.abstractmethod
    def matmul(self, a: Number, b: Number, plus: Number | None = None) -> Number:
        """Return a @ b + plus for matrices, or stacks of them; `plus` broadcasts."""

    @abc.abstractmethod
    def scatter_add(self, x: Number, indices: Array, length: int) -> Number:
        """Return (length, ...) whose row k is the sum of the rows n of x with indices[n] = k."""

    @abc.abstractmethod
    def max(self, x: Number, axis: int, *, keepdims: bool = False) -> Number:
        """Return the largest along an axis."""

    @abc.abstractmethod
    def winners(self, x: Number, axis: int) -> Number:
        """Return 1 where x is the largest along an axis, and 0 elsewhere.

        Of several largest ones the first has the 1 if `kink` is 1, the last if it is 0; they share
        it evenly if it is between. Each line with several counts as a kink.
        """

    @abc.abstractmethod
    def choose(self, c: Number, above: Number, below: Number, *, smooth: bool = False) -> Number:
        """Return `above` where c > 0 and `below` where c < 0.

        At c = 0 the result is below + kink (above - below), and counts as a kink unless the two
        pieces join there without one (`smooth`).
        """

    @abc.abstractmethod
    def where(self, mask: Array, above: Number, below: Number) -> Number:
        """Return `above` where a known mask is true, `below` elsewhere."""

    @abc.abstractmethod
    def exp(self, x: Number) -> Number:
        """Return e^x."""

    @abc.abstractmethod
    def expm1(self, x: Number) -> Number:
        """Return e^x - 1, without cancellation near 0."""

    @abc.abstractmethod
    def log(self, x: Number) -> Number:
        """Return the natural logarithm."""

    @abc.abstractmethod
    def log1p(self, x: Number) -> Number:
        """Return log(1 + x), without cancellation near 0."""

    @abc.abstractmethod
    def sqrt(self, x: Number) -> Number:
        """Return the square root."""

    @abc.abstractmethod
    def power(self, x: Number, exponent: Number) -> Number:
        """Return x to a power; where the exponent is not a whole number, x is not negative."""

    @abc.abstractmethod
    def tanh(self, x: Number) -> Number:
        """Return the hyperbolic tangent."""

    @abc.abstractmethod
    def tanh_slope(self, x: Number) -> Number:
        """Return 1 - tanh², without cancellation."""

    @abc.abstractmethod
    def sigmoid(self, x: Number) -> Number:
        """Return 1 / (1 + e^-x)."""

    @abc.abstractmethod
    def sigmoid_slope(self, x: Number) -> Number:
        """Return sigmoid (1 - sigmoid), without cancellation."""

    @abc.abstractmethod
    def softplus(self, x: Number) -> Number:
        """Return log(1 + e^x), without overflow."""

    @abc.abstractmethod
    def erf(self, x: Number) -> Number:
        """Return the error function."""

    @abc.abstractmethod
    def sin(self, x: Number) -> Number:
        """Return the sine."""

    @abc.abstractmethod
    def cos(self, x: Number) -> Number:
        """Return the cosine."""

    @abc.abstractmethod
    def softmax(self, x: Number, axis: int = -1, mask: Array | None = None) -> Number:
        """Return e^x over its sum along an axis.

        Where a mask is false, x counts as minus infinity. A line without one true is zero.
        """

    @abc.abstractmethod
    def logsumexp(self, x: Number, axis: int = -1, *, keepdims: bool = False) -> Number:
        """Return the logarithm of the sum of e^x along an axis."""

    @abc.abstractmethod
    def others(self, x: Number, axis: int = -1) -> Number:
        """Return for each entry the sum of the other ones along an axis, without cancellation."""

    def rowwise(
        self,
        function: Callable[..., Number],
        *arrays: Any,
        size: int | None = None,  # noqa: ARG002
    ) -> Any:
        """Return a function of rows that needs of several arrays one row each, a block at a time.

        An array is a number, or a known one; its first axis is that of the rows. The function
        returns one, or a tuple. `size` is how many numbers the largest of its intermediate results
        has, if that is none of the arrays.
        """
        return function(*arrays)

    # ---- what follows ------------------------------------------------------------------------

    def mean(self, x: Number, axis: Axes = None, *, keepdims: bool = False) -> Number:
        """Return the mean along axes."""
        count = np.prod([x.shape[k] for k in axes_of(axis, x.ndim)])
        return self.sum(x, axis, keepdims=keepdims) / float(count)

    def maximum(self, a: Number, b: Number) -> Number:
        """Return the larger, entry by entry."""
        return self.choose(a - b, a, b, smooth=True)

    def minimum(self, a: Number, b: Number) -> Number:
        """Return the smaller, entry by entry."""
        return self.choose(a - b, b, a, smooth=True)

    def absolute(self, x: Number) -> Number:
        """Return |x|."""
        return self.choose(x, x, -x, smooth=True)

    def step(self, x: Number) -> Number:
        """Return 1 above 0 and 0 below; `kink` at 0."""
        return self.choose(x, self.full(x, 1.0), self.full(x, 0.0))

    def sign(self, x: Number) -> Number:
        """Return 1 above 0, -1 below, 2 kink - 1 at 0."""
        return self.choose(x, self.full(x, 1.0), self.full(x, -1.0))

    def signum(self, x: Number) -> Number:
        """Return 1 above 0, -1 below, and 0 at 0, as a value and not as a slope."""
        one = self.full(x, 1.0)
        return self.where(self.is_zero(x), 0.0, self.choose(x, one, -one, smooth=True))

    def full(self, x: Number, c: float) -> Number:
        """Return an array of the shape of x that holds one exact constant."""
        return self.exact(np.full(x.shape, c))

    def reshape(self, x: Number, shape: Sequence[int]) -> Number:
        """Return the same numbers in row-major order in another shape."""
        target = tuple(shape)
        places = _kept_axes(x.shape, np.empty(x.shape, dtype=bool).reshape(target).shape)
        return self.moved(x, lambda a: a.reshape(target), places)

    def transpose(self, x: Number, order: Sequence[int] | None = None) -> Number:
        """Return the axes in another order; reversed if none is given."""
        to = tuple(reversed(range(x.ndim))) if order is None else tuple(k % x.ndim for k in order)
        return self.moved(x, lambda a: a.transpose(to), [to.index(k) for k in range(x.ndim)])

    def swapped(self, x: Number) -> Number:
        """Return a matrix, or each of a stack, transposed."""
        return self.transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))

    def broadcast_to(self, x: Number, shape: Sequence[int]) -> Number:
        """Return x repeated to a shape."""
        target = tuple(shape)
        new = len(target) - x.ndim
        axes = [new + k if x.shape[k] == target[new + k] else None for k in range(x.ndim)]
        return self.moved(x, lambda a: np.broadcast_to(a, target), axes)

    def expand_dims(self, x: Number, axis: int) -> Number:
        """Return x with a new axis of length 1."""
        place = axis % (x.ndim + 1)
        axes = [k + (k >= place) for k in range(x.ndim)]
        return self.moved(x, lambda a: np.expand_dims(a, place), axes)

    def take(self, x: Number, indices: Array, axis: int) -> Number:
        """Return some of the entries along an axis; repeated ones err alike."""
        place = axis % x.ndim
        new = np.ndim(indices)
        once = new == 1 and len(np.unique(indices)) == len(indices)
        axes = [
            (k if once else None) if k == place else k + (new - 1) * (k > place)
            for k in range(x.ndim)
        ]
        return self.moved(x, lambda a: np.take(a, indices, axis=place), axes)

    def take_along(self, x: Number, indices: Array, axis: int) -> Number:
        """Return the entry at an index of its own in each line along an axis."""
        place = axis % x.ndim
        same = [np.shape(indices)[k] == x.shape[k] for k in range(x.ndim)]
        axes = [None if k == place or not same[k] else k for k in range(x.ndim)]
        return self.moved(x, lambda a: np.take_along_axis(a, indices, axis=place), axes)

    def part(self, x: Number, slices: Sequence[slice]) -> Number:
        """Return a rectangular part, one slice for each axis; steps may be negative."""
        index = tuple(slices)
        return self.moved(x, lambda a: a[index], list(range(x.ndim)))

    def flip(self, x: Number, axes: Sequence[int]) -> Number:
        """Return x in reverse order along axes."""
        turned = tuple(axes)
        return self.moved(x, lambda a: np.flip(a, turned), list(range(x.ndim)))

    def placed(self, x: Number, shape: Sequence[int], slices: Sequence[slice]) -> Number:
        """Return zeros of a shape, but for x in a rectangular part; steps may be negative."""
        index = tuple(slices)

        def put(a: Array) -> Array:
            whole = np.full(tuple(shape), self.zero if a.dtype == object else 0.0, dtype=a.dtype)
            whole[index] = a
            return whole

        return self.moved(x, put, list(range(x.ndim)))

    def pad(self, x: Number, widths: Sequence[tuple[int, int]]) -> Number:
        """Return x with zeros before and after each axis."""
        shape = [n + before + after for n, (before, after) in zip(x.shape, widths, strict=True)]
        inner = [slice(before, before + n) for n, (before, _) in zip(x.shape, widths, strict=True)]
        return self.placed(x, shape, inner)

    def unbroadcast(self, x: Number, shape: Sequence[int]) -> Number:
        """Return x summed to the shape from which it was broadcast."""
        new = x.ndim - len(shape)
        over = tuple(range(new)) + tuple(
            new + k for k, length in enumerate(shape) if length == 1 and x.shape[new + k] != 1
        )
        summed = self.sum(x, over, keepdims=True) if over else x
        return self.reshape(summed, shape) if summed.shape != tuple(shape) else summed


def axes_of(axis: Axes, ndim: int) -> tuple[int, ...]:
    """Return axes as positions counted from the first."""
    if axis is None:
        return tuple(range(ndim))
    several = (axis,) if isinstance(axis, int) else axis
    return tuple(sorted(k % max(ndim, 1) for k in several))


def _kept_axes(before: Sequence[int], after: Sequence[int]) -> list[int | None]:
    """Return where each axis is after a reshape; None if it was merged or split."""
    places: list[int | None] = []
    for k, length in enumerate(before):
        outer = int(np.prod(before[:k], dtype=np.int64))
        found = None
        for j, other in enumerate(after):
            if other == length and int(np.prod(after[:j], dtype=np.int64)) == outer:
                found = j
        places.append(found if length > 1 else None)
    return places


BLOCK = 2**18
"""Numbers of a block of rows: 2 MB in float64, of which a formula holds some dozen in the cache."""


def blocks(rows: int, size: int) -> Iterator[slice]:
    """Yield the rows of blocks of an array of so many rows and numbers."""
    height = max(1, BLOCK * rows // max(size, 1))
    for top in range(0, rows, height):
        yield slice(top, top + height)
