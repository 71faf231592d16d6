"""ConvTranspose (ONNX 22): what goes back through a convolution, as a layer of its own.

    Y[n, m, i] = B[m] + Σ_c Σ_k W[c, m, k] X[n, c, o] where i = o stride + k dilation - pad
    dX[n, c, o] = Σ_m Σ_k W[c, m, k] dY[n, m, o stride + k dilation - pad]
    dW[c, m, k] = Σ_n Σ_o X[n, c, o] dY[n, m, o stride + k dilation - pad],   dB = Σ dY

Shapes: X (N, C, D1, ...), W (C, M / group, K1, ...), B (M,); Y (N, M, O1, ...) with
O = stride (D - 1) + output_padding + dilation (K - 1) + 1 - pads, or output_shape.

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
from oracle.operators.windows import Geometry, geometry, require_places, windows
from oracle.values import InvalidInput

SIGNATURE = Signature(
    "ConvTranspose",
    inputs=("X", "W", optional("B")),
    outputs=("Y",),
    attributes={
        "auto_pad": "NOTSET",
        "dilations": None,
        "group": 1,
        "kernel_shape": None,
        "output_padding": None,
        "output_shape": None,
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
    output_padding: Any,
    output_shape: Any,
    pads: Any,
    strides: Any,
) -> Convolution:
    d = len(X) - 2
    found = geometry(X[2:], W[2:], "NOTSET", dilations, pads, strides)
    geometry(X[2:], W[2:], auto_pad, dilations, pads, strides)
    more = wholes("output_padding", output_padding, (0,) * d, 0)
    full = [
        s * (n - 1) + extra + g * (k - 1) + 1
        for n, k, s, g, extra in zip(
            X[2:], W[2:], found.strides, found.dilations, more, strict=True
        )
    ]
    stated = None
    if output_shape is not None:
        stated = wholes("output_shape", output_shape, (1,) * d, 1)
    elif auto_pad.startswith("SAME"):
        stated = tuple(n * s for n, s in zip(X[2:], found.strides, strict=True))
    padded = found.pads
    if stated is not None:
        total = [max(0, n - m) for n, m in zip(full, stated, strict=True)]
        halves = [n // 2 if auto_pad == "SAME_UPPER" else n - n // 2 for n in total]
        padded = (*halves, *(n - m for n, m in zip(total, halves, strict=True)))
    output = tuple(n - padded[k] - padded[d + k] for k, n in enumerate(full))
    if stated is not None and output != stated:
        requirement = f"be at most {full}, what the kernel covers"
        raise InvalidInput("output_shape", requirement, str(list(stated)))
    if min(output) < 1:
        raise InvalidInput("pads", "leave a place of the output", str(list(padded)))
    exact = Geometry(found.strides, found.dilations, padded)
    return Convolution(group, windows(output, X[2:], W[2:], exact))


def shapes(X: Shape, W: Shape, B: Shape | None = None, **attributes: Any) -> Sequence[Shape]:
    """Return the shape of Y."""
    require_places("X", X)
    group, kernel = attributes["group"], attributes["kernel_shape"]
    if len(W) != len(X) or 0 in W[1:]:
        raise InvalidInput("W", f"have {len(X)} axes, and entries", f"shape {W}")
    if wholes("kernel_shape", kernel, W[2:], 1) != W[2:]:
        raise InvalidInput("kernel_shape", f"be that of W, {list(W[2:])}", str(list(kernel)))
    if W[0] != X[1]:
        raise InvalidInput("W", f"have the {X[1]} channels of X first", f"shape {W}")
    if group < 1 or X[1] % group:
        raise InvalidInput("group", f"divide {X[1]}, the channels of X", str(group))
    if B is not None and (W[1] * group,) != B:
        raise InvalidInput("B", f"have shape ({W[1] * group},)", f"shape {B}")
    return ((X[0], W[1] * group, *_convolution(X, W, **attributes).windows.input),)


def value(xp: Numbers, X: Number, W: Number, B: Number | None = None, **attributes: Any) -> Number:
    """Return Y."""
    conv = _convolution(X.shape, W.shape, **attributes)
    bias = None if B is None else xp.reshape(B, (conv.groups, -1, 1))
    return conv.spread(xp, X, transposed(xp, W, conv.groups), bias)


def vjp(
    xp: Numbers, dY: Number, X: Number, W: Number, B: Number | None = None, **attributes: Any
) -> dict[str, Callable[[], Number]]:
    """Return dX, dW and dB."""
    conv = _convolution(X.shape, W.shape, **attributes)
    found = {
        "X": lambda: conv.slid(xp, dY, matrix(xp, W, conv.groups)),
        "W": lambda: xp.reshape(conv.met(xp, X, dY), W.shape),
    }
    if B is not None:
        found["B"] = lambda: xp.sum(dY, (0, *range(2, dY.ndim)))
    return found


SLIPS = conv_slips.slips(vjp, "X", "W", transposes=True)


def draw(rng: np.random.Generator) -> Case:
    """Return two groups, with a stride, a dilation, and pads that differ at both ends."""
    inputs = {
        "X": rng.normal(size=(2, 4, 4, 5)),
        "W": rng.normal(size=(4, 3, 2, 3)),
        "B": rng.normal(size=6),
    }
    attributes = {
        "group": 2,
        "strides": [2, 1],
        "dilations": [1, 2],
        "pads": [1, 0, 0, 2],
        "output_padding": [1, 0],
    }
    return Case(inputs, attributes)


def agreed(rng: np.random.Generator) -> Case:
    """Return one group: ONNX's evaluator gives groups the kernels of others."""
    inputs = {"X": rng.normal(size=(2, 4, 4, 5)), "W": rng.normal(size=(4, 3, 2, 3))}
    return Case({**inputs, "B": rng.normal(size=3)}, {"strides": [2, 1], "pads": [1, 0, 0, 2]})
