"""More wrong backward passes: what is returned, and the arithmetic."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from tests.meta.held_out import STEPS, after, backward, bug, sigmoid, tensors


def zeroed(array, index):
    array = array.copy()
    array[index] = 0
    return array


def narrow(dtype):
    """The whole pass in a narrower type, widened at the end."""

    def gradient(s):
        wrong = backward(tensors(s, dtype), s.x.astype(dtype), s.labels, s.delta)
        return {n: g.astype(s.x.dtype) for n, g in wrong.items()}

    return gradient


def measured(step, *, both_sides):
    """A numerical gradient in place of the analytic one."""

    def gradient(s):
        parameters, x = tensors(s, np.float64), s.x.astype(np.float64)

        def loss():
            a2 = (
                sigmoid(x @ parameters["W1"] + parameters["b1"]) @ parameters["W2"]
                + parameters["b2"]
            )
            y = np.exp(a2 - a2.max(axis=1, keepdims=True))
            y /= y.sum(axis=1, keepdims=True)
            return -np.log(y[np.arange(s.N), s.labels] + (s.delta or 1e-300)).mean()

        slopes = {}
        for name, a in parameters.items():
            slopes[name] = np.zeros_like(a)
            for i in np.ndindex(a.shape):
                kept = a[i]
                a[i] = kept + step
                above = loss()
                a[i] = kept - step if both_sides else kept
                slopes[name][i] = (above - loss()) / (2 * step if both_sides else step)
                a[i] = kept
        return slopes

    return gradient


RETURNED = [
    bug(
        "W1 is written in column-major order",
        "transposed",
        gradient=after(lambda g, *_: g.T.reshape(g.shape), "W1"),
    ),
    bug(
        "both matrices are written in column-major order",
        "transposed",
        gradient=after(lambda g, *_: g.ravel(order="F").reshape(g.shape), "W1 W2"),
    ),
    bug("W2 is transposed", "transposed shape_mismatch", gradient=after(lambda g, *_: g.T, "W2")),
    bug(
        "the two matrices are exchanged",
        "swapped_tensors shape_mismatch",
        gradient=lambda s: {"W1": s.dW2, "b1": s.db1, "W2": s.dW1, "b2": s.db2},
    ),
    bug(
        "the two layers are exchanged",
        "swapped_tensors shape_mismatch",
        gradient=lambda s: {"W1": s.dW2, "b1": s.db2, "W2": s.dW1, "b2": s.db1},
    ),
    bug("rows of W1 are reversed", "permuted", gradient=after(lambda g, *_: g[::-1], "W1")),
    bug(
        "classes are in another order",
        "permuted",
        gradient=after(lambda g, *_: np.roll(g, 1, axis=-1), "W2 b2"),
    ),
    bug(
        "hidden units are reversed",
        "permuted",
        gradient=after(lambda g, *_: g[..., ::-1], "W1 b1"),
    ),
    bug(
        "a tensor is sorted",
        "permuted",
        gradient=after(lambda g, *_: np.sort(g, axis=None).reshape(g.shape), "W2"),
    ),
    bug("W1 is never written", "zero_tensor", gradient=after(lambda g, *_: 0 * g, "W1")),
    bug("layer 1 is detached", "zero_tensor", dz=lambda s: np.zeros_like(s.z)),
    bug("all are zero", "zero_tensor", gradient=after(lambda g, *_: np.zeros_like(g))),
    bug(
        "the weights in place of their gradient",
        "stale_buffer",
        gradient=after(lambda _g, s, n: getattr(s, n), "W1"),
    ),
    bug(
        "all parameters in place of the gradient",
        "stale_buffer zero_tensor",
        gradient=after(lambda _g, s, n: getattr(s, n)),
    ),
    bug(
        "the parameters after the step",
        "stale_buffer weight_decay sign_flipped constant_factor",
        gradient=after(lambda g, s, n: getattr(s, n) - 0.1 * g),
    ),
    bug(
        "weight decay in W1",
        "weight_decay",
        gradient=after(lambda g, s, n: g + 0.01 * getattr(s, n), "W1"),
    ),
    bug(
        "weight decay in both matrices",
        "weight_decay",
        gradient=after(lambda g, s, n: g + 0.2 * getattr(s, n), "W1 W2"),
    ),
    bug(
        "small weight decay everywhere",
        "weight_decay",
        gradient=after(lambda g, s, n: g + 5e-4 * getattr(s, n)),
    ),
    bug(
        "weight decay is subtracted",
        "weight_decay",
        gradient=after(lambda g, s, n: g - 0.05 * getattr(s, n)),
    ),
    bug(
        "the signs of the weights are added",
        "weight_decay",
        gradient=after(lambda g, s, n: g + 0.01 * np.sign(getattr(s, n))),
    ),
    bug(
        "the moving average starts at zero",
        "constant_factor",
        gradient=after(lambda g, *_: g * 0.1),
    ),
    bug(
        "momentum of the batch before",
        "accumulated stale_buffer",
        gradient=lambda s: {
            n: g + 0.9 * backward(tensors(s), s.earlier, s.labels, s.delta)[n]
            for n, g in STEPS["gradient"](s).items()
        },
    ),
    bug(
        "only W2 is accumulated",
        "tensor_factor accumulated",
        gradient=after(lambda g, *_: g + g, "W2"),
    ),
    bug(
        "the gradient of the batch before",
        "stale_buffer wrong_inputs",
        gradient=lambda s: backward(tensors(s), s.earlier, s.labels, s.delta),
    ),
    bug(
        "the step of Adam",
        "clipped",
        gradient=after(lambda g, s, *_: (g / (abs(g) + 1e-8)).astype(s.x.dtype)),
    ),
    bug(
        "one entry twice",
        "single_entries",
        gradient=after(
            lambda g, *_: (
                g + g * (np.arange(g.size) == g.size // 2).reshape(g.shape).astype(g.dtype)
            ),
            "W1",
        ),
    ),
    bug(
        "the last column of W1 is not written",
        "single_entries",
        gradient=after(lambda g, *_: zeroed(g, (slice(None), -1)), "W1"),
    ),
    bug(
        "the first entry of b2 is not written",
        "single_entries",
        gradient=after(lambda g, *_: zeroed(g, 0), "b2"),
    ),
    bug(
        "three entries were overwritten",
        "single_entries",
        gradient=after(
            lambda g, *_: (
                g + (np.arange(g.size) % (g.size // 3 + 1) == 1).reshape(g.shape).astype(g.dtype)
            ),
            "W2",
        ),
    ),
    bug("NaN in b1", "not_finite", gradient=after(lambda g, *_: g * float("nan"), "b1")),
    bug(
        "infinity in one entry",
        "not_finite",
        gradient=after(
            lambda g, *_: g + np.where(np.arange(g.size).reshape(g.shape) == 2, np.inf, 0), "W2"
        ),
    ),
    bug(
        "exp without the shift",
        "not_finite",
        y=lambda s: (
            np.exp(4 * s.a2) ** 0.25 / (np.exp(4 * s.a2) ** 0.25).sum(axis=1, keepdims=True)
        ),
    ),
    bug("a flat vector", "shape_mismatch", gradient=after(lambda g, *_: g.ravel(), "W1")),
]

ARITHMETIC = [
    bug(
        "one tensor of another type",
        "dtype_mismatch low_precision",
        gradient=after(
            lambda g, *_: g.astype(np.float32 if g.dtype != np.float32 else np.float64), "W1"
        ),
    ),
    bug(
        "truncated to integers",
        "zero_tensor low_precision",
        gradient=after(lambda g, *_: np.trunc(g)),
    ),
    bug(
        "stored as float16",
        "low_precision",
        gradient=after(lambda g, *_: g.astype(np.float16).astype(g.dtype)),
    ),
    bug(
        "stored as bfloat16",
        "low_precision",
        gradient=after(lambda g, *_: g.astype(ml_dtypes.bfloat16).astype(g.dtype)),
    ),
    bug("computed in float32", "low_precision", gradient=narrow(np.float32)),
    bug("computed in float16", "low_precision", gradient=narrow(np.float16)),
    bug(
        "printed with four decimals",
        "low_precision",
        gradient=after(lambda g, *_: np.round(g.astype(np.float64), 4)),
    ),
    bug(
        "printed with %.5g",
        "low_precision",
        gradient=after(
            lambda g, *_: np.array([float(f"{v:.5g}") for v in g.ravel().astype(float)]).reshape(
                g.shape
            )
        ),
    ),
    bug(
        "activations kept in float16",
        "low_precision",
        z=lambda s: sigmoid(s.a1).astype(np.float16).astype(s.x.dtype),
    ),
    bug("one-sided differences", "low_precision", gradient=measured(1e-4, both_sides=False)),
    bug("the document's differences", "low_precision", gradient=measured(1e-4, both_sides=True)),
    bug(
        "differences with a step of 1e-10",
        "low_precision",
        gradient=measured(1e-10, both_sides=True),
    ),
    bug(
        "quantised to 8 bits",
        "low_precision",
        gradient=after(lambda g, *_: np.round(g / abs(g).max() * 127) / 127 * abs(g).max()),
    ),
    bug(
        "a coarse table of the sigmoid",
        "low_precision wrong_forward",
        z=lambda s: sigmoid(np.round(s.a1 * 100) / 100).astype(s.x.dtype),
    ),
]
