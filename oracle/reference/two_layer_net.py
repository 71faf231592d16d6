"""The document's TwoLayerNet: softmax(sigmoid(x W1 + b1) W2 + b2), cross-entropy error."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from oracle.reference import mini_batch, numerical, structured
from oracle.reference.activations import sigmoid, softmax
from oracle.reference.losses import cross_entropy_error
from oracle.reference.random import gaussian
from oracle.reference.requirements import (
    require_count,
    require_delta,
    require_finite,
    require_finite_product,
    require_rank,
    require_step,
    require_targets,
    require_two_layer_net,
)
from oracle.reference.targets import distribution
from oracle.slices import SLICE, WORK, entrywise, holds_anywhere, parts, product, stacked
from oracle.splitmix import outputs
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


def train(
    parameters: TwoLayerNetParameters,
    x: ArrayLike,
    t: ArrayLike,
    *,
    step_num: int = 100,
    batch_size: int = 100,
    lr: float = 0.1,
    seed: int = 0,
    method: str = "numerical",
    h: float = STEP,
    delta: float = DELTA,
    checkpoint: Checkpoint = never_stop,
) -> Iterator[tuple[int, float, TwoLayerNetParameters]]:
    """Repeat the document's steps: draw a mini-batch, compute its gradient, move against it.

    Mini-batch s (from 0) is `mini_batch.draw` with output s of SplitMix64(seed) as its seed.

    Parameters
    ----------
    parameters, x, t, delta
        As in `loss`; x is (N, D).
    step_num, batch_size : int
        Number of steps and samples in a mini-batch, at least 1.
    lr : float
        The learning rate, finite and positive.
    seed : int
        Seed of the mini-batches.
    method : {"numerical", "analytic"}
        How gradients are computed.
    h : float
        The step of the numerical gradient.
    checkpoint : callable
        Called throughout; raises to stop the training.

    Yields
    ------
    int, float, TwoLayerNetParameters
        Steps done, the loss of the step's mini-batch before the step, the parameters after it.

    Raises
    ------
    InvalidInput
        If an argument is invalid; or if training diverges, naming `lr`.
    """
    require_count("step_num", step_num)
    require_count("batch_size", batch_size)
    wide, inputs = require_two_layer_net(
        parameters, x, t, at_once=batch_size, checkpoint=checkpoint
    )
    require_rank("x", inputs, (2,), "(N, D)")
    require_finite("lr", lr, positive=True)
    require_delta(delta)
    if method not in {"numerical", "analytic"}:
        raise InvalidInput("method", "be numerical or analytic", repr(method))
    targets = require_targets((len(inputs), len(wide.b2)), t, checkpoint)
    for step in range(step_num):
        checkpoint()
        batch_seed = int(outputs(seed, step, step + 1)[0])
        chosen = mini_batch.draw(len(inputs), batch_size, seed=batch_seed, checkpoint=checkpoint)
        batch, wanted = _rows(inputs, chosen, checkpoint), _rows(targets, chosen, checkpoint)
        try:
            value = loss(wide, batch, wanted, delta=delta, checkpoint=checkpoint)
            if method == "analytic":
                slope = gradient(wide, batch, wanted, delta=delta, checkpoint=checkpoint)
            else:
                slope = structured.two_layer_net(
                    wide, batch, wanted, h=h, delta=delta, checkpoint=checkpoint
                )
        except InvalidInput as error:
            if step == 0:
                raise
            # What was valid at the start is the caller's no more.
            left = f"{lr}, with which step {step + 1} finds: {error}"
            raise InvalidInput("lr", "be small enough to go on", left) from error
        wide = _moved(wide, slope, lr, checkpoint)
        yield step + 1, value, wide


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


def _rows(a: Array, chosen: Array, checkpoint: Checkpoint) -> Array:
    """Return a[chosen]."""
    rows = np.empty((len(chosen), *a.shape[1:]), a.dtype)
    for part in parts(len(chosen), checkpoint, SLICE // (a.size // len(a))):
        rows[part] = a[chosen[part]]
    return rows


def _moved(
    wide: TwoLayerNetParameters, slope: TwoLayerNetParameters, lr: float, checkpoint: Checkpoint
) -> TwoLayerNetParameters:
    with np.errstate(over="ignore"):
        moved = {
            name: entrywise(lambda w, by: w - lr * by, tensor, by, checkpoint=checkpoint)
            for (name, tensor), by in zip(
                wide.tensors().items(), slope.tensors().values(), strict=True
            )
        }
    if any(
        holds_anywhere(lambda a: ~np.isfinite(a), tensor, checkpoint=checkpoint)
        for tensor in moved.values()
    ):
        raise InvalidInput("lr", "be small enough for finite parameters", str(lr))
    return TwoLayerNetParameters(**moved)
