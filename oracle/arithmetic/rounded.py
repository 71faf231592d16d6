"""Numbers that know what rounding may have done to them: running error bounds.

Every bound is derived for *any* reasonable evaluation in the arithmetic in question: each operation
is rounded, in any order of sums (`sums`), with or without fused multiply-add.

- An operation on single numbers costs u of its result, which may have one sign everywhere. Adding
  zero, and multiplying by a power of two, cost nothing.
- exp, tanh, log and their like cost f units in the last place and what their argument is off by.
  f = 4 in float64 and float32, where the libraries in use claim 1 to 2; f = 1 in half precision,
  which all libraries evaluate in float32 and round once.
- Sigmoid: E[z] = z (1 - z) E[a] + r u, where 1 / (1 + exp(-a)) has r = z (f (1 - z) + 2) and
  ½ (1 + tanh(½ a)) has r = f |z - ½| + z; the larger is charged. z (1 - z) then errs by |1 - 2 z|
  as much and 2 u of its own size, and exp(-a) / (1 + exp(-a))² by (f |1 - 2 z| + f + 3) u of its
  own size; the larger is charged. Where exp(-a) may overflow, as it does in float16 from a = -11
  on, z may be zero.
- Tanh: E[z] = (1 - z²) E[a] + f u |z|; 1 - z² then errs by 2 |z| as much, and by 2 u;
  4 exp(-2a) / (1 + exp(-2a))² by (f |z| + f + 3) u of its own size; the larger is charged.
- Softmax: shifting a whole row changes nothing, so the relative error of y_k is
  (1 - y_k) d_k + Σ_{j != k} y_j d_j with d = E[score] + u (|score - max| + f); the term with
  |score - max| covers the shift. Sum and quotient add (f + 1) u. As exp(score - max - l), with
  l = log Σ exp(score - max), sum, logarithm, difference and exp add
  u (1 + f l + l + |score - max| + f y_k) instead; and as exp(score - lse), with
  lse = max + l, also the rounding of that sum, u |lse|. The largest is charged.
- Inputs that the candidate's type cannot hold were rounded by the caller first: u |input| each, of
  the same sign wherever that input is used. What is stored in a narrower type than it was computed
  in is rounded once more, independently entry by entry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oracle.arithmetic import special
from oracle.arithmetic.dtypes import NUMPY, ROUNDING, Arithmetic
from oracle.arithmetic.errors import (
    LEAST_SQUARE,
    ONE_SIGN,
    Error,
    Part,
    independent,
    largest,
    one_sign,
)
from oracle.arithmetic.numbers import BLOCK, Axes, Number, Numbers, axes_of, blocks
from oracle.arithmetic.sums import SIGMAS, clusters, copies, rounded_product
from oracle.values import Array, Float64

SMALL = 2.0**-10
"""Relative errors below this change a bound by less than a thousandth in the second order."""

FOLLOWED = SIGMAS / math.sqrt(3.0)
"""Times half a unit in the last place that what is stored is charged with.

