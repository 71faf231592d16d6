"""The exact derivatives of the document's functions, each with a bound on its own error."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from oracle.checking import budget
from oracle.checking.arithmetic import FLOAT64
from oracle.enclosure import losses as enclosed_losses
from oracle.enclosure import simple_net as enclosed_simple_net
from oracle.enclosure import two_layer_net as enclosed_two_layer_net
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
from oracle.slices import entrywise, holds_anywhere, largest_size
from oracle.values import (
    DELTA,
    Array,
    Checkpoint,
    Float64,
    InvalidInput,
    ReferenceGradient,
    ReferenceKind,
    TwoLayerNetParameters,
    never_stop,
)

ENCLOSURE_LIMIT = 20_000_000
"""Multiply-adds of a forward pass up to which balls are used: about half a second."""

ENCLOSURE_ENTRIES = 300_000
"""Entries of a gradient, and numbers in the layers, up to which balls are used: a matrix of them
takes 40 ms, and the softmax of them some seconds.
"""


def two_layer_net(
    parameters: TwoLayerNetParameters,
    x: Array,
    t: Array,
    *,
    delta: float = DELTA,
    checkpoint: Checkpoint = never_stop,
) -> ReferenceGradient:
    """Return the exact derivative of the two-layer net's loss, with a bound on its own error.

    Balls up to `ENCLOSURE_LIMIT` multiply-adds and `ENCLOSURE_ENTRIES` numbers, float64 with its
    derived bound above. Shapes as in `TwoLayerNetParameters`; `x` (N, D) or (D,).
    """
    require_two_layer_net(parameters, x, t, checkpoint=checkpoint)
    require_delta(delta)
    D, H = parameters.W1.shape
    K = parameters.W2.shape[1]
    samples = 1 if x.ndim == 1 else x.shape[0]
    if _affordable(samples * (D * H + H * K), H * (D + K), samples * (H + K)):
        return enclosed_two_layer_net.gradient(parameters, x, t, delta=delta, checkpoint=checkpoint)
    ours = budget.two_layer_net(parameters, x, t, FLOAT64, delta=delta, checkpoint=checkpoint)
    return _derived(ours.tensors, ours.budget, checkpoint)


def simple_net(
    W: Array, x: Array, t: Array, *, delta: float = DELTA, checkpoint: Checkpoint = never_stop
) -> ReferenceGradient:
    """Return the exact derivative of the simple net's loss, tensor "W"; see the two-layer net."""
    require_simple_net(W, x, t, checkpoint=checkpoint)
    require_delta(delta)
    samples = 1 if x.ndim == 1 else x.shape[0]
    if _affordable(samples * W.size, W.size, samples * W.shape[1]):
        return enclosed_simple_net.gradient(W, x, t, delta=delta, checkpoint=checkpoint)
    ours = budget.simple_net(W, x, t, FLOAT64, delta=delta, checkpoint=checkpoint)
    return _derived(ours.tensors, ours.budget, checkpoint)


def mean_squared_error(
    y: Array, t: Array, *, checkpoint: Checkpoint = never_stop
) -> ReferenceGradient:
    """Return y - t, the derivative of ½ Σ (y - t)² with respect to `y`, tensor "y"."""
    require_pair(y, t, checkpoint)
    if _affordable(y.size, y.size):
        return enclosed_losses.mean_squared_error_gradient(y, t, checkpoint=checkpoint)
    bound = budget.mean_squared_error(y, t, FLOAT64, checkpoint)
    return _derived({"y": difference(y, t, checkpoint)}, bound, checkpoint)


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
    samples = 1 if y.ndim == 1 else len(y)

    def infinite(y: Array, targets: Float64) -> Array:
        return np.asarray((y.astype(np.float64) + delta == 0.0) & (targets != 0.0))

    def value(y: Array, targets: Float64) -> Float64:
        guarded = np.maximum(y.astype(np.float64) + delta, 5e-324)
        return np.where(targets == 0.0, 0.0, -targets / guarded / samples)

    if holds_anywhere(infinite, y, targets, checkpoint=checkpoint):
        raise InvalidInput("delta", "be positive where `y` is 0", str(delta))
    if _affordable(y.size, y.size):
        return enclosed_losses.cross_entropy_error_gradient(
            y, t, delta=delta, checkpoint=checkpoint
        )
    bound = budget.cross_entropy_error(y, t, FLOAT64, delta=delta, checkpoint=checkpoint)
    found = entrywise(value, y, targets, checkpoint=checkpoint)
    return _derived({"y": found}, bound, checkpoint)


def _affordable(multiply_adds: int, entries: int, layers: int = 0) -> bool:
    return multiply_adds <= ENCLOSURE_LIMIT and max(entries, layers) <= ENCLOSURE_ENTRIES


def difference(y: Array, t: Array, checkpoint: Checkpoint) -> Float64:
    """Return y - t in float64."""
    return entrywise(
        lambda y, t: y.astype(np.float64) - t.astype(np.float64), y, t, checkpoint=checkpoint
    )


LEAST = float(np.finfo(np.float64).tiny)
"""What is divided by instead of zero: smaller numbers are zero where a process flushes them."""


def _derived(
    tensors: Mapping[str, Float64], bound: Mapping[str, Float64], checkpoint: Checkpoint
) -> ReferenceGradient:
    relative = max(
        largest_size(bound[n], checkpoint) / max(largest_size(tensors[n], checkpoint), LEAST)
        for n in tensors
    )
    return ReferenceGradient(tensors, bound, ReferenceKind.DERIVED_BOUND, relative, False)


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
