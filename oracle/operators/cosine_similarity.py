"""CosineSimilarity: the cosine of the angle between two vectors along an axis.

    c = Σ x1 x2 / (n1 n2),   n = max(|x|, epsilon)
    dx1 = doutput (x2 / (n1 n2) - c x1 / n1²),   dx2 = doutput (x1 / (n1 n2) - c x2 / n2²)

Where |x| is below epsilon, the second term of its derivative is missing.

Shapes: x1 and x2 have one shape; the output has it without the axis.

Reference: PyTorch, cosine_similarity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Case, Shape, Signature, Slip, axis_of
from oracle.values import Float64, InvalidInput

SIGNATURE = Signature(
    "CosineSimilarity",
    inputs=("x1", "x2"),
    outputs=("output",),
    attributes={"axis": -1, "epsilon": 1e-8},
)


def shapes(x1: Shape, x2: Shape, *, axis: int, epsilon: float) -> Sequence[Shape]:
    """Return the shape of the inputs without the axis."""
    place = axis_of("axis", axis, len(x1))
    if x2 != x1:
        raise InvalidInput("x2", f"have the shape of x1, {x1}", f"shape {x2}")
    if epsilon <= 0:
        raise InvalidInput("epsilon", "be positive", str(epsilon))
    return ((*x1[:place], *x1[place + 1 :]),)


def _length(xp: Numbers, x: Number, axis: int) -> Number:
    return xp.sqrt(xp.sum(x * x, axis, keepdims=True))


def _cosine(
    xp: Numbers, x1: Number, x2: Number, axis: int, epsilon: float
) -> tuple[Number, tuple[Number, Number], tuple[Number, Number]]:
    """Return c, the lengths, and what stands for them in the quotient."""
    lengths = (_length(xp, x1, axis), _length(xp, x2, axis))
    n1, n2 = (xp.maximum(n, xp.full(n, epsilon)) for n in lengths)
    return xp.sum(x1 * x2, axis, keepdims=True) / (n1 * n2), lengths, (n1, n2)


def value(xp: Numbers, x1: Number, x2: Number, *, axis: int, epsilon: float) -> Number:
    """Return c."""
    place = axis % x1.ndim
    c, _, _ = _cosine(xp, x1, x2, place, epsilon)
    return xp.reshape(c, (*x1.shape[:place], *x1.shape[place + 1 :]))


def vjp(
    xp: Numbers, doutput: Number, x1: Number, x2: Number, *, axis: int, epsilon: float
) -> dict[str, Callable[[], Number]]:
    """Return dx1 and dx2."""
    place = axis % x1.ndim
    d = xp.expand_dims(doutput, place)
    c, lengths, (n1, n2) = _cosine(xp, x1, x2, place, epsilon)

    def by(x: Number, other: Number, length: Number, n: Number) -> Number:
        along = xp.step(length - epsilon) * c * x / (n * n)
        return d * (other / (n1 * n2) - along)

    return {"x1": lambda: by(x1, x2, lengths[0], n1), "x2": lambda: by(x2, x1, lengths[1], n2)}


Of = Callable[[Float64, Float64, Float64, Float64, Float64], Float64]


def _slip(code: str, says: str, of: Of) -> Slip:
    """Return the slip of another derivative by x: of takes x, the other, c and both lengths."""

    def wrong(
        xp: Numbers, doutput: Any, x1: Any, x2: Any, *, axis: int, epsilon: float
    ) -> dict[str, Number]:
        d = np.expand_dims(doutput, axis % x1.ndim)
        c, _, (n1, n2) = _cosine(xp, x1, x2, axis % x1.ndim, epsilon)
        with np.errstate(all="ignore"):
            return {"x1": d * of(x1, x2, c, n1, n2), "x2": d * of(x2, x1, c, n2, n1)}

    return Slip(code, says, wrong, "Write dx1 = x2 / (n1 n2) - c x1 / n1^2, and dx2 likewise.")


SLIPS = (
    _slip(
        "lengths_constant",
        "the lengths are treated as constants",
        lambda x, o, c, n, m: o / (n * m),
    ),
    _slip(
        "cosine_sign",
        "the second term is added, not subtracted",
        lambda x, o, c, n, m: o / (n * m) + c * x / n**2,
    ),
    _slip(
        "cosine_length",
        "the second term is divided by the other length",
        lambda x, o, c, n, m: o / (n * m) - c * x / m**2,
    ),
    _slip(
        "cosine_length",
        "the second term is divided by both lengths",
        lambda x, o, c, n, m: o / (n * m) - c * x / (n * m),
    ),
    _slip(
        "cosine_length",
        "the second term is divided by the length, not by its square",
        lambda x, o, c, n, m: o / (n * m) - c * x / n,
    ),
    _slip(
        "cosine_missing",
        "the second term is not multiplied by the cosine",
        lambda x, o, c, n, m: o / (n * m) - x / n**2,
    ),
    _slip(
        "cosine_missing",
        "the second term has the other vector",
        lambda x, o, c, n, m: o / (n * m) - c * o / n**2,
    ),
    _slip(
        "length_missing",
        "it is not divided by the vector's own length",
        lambda x, o, c, n, m: o / m - c * x / n,
    ),
    _slip(
        "length_missing",
        "it is that of the product of the vectors",
        lambda x, o, c, n, m: o * np.ones_like(n),
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return vectors of different lengths and at all angles."""
    lengths = rng.uniform(0.5, 2.0, (2, 7, 1))
    inputs = {
        "x1": lengths[0] * rng.normal(size=(7, 4)),
        "x2": lengths[1] * rng.normal(size=(7, 4)),
    }
    return Case(inputs)
