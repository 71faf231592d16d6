"""LogSoftmax (ONNX 13): output = input - log Σ e^input along an axis.

    d input = d output - e^output Σ d output

Reference: the ONNX operator specification.
"""

from __future__ import annotations

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators import softmax
from oracle.operators.operator import Signature
from oracle.operators.softmax import slips_of, total

SIGNATURE = Signature(
    "LogSoftmax", inputs=("input",), outputs=("output",), attributes={"axis": -1}, version=13
)

shapes = softmax.shapes
draw = softmax.draw


def value(xp: Numbers, X: Number, *, axis: int) -> Number:
    """Return X - log Σ e^X along the axis."""
    return X - xp.logsumexp(X, axis, keepdims=True)


def vjp(xp: Numbers, dY: Number, X: Number, *, axis: int) -> dict[str, Number]:
    """Return dY - softmax(X) Σ dY."""
    return {"input": dY - xp.softmax(X, axis) * xp.sum(dY, axis, keepdims=True)}


_J = "softmax_jacobian"

SLIPS = slips_of(
    lambda xp, X, axis: xp.softmax(X, axis),
    "Write dX = dY - np.exp(Y) * dY.sum(axis, keepdims=True).",
    (_J, "the derivative of the log-softmax is missing", lambda Y, g, X, k: g),
    (
        _J,
        "the sum of dY over the axis is missing",
        lambda Y, g, X, k: g - Y * g,
    ),
    (_J, "the softmax is subtracted without the sum of dY", lambda Y, g, X, k: g - Y),
    (
        _J,
        "the logarithm is used instead of the softmax",
        lambda Y, g, X, k: g - np.log(Y) * total(g, k),
    ),
    (
        _J,
        "the mean of dY is used instead of its sum",
        lambda Y, g, X, k: g - Y * g.mean(axis=k, keepdims=True),
    ),
    (_J, "the term with the sum is added", lambda Y, g, X, k: g + Y * total(g, k)),
    (
        _J,
        "the derivative is that of the softmax, without its logarithm",
        lambda Y, g, X, k: Y * (g - total(Y * g, k)),
    ),
    (
        _J,
        "the sum is that of dY times the softmax",
        lambda Y, g, X, k: g - Y * total(Y * g, k),
    ),
    (_J, "the sum is not multiplied by the softmax", lambda Y, g, X, k: g - total(g, k)),
    (
        "softmax_axis",
        "the sum runs over all entries, not along the axis",
        lambda Y, g, X, k: g - Y * g.sum(),
    ),
    (
        "softmax_axis",
        "the sum runs along another axis",
        lambda Y, g, X, k: g - Y * total(g, (k + 1) % Y.ndim),
    ),
)
