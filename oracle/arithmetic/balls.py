"""Balls: arrays of numbers with a proven radius, and what is left of them in float64.

An array of balls is a NumPy array of objects, so that shapes, broadcasting and + - * / are NumPy's.
Functions and products are Arb's, at the precision that is set for the whole process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import flint
import numpy as np

from oracle.arithmetic import special
from oracle.arithmetic.numbers import Axes, Number, Numbers, axes_of
from oracle.values import Array, Float64, InvalidInput, ReferenceGradient, ReferenceKind

FIRST_PRECISION = 128
"""53 bits of a float64, 70 of margin: enough unless the problem is ill-conditioned."""

ROUNDING_PRECISION = 512
"""An entry whose rounding is undecided at this precision is taken to be a tie or an exact zero."""

LAST_PRECISION = 16384
"""Where an enclosure gives up: beyond it the inputs are outside the range of any float64 use."""

PROVEN = 2.0**-70
"""Radius, relative to the largest entry of a tensor, below which an enclosure is accepted."""

_precision = threading.RLock()  # python-flint keeps one precision for the whole process

_ball = np.frompyfunc(flint.arb, 1, 1)


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Set the precision of all balls; other threads wait."""
    with _precision:
        former = flint.ctx.prec
        flint.ctx.prec = bits
        try:
            yield
        finally:
            flint.ctx.prec = former


class _Balls(np.ndarray[Any, Any]):
    """An array of balls; without axes it stays an array, where NumPy would return the ball."""

    def __array_wrap__(
        self, array: Any, context: Any = None, return_scalar: bool = False
    ) -> _Balls:
        return _objects(array)


def _objects(a: Any) -> Any:
    return np.asarray(a, dtype=object).view(_Balls)


def _elementwise(function: Callable[[Any], Any]) -> Callable[[Number], Number]:
    each = np.frompyfunc(function, 1, 1)
    return lambda x: _objects(each(x))


_exp, _expm1 = _elementwise(lambda v: v.exp()), _elementwise(lambda v: v.expm1())
_log, _log1p = _elementwise(lambda v: v.log()), _elementwise(lambda v: v.log1p())
_sqrt, _tanh = _elementwise(lambda v: v.sqrt()), _elementwise(lambda v: v.tanh())
_sin, _cos, _erf = (_elementwise(f) for f in (lambda v: v.sin(), lambda v: v.cos(), flint.arb.erf))
_sigmoid = _elementwise(lambda v: 1 / (1 + (-v).exp()))
_sigmoid_slope = _elementwise(lambda v: (-v).exp() / (1 + (-v).exp()) ** 2)
_tanh_slope = _elementwise(lambda v: v.sech() ** 2)
_softplus = _elementwise(lambda v: v.exp().log1p() if v < 0 else v + (-v).exp().log1p())
_power = np.frompyfunc(lambda v, e: v ** (e.unique_fmpz() or e), 2, 1)
_is_zero = np.frompyfunc(lambda v: v.is_zero(), 1, 1)
_middle = np.frompyfunc(lambda v: float(v.mid()), 1, 1)


