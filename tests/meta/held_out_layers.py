"""More wrong backward passes: the hidden layer, its weights, the forward pass."""

from __future__ import annotations

import numpy as np

from tests.meta.held_out import backward, bug, dropout, sigmoid, tensors


def slope(function):
    """A hidden error with `function(s)` as the derivative of the activation."""
    return lambda s: s.dz * function(s).astype(s.x.dtype)


def through(weights):
    """A hidden error that went back through other weights."""
    return lambda s: s.dy @ weights(s).T


def rises(z):
    return z * (1 - z)


def normalised(z):
    return (z - z.mean(axis=0)) / (z.std(axis=0) + 0.01)


def with_dropout(s):
    """Half of the hidden units are off in both passes."""
    mask = dropout(s)
    return backward(
        tensors(s),
        s.x,
        s.labels,
        s.delta,
        z=lambda r: sigmoid(r.a1) * mask,
        da=lambda r: r.dz * mask * sigmoid(r.a1) * (1 - sigmoid(r.a1)),
    )


ACTIVATIONS = [
    bug("no derivative of the sigmoid", "missing_activation_derivative", da=lambda s: s.dz),
    bug(
        "the sigmoid of the sigmoid",
        "wrong_activation_derivative",
        da=slope(lambda s: sigmoid(s.z) * (1 - sigmoid(s.z))),
    ),
    bug("1 - z", "wrong_activation_derivative", da=slope(lambda s: 1 - s.z)),
    bug("z", "wrong_activation_derivative", da=slope(lambda s: s.z)),
    bug("a(1 - a)", "wrong_activation_derivative", da=slope(lambda s: s.a1 * (1 - s.a1))),
    bug("z(1 - a)", "wrong_activation_derivative", da=slope(lambda s: s.z * (1 - s.a1))),
    bug("that of tanh", "wrong_activation_derivative", da=slope(lambda s: 1 - s.z**2)),
    bug(
        "that of tanh, of a",
        "wrong_activation_derivative",
        da=slope(lambda s: 1 - np.tanh(s.a1) ** 2),
    ),
    bug("that of relu", "wrong_activation_derivative", da=slope(lambda s: s.a1 > 0)),
    bug(
        "that of a leaky relu",
        "wrong_activation_derivative",
        da=slope(lambda s: np.where(s.a1 > 0, 1, 0.01)),
    ),
    bug(
        "that of a hard sigmoid",
        "wrong_activation_derivative",
        da=slope(lambda s: 0.2 * (abs(s.a1) < 2.5)),
    ),
    bug(
        "that of silu",
        "wrong_activation_derivative",
        da=slope(lambda s: s.z + s.a1 * s.z * (1 - s.z)),
    ),
    bug("z(1 + z)", "wrong_activation_derivative", da=slope(lambda s: s.z * (1 + s.z))),
    bug("z²(1 - z)", "wrong_activation_derivative", da=slope(lambda s: s.z**2 * (1 - s.z))),
    bug("twice", "wrong_activation_derivative", da=slope(lambda s: (s.z * (1 - s.z)) ** 2)),
    bug(
        "the square is missing",
        "wrong_activation_derivative",
        da=slope(lambda s: np.exp(-s.a1) / (1 + np.exp(-2 * s.a1))),
    ),
    bug(
        "at the mean over the batch",
        "wrong_activation_derivative",
        da=slope(lambda s: rises(s.z.mean(axis=0)) + 0 * s.z),
    ),
    bug(
        "at the last sample",
        "wrong_activation_derivative",
        da=slope(lambda s: (s.z * (1 - s.z))[-1:] + 0 * s.z),
    ),
    bug(
        "at the batch before",
        "wrong_activation_derivative",
        da=slope(lambda s: rises(sigmoid(s.earlier @ s.W1 + s.b1))),
    ),
    bug(
        "at a without its bias",
        "wrong_activation_derivative",
        da=slope(lambda s: rises(sigmoid(s.x @ s.W1))),
    ),
    bug(
        "0.25 as at zero",
        "wrong_activation_derivative",
        da=slope(lambda s: np.full_like(s.z, 0.25)),
    ),
    bug(
        "a dropout mask in the backward pass only",
        "wrong_activation_derivative wrong_forward",
        da=lambda s: s.dz * s.z * (1 - s.z) * dropout(s),
    ),
    bug(
        "a relu mask besides",
        "wrong_activation_derivative",
        da=slope(lambda s: s.z * (1 - s.z) * (s.a1 > 0)),
    ),
    bug(
        "the last hidden unit is not reached",
        "single_entries wrong_activation_derivative wrong_weights",
        da=slope(lambda s: s.z * (1 - s.z) * (np.arange(s.H) < s.H - 1)),
    ),
]

