"""LayerNormalization (ONNX 17): the last axes normalised, then scaled and shifted.

    h = (X - mean X) r,   r = 1 / sqrt(mean (X - mean X)² + epsilon),   Y = h Scale + B
    dX = r (g - mean g - h mean(g h)) + (dMean - r² h dInvStdDev) / N,   g = dY Scale
    dScale = Σ dY h,   dB = Σ dY

Means run over the axes from `axis` on, which hold N entries; Mean and r are further outputs, and
what comes from above for them is added. Scale and B broadcast to X; either may be left out.

Reference: Ba, Kiros and Hinton, Layer Normalization, 2016; the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators import normalised_slips
from oracle.operators.normalised import (
    Flow,
    affine,
    normalised,
    require_broadcast,
    require_epsilon,
    require_rows,
    statistics,
    trailing,
)
from oracle.operators.operator import Case, Shape, Signature, axis_of, optional
from oracle.values import InvalidInput

SIGNATURE = Signature(
    "LayerNormalization",
    inputs=("X", optional("Scale"), optional("B")),
    outputs=("Y", "Mean", "InvStdDev"),
    attributes={"axis": -1, "epsilon": 1e-5, "stash_type": 1},
    version=17,
    ours=("Scale",),
    optional_outputs=2,
)


def shapes(
    X: Shape,
    Scale: Shape | None = None,
    B: Shape | None = None,
    *,
    axis: int,
    epsilon: float,
    stash_type: int,
) -> Sequence[Shape]:
    """Return the shape of X, and twice that of its rows."""
    first = axis_of("axis", axis, len(X))
    require_rows("X", X, trailing(X, first))
    require_broadcast(X, Scale=Scale, B=B)
    require_epsilon(epsilon)
    if stash_type != 1:
        raise InvalidInput("stash_type", "be 1, float32", str(stash_type))
    kept = (*X[:first], *[1] * (len(X) - first))
    return (X, kept, kept)


def value(
    xp: Numbers,
    X: Number,
    Scale: Number | None = None,
    B: Number | None = None,
    *,
    axis: int,
    epsilon: float,
    **_: Any,
) -> tuple[Number, Callable[[], Number], Callable[[], Number]]:
    """Return Y, Mean and InvStdDev."""
    first = axis % X.ndim
    layout = trailing(X.shape, first)
    kept = (*X.shape[:first], *[1] * (X.ndim - first))

    def of(which: str) -> Callable[[], Number]:
        def rows(x: Number) -> Number:
            return getattr(statistics(xp, x, epsilon, True), which)

        return lambda: xp.reshape(xp.rowwise(rows, layout.rows(xp, X)), kept)

    h = normalised(xp, X, layout, epsilon, centred=True)
    return affine(h, Scale, B), of("mean"), of("r")


def _flow(
    xp: Numbers,
    dY: Number | None,
    dMean: Number | None,
    dInvStdDev: Number | None,
    X: Number,
    Scale: Number | None = None,
    B: Number | None = None,
    *,
    axis: int,
    epsilon: float,
    **_: Any,
) -> Flow:
    layout = trailing(X.shape, axis % X.ndim)
    N = float(layout.shape[1])

    def more(s: Any, dMean: Number, dInvStdDev: Number) -> Number:
        return (dMean - s.r * s.r * s.h * dInvStdDev) / N

    def column(d: Number | None) -> Number:
        return xp.exact(np.zeros((layout.shape[0], 1))) if d is None else xp.reshape(d, (-1, 1))

    others = dMean is not None or dInvStdDev is not None
    where = tuple(None if one is None else one.shape for one in (Scale, B))
    return Flow(
        xp,
        xp.full(X, 0.0) if dY is None else dY,
        X,
        Scale,
        layout,
        epsilon,
        True,
        ("X", "Scale", "B"),
        (where[0], where[1]),
        (where[0], where[1]),
        more if others else None,
        (column(dMean), column(dInvStdDev)) if others else (),
    )


def vjp(xp: Numbers, *given: Any, **attributes: Any) -> dict[str, Callable[[], Number]]:
    """Return dX, dScale and dB."""
    return _flow(xp, *given, **attributes).derivative()


SLIPS = normalised_slips.slips(_flow, centred=True, bias=True)
CURVES = normalised_slips.curves(_flow)


def draw(rng: np.random.Generator) -> Case:
    """Return inputs whose rows differ in mean and spread, and an epsilon that is seen."""
    X = rng.normal(size=(4, 3, 5)) * rng.uniform(0.5, 2.0, (4, 3, 1))
    inputs = {
        "X": X + rng.normal(size=(4, 3, 1)),
        "Scale": rng.uniform(0.5, 2.0, 5) * rng.choice([-1.0, 1.0], 5),
        "B": rng.normal(size=5),
    }
    return Case(inputs, {"epsilon": 0.05})
