"""Softmax (ONNX 13): output = e^input / Σ e^input along an axis.

    d input = output (d output - Σ d output · output)

Reference: Bridle, Probabilistic interpretation of feedforward network outputs, 1990.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Case, Shape, Signature, Slip, axis_of
from oracle.values import Float64

SIGNATURE = Signature(
    "Softmax", inputs=("input",), outputs=("output",), attributes={"axis": -1}, version=13
)


def shapes(X: Shape, *, axis: int) -> Sequence[Shape]:
    """Return the shape of the input."""
    axis_of("axis", axis, len(X))
    return (X,)


def value(xp: Numbers, X: Number, *, axis: int) -> Number:
    """Return e^X over its sum along the axis."""
    return xp.softmax(X, axis)


def vjp(xp: Numbers, dY: Number, X: Number, *, axis: int) -> dict[str, Number]:
    """Return Y (dY - Σ dY Y)."""
    Y = xp.softmax(X, axis)
    return {"input": Y * (dY - xp.sum(dY * Y, axis, keepdims=True))}


def _two_products(xp: Numbers, dY: Number, X: Number, *, axis: int) -> dict[str, Number]:
    """Return Y dY - Y Σ dY Y."""
    Y = xp.softmax(X, axis)
    weighted = dY * Y
    return {"input": weighted - Y * xp.sum(weighted, axis, keepdims=True)}


WAYS = (_two_products,)

Wrong = Callable[[Float64, Float64, Float64, int], Float64]
"""(Y, dY, X, axis) to what somebody returns."""


def slips_of(
    output: Callable[..., Float64], remedy: str, *wrong: tuple[str, str, Wrong]
) -> tuple[Slip, ...]:
    """Return slips in terms of Y, which `output` gives."""

    def slip(code: str, says: str, of: Wrong) -> Slip:
        def vjp(xp: Numbers, dY: Float64, X: Float64, *, axis: int) -> dict[str, Any]:
            return {"input": of(output(xp, X, axis), dY, X, axis)}

        return Slip(code, says, vjp, remedy)

    return tuple(slip(*one) for one in wrong)


def total(a: Float64, axis: int) -> Float64:
    """Return the sum along an axis, which is kept."""
    return np.asarray(a.sum(axis=axis, keepdims=True))


def _again(Y: Float64, axis: int) -> Float64:
    powers = np.exp(Y)
    return powers / total(powers, axis)


_J = "softmax_jacobian"

SLIPS = slips_of(
    lambda xp, X, axis: xp.softmax(X, axis),
    "Write dX = Y * (dY - (dY * Y).sum(axis, keepdims=True)).",
    (_J, "the derivative of the softmax is missing", lambda Y, g, X, k: g),
    (
        _J,
        "only the diagonal of the softmax's Jacobian is used, Y (1 - Y)",
        lambda Y, g, X, k: g * Y * (1 - Y),
    ),
    (_J, "the sum over the axis is not subtracted", lambda Y, g, X, k: Y * g),
    (
        _J,
        "the sum over the axis is that of dY, without Y",
        lambda Y, g, X, k: Y * (g - total(g, k)),
    ),
    (
        _J,
        "the sum over the axis is not multiplied by Y",
        lambda Y, g, X, k: Y * g - total(Y * g, k),
    ),
    (
        _J,
        "the mean over the axis is used instead of its sum",
        lambda Y, g, X, k: Y * (g - (Y * g).mean(axis=k, keepdims=True)),
    ),
    (
        _J,
        "the sum over the axis is added, not subtracted",
        lambda Y, g, X, k: Y * (g + total(Y * g, k)),
    ),
    (
        _J,
        "the factor Y is missing before the bracket",
        lambda Y, g, X, k: g - total(Y * g, k),
    ),
    (
        _J,
        "the derivative is that of the logarithm of the softmax",
        lambda Y, g, X, k: g - Y * total(g, k),
    ),
    (
        "softmax_axis",
        "the sum runs over all entries, not along the axis",
        lambda Y, g, X, k: Y * (g - (Y * g).sum()),
    ),
    (
        "softmax_axis",
        "the sum runs along another axis",
        lambda Y, g, X, k: Y * (g - total(Y * g, (k + 1) % Y.ndim)),
    ),
    (
        "softmax_twice",
        "the softmax is applied twice in its derivative",
        lambda Y, g, X, k: _again(Y, k) * (g - total(_again(Y, k) * g, k)),
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return scores, along one axis or another."""
    return Case({"input": 1.5 * rng.normal(size=(7, 5))}, {"axis": int(rng.choice([-1, 0]))})