WEIGHTS = [
    bug("reshaped and not transposed", "wrong_weights", dz=lambda s: s.dy @ s.W2.reshape(s.K, s.H)),
    bug("updated before it is used", "wrong_weights", dz=through(lambda s: s.W2 - 0.1 * s.dW2)),
    bug(
        "of the step before",
        "wrong_weights",
        dz=through(lambda s: s.W2 + 0.1 * (sigmoid(s.earlier @ s.W1).T @ s.dy).astype(s.x.dtype)),
    ),
    bug(
        "feedback through random weights",
        "wrong_weights",
        dz=through(lambda s: s.rng.normal(size=s.W2.shape).astype(s.x.dtype)),
    ),
    bug("absolute weights", "wrong_weights", dz=through(lambda s: abs(s.W2))),
    bug("the signs of the weights", "wrong_weights", dz=through(lambda s: np.sign(s.W2))),
    bug(
        "hidden units in another order",
        "wrong_weights",
        dz=through(lambda s: np.roll(s.W2, 1, axis=0)),
    ),
    bug("classes in another order", "wrong_weights", dz=through(lambda s: s.W2[:, ::-1])),
    bug("all but the last class", "wrong_weights", dz=lambda s: s.dy[:, :-1] @ s.W2[:, :-1].T),
    bug(
        "decayed before it is used",
        "wrong_weights tensor_factor",
        dz=through(lambda s: s.W2 * 0.99),
    ),
    bug("the bias goes back too", "wrong_weights", dz=lambda s: s.dy @ (s.W2 + s.b2).T),
    bug(
        "rounded weights",
        "wrong_weights low_precision",
        dz=through(lambda s: np.round(s.W2 * 16) / 16),
    ),
]

FORWARD = [
    bug(
        "tanh in both passes",
        "wrong_forward",
        z=lambda s: np.tanh(s.a1),
        da=lambda s: s.dz * (1 - s.z**2),
    ),
    bug(
        "relu in both passes",
        "wrong_forward",
        z=lambda s: np.maximum(s.a1, 0),
        da=lambda s: s.dz * (s.a1 > 0).astype(s.x.dtype),
    ),
    bug("no activation in both passes", "wrong_forward", z=lambda s: s.a1, da=lambda s: s.dz),
    bug(
        "softsign in both passes",
        "wrong_forward",
        z=lambda s: s.a1 / (1 + abs(s.a1)),
        da=lambda s: s.dz / (1 + abs(s.a1)) ** 2,
    ),
    bug(
        "a hard sigmoid in both passes",
        "wrong_forward",
        z=lambda s: np.clip(0.2 * s.a1 + 0.5, 0, 1),
        da=slope(lambda s: 0.2 * (abs(s.a1) < 2.5)),
    ),
    bug(
        "tanh forward, z(1 - z) backward",
        "wrong_forward wrong_activation_derivative",
        z=lambda s: np.tanh(s.a1),
    ),
    bug("b1 is left out of the forward pass", "wrong_forward", a1=lambda s: s.x @ s.W1),
    bug("b2 is left out of the forward pass", "wrong_forward", a2=lambda s: s.z @ s.W2),
    bug(
        "both biases are left out",
        "wrong_forward",
        a1=lambda s: s.x @ s.W1,
        a2=lambda s: s.z @ s.W2,
    ),
    bug("b1 is subtracted in the forward pass", "wrong_forward", a1=lambda s: s.x @ s.W1 - s.b1),
    bug("dropout is left on", "wrong_forward", gradient=with_dropout),
    bug(
        "inputs are standardised",
        "wrong_forward wrong_inputs",
        gradient=lambda s: backward(tensors(s), (s.x - s.x.mean()) / s.x.std(), s.labels, s.delta),
    ),
    bug(
        "inputs are divided by 255",
        "wrong_forward wrong_inputs",
        gradient=lambda s: backward(tensors(s), s.x / 255, s.labels, s.delta),
    ),
    bug(
        "hidden units are normalised over the batch",
        "wrong_forward",
        single="zero_tensor",
        z=lambda s: normalised(sigmoid(s.a1)),
    ),
    bug(
        "noise on the inputs of the forward pass",
        "wrong_forward wrong_inputs",
        a1=lambda s: (s.x + 0.1 * s.rng.normal(size=s.x.shape).astype(s.x.dtype)) @ s.W1 + s.b1,
    ),
    bug(
        "z is cut at 0.05 and 0.95",
        "wrong_forward clipped",
        z=lambda s: np.clip(sigmoid(s.a1), 0.3, 0.7),
    ),
]
