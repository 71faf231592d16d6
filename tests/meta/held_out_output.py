"""More wrong backward passes: scales, biases, samples, targets, the output error."""

from __future__ import annotations

import numpy as np

from tests.meta.held_out import STEPS, after, bug, sigmoid, softmax


def rows(s, keep):
    """The output error with some samples left out."""
    mask = np.zeros((s.N, 1), s.x.dtype)
    mask[keep] = 1
    return mask * s.w * (s.y - s.t)


def subtracted(s, index, value=1):
    """`y[index] -= value`, whatever the index selects."""
    y = s.y.copy()
    y[index] -= value
    return s.w * y / s.N


def targets(s, t):
    return s.w * (s.y - t.astype(s.x.dtype)) / s.N


def one_hot(s, labels):
    return np.eye(s.K)[labels]


def hinge(s):
    """Each score within 1 of the right one, or above it, pushes both."""
    margin = s.a2 - (s.a2 * s.t).sum(axis=1, keepdims=True) + 1
    above = ((margin > 0) & (s.t == 0)).astype(s.x.dtype)
    return (above - s.t * above.sum(axis=1, keepdims=True)) / s.N


def norm(arrays):
    return float(np.sqrt(sum((g.astype(float) ** 2).sum() for g in arrays)))


SCALES = [
    bug("the loss is summed", "missing_batch_mean", dy=lambda s: s.w * (s.y - s.t)),
    bug(
        "the mean in the loss and in each matrix",
        "extra_batch_mean",
        gradient=after(lambda g, s, *_: g / s.N),
    ),
    bug(
        "N - 1 samples are counted",
        "constant_factor",
        dy=lambda s: s.w * (s.y - s.t) / max(s.N - 1, 1),
    ),
    bug("divides by t.shape[1]", "constant_factor", dy=lambda s: s.w * (s.y - s.t) / s.K),
    bug(
        "np.mean over the matrix of losses",
        "constant_factor",
        dy=lambda s: s.w * (s.y - s.t) / s.t.size,
    ),
    bug("divides by the number of inputs", "constant_factor", dy=lambda s: s.w * (s.y - s.t) / s.D),
    bug(
        "log2 in the loss",
        "constant_factor",
        dy=lambda s: s.w * (s.y - s.t) / s.N / float(np.log(2)),
    ),
    bug(
        "the loss scale of mixed precision stays on",
        "constant_factor",
        gradient=after(lambda g, *_: g * 128),
    ),
    bug(
        "returns the step of descent",
        "constant_factor sign_flipped",
        gradient=after(lambda g, *_: -0.1 * g),
    ),
    bug("target minus output", "sign_flipped", dy=lambda s: s.w * (s.t - s.y) / s.N),
    bug(
        "three backward passes without zero_grad",
        "constant_factor accumulated",
        gradient=after(lambda g, *_: g + g + g),
    ),
    bug("1 // N", "zero_tensor", dy=lambda s: s.w * (s.y - s.t) * (1 // s.N)),
    bug(
        "clipped by the norm of all",
        "constant_factor clipped",
        gradient=after(lambda g, s, *_: g * (0.01 / norm(STEPS["gradient"](s).values()))),
    ),
    bug("each tensor has the norm 1", "tensor_factor", gradient=after(lambda g, *_: g / norm([g]))),
    bug(
        "biases learn twice as fast",
        "tensor_factor",
        gradient=after(lambda g, *_: 2 * g, "b1 b2"),
    ),
    bug(
        "the mean again in the second layer",
        "tensor_factor extra_batch_mean",
        gradient=after(lambda g, s, *_: g / s.N, "W2 b2"),
    ),
    bug(
        "the mean in the matrices only",
        "tensor_factor bias_reduction missing_batch_mean",
        gradient=after(lambda g, s, *_: g * s.N, "b1 b2"),
    ),
    bug(
        "the mean in the biases only",
        "tensor_factor missing_batch_mean",
        gradient=after(lambda g, s, *_: g * s.N, "W1 W2"),
    ),
    bug("layer 1 in other units", "tensor_factor", gradient=after(lambda g, *_: g * 0.7, "W1 b1")),
    bug("b1 is subtracted", "tensor_factor sign_flipped", gradient=after(lambda g, *_: -g, "b1")),
    bug(
        "the error changes sign on its way back",
        "tensor_factor sign_flipped",
        dz=lambda s: -(s.dy @ s.W2.T),
    ),
    bug(
        "the hidden error is a mean over classes", "tensor_factor", dz=lambda s: s.dy @ s.W2.T / s.K
    ),
    bug(
        "clipped by value",
        "clipped",
        gradient=after(lambda g, *_: np.clip(g, -0.4 * abs(g).max(), 0.4 * abs(g).max())),
    ),
    bug(
        "the output error is clipped",
        "clipped",
        dy=lambda s: np.clip(s.w * (s.y - s.t), -0.3, 0.3) / s.N,
    ),
]

BIASES = [
    bug("b2 is a mean", "bias_reduction tensor_factor", db2=lambda s: s.dy.mean(axis=0)),
    bug("b1 is a mean", "bias_reduction tensor_factor", db1=lambda s: s.da.mean(axis=0)),
    bug("b1 is the last row", "bias_reduction", db1=lambda s: s.da[-1]),
    bug("b2 is the first row", "bias_reduction", db2=lambda s: s.dy[0]),
    bug(
        "b2 is one number",
        "bias_reduction zero_tensor",
        db2=lambda s: np.full_like(s.b2, s.dy.sum()),
    ),
    bug(
        "b1 is the mean over units",
        "bias_reduction",
        db1=lambda s: np.full_like(s.b1, s.da.sum() / s.H),
    ),
    bug(
        "b1 is summed over the units",
        "bias_reduction shape_mismatch",
        db1=lambda s: s.da.sum(axis=1),
    ),
    bug("b2 keeps its dimensions", "shape_mismatch", db2=lambda s: s.dy.sum(axis=0, keepdims=True)),
    bug("b1 is not summed", "shape_mismatch bias_reduction", db1=lambda s: s.da),
    bug("b2 is forgotten", "zero_tensor", db2=lambda s: np.zeros_like(s.b2)),
    bug(
        "b1 is not returned",
        "missing_tensor",
        gradient=lambda s: {"W1": s.dW1, "W2": s.dW2, "b2": s.db2},
    ),
    bug(
        "b1 misses the first sample",
        "bias_reduction dropped_samples",
        single="zero_tensor",
        db1=lambda s: s.da[1:].sum(axis=0),
    ),
    bug("b1 before the sigmoid", "missing_activation_derivative", db1=lambda s: s.dz.sum(axis=0)),
    bug("W1 before the sigmoid", "missing_activation_derivative", dW1=lambda s: s.x.T @ s.dz),
    bug("b1 is the first row of W1", "bias_reduction wrong_inputs", db1=lambda s: s.dW1[0]),
    bug("b2 is the sum of W2", "bias_reduction wrong_inputs", db2=lambda s: s.dW2.sum(axis=0)),
    bug("absolute values in b2", "bias_reduction", db2=lambda s: abs(s.dy).sum(axis=0)),
]

SAMPLES = [
    bug(
        "range(N - 1)",
        "dropped_samples",
        single="zero_tensor",
        dy=lambda s: rows(s, slice(0, -1)) / s.N,
    ),
    bug(
        "from 1, divided by N - 1",
        "dropped_samples sample_weights",
        single="zero_tensor",
        dy=lambda s: rows(s, slice(1, None)) / max(s.N - 1, 1),
    ),
    bug("= in place of +=", "dropped_samples", dy=lambda s: rows(s, slice(-1, None)) / s.N),
    bug("every other sample", "dropped_samples", dy=lambda s: rows(s, slice(None, None, 2)) / s.N),
    bug(
        "the last incomplete mini-batch is left out",
        "dropped_samples",
        single="zero_tensor",
        dy=lambda s: rows(s, slice(0, s.N - s.N % 4 if s.N % 4 else s.N - 4)) / s.N,
    ),
    bug(
        "the first sample counts twice",
        "sample_weights",
        single="constant_factor",
        dy=lambda s: (
            s.w * (s.y - s.t) / s.N * np.where(np.arange(s.N) == 0, 2, 1).astype(s.x.dtype)[:, None]
        ),
    ),
    bug(
        "weights of classes",
        "sample_weights",
        single="constant_factor",
        dy=lambda s: s.w * (s.y - s.t) / s.N * (0.5 + 0.25 * s.labels).astype(s.x.dtype)[:, None],
    ),
    bug(
        "the factor of the focal loss",
        "sample_weights",
        single="constant_factor",
        dy=lambda s: (1 - (s.t * s.y).sum(axis=1, keepdims=True)) ** 2 * s.w * (s.y - s.t) / s.N,
    ),
    bug(
        "label 0 is padding",
        "dropped_samples sample_weights",
        dy=lambda s: rows(s, s.labels != 0) / s.N,
    ),
    bug(
        "label 2 is padding, mean over the rest",
        "dropped_samples sample_weights",
        single="zero_tensor",
        dy=lambda s: rows(s, s.labels != 2) / max(int((s.labels != 2).sum()), 1),
    ),
    bug(
        "only the samples that are wrong",
        "dropped_samples sample_weights",
        single="zero_tensor",
        dy=lambda s: rows(s, s.y.argmax(axis=1) != s.labels) / s.N,
    ),
    bug(
        "x of the sample before",
        "wrong_inputs permuted",
        dW1=lambda s: np.roll(s.x, 1, axis=0).T @ s.da,
    ),
    bug(
        "z of the sample after",
        "wrong_inputs permuted",
        dW2=lambda s: np.roll(s.z, -1, axis=0).T @ s.dy,
    ),
    bug(
        "x is shuffled between the passes",
        "wrong_inputs permuted",
        dW1=lambda s: s.rng.permutation(s.x).T @ s.da,
    ),
    bug(
        "x is the batch before",
        "wrong_inputs stale_buffer",
        single="permuted",
        dW1=lambda s: s.earlier.T @ s.da,
    ),
    bug(
        "z is of the batch before",
        "wrong_inputs stale_buffer",
        dW2=lambda s: sigmoid(s.earlier @ s.W1 + s.b1).T @ s.dy,
    ),
    bug("before the activation", "wrong_inputs", dW2=lambda s: s.a1.T @ s.dy),
    bug("z *= 1 - z came first", "wrong_inputs", dW2=lambda s: (s.z * (1 - s.z)).T @ s.dy),
    bug(
        "the mean of x", "wrong_inputs", dW1=lambda s: np.outer(s.x.mean(axis=0), s.da.sum(axis=0))
    ),
    bug("x is truncated to integers", "wrong_inputs", dW1=lambda s: np.trunc(4 * s.x).T @ s.da),
    bug(
        "x is centred in the backward pass",
        "wrong_inputs",
        single="zero_tensor",
        dW1=lambda s: (s.x - s.x.mean(axis=0)).T @ s.da,
    ),
]

TARGETS = [
    bug(
        "labels from 1", "wrong_targets", dy=lambda s: targets(s, one_hot(s, (s.labels - 1) % s.K))
    ),
    bug(
        "labels shuffled",
        "wrong_targets",
        dy=lambda s: targets(s, one_hot(s, np.roll(s.labels, 1))),
    ),
    bug(
        "label smoothing",
        "wrong_targets",
        dy=lambda s: targets(s, 0.9 * s.t + s.x.dtype.type(0.1 / s.K)),
    ),
    bug(
        "its own prediction is the target",
        "wrong_targets",
        dy=lambda s: targets(s, one_hot(s, s.y.argmax(axis=1))),
    ),
    bug(
        "the least likely class",
        "wrong_targets",
        dy=lambda s: targets(s, one_hot(s, s.y.argmin(axis=1))),
    ),
    bug("the target is forgotten", "wrong_targets softmax_jacobian", dy=lambda s: s.w * s.y / s.N),
    bug("y[:, t] -= 1", "wrong_targets", dy=lambda s: subtracted(s, (slice(None), s.labels))),
    bug("targets of -1 and 1", "wrong_targets", dy=lambda s: targets(s, 2 * s.t - 1)),
    bug(
        "one-hot in column-major order",
        "wrong_targets",
        dy=lambda s: targets(s, s.t.T.reshape(s.N, s.K)),
    ),
    bug("y -= t in place, twice", "wrong_targets", dy=lambda s: targets(s, 2 * s.t)),
    bug("targets of 0.1 and 0.9", "wrong_targets", dy=lambda s: targets(s, 0.1 + 0.8 * s.t)),
    bug(
        "two labels exchanged",
        "wrong_targets",
        dy=lambda s: targets(s, one_hot(s, np.concatenate([s.labels[1::-1], s.labels[2:]]))),
    ),
    bug(
        "the label of sample 0 for all",
        "wrong_targets",
        dy=lambda s: targets(s, one_hot(s, np.full(s.N, s.labels[0]))),
    ),
]

LOSSES = [
    bug("error times y(1-y)", "softmax_jacobian", dy=lambda s: (s.y - s.t) * s.y * (1 - s.y) / s.N),
    bug(
        "-t/y without the Jacobian",
        "softmax_jacobian",
        dy=lambda s: -s.t / (s.y + (s.delta or 1e-300)) / s.N,
    ),
    bug("diagonal of the Jacobian", "softmax_jacobian", dy=lambda s: -s.w * s.t * (1 - s.y) / s.N),
    bug(
        "the Jacobian with the wrong sign off its diagonal",
        "softmax_jacobian",
        dy=lambda s: s.w * (2 * s.t * s.y - s.y - s.t) / s.N,
    ),
    bug(
        "squared error after softmax",
        "softmax_jacobian wrong_forward",
        dy=lambda s: s.y * ((s.y - s.t) - (s.y * (s.y - s.t)).sum(axis=1, keepdims=True)) / s.N,
    ),
    bug("softmax of the probabilities", "softmax_twice", dy=lambda s: (softmax(s.y) - s.t) / s.N),
    bug(
        "softmax over the batch",
        "softmax_axis",
        single="wrong_forward wrong_targets",
        dy=lambda s: (softmax(s.a2, 0) - s.t) / s.N,
    ),
    bug(
        "softmax over everything",
        "softmax_axis",
        y=lambda s: softmax(s.a2.ravel()).reshape(s.a2.shape),
    ),
    bug(
        "exp is divided by its maximum",
        "wrong_forward",
        dy=lambda s: (s.y / s.y.max(axis=1, keepdims=True) - s.t) / s.N,
    ),
    bug("a temperature of 2", "wrong_forward", dy=lambda s: (softmax(s.a2 / 2) - s.t) / s.N),
    bug(
        "powers of 2", "wrong_forward", dy=lambda s: (softmax(s.a2 * float(np.log(2))) - s.t) / s.N
    ),
    bug("sigmoid at the output", "wrong_forward", dy=lambda s: (sigmoid(s.a2) - s.t) / s.N),
    bug("no softmax", "wrong_forward", dy=lambda s: (s.a2 - s.t) / s.N),
    bug(
        "log-softmax is taken for softmax",
        "wrong_forward",
        dy=lambda s: (np.log(np.maximum(s.y, 1e-4)) - s.t) / s.N,
    ),
    bug(
        "probabilities clipped to 0.02 and 0.98",
        # No more than delta is wrong where all of them are between.
        "wrong_forward clipped delta_ignored",
        dy=lambda s: (np.clip(s.y, 0.02, 0.98) - s.t) / s.N,
    ),
    bug(
        "hinge of the scores",
        "wrong_forward",
        dy=hinge,
    ),
    bug(
        "delta of 0.01",
        "sample_weights wrong_forward",
        single="constant_factor",
        dy=lambda s: (s.y - s.t) / s.N / (1 + 0.01 / (s.t * s.y).sum(axis=1, keepdims=True)),
    ),
    bug(
        "the last class is not reached",
        "softmax_jacobian wrong_forward single_entries",
        dy=lambda s: STEPS["dy"](s) * (np.arange(s.K) < s.K - 1).astype(s.x.dtype),
    ),
    bug("only the target's column", "softmax_jacobian", dy=lambda s: STEPS["dy"](s) * s.t),
    bug("the exact slope without delta", "delta_ignored", dy=lambda s: (s.y - s.t) / s.N),
]
