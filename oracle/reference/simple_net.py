"""The document's simpleNet: scores x W, softmax, cross-entropy error."""

from __future__ import annotations

from numpy.typing import ArrayLike

from oracle.reference import numerical
from oracle.reference.activations import softmax
from oracle.reference.losses import cross_entropy_error
from oracle.reference.requirements import require_delta, require_finite_product, require_simple_net
from oracle.values import DELTA, STEP, Array, Checkpoint, Float64, never_stop


def predict(W: ArrayLike, x: ArrayLike, *, checkpoint: Checkpoint = never_stop) -> Float64:
    """Compute the scores x W.

    Parameters
    ----------
    W : array
        (D, K), floating type, finite.
    x : array
        (N, D), or (D,) for one sample.
    checkpoint : callable
        Called between slices of what is large; raises to stop.

    Returns
    -------
    float64
        (N, K) or (K,).

    Raises
    ------
    InvalidInput
        If an argument is anything else.
    """
    weights, inputs = require_simple_net(W, x, checkpoint=checkpoint)
    return require_finite_product(inputs, weights, 0.0, "W", checkpoint)


def loss(
    W: ArrayLike,
    x: ArrayLike,
    t: ArrayLike,
    *,
    delta: float = DELTA,
    checkpoint: Checkpoint = never_stop,
) -> float:
    """Compute cross_entropy_error(softmax(x W), t).

    The document prints 0.92806853663411326 for its example, which is the value without delta.

    Parameters
    ----------
    W, x : array
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

    Examples
    --------
    >>> W = [[0.47355232, 0.9977393, 0.84668094], [0.85557411, 0.03563661, 0.69422093]]
    >>> f"{loss(W, [0.6, 0.9], [0.0, 0.0, 1.0], delta=0):.8f}"
    '0.92806854'
    >>> f"{loss(W, [0.6, 0.9], [0.0, 0.0, 1.0]):.8f}"
    '0.92806829'
    """
    weights, inputs = require_simple_net(W, x, t, checkpoint=checkpoint)
    scores = require_finite_product(inputs, weights, 0.0, "W", checkpoint)
    y = softmax(scores, checkpoint=checkpoint)
    return cross_entropy_error(y, t, delta=delta, checkpoint=checkpoint)


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
    weights, inputs = require_simple_net(W, x, t, checkpoint=checkpoint)
    require_delta(delta)

    def f(trial: Array) -> float:
        checkpoint()
        return loss(trial, inputs, t, delta=delta, checkpoint=checkpoint)

    return numerical.numerical_gradient(f, weights, h=h)