A rounding is uniform there, with a standard deviation of 1/√3 of it, and sums of many are followed
as far as `SIGMAS` of theirs.
"""

MOST = 50.0
"""Relative errors are followed up to exp(50): such a bound is vacuous anyway."""


@dataclass(frozen=True, eq=False)
class Rounded:
    """An array in float64, and what it may be off by in the arithmetic in question."""

    value: Float64
    error: Error
    how: Arithmetic

    __array_ufunc__ = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.value.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.value.ndim

    @property
    def off(self) -> Float64:
        """Return the bound of the error, of whatever sign."""
        return self.error.total(self.shape)

    @property
    def budget(self) -> Float64:
        """Return the bound with its margins."""
        return self.error.budget(self.shape)

    def __neg__(self) -> Rounded:
        """Return -x, which is exact."""
        return Rounded(-self.value, self.error, self.how)

    def __add__(self, other: Any) -> Rounded:
        """Return x + y."""
        a, b = _pair(self, other)
        value = a.value + b.value
        rounds = (a.value != 0.0) & (b.value != 0.0)
        rounding = one_sign(self.how.u * np.abs(value) * rounds)
        return Rounded(value, a.error.plus(b.error, rounding), self.how)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Rounded:
        """Return x - y."""
        return self + (-other)

    def __rsub__(self, other: Any) -> Rounded:
        """Return y - x."""
        return -self + other

    def __mul__(self, other: Any) -> Rounded:
        """Return x y."""
        a, b = _pair(self, other)
        value = a.value * b.value
        error = a.error.times(np.abs(b.value) + b.off).plus(b.error.times(np.abs(a.value)))
        rounds = ~(_is_power(a) | _is_power(b))
        rounding = (self.how.u * np.abs(value) + self.how.tiny) * rounds
        return Rounded(value, error.plus(one_sign(rounding)), self.how)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Rounded:
        """Return x / y."""
        a, b = _pair(self, other)
        value = a.value / b.value
        least = np.maximum(np.abs(b.value) - b.off, 0.0)
        error = a.error.times(1.0 / least).plus(b.error.times(np.abs(value) / least))
        rounds = ~_is_power(b)
        rounding = (self.how.u * np.abs(value) + self.how.tiny) * rounds
        return Rounded(value, error.plus(one_sign(rounding)), self.how)

    def __rtruediv__(self, other: Any) -> Rounded:
        """Return y / x."""
        return _lift(other, self.how) / self


def _lift(other: Any, how: Arithmetic) -> Rounded:
    if isinstance(other, Rounded):
        return other
    if isinstance(other, int | float):
        off = how.constant_error(float(other))
        error = one_sign(np.asarray(off)) if off else Error()
        return Rounded(np.asarray(float(other)), error, how)
    return Rounded(np.asarray(other, dtype=np.float64), Error(), how)


def _pair(a: Any, b: Any) -> tuple[Rounded, Rounded]:
    x, y = _lift(a, a.how), _lift(b, a.how)
    shape = np.broadcast_shapes(x.shape, y.shape)
    return _spread(x, shape), _spread(y, shape)


def _spread(x: Rounded, shape: tuple[int, ...]) -> Rounded:
    if x.shape == shape:
        return x
    error = x.error.broadcast(x.shape, shape)
    return Rounded(np.broadcast_to(x.value, shape), error, x.how)


def _is_power(x: Rounded) -> Array:
    """Tell where multiplying by x is exact: x is a known power of two, or 0."""
    if not x.error.nothing:
        return np.zeros(x.shape, dtype=bool)
    mantissa, _ = np.frexp(x.value)
    return np.asarray((np.abs(mantissa) == 0.5) | (x.value == 0.0))


class RoundedNumbers(Numbers):
    """Evaluates a formula in numbers that know what an arithmetic may have done to them."""

    def __init__(self, how: Arithmetic, kink: float = 0.5) -> None:
        super().__init__(kink)
        self.how = how

    def exact(self, a: Array) -> Rounded:  # noqa: D102
        return Rounded(np.asarray(a, dtype=np.float64), Error(), self.how)

    def held(self, a: Array) -> Rounded:  # noqa: D102
        off = self.how.input_error(a)
        error = one_sign(off) if off.any() else Error()
        return Rounded(np.asarray(a, dtype=np.float64), error, self.how)

    @property
    def pi(self) -> Rounded:  # noqa: D102
        return Rounded(np.asarray(np.pi), one_sign(np.asarray(self.how.u * np.pi)), self.how)

    def is_zero(self, x: Number) -> Array:  # noqa: D102
        return np.asarray((x.value == 0.0) & (x.off == 0.0))

    def stored(self, x: Number) -> Rounded:
        """Round to the type that is stored, if it is narrower: independently of its neighbours."""
        if not self.how.stores_narrower:
            return x
        narrow = ROUNDING[self.how.store]
        with np.errstate(over="ignore", under="ignore"):
            kept = x.value.astype(NUMPY[self.how.store]).astype(np.float64)
        moves = (kept != x.value) | (x.off > 0.0)
        bound = np.maximum(self.how.w * np.abs(x.value), narrow.tiny) * moves
        if not bound.any():
            return x
        bound = FOLLOWED * bound
        alike = {
            k: max(copies(_lines(x.value, k)), clusters(_lines(x.value, k), _lines(kept, k)))
            for k in range(x.ndim)
        }
        return Rounded(x.value, x.error.plus(independent(bound, alike)), self.how)

    def moved(  # noqa: D102
        self, x: Number, move: Callable[[Array], Array], axes: Sequence[int | None]
    ) -> Rounded:
        return Rounded(np.asarray(move(x.value)), x.error.moved(move, axes), self.how)

    def rowwise(
        self, function: Callable[..., Number], *arrays: Any, size: int | None = None
    ) -> Any:
        """Return a function of rows, a block at a time.

        Bounds of a narrow type are kept in float32, which changes them by less than `MARGIN` holds.
        Rows of a result are alike at most as often as those of each array.
        """
        rows, numbers = arrays[0].shape[0], size or max(math.prod(a.shape) for a in arrays)
        if numbers <= BLOCK:
            return function(*arrays)
        narrow = np.float32 if self.how.u >= ROUNDING["float32"].u else np.float64
        held = [array for array in arrays if isinstance(array, Rounded)]
        alike = min((copies(_lines(array.value, 0)) for array in held), default=rows)
        found: list[Rounded] = []
        several = False
        for block in blocks(rows, numbers):
            parts = function(*(self._rows(array, block) for array in arrays))
            several = isinstance(parts, tuple)
            each = parts if several else (parts,)
            shapes = [(rows, *part.shape[1:]) for part in each]
            found = found or [Rounded(np.empty(n), Error(), self.how) for n in shapes]
            found = [
                _with_rows(whole, part, block, alike, narrow)
                for whole, part in zip(found, each, strict=True)
            ]
        return tuple(found) if several else found[0]

    def _rows(self, x: Any, block: slice) -> Any:
        if not isinstance(x, Rounded):
            return x[block]
        return self.part(x, (block, *[slice(None)] * (x.ndim - 1)))

    def concat(self, parts: Sequence[Number], axis: int) -> Rounded:  # noqa: D102
        keys = {key for part in parts for key in part.error.parts}
        found = {}
        for key in keys:
            ours = [part.error.parts.get(key) for part in parts]
            bounds = [
                np.zeros(part.shape) if one is None else one.bound
                for part, one in zip(parts, ours, strict=True)
            ]
            alike = {k: max(one.copies[k] for one in ours if one) for k in key or ()}
            found[key] = Part(np.concatenate(bounds, axis=axis), alike)
        value = np.concatenate([part.value for part in parts], axis=axis)
        return Rounded(value, Error(found), self.how)

    def sum(self, x: Number, axis: Axes = None, *, keepdims: bool = False) -> Rounded:  # noqa: D102
        over = axes_of(axis, x.ndim)
        kept = [k for k in range(x.ndim) if k not in over]
        front = self.transpose(x, (*over, *kept))
        n = math.prod(x.shape[k] for k in over)
        rest = tuple(x.shape[k] for k in kept)
        entries = math.prod(rest)
        value = front.value.reshape(n, entries)
        sums = rounded_product(np.ones((1, n)), value, self.how)
        alike = {k: copies(_lines(front.value, len(over) + k)) for k in range(len(rest))}
        error = independent(sums.local.reshape(rest), alike)
        error = error.plus(one_sign(sums.alike.reshape(rest)))
        for key, part in front.error.parts.items():
            bound = part.bound
            inner = [k for k in range(len(over)) if key is not ONE_SIGN and k in key]
            linear = tuple(k for k in range(len(over)) if k not in inner)
            bound = bound.sum(axis=linear) if linear else bound
            if inner:
                leading = tuple(range(len(inner)))
                m = math.prod(part.copies[k] for k in inner)
                squares = m * (bound * bound).sum(axis=leading)
                magnitude = bound.sum(axis=leading)
                followed = np.where(squares > LEAST_SQUARE, np.sqrt(squares), np.inf)
                bound = np.fmin(followed, magnitude)
            if key is ONE_SIGN:
                error = error.plus(one_sign(bound))
            else:
                left = {k - len(over): m for k, m in part.copies.items() if k >= len(over)}
                error = error.plus(independent(bound, left))
        total = Rounded(sums.value.reshape(rest), error, self.how)
        if not keepdims:
            return total
        shape = tuple(1 if k in over else n for k, n in enumerate(x.shape))
        places: list[int | None] = list(kept)
        return self.moved(total, lambda a: a.reshape(shape), places)

    def matmul(self, a: Number, b: Number, plus: Number | None = None) -> Rounded:  # noqa: D102
        stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        rows, terms, columns = a.shape[-2], a.shape[-1], b.shape[-1]
        left = _spread(a, (*stack, rows, terms))
        right = _spread(b, (*stack, terms, columns))
        shape = (*stack, rows, columns)
        shift = None if plus is None else _spread(plus, shape)
        value, local, alike = (np.empty(shape) for _ in range(3))
        for place in np.ndindex(*stack):
            offset = None if plus is None else np.atleast_2d(_shift(plus, shift, place))
            sums = rounded_product(left.value[place], right.value[place], self.how, offset)
            value[place], local[place], alike[place] = sums.value, sums.local, sums.alike
        error = independent(local, self._copies(left, right, shift))
        error = error.plus(one_sign(alike))
        depth = len(stack)
        for key, part in left.error.parts.items():
            error = error.plus(_carried(key, part, right.value, depth, first=True))
        for key, part in right.error.parts.items():
            error = error.plus(_carried(key, part, left.value, depth, first=False))
        if shift is not None:
            error = error.plus(shift.error)
        return Rounded(value, error, self.how)

    def _copies(self, left: Rounded, right: Rounded, shift: Rounded | None) -> dict[int, float]:
        depth = left.ndim - 2
        alike = {k: min(copies(_lines(m.value, k)) for m in (left, right)) for k in range(depth)}
        across = _lines(right.value, depth + 1)
        if shift is not None:
            across = np.concatenate([across, _lines(shift.value, depth + 1)], axis=1)
        return {**alike, depth: copies(_lines(left.value, depth)), depth + 1: copies(across)}

    def scatter_add(self, x: Number, indices: Array, length: int) -> Rounded:  # noqa: D102
        def added(a: Float64) -> Float64:
            total = np.zeros((length, *x.shape[1:]))
            np.add.at(total, indices, a)
            return total

        count = np.bincount(indices, minlength=length).reshape(-1, *[1] * (x.ndim - 1))
        growth = np.minimum(count, SIGMAS * np.sqrt(count) + count / 3.0) * (count > 1)
        error = one_sign(self.how.v * growth * added(np.abs(x.value)))
        for key, part in x.error.parts.items():
            if key is not ONE_SIGN and 0 in key:
                squares = part.copies[0] * added(part.bound**2)
                bound = np.where(squares > LEAST_SQUARE, np.sqrt(squares), added(part.bound))
                left = {k: m for k, m in part.copies.items() if k}
                error = error.plus(independent(np.fmin(bound, added(part.bound)), left))
            elif key is ONE_SIGN:
                error = error.plus(one_sign(added(part.bound)))
            else:
                error = error.plus(independent(added(part.bound), part.copies))
        return Rounded(added(x.value), error, self.how)

    def max(self, x: Number, axis: int, *, keepdims: bool = False) -> Rounded:  # noqa: D102
        value = np.asarray(x.value.max(axis=axis, keepdims=keepdims))
        off = np.asarray(x.off.max(axis=axis, keepdims=keepdims))
        return Rounded(value, one_sign(off), self.how)

    def winners(self, x: Number, axis: int) -> Rounded:
        """Return whose the largest is: all of those that rounding may have made the largest."""
        shares, tied = special.winners(x.value, axis, self.kink)
        self.kinks += tied
        off = x.off
        surely = (x.value - off).max(axis=axis, keepdims=True)
        open_ = x.value + off >= surely
        several = np.count_nonzero(open_ & (off > 0.0), axis=axis, keepdims=True) > 0
        several = several & (np.count_nonzero(open_, axis=axis, keepdims=True) > 1)
        rounds = (shares > 0.0) & (shares < 1.0)
        bound = np.where(open_ & several, 1.0, self.how.u * shares * rounds)
        error = one_sign(bound) if bound.any() else Error()
        return Rounded(shares, error, self.how)

    def choose(  # noqa: D102
        self, c: Number, above: Number, below: Number, *, smooth: bool = False
    ) -> Rounded:
        shape = np.broadcast_shapes(c.shape, above.shape, below.shape)
        c, up, down = _spread(c, shape), _spread(above, shape), _spread(below, shape)
        off = c.off
        at = c.value == 0.0
        self.kinks += 0 if smooth else int(np.count_nonzero(at))
        middle = self.kink * up.value + (1.0 - self.kink) * down.value
        value = np.where(at, middle, np.where(c.value > 0.0, up.value, down.value))
        over = (c.value > 0.0) | at
        error = up.error.times(over * 1.0).plus(down.error.times((~over | at) * 1.0))
        # Rounding may have moved the argument across the kink: either piece may have been taken.
        open_ = (np.abs(c.value) <= off) & (off > 0.0)
        jump = np.abs(up.value - down.value) + up.off + down.off
        error = error.plus(one_sign(jump * open_)) if open_.any() else error
        return Rounded(value, error, self.how)

    def where(self, mask: Array, above: Number, below: Number) -> Rounded:  # noqa: D102
        up, down = _lift(above, self.how), _lift(below, self.how)
        shape = np.broadcast_shapes(np.shape(mask), up.shape, down.shape)
        up, down = _spread(up, shape), _spread(down, shape)
        error = up.error.each(lambda b: np.where(mask, b, 0.0))
        error = error.plus(down.error.each(lambda b: np.where(mask, 0.0, b)))
        return Rounded(np.where(mask, up.value, down.value), error, self.how)

    def exp(self, x: Number) -> Rounded:  # noqa: D102
        value = np.exp(x.value)
        return self._function(x, value, value * growth(x.off), self.how.f * value)

    def expm1(self, x: Number) -> Rounded:
        """Return e^x - 1, for somebody who subtracts 1 from e^x too."""
        value = np.exp(x.value)
        own = (self.how.f + 1.0) * np.maximum(value, np.abs(np.expm1(x.value)))
        return self._function(x, np.expm1(x.value), value * growth(x.off), own)

    def log(self, x: Number) -> Rounded:  # noqa: D102
        value = np.log(x.value)
        return self._function(x, value, _over(x.value - x.off), self.how.f * np.abs(value))

    def log1p(self, x: Number) -> Rounded:
        """Return log(1 + x), for somebody who adds 1 to x first too."""
        value = np.log1p(x.value)
        own = self.how.f * np.abs(value) + 1.0
        return self._function(x, value, _over(1.0 + x.value - x.off), own)

    def sqrt(self, x: Number) -> Rounded:  # noqa: D102
        value = np.sqrt(x.value)
        least = value + np.sqrt(np.maximum(x.value - x.off, 0.0))
        return self._function(x, value, _over(least), self.how.f * value)

    def power(self, x: Number, exponent: Number) -> Rounded:
        """Return x^y.

        The derivative by x is y x^(y - 1), the largest of which is at an end of where x may be;
        that by y is x^y log x, of which both factors are largest at an end, too.
        """
        x, y = _pair(x, exponent)
        value = np.power(x.value, y.value)
        square = (y.value == 2.0) & (y.off == 0.0)
        own = self.how.u * np.where(square, 1.0, self.how.f) * np.abs(value)
        near, far = np.maximum(np.abs(x.value) - x.off, 0.0), np.abs(x.value) + x.off
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            ends = [np.power(end, y.value - 1.0) for end in (near, far)]
            logarithms = np.fmax(np.abs(np.log(near)), np.abs(np.log(far)))
            steepest = np.fmax(*ends) * np.exp(np.minimum(logarithms, MOST / y.off) * y.off)
            slope = np.where(x.off > 0.0, (np.abs(y.value) + y.off) * steepest, 0.0)
            bend = np.where((y.off > 0.0) & (far > 0.0), far * steepest * logarithms, 0.0)
        error = x.error.times(slope).plus(y.error.times(bend))
        return Rounded(value, error.plus(one_sign(own + self.how.tiny)), self.how)

    def tanh(self, x: Number) -> Rounded:  # noqa: D102
        value = np.tanh(x.value)
        near = np.maximum(np.abs(x.value) - x.off, 0.0)
        own = self.how.f * np.abs(value)
        return self._function(x, value, special.tanh_slope(near), own, 2.0)

    def tanh_slope(self, x: Number) -> Rounded:  # noqa: D102
        z, value = np.abs(np.tanh(x.value)), special.tanh_slope(x.value)
        off = np.minimum(x.off, MOST)
        bend = value * (2.0 * z + 2.0 * off) * np.exp(np.minimum(2.0 * off, MOST))
        f = self.how.f
        # As 1 - tanh², and as 4 e^-2a / (1 + e^-2a)², which errs as that of the sigmoid does.
        own = np.maximum(2.0 * f * z * z + (1.0 + value), (f * z + f + 3.0) * value)
        slope = self._function(x, value, bend, own, 1.0)
        return self._from_output(slope, z, 2.0 * z)

    def sigmoid(self, x: Number) -> Rounded:  # noqa: D102
        z, slope = special.sigmoid(x.value), special.sigmoid_slope(x.value)
        off = x.off
        own = self._sigmoid_own(z, off)
        error = x.error.times(slope * growth(off)).at_most(1.0).plus(one_sign(own))
        return Rounded(z, error, self.how)

    def _sigmoid_own(self, z: Float64, off: Float64) -> Float64:
        tilt = np.abs(1.0 - 2.0 * z)
        f, u = self.how.f, self.how.u
        own = u * np.maximum(z * (f * (1.0 - z) + 2.0), 0.5 * f * tilt + z)
        return own + np.where(z * np.exp(-off) < self.how.lost, self.how.lost, self.how.tiny)

    def sigmoid_slope(self, x: Number) -> Rounded:  # noqa: D102
        z, slope = special.sigmoid(x.value), special.sigmoid_slope(x.value)
        off = x.off
        tilt = np.abs(1.0 - 2.0 * z)
        f, u = self.how.f, self.how.u
        bend = slope * (tilt + off) * np.exp(np.minimum(off, MOST))
        rounding = np.maximum(
            tilt * self._sigmoid_own(z, off) + 2.0 * u * slope,
            u * (f * tilt + f + 3.0) * slope,
        )
        error = x.error.times(bend).at_most(0.25).plus(one_sign(rounding + self.how.tiny))
        return self._from_output(Rounded(slope, error, self.how), z, tilt)

    def _from_output(self, slope: Rounded, output: Float64, bend: Float64) -> Rounded:
        """Return a slope for somebody who forms it from the output as it was stored."""
        if not self.how.stores_narrower:
            return slope
        kept = self.stored(Rounded(output, Error(), self.how))
        return Rounded(slope.value, slope.error.plus(kept.error.times(bend)), self.how)

    def softplus(self, x: Number) -> Rounded:
        """Return log(1 + e^x), for somebody who adds 1 to e^x first too."""
        value = np.logaddexp(0.0, x.value)
        slope = special.sigmoid(x.value + x.off)
        return self._function(x, value, slope, self.how.f * (value + slope) + 1.0)

    def erf(self, x: Number) -> Rounded:  # noqa: D102
        value = special.erf(x.value)
        near = np.maximum(np.abs(x.value) - x.off, 0.0)
        slope = 2.0 / math.sqrt(math.pi) * np.exp(-near * near)
        return self._function(x, value, slope, self.how.f * np.abs(value), 2.0)

    def sin(self, x: Number) -> Rounded:  # noqa: D102
        slope = np.abs(np.cos(x.value)) + x.off
        own = np.full(x.shape, self.how.f)
        return self._function(x, np.sin(x.value), slope, own, 2.0)

    def cos(self, x: Number) -> Rounded:  # noqa: D102
        slope = np.abs(np.sin(x.value)) + x.off
        own = np.full(x.shape, self.how.f)
        return self._function(x, np.cos(x.value), slope, own, 2.0)

    def softmax(  # noqa: D102
        self, x: Number, axis: int = -1, mask: Array | None = None
    ) -> Rounded:
        rows = SoftmaxRows.of(x, self.how, axis, mask)
        error = rows.by_quotient.plus(rows.by_logarithm_only)
        relative = growth(error.total(x.shape))
        bound = error.times(rows.y * relative).at_most(1.0)
        tiny = one_sign(np.where(rows.y > 0.0, self.how.tiny, 0.0))
        return Rounded(rows.y, bound.plus(tiny), self.how)

    def logsumexp(  # noqa: D102
        self, x: Number, axis: int = -1, *, keepdims: bool = False
    ) -> Rounded:
        value = special.logsumexp(x.value, axis)
        y = special.softmax(x.value, axis)
        depth = np.max(x.value, axis=axis, keepdims=True) - x.value
        lse = np.log(np.exp(-depth).sum(axis, keepdims=True))
        u, f, n = self.how.u, self.how.f, x.shape[axis]
        own = u * ((y * (depth + f)).sum(axis, keepdims=True) + (f + 1.0) * lse + np.abs(value))
        own = own + self.how.v * sum_growth(n)
        place = axis % x.ndim
        moved = _mixed(x.error, place, lambda d: (y * d).sum(axis=place, keepdims=True))
        total = Rounded(value, moved.plus(one_sign(own)), self.how)
        if keepdims:
            return total
        axes: list[int | None] = [k - (k > place) if k != place else None for k in range(x.ndim)]
        return self.moved(total, lambda a: np.squeeze(a, axis=place), axes)

    def others(self, x: Number, axis: int = -1) -> Rounded:
        """Return the sums of the others, for somebody who subtracts from the whole sum too."""
        total = self.sum(x, axis, keepdims=True) - x
        return Rounded(special.others(x.value, axis), total.error, self.how)

    def widest(self, ways: Sequence[Any]) -> Any:
        """Return a tensor with the largest of the errors that several evaluations of it have."""
        first = ways[0]
        if len(ways) == 1:
            return first
        if isinstance(first, list):
            return [self.widest(list(each)) for each in zip(*ways, strict=True)]
        return Rounded(first.value, largest([way.error for way in ways]), self.how)

    def _function(
        self, x: Rounded, value: Float64, slope: Float64, own: Float64, most: float | None = None
    ) -> Rounded:
        """Return f(x): `slope` bounds |f'| wherever x may be, `own` is in units of u."""
        # A slope may be infinite where x is known exactly.
        error = x.error.times(np.where(x.off > 0.0, slope, 0.0))
        error = error if most is None else error.at_most(most)
        rounding = one_sign(self.how.u * own + self.how.tiny)
        return Rounded(np.asarray(value), error.plus(rounding), self.how)


