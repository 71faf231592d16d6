"""What the normalisations have in common: rows of zero mean and unit variance, scaled and shifted.

    h = (x - mean x) r,   r = 1 / sqrt(mean (x - mean x)² + epsilon),   Y = h Scale + B
    dx = r (g - mean g - h mean(g h)),   g = dY Scale;   dScale = Σ dY h,   dB = Σ dY

A layout says which entries of the input are a row. Without a centre, mean x is 0 and so is mean g.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.arithmetic.rounded import RoundedNumbers
from oracle.operators.operator import Shape
from oracle.values import InvalidInput


@dataclass(frozen=True)
class Layout:
    """How the entries of an input are arranged in rows: axes in an order, made to `shape`."""

    order: tuple[int, ...]
    moved: Shape
    shape: tuple[int, int]

    @classmethod
    def of(cls, X: Shape, order: tuple[int, ...], rows: int) -> Layout:
        """Return the layout of an input whose axes in this order make so many rows."""
        moved = tuple(X[k] for k in order)
        size = int(np.prod(X, dtype=np.int64))
        return cls(order, moved, (rows, size // rows if rows else 0))

    def rows(self, xp: Numbers, x: Number) -> Number:
        """Return an array of the shape of the input as rows."""
        plain = self.order == tuple(range(len(self.order)))
        return xp.reshape(x if plain else xp.transpose(x, self.order), self.shape)

    def back(self, xp: Numbers, rows: Number) -> Number:
        """Return rows as an array of the shape of the input."""
        moved = xp.reshape(rows, self.moved)
        if self.order == tuple(range(len(self.order))):
            return moved
        return xp.transpose(moved, [self.order.index(k) for k in range(len(self.order))])


def trailing(X: Shape, axis: int) -> Layout:
    """Return the layout in which a row is all axes from one on."""
    rows = int(np.prod(X[:axis], dtype=np.int64))
    return Layout.of(X, tuple(range(len(X))), rows)


@dataclass(frozen=True)
class Statistics:
    """Rows that are normalised: h, and of each row the mean (None if 0) and 1 / sqrt(variance)."""

    h: Number
    r: Number
    mean: Number | None


def statistics(xp: Numbers, x: Number, epsilon: float, centred: bool) -> Statistics:
    """Return rows normalised."""
    mean = xp.mean(x, 1, keepdims=True) if centred else None
    c = x - mean if centred else x
    r = 1.0 / xp.sqrt(_variance(xp, x, c, mean) + epsilon)
    return Statistics(c * r, r, mean)


def _variance(xp: Numbers, x: Number, c: Number, mean: Number | None) -> Number:
    """Return mean c²; in rounded numbers with the larger bound of that and mean x² - (mean x)²."""
    two = xp.mean(c * c, 1, keepdims=True)
    if mean is None or not isinstance(xp, RoundedNumbers):
        return two
    return xp.widest([two, xp.mean(x * x, 1, keepdims=True) - mean * mean])


def normalised(xp: Numbers, X: Number, layout: Layout, epsilon: float, centred: bool) -> Number:
    """Return h in the shape of X."""
    x = layout.rows(xp, X)
    h = xp.rowwise(lambda x: statistics(xp, x, epsilon, centred).h, x)
    return layout.back(xp, h)


def affine(h: Number, scale: Number | None, bias: Number | None) -> Number:
    """Return h Scale + B, as far as they are there."""
    Y = h if scale is None else h * scale
    return Y if bias is None else Y + bias


@dataclass(frozen=True)
class Flow:
    """What a derivative is made of, which its slips change.

    `scale` and `bias` broadcast to the shape of X; `shapes` are those of the inputs Scale and B.
    `names` are those of X, Scale and B. `more` takes a row block and returns what flows back from
    other outputs.
    """

    xp: Numbers
    dY: Number
    X: Number
    scale: Number | None
    layout: Layout
    epsilon: float
    centred: bool
    names: tuple[str, str, str]
    shapes: tuple[Shape | None, Shape | None]
    broadcasts: tuple[Shape | None, Shape | None]
    more: Callable[..., Number] | None = None
    extra: tuple[Number, ...] = ()

    def derivative(self) -> dict[str, Callable[[], Number]]:
        """Return dX, dScale and dB."""
        xp = self.xp
        found: dict[str, Callable[[], Number]] = {self.names[0]: self._dX}
        if self.shapes[0] is not None:
            found[self.names[1]] = lambda: self.reduced(self.dY * self._h(), 0)
        if self.shapes[1] is not None:
            found[self.names[2]] = lambda: self.reduced(xp.reshape(self.dY, self.X.shape), 1)
        return found

    def _h(self) -> Number:
        return normalised(self.xp, self.X, self.layout, self.epsilon, self.centred)

    def _dX(self) -> Number:
        xp = self.xp

        def of(x: Number, g: Number, *extra: Number) -> Number:
            s = statistics(xp, x, self.epsilon, self.centred)
            inner = g - s.h * xp.mean(g * s.h, 1, keepdims=True)
            if self.centred:
                inner = inner - xp.mean(g, 1, keepdims=True)
            dx = s.r * inner
            return dx + self.more(s, *extra) if self.more else dx

        x, g = self.layout.rows(xp, self.X), self.layout.rows(xp, self.g)
        return self.layout.back(xp, xp.rowwise(of, x, g, *self.extra))

    @property
    def g(self) -> Number:
        """The cotangent of h."""
        return self.dY if self.scale is None else self.dY * self.scale

    def reduced(self, x: Number, which: int) -> Number:
        """Return an array of the shape of X summed to the shape of Scale (0) or B (1)."""
        shape, broadcast = self.shapes[which], self.broadcasts[which]
        summed = self.xp.unbroadcast(x, broadcast or ())
        return self.xp.reshape(summed, shape or ())


def require_rows(name: str, X: Shape, layout: Layout) -> None:
    """Raise unless a row has an entry.

    Raises
    ------
    InvalidInput
        If it has none.
    """
    if layout.shape[1] == 0 and layout.shape[0]:
        raise InvalidInput(name, "have entries along the axes that are normalised", f"shape {X}")


def require_epsilon(epsilon: float) -> None:
    """Raise unless epsilon is not negative.

    Raises
    ------
    InvalidInput
        If it is.
    """
    if epsilon < 0:
        raise InvalidInput("epsilon", "not be negative", str(epsilon))


def require_broadcast(X: Shape, **others: Shape | None) -> None:
    """Raise unless the shapes of Scale and B broadcast to that of X.

    Raises
    ------
    InvalidInput
        If one does not.
    """
    for name, shape in others.items():
        if shape is None:
            continue
        try:
            fits: Any = np.broadcast_shapes(X, shape) == X
        except ValueError:
            fits = False
        if not fits:
            raise InvalidInput(name, f"broadcast to the shape {X} of the input", f"shape {shape}")