class BallNumbers(Numbers):
    """Evaluates a formula in balls."""

    def exact(self, a: Array) -> Number:  # noqa: D102
        return _objects(_ball(np.asarray(a, dtype=np.float64)))

    held = exact

    zero = flint.arb(0)

    @property
    def pi(self) -> Number:  # noqa: D102
        return _objects(flint.arb.pi())

    def is_zero(self, x: Number) -> Array:  # noqa: D102
        return np.asarray(_is_zero(x), dtype=bool)

    def stored(self, x: Number) -> Number:  # noqa: D102
        return x

    def moved(  # noqa: D102
        self,
        x: Number,
        move: Callable[[Array], Array],
        axes: Sequence[int | None],  # noqa: ARG002
    ) -> Number:
        return _objects(move(x))

    def reshape(self, x: Number, shape: Sequence[int]) -> Number:  # noqa: D102
        return x.reshape(tuple(shape))

    def concat(self, parts: Sequence[Number], axis: int) -> Number:  # noqa: D102
        return _objects(np.concatenate(list(parts), axis=axis))

    def sum(self, x: Number, axis: Axes = None, *, keepdims: bool = False) -> Number:  # noqa: D102
        over = axes_of(axis, x.ndim)
        if not x.size:
            shape = np.sum(np.zeros(x.shape), axis=over, keepdims=keepdims).shape
            return self.exact(np.zeros(shape))
        return _objects(np.sum(x, axis=over, keepdims=keepdims))

    def matmul(self, a: Number, b: Number, plus: Number | None = None) -> Number:  # noqa: D102
        stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        left = np.broadcast_to(a, (*stack, *a.shape[-2:]))
        right = np.broadcast_to(b, (*stack, *b.shape[-2:]))
        total = _objects(np.empty((*stack, a.shape[-2], b.shape[-1]), dtype=object))
        for place in np.ndindex(*stack):
            total[place] = _product(left[place], right[place])
        return total if plus is None else total + plus

    def scatter_add(self, x: Number, indices: Array, length: int) -> Number:  # noqa: D102
        total = self.exact(np.zeros((length, *x.shape[1:])))
        for row, k in zip(x, indices.tolist(), strict=True):
            total[k] = total[k] + row
        return total

    def max(self, x: Number, axis: int, *, keepdims: bool = False) -> Number:  # noqa: D102
        larger = np.frompyfunc(lambda a, b: a.max(b), 2, 1)
        return _objects(larger.reduce(x, axis=axis, keepdims=keepdims))

    def winners(self, x: Number, axis: int) -> Number:  # noqa: D102
        place = axis % x.ndim
        lines = np.moveaxis(x, place, -1)
        shares = self.exact(np.zeros(lines.shape))
        for line in np.ndindex(lines.shape[:-1]):
            several = _largest(lines[line].tolist())
            tied = len(several) > 1
            first = lines[line][several[0]]
            same = all((lines[line][k] - first).is_zero() for k in several)
            if tied and not same and flint.ctx.prec < ROUNDING_PRECISION:
                for k in several:  # More digits may decide.
                    shares[line][k] = flint.arb(0).union(flint.arb(1))
                continue
            self.kinks += tied
            if self.kink in (0.0, 1.0):
                several = several[:1] if self.kink else several[-1:]
            for k in several:
                shares[line][k] = flint.arb(1) / len(several)
        return np.moveaxis(shares, -1, place)

    def choose(  # noqa: D102
        self, c: Number, above: Number, below: Number, *, smooth: bool = False
    ) -> Number:
        kink = flint.arb(self.kink)

        def one(c: Any, above: Any, below: Any) -> Any:
            if c > 0:
                return above
            if c < 0:
                return below
            if flint.ctx.prec < ROUNDING_PRECISION and not c.is_zero():
                return above.union(below)  # More digits may decide.
            self.kinks += not smooth
            return below + kink * (above - below)

        return _objects(np.frompyfunc(one, 3, 1)(c, _balls(above), _balls(below)))

    def where(self, mask: Array, above: Number, below: Number) -> Number:  # noqa: D102
        return _objects(np.where(mask, _balls(above), _balls(below)))

    def exp(self, x: Number) -> Number:  # noqa: D102
        return _exp(x)

    def expm1(self, x: Number) -> Number:  # noqa: D102
        return _expm1(x)

    def log(self, x: Number) -> Number:  # noqa: D102
        return _log(x)

    def log1p(self, x: Number) -> Number:  # noqa: D102
        return _log1p(x)

    def sqrt(self, x: Number) -> Number:  # noqa: D102
        return _sqrt(x)

    def power(self, x: Number, exponent: Number) -> Number:  # noqa: D102
        return _objects(_power(x, _balls(exponent)))

    def tanh(self, x: Number) -> Number:  # noqa: D102
        return _tanh(x)

    def tanh_slope(self, x: Number) -> Number:  # noqa: D102
        return _tanh_slope(x)

    def sigmoid(self, x: Number) -> Number:  # noqa: D102
        return _sigmoid(x)

    def sigmoid_slope(self, x: Number) -> Number:  # noqa: D102
        return _sigmoid_slope(x)

    def softplus(self, x: Number) -> Number:  # noqa: D102
        return _softplus(x)

    def erf(self, x: Number) -> Number:  # noqa: D102
        return _erf(x)

    def sin(self, x: Number) -> Number:  # noqa: D102
        return _sin(x)

    def cos(self, x: Number) -> Number:  # noqa: D102
        return _cos(x)

    def softmax(  # noqa: D102
        self, x: Number, axis: int = -1, mask: Array | None = None
    ) -> Number:
        middle = np.asarray(_middle(x), dtype=np.float64)
        seen = np.ones(x.shape, dtype=bool) if mask is None else np.broadcast_to(mask, x.shape)
        largest = np.where(seen, middle, -np.inf).max(axis=axis, keepdims=True)
        shift = np.where(np.isfinite(largest), largest, 0.0)
        weights = self.where(seen, _exp(x - self.exact(shift)), 0.0)
        total = self.sum(weights, axis, keepdims=True)
        return weights / self.where(np.isfinite(largest), total, 1.0)

    def logsumexp(  # noqa: D102
        self, x: Number, axis: int = -1, *, keepdims: bool = False
    ) -> Number:
        shift = self.exact(np.asarray(_middle(x), dtype=np.float64).max(axis=axis, keepdims=True))
        total = shift + _log(self.sum(_exp(x - shift), axis, keepdims=True))
        return total if keepdims else _objects(np.squeeze(total, axis=axis))

    def others(self, x: Number, axis: int = -1) -> Number:  # noqa: D102
        return special.others(x, axis)


