"""Clip (ONNX 13): output = min(max(input, min), max), entry by entry.

    d input = d output where min < input < max, 0 elsewhere
    d min = Σ d output where input < min,   d max = Σ d output where the rest is > max

Where the input is min or max, what is inside or what is outside is right if it is so everywhere.

Reference: the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.elementwise import zeros
from oracle.operators.operator import Case, Shape, Signature, Slip, optional
from oracle.values import InvalidInput

SIGNATURE = Signature(
    "Clip", inputs=("input", optional("min"), optional("max")), outputs=("output",), version=13
)


def shapes(X: Shape, least: Shape | None = None, most: Shape | None = None) -> Sequence[Shape]:
    """Return the shape of the input."""
    for name, shape in (("min", least), ("max", most)):
        if shape not in (None, ()):
            raise InvalidInput(name, "be a scalar, of shape ()", f"shape {shape}")
    return (X,)


def _raised(xp: Numbers, X: Number, least: Number | None) -> Number:
    return X if least is None else xp.maximum(X, xp.broadcast_to(least, X.shape))


def value(
    xp: Numbers, X: Number, least: Number | None = None, most: Number | None = None
) -> Number:
    """Return the input from min to max."""
    raised = _raised(xp, X, least)
    return raised if most is None else xp.minimum(raised, xp.broadcast_to(most, X.shape))


def vjp(
    xp: Numbers, dY: Number, X: Number, least: Number | None = None, most: Number | None = None
) -> dict[str, Callable[[], Number]]:
    """Return the derivatives by the input and by both ends."""
    raised = _raised(xp, X, least)
    none = zeros(xp, X)

    def over(outside: Number, within: Number) -> Number:
        return within if most is None else xp.choose(raised - most, outside, within)

    def under(outside: Number, within: Number) -> Number:
        return within if least is None else xp.choose(least - X, outside, within)

    found = {"input": lambda: over(none, under(none, dY))}
    if least is not None:
        found["min"] = lambda: xp.sum(over(none, under(dY, none)))
    if most is not None:
        found["max"] = lambda: xp.sum(over(dY, none))
    return found


def _masked(
    mask: Callable[..., Number],
) -> Callable[..., dict[str, Number]]:
    def wrong(
        xp: Numbers, dY: Number, X: Number, least: Number | None = None, most: Number | None = None
    ) -> dict[str, Number]:
        low = np.full((), -np.inf) if least is None else least
        high = np.full((), np.inf) if most is None else most
        return {"input": dY * mask(X, low, high)}

    return wrong


_REMEDY = "Write dX = dY * ((X > least) & (X < most))."

SLIPS = (
    Slip(
        "wrong_mask", "the mask of the clipping is missing", _masked(lambda X, a, b: 1.0), _REMEDY
    ),
    Slip(
        "wrong_mask",
        "the mask of the clipping is turned round",
        _masked(lambda X, a, b: (a > X) | (b < X)),
        _REMEDY,
    ),
    Slip(
        "wrong_mask",
        "the upper end is missing in the mask",
        _masked(lambda X, a, b: a < X),
        _REMEDY,
    ),
    Slip(
        "wrong_mask",
        "the lower end is missing in the mask",
        _masked(lambda X, a, b: b > X),
        _REMEDY,
    ),
    Slip(
        "wrong_mask",
        "the gradient is multiplied by the output",
        _masked(np.clip),
        _REMEDY,
    ),
    Slip(
        "wrong_mask",
        "the gradient is clipped instead of masked",
        lambda xp, dY, X, least=None, most=None: {"input": np.clip(dY, least, most)},
        _REMEDY,
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return inputs on both sides of two ends, or of one."""
    ends = ((-0.7, 0.9), (-0.4, None), (None, 0.5))[int(rng.integers(3))]
    least, most = (None if end is None else np.asarray(end) for end in ends)
    return Case({"input": rng.normal(size=(6, 7)), "min": least, "max": most})
