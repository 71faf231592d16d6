"""Preconditions of the document's functions: each failure names the wrong argument."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from oracle.slices import entrywise, first_of, holds_anywhere, product
from oracle.values import (
    Array,
    Checkpoint,
    Float64,
    InvalidInput,
    TwoLayerNetParameters,
    never_stop,
)

MOST_NUMBERS = 2**25
"""Numbers that one layer may lead to, samples times units: 256 MiB, and a few such arrays at once.

Without a limit a request of a few hundred kilobytes would ask for terabytes.
"""

FLOATING_TYPES = frozenset({"float64", "float32", "float16", "bfloat16"})


@functools.lru_cache(64)
def _is_floating(dtype: np.dtype[Any]) -> bool:
    """Tell whether a type is one of the four; NumPy puts its name together at every look."""
    return dtype.name in FLOATING_TYPES


def _infinite(a: Array) -> Array:
    return np.asarray(~np.isfinite(a))


def require_floating(argument: str, value: ArrayLike, checkpoint: Checkpoint = never_stop) -> Array:
    """Return `value` as a floating array that is finite and not empty."""
    array = np.asarray(value)
    if not _is_floating(array.dtype):
        raise InvalidInput(
            argument,
            "be of type float64, float32, float16 or bfloat16 (convert with .astype(float))",
            str(array.dtype),
        )
    if array.size == 0:
        raise InvalidInput(argument, "not be empty", f"shape {array.shape}")
    if holds_anywhere(_infinite, array, checkpoint=checkpoint):
        index = first_of(_infinite, array, checkpoint=checkpoint) or ()
        raise InvalidInput(argument, "be finite", f"{array[index]} at {index}")
    return array


def widen(argument: str, value: ArrayLike, checkpoint: Checkpoint = never_stop) -> Float64:
    """Return `require_floating` widened to float64, which changes no number."""
    return widened(require_floating(argument, value, checkpoint), checkpoint)


def widened(array: Array, checkpoint: Checkpoint) -> Float64:
    """Return an array as float64, the same one if it is."""
    if array.dtype == np.float64:
        return array.astype(np.float64, copy=False)
    return entrywise(lambda a: a.astype(np.float64), array, checkpoint=checkpoint)


def widen_targets(argument: str, value: ArrayLike, checkpoint: Checkpoint = never_stop) -> Float64:
    """Return `widen`, or integers, as one-hot targets often are, as the nearest float64."""
    array = np.asarray(value)
    if array.dtype.kind in "iu":
        array = widened(array, checkpoint)
    return widen(argument, array, checkpoint)


def require_shape(argument: str, array: Array, shape: tuple[int, ...], meaning: str) -> None:
    """Raise unless `array` has `shape`; `meaning` says it in letters, such as "(H, K)"."""
    if array.shape != shape:
        raise InvalidInput(argument, f"have shape {meaning} = {shape}", f"shape {array.shape}")


def require_rank(argument: str, array: Array, ranks: tuple[int, ...], meaning: str) -> None:
    """Raise unless the rank of `array` is one of `ranks`."""
    if array.ndim not in ranks:
        raise InvalidInput(argument, f"have shape {meaning}", f"shape {array.shape}")


def require_targets(
    y_shape: tuple[int, ...], t: ArrayLike, checkpoint: Checkpoint = never_stop
) -> Array:
    """Return the targets for scores of shape (N, K) or (K): labels as int64, else float64.

    Labels are integers of shape (N,), or one integer for a single sample; other targets are
    of a floating type and have the shape of the scores.
    """
    array = np.asarray(t)
    classes = y_shape[-1]
    if array.dtype.kind not in "iu":
        hint = "be integer labels or floating one-hot targets (use t.astype(float) for one-hot)"
        if not _is_floating(array.dtype):
            raise InvalidInput("t", hint, str(array.dtype))
        soft = widen("t", array, checkpoint)
        if soft.shape == y_shape[:-1]:
            either = f"hold integers, which are labels, or have the shape of the scores {y_shape}"
            raise InvalidInput("t", either, f"{array.dtype} of shape {soft.shape}")
        require_shape("t", soft, y_shape, "of the scores")
        if holds_anywhere(lambda a: a < 0, soft, checkpoint=checkpoint):
            raise InvalidInput("t", "have no negative entry", str(soft.min()))
        return soft
    samples = y_shape[:-1]
    if array.shape != samples and not (samples == () and array.shape == (1,)):
        raise InvalidInput(
            "t",
            f"be one integer label for each sample, shape {samples}"
            " (use t.astype(float) for one-hot targets)",
            f"{array.dtype} of shape {array.shape}",
        )

    def outside(labels: Array) -> Array:
        return (labels < 0) | (labels >= classes)

    if holds_anywhere(outside, array, checkpoint=checkpoint):
        was = array[first_of(outside, array, checkpoint=checkpoint)]
        raise InvalidInput("t", f"have labels between 0 and {classes - 1}", str(was))
    labels = entrywise(lambda a: a, array, checkpoint=checkpoint, dtype=np.int64)
    return labels.reshape(samples)


def require_finite(argument: str, value: float, *, positive: bool) -> None:
    """Raise unless `value` is finite and above zero, or at least zero if not `positive`."""
    valid = math.isfinite(value) and (value > 0 if positive else value >= 0)
    if not valid:
        raise InvalidInput(
            argument, f"be finite and {'positive' if positive else 'at least 0'}", str(value)
        )


def require_delta(delta: float) -> None:
    """Raise unless `delta` is finite and at least 0."""
    require_finite("delta", delta, positive=False)


def require_step(h: float, checkpoint: Checkpoint = never_stop, **arrays: Array) -> None:
    """Raise unless h is finite, positive and changes every entry of every array in its own type."""
    require_finite("h", h, positive=True)
    if math.isinf(2 * h):
        raise InvalidInput("h", "be at most half of the largest float64, for 2h divides", str(h))
    step = np.asarray(h, np.float64)

    def unmoved(array: Array) -> Array:
        wide = array.astype(np.float64, copy=False)
        with np.errstate(over="ignore"):
            up, down = (wide + step).astype(array.dtype), (wide - step).astype(array.dtype)
        kept: Array = (up == array) | (down == array)
        return kept | ~np.isfinite(up) | ~np.isfinite(down)

    for name, array in arrays.items():
        if holds_anywhere(unmoved, array, checkpoint=checkpoint):
            raise InvalidInput(
                "h", f"change every entry of {name} in {array.dtype}, without overflow", str(h)
            )


def require_count(argument: str, value: int) -> None:
    """Raise unless `value` is at least 1."""
    if value < 1:
        raise InvalidInput(argument, "be at least 1", str(value))


def require_finite_product(
    x: Float64,
    W: Float64,
    b: Float64 | float,
    argument: str,
    checkpoint: Checkpoint = never_stop,
) -> Float64:
    """Return x W + b; raise, naming `argument`, if that exceeds float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        scores = product(x, W, checkpoint)
        scores += b
    if holds_anywhere(_infinite, scores, checkpoint=checkpoint):
        raise InvalidInput(argument, "keep the scores within float64", "an overflow")
    return scores


