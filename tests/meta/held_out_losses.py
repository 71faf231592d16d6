"""Wrong gradients of the simple net and of the two losses, with the names that fit them."""

from __future__ import annotations

import numpy as np

from tests.meta.held_out import Bug, softmax


def bug(name, names, gradient):
    """`gradient` takes the arguments of the check before the gradient."""
    return Bug(name, frozenset(names.split()), {"gradient": gradient}, frozenset())


def one_hot(labels, classes):
    return np.eye(classes)[labels]


def dW(W, x, t, change):
    """The simple net's gradient with another output error, of y and the one-hot targets."""
    return x.T @ change(softmax(x @ W), one_hot(t, W.shape[1])) / len(x)


SIMPLE_NET = [
    bug("summed", "missing_batch_mean", lambda W, x, t: len(x) * dW(W, x, t, lambda y, t: y - t)),
    bug("target minus output", "sign_flipped", lambda W, x, t: dW(W, x, t, lambda y, t: t - y)),
    bug(
        "mean over everything",
        "constant_factor",
        lambda W, x, t: dW(W, x, t, lambda y, t: y - t) / W.shape[1],
    ),
    bug("mean twice", "extra_batch_mean", lambda W, x, t: dW(W, x, t, lambda y, t: y - t) / len(x)),
    bug("labels from 1", "wrong_targets", lambda W, x, t: dW(W, x, t - 1, lambda y, t: y - t)),
    bug(
        "no target", "wrong_targets softmax_jacobian", lambda W, x, t: dW(W, x, t, lambda y, _t: y)
    ),
    bug(
        "smoothed",
        "wrong_targets",
        lambda W, x, t: dW(W, x, t, lambda y, t: y - 0.8 * t - 0.2 / t.shape[1]),
    ),
    bug("softmax twice", "softmax_twice", lambda W, x, t: dW(W, x, t, lambda y, t: softmax(y) - t)),
    bug(
        "softmax over the batch",
        "softmax_axis",
        lambda W, x, t: x.T @ (softmax(x @ W, 0) - one_hot(t, W.shape[1])) / len(x),
    ),
    bug(
        "no softmax",
        "wrong_forward",
        lambda W, x, t: x.T @ (x @ W - one_hot(t, W.shape[1])) / len(x),
    ),
    bug(
        "sigmoid",
        "wrong_forward",
        lambda W, x, t: x.T @ (1 / (1 + np.exp(-(x @ W))) - one_hot(t, W.shape[1])) / len(x),
    ),
    bug(
        "delta of squared error",
        "softmax_jacobian",
        lambda W, x, t: dW(W, x, t, lambda y, t: (y - t) * y * (1 - y)),
    ),
    bug(
        "last sample missing",
        "dropped_samples",
        lambda W, x, t: dW(W, x[:-1], t[:-1], lambda y, t: y - t) * (len(x) - 1) / len(x),
    ),
    bug(
        "inputs of another sample",
        "wrong_inputs permuted",
        lambda W, x, t: np.roll(x, 1, 0).T @ (softmax(x @ W) - one_hot(t, W.shape[1])) / len(x),
    ),
    bug(
        "transposed", "transposed shape_mismatch", lambda W, x, t: dW(W, x, t, lambda y, t: y - t).T
    ),
    bug(
        "column-major",
        "transposed",
        lambda W, x, t: dW(W, x, t, lambda y, t: y - t).T.reshape(W.shape),
    ),
    bug("weight decay", "weight_decay", lambda W, x, t: dW(W, x, t, lambda y, t: y - t) + 0.01 * W),
    bug("the weights", "stale_buffer", lambda W, *_: W.copy()),
]

CROSS_ENTROPY = [
    bug("delta ignored", "delta_ignored", lambda y, t: -one_hot(t, y.shape[1]) / y / len(y)),
    bug("summed", "missing_batch_mean", lambda y, t: -one_hot(t, y.shape[1]) / (y + 1e-7)),
    bug("sign", "sign_flipped", lambda y, t: one_hot(t, y.shape[1]) / (y + 1e-7) / len(y)),
    bug(
        "labels from 1",
        "wrong_targets",
        lambda y, t: -one_hot(t - 1, y.shape[1]) / (y + 1e-7) / len(y),
    ),
    bug(
        "of the scores",
        "softmax_jacobian wrong_forward",
        lambda y, t: (y - one_hot(t, y.shape[1])) / len(y),
    ),
    bug(
        "binary",
        "wrong_forward",
        lambda y, t: (y - one_hot(t, y.shape[1])) / (y * (1 - y)) / len(y),
    ),
    bug(
        "mean over everything",
        "constant_factor",
        lambda y, t: -one_hot(t, y.shape[1]) / (y + 1e-7) / y.size,
    ),
]

SQUARED_ERROR = [
    bug("without the half", "constant_factor", lambda y, t: 2 * (y - t)),
    bug("mean over samples", "extra_batch_mean", lambda y, t: (y - t) / len(y)),
    bug("target minus output", "sign_flipped", lambda y, t: t - y),
    bug("the value", "wrong_targets", lambda y, _t: y.copy()),
    bug(
        "one row missing",
        "dropped_samples zero_tensor",
        lambda y, t: (y - t) * (np.arange(len(y)) > 0)[:, None],
    ),
]

BUGS = {
    "simple_net": SIMPLE_NET,
    "cross_entropy_error": CROSS_ENTROPY,
    "mean_squared_error": SQUARED_ERROR,
}
