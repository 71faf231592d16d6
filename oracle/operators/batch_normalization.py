"""BatchNormalization (ONNX 15): each channel normalised over the batch, then scaled and shifted.

    h = (X - mean) r,   r = 1 / sqrt(var + epsilon),   Y = h scale + B
    dX = r (g - mean g - h mean(g h)),   g = dY scale;   dscale = Σ dY h,   dB = Σ dY

That is with training_mode = 1, where mean and var = mean (X - mean)² are those of the batch, and
running_mean = momentum input_mean + (1 - momentum) mean, running_var likewise, are further outputs;
what comes from above for them is added. With training_mode = 0, mean and var are input_mean and
input_var, and dX = r g, dinput_mean = -Σ r g, dinput_var = -½ Σ r² h g.

Shapes: X (N, C, ...); all others (C,).

Reference: Ioffe and Szegedy, Batch Normalization, 2015; the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators import channels, normalised_slips
from oracle.operators.normalised import Flow, affine, normalised, require_rows
from oracle.operators.operator import Case, Shape, Signature, Slip
from oracle.values import InvalidInput

SIGNATURE = Signature(
    "BatchNormalization",
    inputs=("X", "scale", "B", "input_mean", "input_var"),
    outputs=("Y", "running_mean", "running_var"),
    attributes={"epsilon": 1e-5, "momentum": 0.9, "training_mode": 0},
    version=15,
    optional_outputs=2,
)


def shapes(
    X: Shape,
    scale: Shape,
    B: Shape,
    input_mean: Shape,
    input_var: Shape,
    *,
    epsilon: float,
    momentum: float,
    training_mode: int,
) -> Sequence[Shape]:
    """Return the shape of X, and in training those of the statistics."""
    channels.require_channels(
        "X", X, epsilon, 2, scale=scale, B=B, input_mean=input_mean, input_var=input_var
    )
    if training_mode not in (0, 1):
        raise InvalidInput("training_mode", "be 0 or 1", str(training_mode))
    if not training_mode:
        return (X,)
    require_rows("X", X, channels.over_batch(X))
    return (X, input_mean, input_var)


def value(
    xp: Numbers,
    X: Number,
    scale: Number,
    B: Number,
    input_mean: Number,
    input_var: Number,
    *,
    epsilon: float,
    momentum: float,
    training_mode: int,
) -> Any:
    """Return Y, and in training the running statistics."""
    each = [channels.by_channel(xp, one, X.ndim) for one in (scale, B)]
    if not training_mode:
        given = [channels.by_channel(xp, one, X.ndim) for one in (input_mean, input_var)]
        return affine((X - given[0]) * (1.0 / xp.sqrt(given[1] + epsilon)), *each)
    layout = channels.over_batch(X.shape)
    h = normalised(xp, X, layout, epsilon, centred=True)

    def mean() -> Number:
        now = xp.mean(layout.rows(xp, X), 1)
        return input_mean * momentum + now * (1.0 - momentum)

    def variance() -> Number:
        x = layout.rows(xp, X)
        c = x - xp.mean(x, 1, keepdims=True)
        return input_var * momentum + xp.mean(c * c, 1) * (1.0 - momentum)

    return affine(h, *each), mean, variance


def _flow(
    xp: Numbers,
    dY: Number | None,
    drunning_mean: Number | None,
    drunning_var: Number | None,
    X: Number,
    scale: Number,
    B: Number,
    *_: Number,
    epsilon: float,
    momentum: float,
    **__: Any,
) -> Flow:
    layout = channels.over_batch(X.shape)
    N = float(layout.shape[1])

    def more(s: Any, dmean: Number, dvar: Number) -> Number:
        return (dmean + 2.0 * dvar * s.h / s.r) * (1.0 - momentum) / N

    def column(d: Number | None) -> Number:
        return xp.exact(np.zeros((layout.shape[0], 1))) if d is None else xp.reshape(d, (-1, 1))

    others = drunning_mean is not None or drunning_var is not None
    return channels.flow(
        xp,
        xp.full(X, 0.0) if dY is None else dY,
        X,
        scale,
        B,
        layout=layout,
        epsilon=epsilon,
        names=("X", "scale", "B"),
        more=more if others else None,
        extra=(column(drunning_mean), column(drunning_var)) if others else (),
    )


def vjp(
    xp: Numbers,
    dY: Number | None,
    *given: Any,
    **attributes: Any,
) -> dict[str, Any]:
    """Return the derivatives by all five inputs."""
    *above, X, scale, B, input_mean, input_var = given
    if not attributes["training_mode"]:
        return _by_given(xp, dY, X, scale, input_mean, input_var, attributes["epsilon"])
    above = [*above, None, None][:2]
    found: dict[str, Any] = dict(_flow(xp, dY, *above, X, scale, B, **attributes).derivative())
    inputs = {"input_mean": input_mean, "input_var": input_var}
    for (name, held), d in zip(inputs.items(), above, strict=True):
        found[name] = xp.full(held, 0.0) if d is None else d * attributes["momentum"]
    return found


def _by_given(
    xp: Numbers,
    dY: Number | None,
    X: Number,
    scale: Number,
    input_mean: Number,
    input_var: Number,
    epsilon: float,
) -> dict[str, Callable[[], Number]]:
    """Return the derivatives where the statistics are inputs."""
    dY = xp.full(X, 0.0) if dY is None else dY
    mean, var, s = (channels.by_channel(xp, one, X.ndim) for one in (input_mean, input_var, scale))
    r = 1.0 / xp.sqrt(var + epsilon)
    over = (0, *range(2, X.ndim))
    return {
        "X": lambda: dY * s * r,
        "scale": lambda: xp.sum(dY * (X - mean) * r, over),
        "B": lambda: xp.sum(dY, over),
        "input_mean": lambda: -xp.sum(dY * s * r, over),
        "input_var": lambda: -0.5 * xp.sum(dY * s * (X - mean) * r * r * r, over),
    }


def _in_training(slip: Slip) -> Slip:
    """Return a slip of the statistics of the batch; it is none where they are given."""

    def wrong(xp: Numbers, *given: Any, **attributes: Any) -> Any:
        return slip.wrong(xp, *given, **attributes) if attributes["training_mode"] else {}

    return Slip(slip.code, slip.says, wrong, slip.remedy)


def _given_statistics(
    xp: Numbers, dY: Any, drunning_mean: Any, drunning_var: Any, *given: Any, **attributes: Any
) -> dict[str, Number]:
    """Return dX with the running statistics instead of those of the batch."""
    X, scale, _, input_mean, input_var = given
    if not attributes["training_mode"]:
        return {}
    found = _by_given(xp, dY, X, scale, input_mean, input_var, attributes["epsilon"])
    return {"X": found["X"](), "scale": found["scale"]()}


SLIPS = (
    *(
        _in_training(one)
        for one in normalised_slips.slips(_flow, centred=True, bias=True, within=False)
    ),
    Slip(
        "running_statistics",
        "the running statistics be used instead of those of the batch",
        _given_statistics,
        "In training, use mean and variance of the batch.",
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return channels that differ in mean and spread, in training, and an epsilon that is seen."""
    X = rng.normal(size=(5, 3, 4)) * rng.uniform(0.5, 2.0, (1, 3, 1))
    inputs = {
        "X": X + 0.5 * rng.normal(size=(1, 3, 1)),
        "scale": rng.uniform(0.5, 2.0, 3) * rng.choice([-1.0, 1.0], 3),
        "B": rng.normal(size=3),
        "input_mean": rng.normal(size=3),
        "input_var": rng.uniform(0.5, 2.0, 3),
    }
    return Case(inputs, {"training_mode": 1, "epsilon": 0.05})
