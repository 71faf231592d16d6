"""FocalLoss: the cross-entropy of a sigmoid, less of it where the entry is classified well.

    loss = a (1 - q)^gamma (-log q),   q = 1 / (1 + e^-z),   z = x for target 1, -x for target 0
    dz = -doutput a (1 - q)^gamma (gamma q (-log q) + 1 - q) / N,   dinput = dz, or -dz for target 0

a is alpha for target 1 and 1 - alpha for target 0, or 1 if alpha is negative.

Shapes: target has the shape of the input; the output is a scalar, or has it if reduction is "none".

Reference: Lin et al., Focal Loss for Dense Object Detection, 2017; as in torchvision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.arithmetic.special import sigmoid
from oracle.operators.losses import chained, common, reduced, require_same, wrong
from oracle.operators.operator import Case, Shape, Signature, constant
from oracle.values import Array, InvalidInput

SIGNATURE = Signature(
    "FocalLoss",
    inputs=("input", constant("target")),
    outputs=("output",),
    attributes={"alpha": 0.25, "gamma": 2.0, "reduction": "mean"},
)


def shapes(
    input: Shape, target: Array, *, alpha: float, gamma: float, reduction: str
) -> Sequence[Shape]:
    """Return the shape of the loss."""
    found = require_same(reduction, input, target=target)
    if not ((target == 0) | (target == 1)).all():
        raise InvalidInput("target", "hold 0 and 1", "other numbers")
    if alpha > 1:
        raise InvalidInput("alpha", "be at most 1", str(alpha))
    if gamma < 0:
        raise InvalidInput("gamma", "not be negative", str(gamma))
    return (found,)


def _signs(xp: Numbers, target: Array) -> Number:
    return xp.exact(2.0 * target.astype(np.float64) - 1.0)


def _weights(xp: Numbers, target: Array, alpha: float) -> Number:
    """Return a."""
    one = xp.exact(np.ones(target.shape))
    if alpha < 0:
        return one
    return xp.where(target == 1, one * alpha, one - one * alpha)


def value(
    xp: Numbers, input: Number, target: Array, *, alpha: float, gamma: float, reduction: str
) -> Number:
    """Return the loss."""
    z = _signs(xp, target) * input
    losses = _weights(xp, target, alpha) * xp.power(xp.sigmoid(-z), gamma) * xp.softplus(-z)
    return reduced(xp, losses, reduction)


def slope(xp: Numbers, input: Number, target: Array, *, alpha: float, gamma: float) -> Number:
    """Return the derivative of each entry's loss."""
    signs = _signs(xp, target)
    z = signs * input
    rest = xp.sigmoid(-z)
    inner = xp.sigmoid(z) * xp.softplus(-z) * gamma + rest
    return -(signs * _weights(xp, target, alpha) * xp.power(rest, gamma) * inner)


vjp = chained("input", slope)


def _of_probability(
    xp: Numbers, input: Number, target: Array, *, alpha: float, gamma: float
) -> Number:
    """Return the slope by q and 1 - q, with -log q, as people write it who form q first."""
    signs = _signs(xp, target)
    q = xp.sigmoid(signs * input)
    rest = 1.0 - q
    inner = q * -xp.log(q) * gamma + rest
    return -(signs * _weights(xp, target, alpha) * xp.power(rest, gamma) * inner)


WAYS = (chained("input", _of_probability),)


def _slip(code: str, says: str, of: Any) -> Any:
    """Return the slip of another slope by z, a function of q, a and gamma."""

    def other(xp: Numbers, input: Any, target: Any, *, alpha: float, gamma: float) -> Number:
        signs = 2.0 * target - 1.0
        a = np.where(target == 1, alpha, 1.0 - alpha) if alpha >= 0 else 1.0
        return signs * of(sigmoid(np.asarray(signs * input)), a, gamma)

    remedy = "Write dz = -a (1 - q)^gamma (gamma q (-log q) + 1 - q)."
    return wrong("input", code, says, other, remedy)


SLIPS = (
    *common(vjp),
    _slip(
        "focal_factor_constant",
        "the factor (1 - q)^gamma is treated as a constant",
        lambda q, a, g: -a * (1 - q) ** (g + 1),
    ),
    _slip(
        "focal_factor_missing",
        "the factor (1 - q)^gamma is missing: it is a cross-entropy's",
        lambda q, a, g: -a * (1 - q),
    ),
    _slip(
        "focal_sign",
        "the derivative of the factor has the wrong sign",
        lambda q, a, g: a * (1 - q) ** g * (g * q * -np.log(q) - (1 - q)),
    ),
    _slip(
        "focal_gamma_missing",
        "gamma does not multiply the derivative of the factor",
        lambda q, a, g: -a * (1 - q) ** g * (q * -np.log(q) + 1 - q),
    ),
    _slip(
        "focal_exponent",
        "the exponent is gamma - 1 in the whole",
        lambda q, a, g: -a * (1 - q) ** (g - 1) * (g * q * -np.log(q) + 1 - q),
    ),
    _slip(
        "focal_slope",
        "the slope of the sigmoid is missing in the factor's derivative",
        lambda q, a, g: -a * (g * (1 - q) ** (g - 1) * -np.log(q) + (1 - q) ** (g + 1)),
    ),
    _slip(
        "class_weights_missing",
        "alpha is missing",
        lambda q, a, g: -((1 - q) ** g) * (g * q * -np.log(q) + 1 - q),
    ),
    _slip(
        "class_weights",
        "alpha and 1 - alpha are exchanged",
        lambda q, a, g: -(1 - a) * (1 - q) ** g * (g * q * -np.log(q) + 1 - q),
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return logits of both signs, and labels."""
    inputs = {
        "input": 1.5 * rng.normal(size=(7, 5)),
        "target": rng.integers(0, 2, (7, 5)),
    }
    return Case(inputs, {"gamma": 2.5})