def _with_rows(whole: Rounded, part: Rounded, block: slice, alike: int, dtype: Any) -> Rounded:
    """Return an array into which a block of rows was written; `alike` of its rows may err alike."""
    whole.value[block] = part.value
    error = dict(whole.error.parts)
    for key, one in part.error.parts.items():
        former = error.get(key)
        bound = np.zeros(whole.shape, dtype=dtype) if former is None else former.bound
        bound[block] = one.bound
        before = {} if former is None else former.copies
        again = {k: max(n, before.get(k, 1), alike if k == 0 else 1) for k, n in one.copies.items()}
        error[key] = Part(bound, again)
    return Rounded(whole.value, Error(error), whole.how)


def _lines(a: Float64, axis: int) -> Float64:
    """Return the lines of an array across an axis, as rows of a matrix."""
    return np.moveaxis(a, axis, 0).reshape(a.shape[axis], -1)


def _shift(plus: Rounded, shift: Rounded | None, place: tuple[int, ...]) -> Float64:
    """Return what is added to the product at a place of the stack: one row if it is one row."""
    if plus.ndim <= 1 or (plus.ndim == 2 and plus.shape[0] == 1):
        return plus.value
    assert shift is not None  # noqa: S101
    return shift.value[place]


def _carried(key: Any, part: Part, other: Float64, depth: int, *, first: bool) -> Error:
    """Return what an error of one factor of a product does to it; `other` is the other factor."""
    size = np.abs(other)
    contracted = depth + 1 if first else depth
    magnitude = part.bound @ size if first else size @ part.bound
    if key is ONE_SIGN:
        return one_sign(magnitude)
    if contracted in key:
        e, o = part.bound**2, size**2
        squares = part.copies[contracted] * (e @ o if first else o @ e)
        followed = np.where(squares > LEAST_SQUARE, np.sqrt(squares), np.inf)
        magnitude = np.fmin(followed, magnitude)
    kept = {k: m for k, m in part.copies.items() if k != contracted}
    return independent(magnitude, kept)