def require_affordable(x: Float64, samples: int, units: int) -> None:
    """Raise if that many samples at once lead to more than `MOST_NUMBERS` numbers in a layer."""
    if samples * units > MOST_NUMBERS:
        raise InvalidInput(
            "x",
            f"lead to at most {MOST_NUMBERS} numbers in a layer (max_numbers)",
            f"shape {x.shape}, which leads to {samples * units}",
        )


def require_simple_net(
    W: ArrayLike,
    x: ArrayLike,
    t: ArrayLike | None = None,
    *,
    checkpoint: Checkpoint = never_stop,
) -> tuple[Float64, Float64]:
    """Raise unless W is (D, K), x is (N, D) or (D,) and t, if given, fits; return W, x widened."""
    weights, inputs = widen("W", W, checkpoint), widen("x", x, checkpoint)
    require_rank("W", weights, (2,), "(D, K)")
    require_rank("x", inputs, (1, 2), "(N, D) or (D,)")
    require_shape("x", inputs, (*inputs.shape[:-1], weights.shape[0]), "(..., D)")
    require_affordable(inputs, inputs.size // inputs.shape[-1], weights.shape[1])
    if t is not None:
        require_targets((*inputs.shape[:-1], weights.shape[1]), t, checkpoint)
    return weights, inputs


def require_two_layer_net(
    parameters: TwoLayerNetParameters,
    x: ArrayLike | None = None,
    t: ArrayLike | None = None,
    *,
    at_once: int | None = None,
    checkpoint: Checkpoint = never_stop,
) -> tuple[TwoLayerNetParameters, Float64]:
    """Raise unless the parameters fit together, x is (N, D) or (D,) and t, if given, fits.

    Parameters
    ----------
    parameters, x, t
        The network, its inputs and its targets.
    at_once : int, optional
        Samples that go through the network together, if that is not all of `x`.
    checkpoint : callable
        Called between slices of what is large.

    Returns
    -------
    TwoLayerNetParameters, float64
        Parameters and x, widened to float64; without an x it is empty.
    """
    wide = TwoLayerNetParameters(
        **{name: widen(name, tensor, checkpoint) for name, tensor in parameters.tensors().items()}
    )
    require_rank("W1", wide.W1, (2,), "(D, H)")
    inner, hidden = wide.W1.shape
    require_shape("b1", wide.b1, (hidden,), "(H,)")
    require_rank("W2", wide.W2, (2,), "(H, K)")
    classes = wide.W2.shape[1]
    require_shape("W2", wide.W2, (hidden, classes), "(H, K)")
    require_shape("b2", wide.b2, (classes,), "(K,)")
    if x is None:
        return wide, np.empty(0)
    inputs = widen("x", x, checkpoint)
    require_rank("x", inputs, (1, 2), "(N, D) or (D,)")
    require_shape("x", inputs, (*inputs.shape[:-1], inner), "(..., D)")
    samples = at_once or inputs.size // inner
    require_affordable(inputs, samples, max(hidden, classes))
    if t is not None:
        require_targets((*inputs.shape[:-1], classes), t, checkpoint)
    return wide, inputs
