"""Wrong gradients of the two-layer net, as people have written them, each with its right names.

Every one is a pure function of a forward pass. It returns None where the shapes or the batch cannot
show it. `named` holds the codes that name it rightly, the best first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from oracle.checking.backward import Pass, backward, output_error, sigmoid, softmax
from oracle.findings import FindingKind as Kind
from oracle.values import Array

Compute = Callable[[Pass], "dict[str, Array] | None"]


@dataclass(frozen=True)
class WrongGradient:
    """A wrong gradient with a name, a sentence about it and the line that mends it."""

    name: str
    named: tuple[Kind, ...]
    compute: Compute
    message: str = ""
    remedy: str = ""


def _derivative(of: Callable[[Pass], Array]) -> Compute:
    return lambda p: backward(p, derivative=of(p))


def _output(of: Callable[[Pass], Array]) -> Compute:
    return lambda p: backward(p, output=of(p))


def _targets(of: Callable[[Pass], Array]) -> Compute:
    return lambda p: backward(p, output=output_error(p.y, of(p), p.delta))


def _shifted(by: int) -> Callable[[Pass], Array]:
    return lambda p: np.roll(p.t, by, axis=1)


def _probabilities(of: Callable[[Pass], Array]) -> Compute:
    return lambda p: backward(p, output=(of(p) - p.t) / p.y.dtype.type(p.N))


def _hidden_error(p: Pass) -> Array:
    return np.asarray(p.output_error @ p.W2.T * p.z1 * (1 - p.z1))


def _reduced(reduce: Callable[[Array], Array], names: tuple[str, ...]) -> Compute:
    def compute(p: Pass) -> dict[str, Array]:
        errors = {"b1": _hidden_error(p), "b2": p.output_error}
        right = backward(p)
        return right | {n: np.broadcast_to(reduce(errors[n]), right[n].shape) for n in names}

    return compute


def _square(p: Pass) -> dict[str, Array] | None:
    return backward(p, weights=p.W2.T) if p.W2.shape[0] == p.W2.shape[1] else None


def _kept(keep: Callable[[int], slice], *, mean_of_all: bool) -> Compute:
    def compute(p: Pass) -> dict[str, Array]:
        weight = np.zeros((p.N, 1), dtype=p.y.dtype)
        weight[keep(p.N)] = 1
        scale = 1 if mean_of_all else p.y.dtype.type(p.N / max(1.0, float(weight.sum())))
        return backward(p, output=p.output_error * weight * scale)

    return compute


def _mean_squared(p: Pass) -> Array:
    return np.asarray((p.y - p.t) * p.y * (1 - p.y) / p.N)


def _mean_squared_jacobian(p: Pass) -> Array:
    g = (p.y - p.t) / p.N
    return np.asarray(p.y * (g - (g * p.y).sum(axis=1, keepdims=True)))


_SIGMOID = "dA = (dY W2^T) * z1 * (1 - z1), with z1 = sigmoid(x W1 + b1)"
_SOFTMAX = "dY = (y - t) / N for softmax and cross-entropy together"
_BIAS = "db = dA.sum(axis=0): the sum over the samples, one value per unit"
_REDUCTIONS: tuple[tuple[str, Callable[[Array], Array]], ...] = (
    ("the mean over the samples", lambda e: e.mean(axis=0)),
    ("the last sample only", lambda e: e[-1]),
    ("the first sample only", lambda e: e[0]),
    ("the total over samples and units", lambda e: e.sum()),
    ("the mean over samples and units", lambda e: e.mean()),
)

MISSING, WRONG = Kind.MISSING_ACTIVATION_DERIVATIVE, Kind.WRONG_ACTIVATION_DERIVATIVE
LIBRARY: tuple[WrongGradient, ...] = (
    WrongGradient(
        "no sigmoid derivative",
        (MISSING,),
        _derivative(lambda p: np.ones_like(p.z1)),
        "The derivative of the sigmoid is missing in the hidden layer.",
        _SIGMOID,
    ),
    *(
        WrongGradient(
            f"derivative {formula}",
            (WRONG,),
            _derivative(of),
            f"The derivative of the hidden layer is taken as {formula} in place of z(1-z).",
            _SIGMOID,
        )
        for formula, of in (
            ("σ(z)(1-σ(z)), the sigmoid twice", lambda p: sigmoid(p.z1) * (1 - sigmoid(p.z1))),
            ("1-z", lambda p: 1 - p.z1),
            ("z", lambda p: p.z1),
            ("a(1-a), before the sigmoid", lambda p: p.a1 * (1 - p.a1)),
            ("1-z², that of tanh", lambda p: 1 - p.z1 * p.z1),
            ("z²(1-z)²", lambda p: (p.z1 * (1 - p.z1)) ** 2),
            ("[a > 0], that of ReLU", lambda p: (p.a1 > 0).astype(p.z1.dtype)),
        )
    ),
    WrongGradient(
        "softmax Jacobian missing",
        (Kind.SOFTMAX_JACOBIAN,),
        _output(lambda p: -p.t / (p.y + p.y.dtype.type(p.delta or 1e-300)) / p.N),
        "The derivative of the softmax is missing: the derivative of the loss by y went on as dY.",
        _SOFTMAX,
    ),
    WrongGradient(
        "softmax Jacobian, diagonal only",
        (Kind.SOFTMAX_JACOBIAN,),
        _output(lambda p: -p.t * (1 - p.y) * (p.y / (p.y + p.y.dtype.type(p.delta))) / p.N),
        "Only the diagonal y(1-y) of the softmax's Jacobian is used.",
        _SOFTMAX,
    ),
    WrongGradient(
        "squared error's delta (y-t)y(1-y)",
        (Kind.SOFTMAX_JACOBIAN,),
        _output(_mean_squared),
        "dY is (y-t)y(1-y), that of a sigmoid with squared error.",
        _SOFTMAX,
    ),
    WrongGradient(
        "squared error through softmax",
        (Kind.SOFTMAX_JACOBIAN,),
        _output(_mean_squared_jacobian),
        "dY is the derivative of the squared error through the softmax, not of cross-entropy.",
        _SOFTMAX,
    ),
    WrongGradient(
        "softmax twice",
        (Kind.SOFTMAX_TWICE,),
        _probabilities(lambda p: softmax(p.y)),
        "dY uses softmax(y): the softmax is applied twice.",
        "y = softmax(a2), once; dY = (y - t) / N",
    ),
    WrongGradient(
        "softmax over the batch axis",
        (Kind.SOFTMAX_AXIS,),
        _probabilities(lambda p: softmax(p.a2, 0)),
        "The softmax runs over the samples (axis 0).",
        "y = exp(a2) / exp(a2).sum(axis=1, keepdims=True)",
    ),
    WrongGradient(
        "softmax over the whole batch",
        (Kind.SOFTMAX_AXIS,),
        _probabilities(lambda p: softmax(p.a2, None)),
        "The softmax runs over the whole batch.",
        "y = exp(a2) / exp(a2).sum(axis=1, keepdims=True)",
    ),
    WrongGradient(
        "sigmoid outputs in place of softmax",
        (Kind.SOFTMAX_JACOBIAN,),
        _probabilities(lambda p: sigmoid(p.a2)),
        "dY uses sigmoid(a2) in place of softmax(a2).",
        "y = softmax(a2)",
    ),
    *(
        WrongGradient(
            f"targets: {name}",
            (Kind.WRONG_TARGETS,),
            _targets(of),
            f"The gradient is that of other targets: {name}.",
            "dY[n, t[n]] = (y[n, t[n]] - 1) / N, elsewhere y / N",
        )
        for name, of in (
            ("labels one too high", _shifted(1)),
            ("labels one too low", _shifted(-1)),
            ("the network's own answer (argmax)", lambda p: p.onehot(p.y.argmax(axis=1))),
            ("the labels of the sample before", lambda p: np.roll(p.t, 1, axis=0)),
            ("the labels of the sample after", lambda p: np.roll(p.t, -1, axis=0)),
            ("the labels in reverse order", lambda p: p.t[::-1]),
        )
    ),
    WrongGradient(
        "no -1 at the label",
        (Kind.WRONG_TARGETS,),
        _output(lambda p: p.y / p.N),
        "Nothing is subtracted at the labels: dY = y / N.",
        "dY = (y - t) / N",
    ),
    WrongGradient(
        "outer index",
        (Kind.WRONG_TARGETS,),
        _output(lambda p: (p.y - (p.t.sum(axis=0) > 0)) / p.N),
        "1 is subtracted from the column of every label in every row: dY[:, t] -= 1.",
        "dY[np.arange(N), t] -= 1",
    ),
    WrongGradient(
        "outer index, counted",
        (Kind.WRONG_TARGETS,),
        _output(lambda p: (p.y - p.t.sum(axis=0)) / p.N),
        "The targets of the whole batch are subtracted from every row.",
        "dY[np.arange(N), t] -= 1",
    ),
    *(
        WrongGradient(
            f"{' and '.join(names)}: {text}",
            (Kind.BIAS_REDUCTION,),
            _reduced(reduce, names),
            f"{' and '.join(names)} hold {text}, in place of the sum over the samples.",
            _BIAS,
        )
        for text, reduce in _REDUCTIONS
        for names in (("b1", "b2"), ("b1",), ("b2",))
    ),
    WrongGradient(
        "W2 not transposed",
        (Kind.WRONG_WEIGHTS,),
        _square,
        "The error is sent back through W2 where W2^T belongs.",
        "dA = (dY W2^T) * z1 * (1 - z1)",
    ),
    *(
        WrongGradient(
            name,
            (Kind.DROPPED_SAMPLES,),
            compute,
            f"Samples have no part in the gradient: {name}.",
            "dW = X^T dA over every row of the batch",
        )
        for name, compute in (
            ("the last sample only", _kept(lambda n: slice(n - 1, n), mean_of_all=False)),
            ("the last sample only, over N", _kept(lambda n: slice(n - 1, n), mean_of_all=True)),
            ("the first sample only", _kept(lambda _: slice(0, 1), mean_of_all=False)),
            ("the last sample is left out", _kept(lambda n: slice(0, n - 1), mean_of_all=True)),
            ("the last is left out of N too", _kept(lambda n: slice(0, n - 1), mean_of_all=False)),
            ("the first sample is left out", _kept(lambda n: slice(1, n), mean_of_all=True)),
        )
    ),
)
"""Those without a free number: the diagnosis tries each."""


def _scaled(factor: Callable[[Pass], float], names: tuple[str, ...] | None = None) -> Compute:
    def compute(p: Pass) -> dict[str, Array]:
        right = backward(p)
        return {
            n: g * g.dtype.type(factor(p)) if names is None or n in names else g
            for n, g in right.items()
        }

    return compute


def _changed(change: Callable[[Pass, dict[str, Array]], dict[str, Array]]) -> Compute:
    def compute(p: Pass) -> dict[str, Array]:
        right = backward(p)
        return right | change(p, right)

    return compute


def _one_entry(_: Pass, g: dict[str, Array]) -> dict[str, Array]:
    changed = g["W1"].copy()
    changed[-1, 0] += np.abs(g["W1"]).max()
    return {"W1": changed}


def _weights(p: Pass) -> Array:
    return np.asarray(1 + np.arange(p.N) % 3, dtype=p.y.dtype)[:, None]


def _narrow(dtype: str) -> Compute:
    def compute(p: Pass) -> dict[str, Array] | None:
        if p.y.dtype.itemsize <= np.dtype(dtype).itemsize:
            return None
        fields = {n: getattr(p, n).astype(dtype) for n in ("x", "t", "W1", "W2", "b1", "b2")}
        z1 = sigmoid(fields["x"] @ fields["W1"] + fields["b1"])
        a1 = fields["x"] @ fields["W1"] + fields["b1"]
        a2 = z1 @ fields["W2"] + fields["b2"]
        narrow = Pass(**fields, a1=a1, z1=z1, a2=a2, y=softmax(a2), delta=p.delta)
        return {n: g.astype(p.y.dtype) for n, g in backward(narrow).items()}

    return compute


def _smoothed(p: Pass) -> Array:
    return np.asarray(p.t * p.y.dtype.type(0.9) + p.y.dtype.type(0.1 / p.K))


def _last(p: Pass) -> Array:
    return np.asarray(np.arange(p.N) == p.N - 1, dtype=p.y.dtype)[:, None]


_FACTOR = (Kind.CONSTANT_FACTOR,)
_NARROW = (Kind.LOW_PRECISION, Kind.DELTA_IGNORED)
FREE: tuple[WrongGradient, ...] = (
    WrongGradient("sum over the batch", (Kind.MISSING_BATCH_MEAN,), _scaled(lambda p: p.N)),
    WrongGradient(
        "mean taken twice",
        (Kind.EXTRA_BATCH_MEAN, Kind.CONSTANT_FACTOR),
        _scaled(lambda p: 1 / p.N),
    ),
    WrongGradient("sign", (Kind.SIGN_FLIPPED,), _scaled(lambda _: -1)),
    WrongGradient("twice", (*_FACTOR, Kind.ACCUMULATED), _scaled(lambda _: 2)),
    WrongGradient("half", _FACTOR, _scaled(lambda _: 0.5)),
    WrongGradient("log10", _FACTOR, _scaled(lambda _: 1 / np.log(10))),
    WrongGradient("mean over classes too", _FACTOR, _scaled(lambda p: 1 / p.K)),
    WrongGradient("b1 sign", (Kind.TENSOR_FACTOR,), _scaled(lambda _: -1, ("b1",))),
    WrongGradient("W2 twice", (Kind.TENSOR_FACTOR,), _scaled(lambda _: 2, ("W2",))),
    WrongGradient("W1, b1 thrice", (Kind.TENSOR_FACTOR,), _scaled(lambda _: 3, ("W1", "b1"))),
    WrongGradient("b1 zero", (Kind.ZERO_TENSOR,), _scaled(lambda _: 0, ("b1",))),
    WrongGradient("all zero", (Kind.ZERO_TENSOR,), _scaled(lambda _: 0)),
    WrongGradient("layer 2 sign", (Kind.TENSOR_FACTOR,), _scaled(lambda _: -1, ("W2", "b2"))),
    WrongGradient("layer 1 zero", (Kind.ZERO_TENSOR,), _scaled(lambda _: 0, ("W1", "b1"))),
    WrongGradient(
        "column-major buffers",
        (Kind.TRANSPOSED,),
        _changed(lambda _, g: {n: g[n].T.reshape(g[n].shape) for n in ("W1", "W2")}),
    ),
    WrongGradient(
        "rows of W1 reversed", (Kind.PERMUTED,), _changed(lambda _, g: {"W1": g["W1"][::-1]})
    ),
    WrongGradient(
        "columns of W2 rolled",
        (Kind.PERMUTED,),
        _changed(lambda _, g: {"W2": np.roll(g["W2"], 1, 1), "b2": np.roll(g["b2"], 1)}),
    ),
    WrongGradient(
        "weight decay",
        (Kind.WEIGHT_DECAY,),
        _changed(lambda p, g: {"W1": g["W1"] + p.W1 / 8, "W2": g["W2"] + p.W2 / 8}),
    ),
    WrongGradient(
        "W2 updated before layer 1",
        (Kind.WRONG_WEIGHTS,),
        lambda p: backward(p, weights=p.W2 - p.W2.dtype.type(0.1) * backward(p)["W2"]),
    ),
    WrongGradient(
        "sample weights",
        (Kind.SAMPLE_WEIGHTS,),
        _output(lambda p: p.output_error * _weights(p)),
    ),
    WrongGradient("label smoothing", (Kind.WRONG_TARGETS,), _targets(_smoothed)),
    WrongGradient("one wrong entry", (Kind.SINGLE_ENTRIES,), _changed(_one_entry)),
    WrongGradient(
        "W2 holds the weights",
        (Kind.STALE_BUFFER,),
        _changed(lambda p, _: {"W2": p.W2}),
    ),
    WrongGradient(
        "W1 overwritten sample by sample",
        (Kind.DROPPED_SAMPLES,),
        _changed(lambda p, _: {"W1": backward(p, output=p.output_error * _last(p))["W1"]}),
    ),
    WrongGradient(
        "W2 with noise on the way back",
        (Kind.WRONG_WEIGHTS,),
        lambda p: backward(
            p,
            weights=p.W2
            * (1 + np.sin(np.arange(p.W2.size))).reshape(p.W2.shape).astype(p.W2.dtype),
        ),
    ),
    WrongGradient("float32 inside", _NARROW, _narrow("float32")),
    WrongGradient("float16 inside", _NARROW, _narrow("float16")),
)
"""Those that the diagnosis finds by fitting a number, or without knowing the network."""

WRONG_GRADIENTS = LIBRARY + FREE


def _sample_by_sample(p: Pass) -> dict[str, Array]:
    total = {n: np.zeros_like(g) for n, g in backward(p).items()}
    for n in reversed(range(p.N)):
        row = p.output_error[n : n + 1]
        dA = row @ p.W2.T * (p.z1[n] * (1 - p.z1[n]))
        part = {
            "W1": p.x[n : n + 1].T @ dA,
            "b1": dA[0],
            "W2": p.z1[n : n + 1].T @ row,
            "b2": row[0],
        }
        total = {name: total[name] + part[name] for name in total}
    return total


def _reversed_batch(p: Pass) -> dict[str, Array]:
    dY = p.output_error[::-1]
    dA = dY @ p.W2.T * (p.z1 * (1 - p.z1))[::-1]
    return {
        "W1": p.x[::-1].T @ dA,
        "b1": dA.sum(axis=0),
        "W2": p.z1[::-1].T @ dY,
        "b2": dY.sum(axis=0),
    }


def _mean_last(p: Pass) -> dict[str, Array]:
    count = p.y.dtype.type(p.N)
    return {n: g / count for n, g in backward(p, output=p.output_error * count).items()}


CORRECT_GRADIENTS: tuple[tuple[str, Callable[[Pass], dict[str, Array]]], ...] = (
    ("matrix products", backward),
    ("sample by sample", _sample_by_sample),
    ("batch in reverse", _reversed_batch),
    ("mean at the end", _mean_last),
    ("derivative as z - z²", lambda p: backward(p, derivative=p.z1 - p.z1 * p.z1)),
)
"""The right gradient in several orders of summation."""
