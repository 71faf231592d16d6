"""The exact derivatives of the document's functions, each with a bound on its own error."""

from __future__ import annotations

import numpy as np

from oracle.arithmetic.dtypes import FLOAT64
from oracle.checking import known
from oracle.document import nets
from oracle.graphs.graph import Plan
from oracle.reference.requirements import (
    require_delta,
    require_floating,
    require_rank,
    require_shape,
    require_simple_net,
    require_targets,
    require_two_layer_net,
    widen,
    widen_targets,
)
from oracle.reference.targets import distribution
from oracle.slices import holds_anywhere
from oracle.values import (
    DELTA,
    Array,
    Checkpoint,
    Float64,
    InvalidInput,
    ReferenceGradient,
    TwoLayerNetParameters,
    never_stop,
)


def two_layer_net(
    parameters: TwoLayerNetParameters,
    x: Array,
    t: Array,
    *,
    delta: float = DELTA,
    checkpoint: Checkpoint = never_stop,
) -> ReferenceGradient:
    """Return the exact derivative of the two-layer net's loss, with a bound on its own error.

    Balls up to `known.ENCLOSURE_LIMIT` multiply-adds and `known.ENCLOSURE_ENTRIES` numbers, float64
    with its derived bound above. Shapes as in `TwoLayerNetParameters`; `x` (N, D) or (D,).
    """
    require_two_layer_net(parameters, x, t, checkpoint=checkpoint)
    require_delta(delta)
    return of(nets.two_layer_net(parameters, x, t, delta), tuple(parameters.tensors()), "x")


def simple_net(
    W: Array, x: Array, t: Array, *, delta: float = DELTA, checkpoint: Checkpoint = never_stop
) -> ReferenceGradient:
    """Return the exact derivative of the simple net's loss, tensor "W"; see the two-layer net."""
    require_simple_net(W, x, t, checkpoint=checkpoint)
    require_delta(delta)
    return of(nets.simple_net(W, x, t, delta), ("W",), "x")


def mean_squared_error(
    y: Array, t: Array, *, checkpoint: Checkpoint = never_stop
) -> ReferenceGradient:
    """Return y - t, the derivative of ½ Σ (y - t)² with respect to `y`, tensor "y"."""
    require_pair(y, t, checkpoint)
    return of(nets.mean_squared_error(y, t), ("y",), "y")


def cross_entropy_error(
    y: Array, t: Array, *, delta: float = DELTA, checkpoint: Checkpoint = never_stop
) -> ReferenceGradient:
    """Return -t / (y + delta) / N, the derivative with respect to `y` (N, K) or (K,), tensor "y".

    Raises
    ------
    InvalidInput
        If y + delta is zero where a target is not.
    """
    require_probabilities(y, t, delta, checkpoint)
    targets = distribution(t, y.shape[-1], checkpoint).reshape(y.shape)

    def infinite(y: Array, targets: Float64) -> Array:
        return np.asarray((y.astype(np.float64) + delta == 0.0) & (targets != 0.0))

    if holds_anywhere(infinite, y, targets, checkpoint=checkpoint):
        raise InvalidInput("delta", "be positive where `y` is 0", str(delta))
    return of(nets.cross_entropy_error(y, t, delta), ("y",), "y")


def of(
    plan: Plan, names: tuple[str, ...], argument: str, unit: float = FLOAT64.u
) -> ReferenceGradient:
    """Return the exact derivative of a graph by some inputs, for a candidate of roundoff `unit`.

    Raises
    ------
    InvalidInput
        If the numbers of `argument` lead to no gradient that float64 holds.
    """
    try:
        return known.reference(known.known(plan, wanted=names), unit=unit)[0]
    except InvalidInput as error:
        raise InvalidInput(argument, error.requirement, error.was) from None


def require_pair(y: Array, t: Array, checkpoint: Checkpoint) -> None:
    """Raise unless `y` and `t` are predictions and targets of one shape."""
    widen("y", y, checkpoint)
    widen_targets("t", t, checkpoint)
    require_shape("t", t, y.shape, "the shape of `y`")


def require_probabilities(y: Array, t: Array, delta: float, checkpoint: Checkpoint) -> None:
    """Raise unless `y` holds probabilities, `t` fits them, and delta is at least 0."""
    require_floating("y", y, checkpoint)
    require_rank("y", y, (1, 2), "(N, K) or (K,)")
    if holds_anywhere(lambda a: a < 0, y, checkpoint=checkpoint):
        raise InvalidInput("y", "not be negative", f"{y.min():g}")
    require_targets(y.shape, t, checkpoint)
    require_delta(delta)
