"""RMSNormalization (ONNX 23): the last axes divided by their root mean square, then scaled.

    h = X r,   r = 1 / sqrt(mean X² + epsilon),   Y = h scale
    dX = r (g - h mean(g h)),   g = dY scale;   dscale = Σ dY h

Means run over the axes from `axis` on. scale broadcasts to X; it may be left out.

Reference: Zhang and Sennrich, Root Mean Square Layer Normalization, 2019.
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
    trailing,
)
from oracle.operators.operator import Case, Shape, Signature, axis_of, optional
from oracle.values import InvalidInput

SIGNATURE = Signature(
    "RMSNormalization",
    inputs=("X", optional("scale")),
    outputs=("Y",),
    attributes={"axis": -1, "epsilon": 1e-5, "stash_type": 1},
    version=23,
    ours=("scale",),
)


def shapes(
    X: Shape, scale: Shape | None = None, *, axis: int, epsilon: float, stash_type: int
) -> Sequence[Shape]:
    """Return the shape of X."""
    require_rows("X", X, trailing(X, axis_of("axis", axis, len(X))))
    require_broadcast(X, scale=scale)
    require_epsilon(epsilon)
    if stash_type != 1:
        raise InvalidInput("stash_type", "be 1, float32", str(stash_type))
    return (X,)


def value(
    xp: Numbers, X: Number, scale: Number | None = None, *, axis: int, epsilon: float, **_: Any
) -> Number:
    """Return Y."""
    layout = trailing(X.shape, axis % X.ndim)
    return affine(normalised(xp, X, layout, epsilon, centred=False), scale, None)


def _flow(
    xp: Numbers,
    dY: Number,
    X: Number,
    scale: Number | None = None,
    *,
    axis: int,
    epsilon: float,
    **_: Any,
) -> Flow:
    where = None if scale is None else scale.shape
    return Flow(
        xp,
        dY,
        X,
        scale,
        trailing(X.shape, axis % X.ndim),
        epsilon,
        False,
        ("X", "scale", ""),
        (where, None),
        (where, None),
    )


def vjp(xp: Numbers, *given: Any, **attributes: Any) -> dict[str, Callable[[], Number]]:
    """Return dX and dscale."""
    return _flow(xp, *given, **attributes).derivative()


SLIPS = normalised_slips.slips(_flow, centred=False, bias=False)
CURVES = normalised_slips.curves(_flow)


def draw(rng: np.random.Generator) -> Case:
    """Return inputs whose rows differ in mean and spread, and an epsilon that is seen."""
    X = rng.normal(size=(4, 3, 5)) * rng.uniform(0.5, 2.0, (4, 3, 1))
    inputs = {
        "X": X + 0.5 * rng.normal(size=(4, 3, 1)),
        "scale": rng.uniform(0.5, 2.0, 5) * rng.choice([-1.0, 1.0], 5),
    }
    return Case(inputs, {"epsilon": 0.05})