def _balls(x: Number) -> Number:
    return x if isinstance(x, np.ndarray) and x.dtype == object else _objects(_ball(x))


def _largest(line: Sequence[Any]) -> list[int]:
    """Return the places of the balls that may be the largest."""
    top = line[0]
    for ball in line[1:]:
        top = top.max(ball)
    return [k for k, ball in enumerate(line) if not ball < top]


def _product(a: Number, b: Number) -> Number:
    rows, terms = a.shape
    columns = b.shape[1]
    if not (rows and terms and columns):
        return _objects(_ball(np.zeros((rows, columns))))
    left = flint.arb_mat(rows, terms, a.ravel().tolist())
    right = flint.arb_mat(terms, columns, b.ravel().tolist())
    entries = np.empty(rows * columns, dtype=object)
    entries[:] = (left * right).entries()
    return entries.reshape(rows, columns)


def enclose(
    evaluate: Callable[[BallNumbers], Mapping[str, Number]], *, kink: float = 0.5
) -> tuple[ReferenceGradient, int]:
    """Evaluate in rising precision until every tensor is proven, and round it to float64.

    Returns the midpoints, and how many kinks were met. `correctly_rounded` is true if both ends of
    every ball round to the same float64; an entry that is exactly zero by cancellation cannot be
    proven so, and is returned as 0 with its radius.

    Raises
    ------
    InvalidInput
        If no precision gives a finite enclosure: the gradient is beyond any float64 use.
    """
    bits = FIRST_PRECISION
    while bits <= LAST_PRECISION:
        with precision(bits):
            numbers = BallNumbers(kink)
            answer = rounded(evaluate(numbers))
        proven = answer.exact_radius < PROVEN
        if proven and (answer.correctly_rounded or bits >= ROUNDING_PRECISION):
            return answer, numbers.kinks
        bits *= 2
    raise InvalidInput("inputs", "lead to a gradient that float64 holds", "extreme numbers")


def rounded(tensors: Mapping[str, Number]) -> ReferenceGradient:
    """Return the float64 numbers nearest to balls, with what they are off by at most."""
    values: dict[str, Float64] = {}
    radii: dict[str, Float64] = {}
    exact_radius, all_rounded = 0.0, True
    for name, tensor in tensors.items():
        entries = tensor.ravel().tolist()
        low = np.array([float(ball.lower()) for ball in entries], dtype=np.float64)
        high = np.array([float(ball.upper()) for ball in entries], dtype=np.float64)
        same = low == high
        middle = np.where(same, low, 0.0)
        for i in np.flatnonzero(~same):
            middle[i] = 0.0 if entries[i].contains(0) else float(entries[i].mid())
        exact_radius = max(exact_radius, _relative_radius(entries, low, high))
        all_rounded = all_rounded and bool(same.all())
        # Half a unit in the last place, or the ball where its rounding is undecided.
        half = np.maximum(np.spacing(np.abs(middle)) / 2, np.finfo(np.float64).smallest_subnormal)
        with np.errstate(invalid="ignore"):  # An end that is infinite is not finite either way.
            undecided = np.maximum(high - middle, middle - low)
        radius = np.where(same, half, np.nextafter(undecided, np.inf) + half)
        values[name] = middle.reshape(tensor.shape)
        radii[name] = radius.reshape(tensor.shape)
    return ReferenceGradient(
        values, radii, ReferenceKind.ENCLOSURE, float(exact_radius), all_rounded
    )


def _relative_radius(entries: Sequence[Any], low: Float64, high: Float64) -> float:
    if not entries:
        return 0.0
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return float("inf")
    widest = max((ball.rad() for ball in entries), key=float)
    if float(widest) == 0.0:
        return 0.0
    largest = max((abs(ball.mid()) for ball in entries), key=float)
    relative = float(widest / largest) if float(largest) > 0.0 else np.inf
    return float(np.nextafter(relative, np.inf))
