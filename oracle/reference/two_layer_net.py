"""The document's TwoLayerNet: softmax(sigmoid(x W1 + b1) W2 + b2), cross-entropy error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from oracle.reference import numerical
from oracle.reference.activations import sigmoid, softmax
from oracle.reference.losses import cross_entropy_error
from oracle.reference.random import gaussian
from oracle.reference.requirements import (
    require_count,
    require_delta,
    require_finite,
    require_finite_product,
    require_step,
    require_targets,
    require_two_layer_net,
)
from oracle.reference.targets import distribution
from oracle.slices import SLICE, WORK, entrywise, holds_anywhere, parts, product, stacked
from oracle.values import (
    DELTA,
    STEP,
    Array,
    Checkpoint,
    Float64,
    InvalidInput,
    TwoLayerNetParameters,
    never_stop,
)


def init(
    input_size: int,
    hidden_size: int,
    output_size: int,
    *,
    weight_init_std: float = 0.01,
    seed: int = 0,
    checkpoint: Checkpoint = never_stop,
) -> TwoLayerNetParameters:
    """Draw initial parameters: W1 and W2 Gaussian times `weight_init_std`, b1 and b2 zero.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        D, H and K, at least 1.
    weight_init_std : float
        Standard deviation of the weights, at least 0.
    seed : int
        Seed of the generator that `oracle.reference.random` describes.
    checkpoint : callable
        Called between slices of the numbers; raises to stop.

    Returns
    -------
    TwoLayerNetParameters
        float64.

    Raises
    ------
    InvalidInput
        If an argument is anything else.
    """
    require_count("input_size", input_size)
    require_count("hidden_size", hidden_size)
    require_count("output_size", output_size)
    require_finite("weight_init_std", weight_init_std, positive=False)
    first = input_size * hidden_size
    numbers = gaussian(seed, first + hidden_size * output_size, checkpoint)
    with np.errstate(over="ignore"):
        numbers *= weight_init_std
    if holds_anywhere(lambda a: ~np.isfinite(a), numbers, checkpoint=checkpoint):
        raise InvalidInput("weight_init_std", "lead to finite weights", str(weight_init_std))
    return TwoLayerNetParameters(
        W1=numbers[:first].reshape(input_size, hidden_size),
        b1=np.zeros(hidden_size),
        W2=numbers[first:].reshape(hidden_size, output_size),
        b2=np.zeros(output_size),
    )


def predict(
    parameters: TwoLayerNetParameters, x: ArrayLike, *, checkpoint: Checkpoint = never_stop
) -> Float64:
    """Compute softmax(sigmoid(x W1 + b1) W2 + b2).

    Parameters
    ----------
    parameters : TwoLayerNetParameters
        W1 (D, H), b1 (H,), W2 (H, K), b2 (K,).
    x : array
        (N, D), or (D,) for one sample.
    checkpoint : callable
        Called between slices of samples; raises to stop.

    Returns
    -------
    float64
        Probabilities, (N, K) or (K,).

    Raises
    ------
    InvalidInput
        If an argument is anything else.
    """
    wide, inputs = require_two_layer_net(parameters, x, checkpoint=checkpoint)
    return _predicted(wide, inputs, checkpoint)


def loss(
    parameters: TwoLayerNetParameters,
    x: ArrayLike,
    t: ArrayLike,
    *,
    delta: float = DELTA,
    checkpoint: Checkpoint = never_stop,
) -> float:
    """Compute cross_entropy_error(predict(x), t).

    Parameters
    ----------
    parameters, x
        As in `predict`.
    t : array
        Integer labels (N,), or floating one-hot or soft targets (N, K).
    delta : float
        The constant inside the logarithm.
    checkpoint : callable
        As in `predict`.

    Returns
    -------
    float
        The loss.

    Raises
    ------
    InvalidInput
        If an argument is anything else.
    """
    wide, inputs = require_two_layer_net(parameters, x, t, checkpoint=checkpoint)
    y = _predicted(wide, inputs, checkpoint)
    return cross_entropy_error(y, t, delta=delta, checkpoint=checkpoint)


def accuracy(
    parameters: TwoLayerNetParameters,
    x: ArrayLike,
    t: ArrayLike,
    *,
    checkpoint: Checkpoint = never_stop,
) -> float:
    """Compute the share of samples whose largest score is that of the target.

    Among equal scores, and among equal targets, the first counts.

    Parameters
    ----------
    parameters, x, t, checkpoint
        As in `loss`.

    Returns
    -------
    float
        A multiple of 1/N.

    Raises
    ------
    InvalidInput
        If an argument is invalid.
    """
    wide, inputs = require_two_layer_net(parameters, x, t, checkpoint=checkpoint)
    chosen = _by_samples(
        lambda rows: np.argmax(_scores(wide, _hidden(wide, rows, checkpoint), checkpoint), axis=-1),
        wide,
        inputs,
        checkpoint,
    )
    checkpoint()
    targets = require_targets((*inputs.shape[:-1], len(wide.b2)), t, checkpoint)
    labels = targets if targets.dtype.kind == "i" else np.argmax(targets, axis=-1)
    return float(np.mean(chosen == labels))


def gradient(
    parameters: TwoLayerNetParameters,
    x: ArrayLike,
    t: ArrayLike,
    *,
    delta: float = DELTA,
    checkpoint: Checkpoint = never_stop,
) -> TwoLayerNetParameters:
    """Compute the exact derivative of `loss` by backpropagation in float64.

    With w = t y / (y + delta), the derivative with respect to the scores is (y sum_k w_k - w) / N;
    for labels that is y_t / (y_t + delta) (y - t) / N.

    Parameters
    ----------
    parameters, x, t, delta
        As in `loss`.
    checkpoint : callable
        Called between stages; raises to stop.

    Returns
    -------
    TwoLayerNetParameters
        The derivative for every parameter.

    Raises
    ------
    InvalidInput
        If an argument is invalid.
    """
    require_delta(delta)
    wide, inputs = require_two_layer_net(parameters, x, t, checkpoint=checkpoint)
    rows = np.atleast_2d(inputs)
    z = _by_samples(lambda part: _hidden(wide, part, checkpoint), wide, rows, checkpoint)
    y = softmax(_scores(wide, z, checkpoint), checkpoint=checkpoint)
    labels = require_targets((*inputs.shape[:-1], y.shape[1]), t, checkpoint)
    targets = distribution(labels, y.shape[1], checkpoint)

    def by_scores(part: slice) -> Float64:
        own = y[part]
        guarded = np.divide(own, own + delta, out=np.ones_like(own), where=own + delta > 0)
        weights = targets[part] * guarded
        return np.asarray((own * weights.sum(axis=1, keepdims=True) - weights) / len(rows))

    scores = np.empty_like(y)
    for part in parts(len(y), checkpoint, SLICE // y.shape[1]):
        scores[part] = by_scores(part)
    hidden = product(scores, wide.W2.T, checkpoint)
    hidden = entrywise(lambda back, s: back * s * (1.0 - s), hidden, z, checkpoint=checkpoint)
    checkpoint()
    b1 = hidden.sum(axis=0)
    checkpoint()
    return TwoLayerNetParameters(
        W1=product(rows.T, hidden, checkpoint),
        b1=b1,
        W2=product(z.T, scores, checkpoint),
        b2=scores.sum(axis=0),
    )


def literal_numerical_gradient(
    parameters: TwoLayerNetParameters,
    x: ArrayLike,
    t: ArrayLike,
    *,
    h: float = STEP,
    delta: float = DELTA,
    checkpoint: Checkpoint = never_stop,
) -> TwoLayerNetParameters:
    """Compute the document's central difference of `loss`, two evaluations for every parameter.

    Parameters
    ----------
    parameters, x, t, delta
        As in `loss`.
    h : float
        The step.
    checkpoint : callable
        Called before every evaluation of the loss.

    Returns
    -------
    TwoLayerNetParameters
        The numerical gradient.

    Raises
    ------
    InvalidInput
        If an argument is invalid.
    """
    wide, inputs = require_two_layer_net(parameters, x, t, checkpoint=checkpoint)
    require_delta(delta)
    require_step(h, checkpoint, **wide.tensors())

    def differences(name: str) -> Array:
        def f(trial: Array) -> float:
            checkpoint()
            changed = TwoLayerNetParameters(**{**wide.tensors(), name: trial})
            return loss(changed, inputs, t, delta=delta, checkpoint=checkpoint)

        return numerical.numerical_gradient(f, wide.tensors()[name], h=h)

    return TwoLayerNetParameters(**{name: differences(name) for name in wide.tensors()})


def _by_samples(
    function: Callable[[Float64], Array],
    wide: TwoLayerNetParameters,
    inputs: Float64,
    checkpoint: Checkpoint,
) -> Array:
    """Return what `function` gives for all samples, from slices of them."""
    step = max(1, WORK // (wide.W1.size + 64 * wide.W1.shape[1] + 2 * wide.W2.size))
    if inputs.ndim == 1 or len(inputs) <= step:
        checkpoint()
        return function(inputs)
    slices = []
    for begin in range(0, len(inputs), step):
        checkpoint()
        slices.append(function(inputs[begin : begin + step]))
    return stacked(slices, checkpoint)


def _predicted(wide: TwoLayerNetParameters, inputs: Float64, checkpoint: Checkpoint) -> Float64:
    def of_rows(rows: Float64) -> Float64:
        scores = _scores(wide, _hidden(wide, rows, checkpoint), checkpoint)
        return softmax(scores, checkpoint=checkpoint)

    return _by_samples(of_rows, wide, inputs, checkpoint)


def _hidden(wide: TwoLayerNetParameters, inputs: Float64, checkpoint: Checkpoint) -> Float64:
    sums = require_finite_product(inputs, wide.W1, wide.b1, "W1", checkpoint)
    return sigmoid(sums, checkpoint=checkpoint)


def _scores(wide: TwoLayerNetParameters, z: Float64, checkpoint: Checkpoint) -> Float64:
    return require_finite_product(z, wide.W2, wide.b2, "W2", checkpoint)
