"""MaxPool (ONNX 22): the largest of each window of a channel.

    Y[n, c, o] = max_k X[n, c, o stride + k dilation - pad]
    dX[n, c, i] = Σ_o dY[n, c, o] over the windows of which i holds the largest

Where several entries of a window are the largest, the first, the last or all of them evenly may
have the gradient: each is right if it is done everywhere. The padding is never the largest.

Shapes: X (N, C, D1, ...) of one to three axes of places. The output Indices is not served.

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Case, Shape, Signature, Slip
from oracle.operators.pooling import ATTRIBUTES, back_under, in_windows, rows_of, windows_of
from oracle.operators.windows import LOWEST
from oracle.values import InvalidInput

SIGNATURE = Signature(
    "MaxPool",
    inputs=("X",),
    outputs=("Y",),
    attributes={**ATTRIBUTES, "storage_order": 0},
    version=22,
)


def shapes(X: Shape, **attributes: Any) -> Sequence[Shape]:
    """Return the shape of Y."""
    if attributes["storage_order"] not in (0, 1):
        raise InvalidInput("storage_order", "be 0 or 1", str(attributes["storage_order"]))
    return ((*X[:2], *windows_of(X, **attributes).output),)


def value(xp: Numbers, X: Number, **attributes: Any) -> Number:
    """Return Y."""
    made = windows_of(X.shape, **attributes)
    held = in_windows(xp, rows_of(xp, X), made.forth, LOWEST)
    return xp.reshape(xp.max(held, 2), (*X.shape[:2], *made.output))


def vjp(xp: Numbers, dY: Number, X: Number, **attributes: Any) -> dict[str, Number]:
    """Return dX."""
    made = windows_of(X.shape, **attributes)
    won = xp.winners(in_windows(xp, rows_of(xp, X), made.forth, LOWEST), 2)
    spread = xp.expand_dims(rows_of(xp, dY), 2) * won
    return {"X": back_under(xp, spread, made, X.shape)}


def _slip(code: str, says: str, of: Any, remedy: str) -> Slip:
    """Return the slip of another share of each entry of a window, of what the windows hold."""

    def wrong(xp: Numbers, dY: Any, X: Any, **attributes: Any) -> dict[str, Number]:
        made = windows_of(X.shape, **attributes)
        held = in_windows(xp, rows_of(xp, X), made.forth, LOWEST)
        spread = rows_of(xp, dY)[..., np.newaxis] * of(held, xp.winners(held, 2))
        return {"X": back_under(xp, spread, made, X.shape)}

    return Slip(code, says, wrong, remedy)


def _one_window(xp: Numbers, dY: Any, X: Any, **attributes: Any) -> dict[str, Number]:
    """Return dX in which a place has but what flows back from its last window."""
    made = windows_of(X.shape, **attributes)
    won = xp.winners(in_windows(xp, rows_of(xp, X), made.forth, LOWEST), 2)
    found, d = np.zeros((len(won), made.places + 1)), rows_of(xp, dY)
    for o, places in enumerate(made.forth):
        hit = won[:, o] > 0
        rows, k = np.nonzero(hit)
        found[rows, places[k]] = d[rows, o]
    return {"X": found[:, :-1].reshape(X.shape)}


_ONE = "Give dY of a window to its largest entry, and nothing to the others."

SLIPS = (
    _slip(
        "wrong_mask",
        "every entry of a window has the whole gradient",
        lambda held, won: np.ones_like(won),
        _ONE,
    ),
    _slip(
        "wrong_mask",
        "the smallest entry of a window has the gradient",
        lambda held, won: (
            (held == np.where(held == LOWEST, np.inf, held).min(axis=2, keepdims=True)) * 1.0
        ),
        _ONE,
    ),
    _slip(
        "wrong_mask",
        "the first entry of a window has the gradient",
        lambda held, won: np.arange(held.shape[2]) == 0,
        _ONE,
    ),
    _slip(
        "mean_or_sum",
        "it is that of a mean over the window",
        lambda held, won: np.full_like(won, 1.0 / won.shape[2]),
        _ONE,
    ),
    _slip(
        "wrong_factor",
        "the gradient is multiplied by the largest entry",
        lambda held, won: won * held,
        _ONE,
    ),
    Slip(
        "windows_not_summed",
        "where windows overlap, one overwrites the others",
        _one_window,
        "Add what flows back from all windows in which an entry is the largest.",
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return windows that overlap, and pads that differ at both ends."""
    attributes = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}
    return Case({"X": rng.normal(size=(2, 3, 6, 5))}, attributes)
