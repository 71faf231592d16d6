"""Normalisations of channels, axis 1 of (N, C, ...): scale and bias hold one number for each."""

from __future__ import annotations

from typing import Any

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.normalised import Flow, Layout, require_epsilon
from oracle.operators.operator import Shape
from oracle.values import InvalidInput


def by_channel(xp: Numbers, x: Number | None, ndim: int) -> Number:
    """Return (C,) in the shape (1, C, 1, ...) in which it broadcasts to the input."""
    return None if x is None else xp.reshape(x, (1, -1, *[1] * (ndim - 2)))


def grouped(X: Shape, groups: int) -> Layout:
    """Return the layout in which a row is a group of channels of a sample."""
    return Layout.of(X, tuple(range(len(X))), X[0] * groups)


def over_batch(X: Shape) -> Layout:
    """Return the layout in which a row is a channel of all samples."""
    return Layout.of(X, (1, 0, *range(2, len(X))), X[1])


def require_channels(
    name: str, X: Shape, epsilon: float, least: int = 3, **others: Shape | None
) -> None:
    """Raise unless an input has channels, and others one number for each of them.

    Raises
    ------
    InvalidInput
        If it has not.
    """
    if len(X) < least:
        more = ", ..." if least == 2 else ", D1, ..."
        raise InvalidInput(name, f"have shape (N, C{more})", f"shape {X}")
    require_epsilon(epsilon)
    for other, shape in others.items():
        if shape is not None and shape != (X[1],):
            raise InvalidInput(other, f"have shape ({X[1]},), one for each channel", f"{shape}")


def flow(
    xp: Numbers,
    dY: Number,
    X: Number,
    scale: Number | None,
    bias: Number | None,
    *,
    layout: Layout,
    epsilon: float,
    names: tuple[str, str, str],
    **more: Any,
) -> Flow:
    """Return what the derivative is made of."""
    C = X.shape[1]
    column = (1, C, *[1] * (X.ndim - 2))
    each = [None if one is None else (C,) for one in (scale, bias)]
    spread = [None if one is None else column for one in (scale, bias)]
    return Flow(
        xp,
        dY,
        X,
        by_channel(xp, scale, X.ndim),
        layout,
        epsilon,
        True,
        names,
        (each[0], each[1]),
        (spread[0], spread[1]),
        **more,
    )
