"""GroupNormalization (ONNX 21): groups of channels normalised, then scaled and shifted.

    h = (X - mean X) r,   r = 1 / sqrt(mean (X - mean X)² + epsilon),   Y = h scale + bias
    dX = r (g - mean g - h mean(g h)),   g = dY scale;   dscale = Σ dY h,   dbias = Σ dY

Means run over a group of channels of one sample, and over all places.

Shapes: X (N, C, D1, ...), C a multiple of num_groups; scale and bias (C,), which may be left out.

Reference: Wu and He, Group Normalization, 2018; the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators import channels, normalised_slips
from oracle.operators.attributes import require_whole
from oracle.operators.normalised import Flow, affine, normalised, require_rows
from oracle.operators.operator import REQUIRED, Case, Shape, Signature, Slip, optional
from oracle.values import InvalidInput

SIGNATURE = Signature(
    "GroupNormalization",
    inputs=("X", optional("scale"), optional("bias")),
    outputs=("Y",),
    attributes={"epsilon": 1e-5, "num_groups": REQUIRED, "stash_type": 1},
    version=21,
    ours=("scale", "bias"),
)


def shapes(
    X: Shape,
    scale: Shape | None = None,
    bias: Shape | None = None,
    *,
    epsilon: float,
    num_groups: int,
    stash_type: int,
) -> Sequence[Shape]:
    """Return the shape of X."""
    channels.require_channels("X", X, epsilon, scale=scale, bias=bias)
    require_whole("num_groups", num_groups, 1)
    if X[1] % num_groups:
        raise InvalidInput("num_groups", f"divide {X[1]}, the number of channels", str(num_groups))
    require_rows("X", X, channels.grouped(X, num_groups))
    if stash_type != 1:
        raise InvalidInput("stash_type", "be 1, float32", str(stash_type))
    return (X,)


def value(
    xp: Numbers,
    X: Number,
    scale: Number | None = None,
    bias: Number | None = None,
    *,
    epsilon: float,
    num_groups: int,
    **_: Any,
) -> Number:
    """Return Y."""
    h = normalised(xp, X, channels.grouped(X.shape, num_groups), epsilon, centred=True)
    each = [channels.by_channel(xp, one, X.ndim) for one in (scale, bias)]
    return affine(h, *each)


def _flow(
    xp: Numbers,
    dY: Number,
    X: Number,
    scale: Number | None = None,
    bias: Number | None = None,
    *,
    epsilon: float,
    num_groups: int,
    **_: Any,
) -> Flow:
    return channels.flow(
        xp,
        dY,
        X,
        scale,
        bias,
        layout=channels.grouped(X.shape, num_groups),
        epsilon=epsilon,
        names=("X", "scale", "bias"),
    )


def vjp(xp: Numbers, *given: Any, **attributes: Any) -> dict[str, Callable[[], Number]]:
    """Return dX, dscale and dbias."""
    return _flow(xp, *given, **attributes).derivative()


def _interleaved(xp: Numbers, dY: Any, X: Any, *given: Any, **attributes: Any) -> dict[str, Number]:
    """Return dX of groups that hold every num_groups-th channel."""
    C, G = X.shape[1], attributes["num_groups"]
    order = np.arange(C).reshape(-1, G).T.ravel()
    moved = [None if one is None else one[order] for one in given]
    found = vjp(xp, dY[:, order], X[:, order], *moved, **attributes)["X"]()
    return {"X": found[:, np.argsort(order)]}


def _with_groups(groups: Callable[[int], int]) -> Callable[..., dict[str, Number]]:
    def wrong(xp: Numbers, dY: Any, X: Any, *given: Any, **attributes: Any) -> dict[str, Number]:
        other = {**attributes, "num_groups": groups(X.shape[1])}
        return {"X": vjp(xp, dY, X, *given, **other)["X"]()}

    return wrong


_GROUPS = "Take the means over num_groups groups of channels that follow each other."

SLIPS = (
    *normalised_slips.slips(_flow, centred=True, bias=True),
    Slip("wrong_groups", "a group holds every num_groups-th channel", _interleaved, _GROUPS),
    Slip("wrong_groups", "all channels are one group", _with_groups(lambda C: 1), _GROUPS),
    Slip("wrong_groups", "each channel is a group", _with_groups(lambda C: C), _GROUPS),
)
CURVES = normalised_slips.curves(_flow)


def draw(rng: np.random.Generator) -> Case:
    """Return inputs of three groups of two channels, and an epsilon that is seen."""
    X = rng.normal(size=(4, 6, 5)) * rng.uniform(0.5, 2.0, (4, 6, 1))
    inputs = {
        "X": X + 0.5 * rng.normal(size=(4, 6, 1)),
        "scale": rng.uniform(0.5, 2.0, 6) * rng.choice([-1.0, 1.0], 6),
        "bias": rng.normal(size=6),
    }
    return Case(inputs, {"num_groups": 3, "epsilon": 0.05})
