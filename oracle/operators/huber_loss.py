"""HuberLoss: half the square of small errors e = input - target, and |e| from delta on.

    loss = ½ e² where |e| <= delta, delta (|e| - ½ delta) elsewhere, averaged over all entries
    dinput = doutput e / N where |e| <= delta, doutput delta sign(e) / N elsewhere
    dtarget = -dinput

Shapes: input and target have one shape; the output is a scalar, or has it if reduction is "none".

Reference: Huber, Robust Estimation of a Location Parameter, 1964; as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.losses import common, reduced, require_same, spread
from oracle.operators.operator import Case, Shape, Signature, Slip
from oracle.values import InvalidInput

SIGNATURE = Signature(
    "HuberLoss",
    inputs=("input", "target"),
    outputs=("output",),
    attributes={"delta": 1.0, "reduction": "mean"},
)


def shapes(input: Shape, target: Shape, *, delta: float, reduction: str) -> Sequence[Shape]:
    """Return the shape of the loss."""
    if delta <= 0:
        raise InvalidInput("delta", "be positive", str(delta))
    return (require_same(reduction, input, target=target),)


def value(xp: Numbers, input: Number, target: Number, *, delta: float, reduction: str) -> Number:
    """Return the loss."""
    e = input - target
    size = xp.absolute(e)
    near, far = e * e * 0.5, (size - 0.5 * delta) * delta
    return reduced(xp, xp.choose(size - delta, far, near, smooth=True), reduction)


def vjp(
    xp: Numbers, doutput: Number, input: Number, target: Number, *, delta: float, reduction: str
) -> dict[str, Number]:
    """Return dinput and dtarget."""
    e = input - target
    clipped = xp.minimum(xp.maximum(e, xp.full(e, -delta)), xp.full(e, delta))
    slope = spread(doutput, input.shape, reduction) * clipped
    return {"input": slope, "target": -slope}


def _slip(code: str, says: str, of: Any) -> Slip:
    """Return the slip of another slope, a function of the error and delta."""

    def wrong(
        xp: Numbers, doutput: Any, input: Any, target: Any, *, delta: float, reduction: str
    ) -> dict[str, Number]:
        slope = spread(doutput, input.shape, reduction) * of(input - target, delta)
        return {"input": slope, "target": -slope}

    return Slip(code, says, wrong, "Write clip(input - target, -delta, delta).")


SLIPS = (
    *common(vjp),
    _slip(
        "delta_missing",
        "the slope of large errors is their sign, without delta",
        lambda e, d: np.where(np.abs(e) <= d, e, np.sign(e)),
    ),
    _slip("wrong_forward", "it is that of half the squared error", lambda e, d: e),
    _slip("wrong_forward", "it is that of the absolute error", lambda e, d: d * np.sign(e)),
    _slip(
        "wrong_forward",
        "small errors are divided by delta, as in a smooth L1 loss",
        lambda e, d: np.clip(e / d, -1.0, 1.0),
    ),
    _slip(
        "half_missing",
        "small errors have 2 e: the half of the square is missing",
        lambda e, d: np.where(np.abs(e) <= d, 2.0 * e, d * np.sign(e)),
    ),
    _slip(
        "wrong_region",
        "small and large errors are exchanged",
        lambda e, d: np.where(np.abs(e) <= d, d * np.sign(e), e),
    ),
    _slip(
        "wrong_region",
        "the slope of large errors is delta whatever their sign",
        lambda e, d: np.where(np.abs(e) <= d, e, d),
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return errors on both sides of delta."""
    inputs = {"input": 1.5 * rng.normal(size=(7, 5)), "target": rng.normal(size=(7, 5))}
    return Case(inputs, {"delta": 0.7})
