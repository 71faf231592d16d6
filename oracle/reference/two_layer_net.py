"""The document's TwoLayerNet: softmax(sigmoid(x W1 + b1) W2 + b2), cross-entropy error."""

from __future__ import annotations

from collections.abc import Iterator

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
    numbers = weight_init_std * gaussian(seed, first + hidden_size * output_size)
    return TwoLayerNetParameters(
        W1=numbers[:first].reshape(input_size, hidden_size),
        b1=np.zeros(hidden_size),
        W2=numbers[first:].reshape(hidden_size, output_size),
        b2=np.zeros(output_size),
    )


def predict(parameters: TwoLayerNetParameters, x: ArrayLike) -> Float64:
    """Compute softmax(sigmoid(x W1 + b1) W2 + b2).

    Parameters
    ----------
    parameters : TwoLayerNetParameters
        W1 (D, H), b1 (H,), W2 (H, K), b2 (K,).
    x : array
        (N, D), or (D,) for one sample.

    Returns
    -------
    float64
        Probabilities, (N, K) or (K,).

    Raises
    ------
    InvalidInput
        If an argument is anything else.
    """
    wide, inputs = require_two_layer_net(parameters, x)
    return softmax(_scores(wide, _hidden(wide, inputs)))


def loss(
    parameters: TwoLayerNetParameters, x: ArrayLike, t: ArrayLike, *, delta: float = DELTA
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

    Returns
    -------
    float
        The loss.

    Raises
    ------
    InvalidInput
        If an argument is anything else.
    """
    require_two_layer_net(parameters, x, t)
    return cross_entropy_error(predict(parameters, x), t, delta=delta)


def accuracy(parameters: TwoLayerNetParameters, x: ArrayLike, t: ArrayLike) -> float:
    """Compute the share of samples whose largest score is that of the target.

    Among equal scores, and among equal targets, the first counts.

    Parameters
    ----------
    parameters, x, t
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
    require_two_layer_net(parameters, x, t)
    wide, inputs = require_two_layer_net(parameters, x)
    scores = _scores(wide, _hidden(wide, inputs))
    targets = require_targets(scores.shape, t)
    labels = targets if targets.dtype.kind == "i" else np.argmax(targets, axis=-1)
    return float(np.mean(np.argmax(scores, axis=-1) == labels))


def gradient(
    parameters: TwoLayerNetParameters, x: ArrayLike, t: ArrayLike, *, delta: float = DELTA
) -> TwoLayerNetParameters:
    """Compute the exact derivative of `loss` by backpropagation in float64.

    With w = t y / (y + delta), the derivative with respect to the scores is (y sum_k w_k - w) / N;
    for labels that is y_t / (y_t + delta) (y - t) / N.

    Parameters
    ----------
    parameters, x, t, delta
        As in `loss`.

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
    wide, inputs = require_two_layer_net(parameters, x, t)
    rows = np.atleast_2d(inputs)
    z = _hidden(wide, rows)
    y = softmax(_scores(wide, z))
    targets = _one_hot(require_targets((*inputs.shape[:-1], y.shape[1]), t), y.shape[1])
    guarded = np.divide(y, y + delta, out=np.ones_like(y), where=y + delta > 0)
    weights = targets * guarded
    scores = (y * weights.sum(axis=1, keepdims=True) - weights) / len(rows)
    hidden = scores @ wide.W2.T * z * (1.0 - z)
    return TwoLayerNetParameters(
        W1=rows.T @ hidden, b1=hidden.sum(axis=0), W2=z.T @ scores, b2=scores.sum(axis=0)
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
    wide, inputs = require_two_layer_net(parameters, x, t)
    require_delta(delta)
    require_step(h, **wide.tensors())

    def differences(name: str) -> Array:
        def f(trial: Array) -> float:
            checkpoint()
            changed = TwoLayerNetParameters(**{**wide.tensors(), name: trial})
            return loss(changed, inputs, t, delta=delta)

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
    wide, inputs = require_two_layer_net(parameters, x, t, at_once=batch_size)
    require_rank("x", inputs, (2,), "(N, D)")
    require_finite("lr", lr, positive=True)
    require_delta(delta)
    if method not in {"numerical", "analytic"}:
        raise InvalidInput("method", "be numerical or analytic", repr(method))
    targets = require_targets((len(inputs), len(wide.b2)), t)
    for step in range(step_num):
        checkpoint()
        batch_seed = int(outputs(seed, step, step + 1)[0])
        chosen = mini_batch.draw(len(inputs), batch_size, seed=batch_seed)
        batch, wanted = inputs[chosen], targets[chosen]
        value = loss(wide, batch, wanted, delta=delta)
        if method == "analytic":
            slope = gradient(wide, batch, wanted, delta=delta)
        else:
            slope = structured.two_layer_net(
                wide, batch, wanted, h=h, delta=delta, checkpoint=checkpoint
            )
        wide = _moved(wide, slope, lr)
        yield step + 1, value, wide


def _hidden(wide: TwoLayerNetParameters, inputs: Float64) -> Float64:
    return sigmoid(require_finite_product(inputs, wide.W1, wide.b1, "W1"))


def _scores(wide: TwoLayerNetParameters, z: Float64) -> Float64:
    return require_finite_product(z, wide.W2, wide.b2, "W2")


def _one_hot(targets: Array, classes: int) -> Float64:
    if targets.dtype.kind == "i":
        return np.asarray(np.eye(classes)[np.atleast_1d(targets)])
    return np.atleast_2d(targets)


def _moved(
    wide: TwoLayerNetParameters, slope: TwoLayerNetParameters, lr: float
) -> TwoLayerNetParameters:
    with np.errstate(over="ignore"):
        moved = {
            name: tensor - lr * slope.tensors()[name] for name, tensor in wide.tensors().items()
        }
    if not all(np.isfinite(tensor).all() for tensor in moved.values()):
        raise InvalidInput("lr", "be small enough for finite parameters", str(lr))
    return TwoLayerNetParameters(**moved)
