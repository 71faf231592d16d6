"""Wrong backward passes that are rarely written, named before the oracle was asked."""

from __future__ import annotations

import numpy as np

from tests.meta.held_out import after, bug, sigmoid, softmax


def weighted(s, weights):
    return s.w * (s.y - s.t) * weights[:, None].astype(s.x.dtype) / s.N


def shifted(values, axis, step=2):
    return np.roll(values, step, axis)


def lines(g, *, zero):
    g = g.copy()
    g[zero] = 0
    return g


RARE = [
    bug("the mean is over N + 1", "constant_factor", dy=lambda s: s.w * (s.y - s.t) / (s.N + 1)),
    bug("a loss scale of 1024", "constant_factor", gradient=after(lambda g, *_: 1024 * g)),
    bug("b2 a hundred times", "tensor_factor", gradient=after(lambda g, *_: 100 * g, "b2")),
    bug("W1 over H", "tensor_factor", gradient=after(lambda g, s, *_: g / s.H, "W1")),
    bug("layer 2 is not computed", "zero_tensor", gradient=after(lambda g, *_: 0 * g, "W2 b2")),
    bug(
        "every other row of W1 is skipped",
        "single_entries zero_tensor",
        gradient=after(lambda g, *_: lines(g, zero=slice(0, None, 2)), "W1"),
    ),
    bug(
        "rows of W1 moved by two",
        "permuted wrong_inputs",
        gradient=after(lambda g, *_: shifted(g, 0), "W1"),
    ),
    bug(
        "columns of W1 moved by two",
        "permuted",
        gradient=after(lambda g, *_: shifted(g, 1), "W1"),
    ),
    bug("rows of W2 in reverse", "permuted", gradient=after(lambda g, *_: g[::-1], "W2")),
    bug(
        "W2 is filled down the columns",
        "transposed permuted",
        gradient=after(lambda g, *_: g.ravel().reshape(g.shape, order="F"), "W2"),
    ),
    bug("a1 in place of its derivative", "wrong_activation_derivative", da=lambda s: s.dz * s.a1),
    bug(
        "the derivative is squared",
        "wrong_activation_derivative",
        da=lambda s: s.dz * (s.z * (1 - s.z)) ** 2,
    ),
    bug(
        "tanh in the forward pass only",
        "wrong_forward",
        z=lambda s: np.tanh(s.a1),
        da=lambda s: s.dz * sigmoid(s.a1) * (1 - sigmoid(s.a1)),
    ),
    bug(
        "the second sample is skipped",
        "dropped_samples sample_weights",
        single="missing_batch_mean constant_factor",
        dy=lambda s: weighted(s, (np.arange(s.N) != 1).astype(float)),
    ),
    bug(
        "the first half of the batch",
        "dropped_samples sample_weights",
        single="zero_tensor",
        dy=lambda s: weighted(s, (np.arange(s.N) < s.N // 2).astype(float)),
    ),
    bug(
        "the first sample counts N times",
        "sample_weights",
        single="constant_factor",
        dy=lambda s: weighted(s, np.where(np.arange(s.N) == 0, s.N, 1)),
    ),
    bug(
        "labels two too high",
        "wrong_targets",
        dy=lambda s: s.w * (s.y - np.roll(s.t, 2, axis=1)) / s.N,
    ),
    bug("targets of 2", "wrong_targets", dy=lambda s: s.w * (s.y - 2 * s.t) / s.N),
    bug(
        "softmax of three times the scores",
        "wrong_forward",
        dy=lambda s: s.w * (softmax(3 * s.a2) - s.t) / s.N,
    ),
    bug(
        "softmax of the scores without b2, twice",
        "softmax_twice wrong_forward",
        dy=lambda s: s.w * (softmax(softmax(s.a2 - s.b2)) - s.t) / s.N,
    ),
    bug(
        "columns of W2 moved on the way back",
        "wrong_weights",
        dz=lambda s: s.dy @ np.roll(s.W2, 1, axis=1).T,
    ),
    bug(
        "a step of 1 is returned", "stale_buffer", gradient=after(lambda g, s, n: getattr(s, n) - g)
    ),
    bug(
        "decay of 0.5 in both matrices",
        "weight_decay",
        gradient=after(lambda g, s, n: g + getattr(s, n) / 2, "W1 W2"),
    ),
    bug(
        "b1 is the sum of the largest",
        "bias_reduction",
        db1=lambda s: s.da.max(axis=0),
        single="",
    ),
    bug("b2 of the first sample", "bias_reduction dropped_samples", db2=lambda s: s.dy[0]),
    bug(
        "cut off at a tenth of the largest",
        "clipped",
        gradient=after(lambda g, *_: np.clip(g, -np.abs(g).max() / 10, np.abs(g).max() / 10)),
    ),
    bug(
        "rounded to 3 digits",
        "low_precision",
        gradient=after(
            lambda g, *_: np.array([float(f"{v:.2e}") for v in g.astype(float).ravel()]).reshape(
                g.shape
            )
        ),
    ),
]
"""Those of half precision are rounded to 16 bits besides."""
