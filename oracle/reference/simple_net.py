"""The document's simpleNet: scores x W, softmax, cross-entropy error."""

from __future__ import annotations

from numpy.typing import ArrayLike

from oracle.reference import numerical
from oracle.reference.activations import softmax
from oracle.reference.losses import cross_entropy_error
from oracle.reference.requirements import require_delta, require_finite_product, require_simple_net
from oracle.values import DELTA, STEP, Array, Checkpoint, Float64, never_stop


def predict(W: ArrayLike, x: ArrayLike) -> Float64:
    """Compute the scores x W.

    Parameters
    ----------
    W : array
        (D, K), floating type, finite.
    x : array
        (N, D), or (D,) for one sample.

    Returns
    -------
    float64
        (N, K) or (K,).

    Raises
    ------
    InvalidInput
        If an argument is anything else.
    """
    weights, inputs = require_simple_net(W, x)
    return require_finite_product(inputs, weights, 0.0, "W")


def loss(W: ArrayLike, x: ArrayLike, t: ArrayLike, *, delta: float = DELTA) -> float:
    """Compute cross_entropy_error(softmax(x W), t).

    Parameters
    ----------
    W, x : array
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
    require_simple_net(W, x, t)
    return cross_entropy_error(softmax(predict(W, x)), t, delta=delta)


def numerical_gradient(
    W: ArrayLike,
    x: ArrayLike,
    t: ArrayLike,
    *,
    h: float = STEP,
    delta: float = DELTA,
    checkpoint: Checkpoint = never_stop,
) -> Array:
    """Compute the document's central difference of `loss` for every entry of W.

    Parameters
    ----------
    W, x, t, delta
        As in `loss`.
    h : float
        The step.
    checkpoint : callable
        Called before every evaluation of the loss.

    Returns
    -------
    (D, K) float64
        The numerical gradient.

    Raises
    ------
    InvalidInput
        If an argument is invalid.
    """
    weights, inputs = require_simple_net(W, x, t)
    require_delta(delta)

    def f(trial: Array) -> float:
        checkpoint()
        return loss(trial, inputs, t, delta=delta)

    return numerical.numerical_gradient(f, weights, h=h)