def _over(x: Float64) -> Float64:
    with np.errstate(divide="ignore", over="ignore"):
        return 1.0 / np.maximum(x, 0.0)


def growth(a: Float64) -> Float64:
    """Return (exp(a) - 1) / a for a >= 0, at a = 50 at most: such an error is vacuous anyway.

    Where a is small everywhere it is 1 + a, which is no less up to a = 1.
    """
    if a.max(initial=0.0) < SMALL:
        return 1.0 + a
    bounded = np.minimum(a, MOST)
    least = np.finfo(np.float64).smallest_subnormal
    return np.where(bounded > 1e-300, np.expm1(bounded) / np.maximum(bounded, least), 1.0)


def sum_growth(n: int) -> float:
    """Return how many roundings of a sum of n terms of one sign may add up: min(n, λ √n + n/3)."""
    return min(float(n), SIGMAS * np.sqrt(n) + n / 3.0)


def _mixed(error: Error, axis: int, mix: Callable[[Float64], Float64]) -> Error:
    """Return an error whose entries along an axis are mixed with each other."""
    found = Error()
    for key, part in error.parts.items():
        bound = mix(part.bound)
        if key is ONE_SIGN:
            found = found.plus(one_sign(bound))
        else:
            left = {k: m for k, m in part.copies.items() if k != axis}
            found = found.plus(independent(bound, left))
    return found


