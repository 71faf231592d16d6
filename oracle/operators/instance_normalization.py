"""InstanceNormalization (ONNX 22): each channel of each sample normalised, then scaled and shifted.

    h = (input - mean) r,   r = 1 / sqrt(mean (input - mean)² + epsilon),   output = h scale + B
    dinput = r (g - mean g - h mean(g h)),   g = doutput scale
    dscale = Σ doutput h,   dB = Σ doutput

Means run over all places of one channel of one sample.

Shapes: input (N, C, D1, ...); scale and B (C,), which may be left out.

Reference: Ulyanov, Vedaldi and Lempitsky, Instance Normalization, 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators import channels, normalised_slips
from oracle.operators.normalised import Flow, affine, normalised, require_rows
from oracle.operators.operator import Case, Shape, Signature, optional

SIGNATURE = Signature(
    "InstanceNormalization",
    inputs=("input", optional("scale"), optional("B")),
    outputs=("output",),
    attributes={"epsilon": 1e-5},
    version=22,
    ours=("scale", "B"),
)


def shapes(
    input: Shape, scale: Shape | None = None, B: Shape | None = None, *, epsilon: float
) -> Sequence[Shape]:
    """Return the shape of the input."""
    channels.require_channels("input", input, epsilon, scale=scale, B=B)
    require_rows("input", input, channels.grouped(input, input[1]))
    return (input,)


def value(
    xp: Numbers,
    input: Number,
    scale: Number | None = None,
    B: Number | None = None,
    *,
    epsilon: float,
) -> Number:
    """Return the output."""
    layout = channels.grouped(input.shape, input.shape[1])
    h = normalised(xp, input, layout, epsilon, centred=True)
    return affine(h, *[channels.by_channel(xp, one, input.ndim) for one in (scale, B)])


def _flow(
    xp: Numbers,
    doutput: Number,
    input: Number,
    scale: Number | None = None,
    B: Number | None = None,
    *,
    epsilon: float,
) -> Flow:
    return channels.flow(
        xp,
        doutput,
        input,
        scale,
        B,
        layout=channels.grouped(input.shape, input.shape[1]),
        epsilon=epsilon,
        names=("input", "scale", "B"),
    )


def vjp(xp: Numbers, *given: Any, **attributes: Any) -> dict[str, Callable[[], Number]]:
    """Return dinput, dscale and dB."""
    return _flow(xp, *given, **attributes).derivative()


SLIPS = normalised_slips.slips(_flow, centred=True, bias=True, within=False)
CURVES = normalised_slips.curves(_flow)


def draw(rng: np.random.Generator) -> Case:
    """Return inputs whose channels differ in mean and spread, and an epsilon that is seen."""
    X = rng.normal(size=(4, 3, 2, 4)) * rng.uniform(0.5, 2.0, (4, 3, 1, 1))
    inputs = {
        "input": X + 0.5 * rng.normal(size=(4, 3, 1, 1)),
        "scale": rng.uniform(0.5, 2.0, 3) * rng.choice([-1.0, 1.0], 3),
        "B": rng.normal(size=3),
    }
    return Case(inputs, {"epsilon": 0.05})
