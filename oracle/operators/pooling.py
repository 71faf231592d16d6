"""What the pools have in common: windows of each channel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.attributes import wholes
from oracle.operators.operator import REQUIRED, Shape
from oracle.operators.windows import Windows, geometry, require_places, slid, windows
from oracle.values import Array, InvalidInput

ATTRIBUTES = {
    "auto_pad": "NOTSET",
    "ceil_mode": 0,
    "dilations": None,
    "kernel_shape": REQUIRED,
    "pads": None,
    "strides": None,
}


def windows_of(
    X: Shape,
    *,
    auto_pad: str,
    ceil_mode: int,
    dilations: Any,
    kernel_shape: Any,
    pads: Any,
    strides: Any,
    **_: Any,
) -> Windows:
    """Return the windows of a pool.

    Raises
    ------
    InvalidInput
        If an attribute does not fit, or a window would lie in the padding alone.
    """
    require_places("X", X)
    if ceil_mode not in (0, 1):
        raise InvalidInput("ceil_mode", "be 0 or 1", str(ceil_mode))
    kernel = wholes("kernel_shape", kernel_shape, (1,) * (len(X) - 2), 1)
    found = geometry(X[2:], kernel, auto_pad, dilations, pads, strides)
    made = windows(X[2:], slid(X[2:], kernel, found, bool(ceil_mode)), kernel, found)
    if not (made.forth < made.places).any(axis=1).all():
        raise InvalidInput("pads", "leave an entry of the input in each window", str(pads))
    return made


def in_windows(xp: Numbers, rows: Number, table: Array, padding: float = 0.0) -> Number:
    """Return what windows of rows (N · C, places) hold, (N · C, positions, kernel)."""
    beyond = xp.exact(np.full((rows.shape[0], 1), padding))
    return xp.take(xp.concat([rows, beyond], 1), table, 1)


def rows_of(xp: Numbers, X: Number) -> Number:
    """Return (N, C, D1, ...) as (N · C, places)."""
    return xp.reshape(X, (X.shape[0] * X.shape[1], math.prod(X.shape[2:])))


def back_under(xp: Numbers, d: Number, made: Windows, shape: Shape) -> Number:
    """Return what flows back to each place: `d` is (N · C, positions, kernel)."""
    rows = d.shape[0]
    flat = xp.reshape(d, (rows, made.positions * d.shape[2]))
    kernel = np.arange(d.shape[2])
    table = np.where(
        made.back < made.positions, made.back * d.shape[2] + kernel, made.positions * d.shape[2]
    )
    return xp.reshape(xp.sum(in_windows(xp, flat, table), 2), shape)
