"""TripletLoss: how much nearer an anchor is to another of its class than to one of none, averaged.

    loss_n = max(0, d(a, p) - d(a, q) + margin),   d(a, b) = |a - b + epsilon|
    da = dloss (u_p - u_q),   dp = -dloss u_p,   dq = dloss u_q,   u_b = (a - b + epsilon) / d(a, b)

a, p and q are anchor, positive and negative; the derivatives are 0 where the loss is.

Shapes: all three (N, D); the output is a scalar, or (N,) if reduction is "none".

Reference: Schroff, Kalenichenko and Philbin, FaceNet, 2015; as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.losses import common, count_of, reduced, require_same
from oracle.operators.operator import Case, Shape, Signature, Slip
from oracle.values import InvalidInput

SIGNATURE = Signature(
    "TripletLoss",
    inputs=("anchor", "positive", "negative"),
    outputs=("output",),
    attributes={"epsilon": 1e-6, "margin": 1.0, "reduction": "mean"},
)


def shapes(
    anchor: Shape,
    positive: Shape,
    negative: Shape,
    *,
    epsilon: float,
    margin: float,
    reduction: str,
) -> Sequence[Shape]:
    """Return the shape of the loss."""
    if len(anchor) != 2:
        raise InvalidInput("anchor", "have shape (N, D)", f"shape {anchor}")
    require_same("none", anchor, positive=positive, negative=negative)
    return (require_same(reduction, anchor[:1]),)


def _away(xp: Numbers, a: Number, b: Number, epsilon: float) -> tuple[Number, Number]:
    """Return the distance, and the direction away from b."""
    e = a - b + epsilon
    d = xp.sqrt(xp.sum(e * e, 1, keepdims=True))
    return d, e / d


def _terms(
    xp: Numbers, a: Number, p: Number, q: Number, epsilon: float, margin: float
) -> tuple[Number, Number, Number]:
    """Return the loss before it is cut off at 0, and both directions."""
    (near, u), (far, w) = _away(xp, a, p, epsilon), _away(xp, a, q, epsilon)
    return near - far + margin, u, w


def value(
    xp: Numbers,
    anchor: Number,
    positive: Number,
    negative: Number,
    *,
    epsilon: float,
    margin: float,
    reduction: str,
) -> Number:
    """Return the loss."""
    inside, _, _ = _terms(xp, anchor, positive, negative, epsilon, margin)
    losses = xp.reshape(xp.maximum(inside, xp.full(inside, 0.0)), anchor.shape[:1])
    return reduced(xp, losses, reduction)


def _above(xp: Numbers, d: Number, rows: int, reduction: str) -> Number:
    """Return the cotangent of each loss, as a column."""
    if reduction == "none":
        return xp.reshape(d, (-1, 1))
    each = d / count_of((rows,), reduction) if reduction == "mean" else d
    return xp.broadcast_to(xp.reshape(each, (1, 1)), (rows, 1))


def vjp(
    xp: Numbers,
    doutput: Number,
    anchor: Number,
    positive: Number,
    negative: Number,
    *,
    epsilon: float,
    margin: float,
    reduction: str,
) -> dict[str, Number]:
    """Return danchor, dpositive and dnegative."""
    inside, u, w = _terms(xp, anchor, positive, negative, epsilon, margin)
    d = _above(xp, doutput, anchor.shape[0], reduction) * xp.step(inside)
    return {"anchor": d * (u - w), "positive": -(d * u), "negative": d * w}


Of = Callable[..., dict[str, Number]]
"""(cotangent where the loss is positive, everywhere, directions, distances) to derivatives."""


def _slip(code: str, says: str, of: Of) -> Slip:
    def wrong(
        xp: Numbers,
        doutput: Any,
        anchor: Any,
        positive: Any,
        negative: Any,
        *,
        epsilon: float,
        margin: float,
        reduction: str,
    ) -> dict[str, Number]:
        inside, u, w = _terms(xp, anchor, positive, negative, epsilon, margin)
        every = _above(xp, doutput, len(anchor), reduction)
        near = _away(xp, anchor, positive, epsilon)[0]
        far = _away(xp, anchor, negative, epsilon)[0]
        return of(every * (inside > 0), every, u, w, near, far)

    remedy = (
        "Write da = u_p - u_q, dp = -u_p, dq = u_q, with unit vectors, where the loss is not 0."
    )
    return Slip(code, says, wrong, remedy)


SLIPS = (
    *common(vjp)[::2],
    _slip(
        "wrong_region",
        "triplets whose loss is 0 have a gradient",
        lambda d, e, u, w, m, n: {"anchor": e * (u - w), "positive": -e * u, "negative": e * w},
    ),
    _slip(
        "distance_missing",
        "the distances are not divided by: squared ones were differentiated",
        lambda d, e, u, w, m, n: {
            "anchor": 2 * d * (m * u - n * w),
            "positive": -2 * d * m * u,
            "negative": 2 * d * n * w,
        },
    ),
    _slip(
        "distance_missing",
        "the differences are not divided by the distances",
        lambda d, e, u, w, m, n: {
            "anchor": d * (m * u - n * w),
            "positive": -d * m * u,
            "negative": d * n * w,
        },
    ),
    _slip(
        "negative_missing",
        "the negative is missing in the anchor's derivative",
        lambda d, e, u, w, m, n: {"anchor": d * u},
    ),
    _slip(
        "positive_missing",
        "the positive is missing in the anchor's derivative",
        lambda d, e, u, w, m, n: {"anchor": -d * w},
    ),
    _slip(
        "anchor_sign",
        "the two terms of the anchor's derivative are added",
        lambda d, e, u, w, m, n: {"anchor": d * (u + w)},
    ),
    _slip(
        "swapped_tensors",
        "positive and negative are exchanged",
        lambda d, e, u, w, m, n: {"positive": d * w, "negative": -d * u},
    ),
    _slip(
        "sign_of_negative",
        "the derivative by the negative has the wrong sign",
        lambda d, e, u, w, m, n: {"negative": -d * w},
    ),
    _slip(
        "sign_of_positive",
        "the derivative by the positive has the wrong sign",
        lambda d, e, u, w, m, n: {"positive": d * u},
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return triplets on both sides of the margin."""
    names = ("anchor", "positive", "negative")
    return Case({name: rng.normal(size=(9, 4)) for name in names}, {"margin": 0.3})
