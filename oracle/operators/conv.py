"""Conv (ONNX 22): a kernel slides over places of one to three axes.

    Y[n, m, o] = B[m] + Σ_c Σ_k W[m, c, k] X[n, c, o stride + k dilation - pad]
    dX[n, c, i] = Σ_m Σ_k W[m, c, k] dY[n, m, o] where i = o stride + k dilation - pad
    dW[m, c, k] = Σ_n Σ_o dY[n, m, o] X[n, c, o stride + k dilation - pad],   dB = Σ dY

With groups, channels of a group of the output see those of the same group of the input alone.

Shapes: X (N, C, D1, ...), W (M, C / group, K1, ...), B (M,); Y (N, M, O1, ...).

Reference: Dumoulin and Visin, A guide to convolution arithmetic, 2016; the ONNX specification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators import conv_slips
from oracle.operators.attributes import wholes
from oracle.operators.convolution import Convolution, matrix, transposed
from oracle.operators.operator import Case, Shape, Signature, optional
from oracle.operators.windows import geometry, require_places, slid, windows
from oracle.values import InvalidInput

SIGNATURE = Signature(
    "Conv",
    inputs=("X", "W", optional("B")),
    outputs=("Y",),
    attributes={
        "auto_pad": "NOTSET",
        "dilations": None,
        "group": 1,
        "kernel_shape": None,
        "pads": None,
        "strides": None,
    },
    version=22,
)


def _convolution(
    X: Shape,
    W: Shape,
    *,
    auto_pad: str,
    dilations: Any,
    group: int,
    kernel_shape: Any,
    pads: Any,
    strides: Any,
) -> Convolution:
    found = geometry(X[2:], W[2:], auto_pad, dilations, pads, strides)
    output = slid(X[2:], W[2:], found)
    return Convolution(group, windows(X[2:], output, W[2:], found))


def shapes(X: Shape, W: Shape, B: Shape | None = None, **attributes: Any) -> Sequence[Shape]:
    """Return the shape of Y."""
    require_places("X", X)
    group, kernel = attributes["group"], attributes["kernel_shape"]
    if len(W) != len(X) or 0 in W[1:]:
        raise InvalidInput("W", f"have {len(X)} axes, and entries", f"shape {W}")
    if wholes("kernel_shape", kernel, W[2:], 1) != W[2:]:
        raise InvalidInput("kernel_shape", f"be that of W, {list(W[2:])}", str(list(kernel)))
    if group < 1 or X[1] % group or W[0] % group:
        requirement = f"divide the channels {X[1]} of X and {W[0]} of W"
        raise InvalidInput("group", requirement, str(group))
    if W[1] != X[1] // group:
        raise InvalidInput("W", f"have {X[1] // group} channels, C / group", f"shape {W}")
    if B is not None and W[:1] != B:
        raise InvalidInput("B", f"have shape {W[:1]}", f"shape {B}")
    return ((X[0], W[0], *_convolution(X, W, **attributes).windows.output),)


def value(xp: Numbers, X: Number, W: Number, B: Number | None = None, **attributes: Any) -> Number:
    """Return Y."""
    conv = _convolution(X.shape, W.shape, **attributes)
    bias = None if B is None else xp.reshape(B, (conv.groups, -1, 1))
    return conv.slid(xp, X, matrix(xp, W, conv.groups), bias)


def vjp(
    xp: Numbers, dY: Number, X: Number, W: Number, B: Number | None = None, **attributes: Any
) -> dict[str, Callable[[], Number]]:
    """Return dX, dW and dB."""
    conv = _convolution(X.shape, W.shape, **attributes)
    found = {
        "X": lambda: conv.spread(xp, dY, transposed(xp, W, conv.groups)),
        "W": lambda: xp.reshape(conv.met(xp, dY, X), W.shape),
    }
    if B is not None:
        found["B"] = lambda: xp.sum(dY, (0, *range(2, dY.ndim)))
    return found


SLIPS = conv_slips.slips(vjp, "X", "W", transposes=False)


def draw(rng: np.random.Generator) -> Case:
    """Return two groups, with a stride, a dilation, and pads that differ at both ends."""
    inputs = {
        "X": rng.normal(size=(2, 4, 7, 6)),
        "W": rng.normal(size=(6, 2, 2, 3)),
        "B": rng.normal(size=6),
    }
    attributes = {"group": 2, "strides": [2, 1], "dilations": [1, 2], "pads": [1, 0, 0, 2]}
    return Case(inputs, attributes)