@dataclass(frozen=True)
class SoftmaxRows:
    """A softmax, and the relative errors of its two kinds of evaluation."""

    y: Float64
    by_quotient: Error
    by_logarithm: Error
    by_logarithm_only: Error

    @staticmethod
    def of(x: Rounded, how: Arithmetic, axis: int = -1, mask: Array | None = None) -> SoftmaxRows:
        """Return the softmax of x along an axis."""
        place = axis % x.ndim
        y = special.softmax(x.value, place, mask)
        seen = np.ones(x.shape, dtype=bool) if mask is None else np.broadcast_to(mask, x.shape)
        largest = np.where(seen, x.value, -np.inf).max(axis=place, keepdims=True)
        largest = np.where(np.isfinite(largest), largest, 0.0)
        depth = np.where(seen, largest - x.value, 0.0)
        weights = np.where(seen, np.exp(-depth), 0.0).sum(axis=place, keepdims=True)
        log_sum = np.log(np.maximum(weights, 1.0))
        lse = np.abs(largest + log_sum)
        u, f = how.u, how.f
        sums = how.v * sum_growth(x.shape[place])
        shifted = _mixed(
            x.error.plus(one_sign(u * (depth + f))), place, lambda d: _shifted(y, d, place)
        )
        quotient = np.full(x.shape, (f + 1.0) * u + sums)
        logarithm = u * (1.0 + (f + 1.0) * log_sum + depth + f * y + lse) + sums
        return SoftmaxRows(
            y,
            shifted.plus(one_sign(quotient)),
            shifted.plus(one_sign(logarithm)),
            one_sign(np.maximum(logarithm - quotient, 0.0)),
        )


def _shifted(y: Float64, d: Float64, axis: int) -> Float64:
    """Return (1 - y_k) d_k + Σ_{j != k} y_j d_j."""
    mixed = y * d
    return np.maximum(d - mixed + (mixed.sum(axis=axis, keepdims=True) - mixed), 0.0)
