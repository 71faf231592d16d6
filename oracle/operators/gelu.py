"""Gelu (ONNX 20): Y = X Φ(X), with the normal distribution Φ, or an approximation by tanh.

    approximate = "none":  Y = X (1 + erf(X / √2)) / 2,   dX = dY (Φ(X) + X φ(X)),
                           φ(X) = e^(-X²/2) / √(2π)
    approximate = "tanh":  Y = X (1 + tanh u) / 2,   u = √(2/π) (X + 0.044715 X³),
                           dX = dY ((1 + tanh u) / 2 + X (1 - tanh² u) u' / 2),
                           u' = √(2/π) (1 + 3 · 0.044715 X²)

Reference: Hendrycks and Gimpel, Gaussian error linear units, 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.elementwise import (
    MISSING,
    WRONG,
    chained,
    mixed_slopes,
    ones,
    same_shape,
    spread,
    wrong_slopes,
)
from oracle.operators.operator import Case, Shape, Signature
from oracle.values import InvalidInput

SIGNATURE = Signature(
    "Gelu",
    inputs=("X",),
    outputs=("Y",),
    attributes={"approximate": "none"},
    version=20,
    activation=True,
)

CUBE = 0.044715


def shapes(X: Shape, *, approximate: str) -> Sequence[Shape]:
    """Return the shape of the input."""
    if approximate not in ("none", "tanh"):
        raise InvalidInput("approximate", "be none or tanh", repr(approximate))
    return same_shape(X)


def _inner(xp: Numbers, X: Number) -> Number:
    return (X + X * X * X * CUBE) * xp.sqrt(2.0 / xp.pi)


def _inner_slope(xp: Numbers, X: Number, factor: float = 3.0) -> Number:
    return (1.0 + X * X * CUBE * factor) * xp.sqrt(2.0 / xp.pi)


def _share(xp: Numbers, X: Number, *, approximate: str) -> Number:
    """Return Y / X, which is Φ(X) or what stands for it."""
    if approximate == "tanh":
        return (1.0 + xp.tanh(_inner(xp, X))) * 0.5
    return (1.0 + xp.erf(X * xp.sqrt(xp.exact(np.asarray(0.5))))) * 0.5


def _density(xp: Numbers, X: Number, *, approximate: str) -> Number:
    """Return the derivative of Y / X."""
    if approximate == "tanh":
        return xp.tanh_slope(_inner(xp, X)) * _inner_slope(xp, X) * 0.5
    return xp.exp(X * X * -0.5) / xp.sqrt(2.0 * xp.pi)


def value(xp: Numbers, X: Number, *, approximate: str) -> Number:
    """Return X Φ(X)."""
    return X * _share(xp, X, approximate=approximate)


def slope(xp: Numbers, X: Number, *, approximate: str) -> Number:
    """Return Φ(X) + X φ(X)."""
    return _share(xp, X, approximate=approximate) + X * _density(xp, X, approximate=approximate)


vjp = chained(slope)


def _other(approximate: str) -> str:
    return "none" if approximate == "tanh" else "tanh"


def _tanh_only(
    of: Callable[[Numbers, Number], Number],
) -> Callable[..., Number]:
    """Return a slip of the approximation by tanh; the right slope elsewhere."""

    def wrong(xp: Numbers, X: Number, *, approximate: str) -> Number:
        if approximate != "tanh":
            return slope(xp, X, approximate=approximate)
        return _share(xp, X, approximate="tanh") + X * of(xp, X) * 0.5

    return wrong


def _erf_only(factor: float, bend: float = -0.5) -> Callable[..., Number]:
    """Return a slip of the density of the exact form; the right slope elsewhere."""

    def wrong(xp: Numbers, X: Number, *, approximate: str) -> Number:
        if approximate != "none":
            return slope(xp, X, approximate=approximate)
        return _share(xp, X, approximate="none") + X * xp.exp(X * X * bend) * factor

    return wrong


def _by_sigmoid(xp: Numbers, X: Number, *, approximate: str) -> Number:
    scaled = X * 1.702
    return xp.sigmoid(scaled) + scaled * xp.sigmoid_slope(scaled)


SLIPS = wrong_slopes(
    "Write dX = dY * (Phi(X) + X * phi(X)), each in the variant of the forward pass.",
    (
        "other_variant",
        "the derivative is that of the other GELU, with erf instead of tanh or the reverse",
        lambda xp, X, approximate: slope(xp, X, approximate=_other(approximate)),
    ),
    ("other_variant", "the derivative is that of X times the sigmoid of 1.702 X", _by_sigmoid),
    (MISSING, "the derivative of the GELU is missing", ones),
    (
        WRONG,
        "the term X φ(X) is missing in the derivative of the GELU",
        _share,
    ),
    (
        WRONG,
        "the factor X is missing in the term X φ(X)",
        lambda xp, X, approximate: (
            _share(xp, X, approximate=approximate) + _density(xp, X, approximate=approximate)
        ),
    ),
    (
        WRONG,
        "the term X φ(X) is subtracted",
        lambda xp, X, approximate: (
            _share(xp, X, approximate=approximate) - X * _density(xp, X, approximate=approximate)
        ),
    ),
    (
        WRONG,
        "only the term X φ(X) is left of the derivative",
        lambda xp, X, approximate: X * _density(xp, X, approximate=approximate),
    ),
    (
        WRONG,
        "the derivative of the GELU is taken at its output",
        lambda xp, X, approximate: slope(
            xp, value(xp, X, approximate=approximate), approximate=approximate
        ),
    ),
    (
        WRONG,
        "the half is missing in the term X φ(X), or the term counts twice",
        lambda xp, X, approximate: (
            _share(xp, X, approximate=approximate)
            + X * _density(xp, X, approximate=approximate) * 2.0
        ),
    ),
    (WRONG, "the π is missing in φ(X)", _erf_only(0.5**0.5)),
    (WRONG, "φ(X) has e^(-X²) instead of e^(-X²/2)", _erf_only((2.0 * np.pi) ** -0.5, -1.0)),
    (WRONG, "φ(X) has the factor of the error function, 2 / √π", _erf_only(2.0 * np.pi**-0.5)),
    (
        WRONG,
        "the derivative of the argument of tanh is missing",
        _tanh_only(lambda xp, X: xp.tanh_slope(_inner(xp, X))),
    ),
    (
        WRONG,
        "the factor 3 is missing in the derivative of the argument of tanh",
        _tanh_only(lambda xp, X: xp.tanh_slope(_inner(xp, X)) * _inner_slope(xp, X, 1.0)),
    ),
    (
        WRONG,
        "the square is missing in 1 - tanh²",
        _tanh_only(lambda xp, X: (1.0 - xp.tanh(_inner(xp, X))) * _inner_slope(xp, X)),
    ),
    (WRONG, "the derivative is that of a ReLU", lambda xp, X, approximate: xp.step(X)),
)

FAMILIES = (mixed_slopes("Gelu", value),)


def draw(rng: np.random.Generator) -> Case:
    """Return inputs in the curved part and in the tails, for one of the two forms."""
    return spread(rng, approximate=str(rng.choice(["none", "tanh"])))
