"""What people write in place of one stage of the two-layer net's gradient, stage by stage.

A stage that is right gives way to one of these; the rest of the gradient follows from it. So one
table serves every scale and every combination of mistakes in different stages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from oracle.checking.backward import Pass, output_error, sigmoid, softmax
from oracle.findings import FindingKind as Kind
from oracle.values import Array

Stage = Callable[[Pass], Array]


@dataclass(frozen=True)
class Mistake:
    """What stands in place of a stage, its code, a sentence about it and the line that fixes it.

    `compute` returns the wrong stage, which may equal the right one or be infinite on some input.
    """

    name: str
    kind: Kind
    compute: Stage
    message: str
    remedy: str


SLOPE = (
    "Write dA1 = (dY @ W2.T) * z1 * (1 - z1), with dY the derivative of the loss by the scores a2, "
    "and dA1 that by a1 = x @ W1 + b1."
)
ERROR = (
    "Write dY = (y - t) / N: dY is the derivative of the loss by the scores a2, y = softmax(a2)."
)
SOFTMAX = "Write y = exp(a2) / exp(a2).sum(axis=1, keepdims=True), then dY = (y - t) / N."
LABELS = "Write dY = y.copy(); dY[np.arange(N), labels] -= 1; dY /= N."


def _slope(formula: str, compute: Stage, kind: Kind = Kind.WRONG_ACTIVATION_DERIVATIVE) -> Mistake:
    message = (
        f"The hidden layer uses {formula} as the derivative of the sigmoid, which is z1 (1 - z1)"
    )
    return Mistake(f"derivative {formula}", kind, compute, message, SLOPE)


def _rise(z1: Array) -> Array:
    return np.asarray(z1 * (1 - z1))


def _of_the_mean(p: Pass) -> Array:
    return _rise(np.broadcast_to(p.z1.mean(axis=0), p.z1.shape))


SLOPES: tuple[Mistake, ...] = (
    Mistake(
        "no sigmoid derivative",
        Kind.MISSING_ACTIVATION_DERIVATIVE,
        lambda p: np.ones_like(p.z1),
        "The derivative of the sigmoid, z1 (1 - z1), is missing in the hidden layer",
        SLOPE,
    ),
    _slope("sigmoid(z1) (1 - sigmoid(z1))", lambda p: sigmoid(p.z1) * (1 - sigmoid(p.z1))),
    _slope("1 - z1", lambda p: 1 - p.z1),
    _slope("z1", lambda p: p.z1),
    _slope("a1 (1 - a1), before the sigmoid,", lambda p: p.a1 * (1 - p.a1)),
    _slope("1 - z1², that of tanh,", lambda p: 1 - p.z1**2),
    _slope("1 - a1², before the activation,", lambda p: 1 - p.a1**2),
    _slope("1 - tanh(a1)²", lambda p: 1 - np.tanh(p.a1) ** 2),
    _slope("z1² (1 - z1)²", lambda p: (p.z1 * (1 - p.z1)) ** 2),
    _slope("z1 (1 + z1)", lambda p: p.z1 * (1 + p.z1)),
    _slope("z1 (1 - z1²)", lambda p: p.z1 * (1 - p.z1**2)),
    _slope("z1² (1 - z1)", lambda p: p.z1**2 * (1 - p.z1)),
    _slope("[a1 > 0], that of ReLU,", lambda p: (p.a1 > 0).astype(p.z1.dtype)),
    *(
        _slope(
            f"that of a leaky ReLU ({leak} below 0)",
            lambda p, leak=leak: np.where(p.a1 > 0, 1, leak).astype(p.z1.dtype),  # type: ignore[misc]
        )
        for leak in (0.01, 0.1, 0.2)
    ),
    _slope("z1 (1 - a1)", lambda p: p.z1 * (1 - p.a1)),
    _slope("z1 + a1 z1 (1 - z1), that of SiLU,", lambda p: p.z1 + p.a1 * p.z1 * (1 - p.z1)),
    _slope("exp(-a1) / (1 + exp(-2 a1))", lambda p: 1 / (2 * np.cosh(p.a1))),
    _slope("z1 (1 - z1) where a1 > 0", lambda p: p.z1 * (1 - p.z1) * (p.a1 > 0)),
    _slope("z1 (1 - z1) without b1", lambda p: _rise(sigmoid(p.a1 - p.b1))),
    _slope("exp(-a1²)", lambda p: np.exp(-(p.a1**2))),
    _slope("sigmoid(z1)", lambda p: sigmoid(p.z1)),
    _slope("log(1 + exp(a1))", lambda p: np.logaddexp(0, p.a1)),
    _slope("a1", lambda p: p.a1),
    _slope("z1 (1 - z1), averaged over the batch,", _of_the_mean),
    *(
        _slope(
            f"z1 (1 - z1) of the {which} sample",
            lambda p, at=at: _rise(np.broadcast_to(p.z1[at], p.z1.shape)),  # type: ignore[misc]
        )
        for which, at in (("first", 0), ("last", -1))
    ),
)
"""In place of z1 (1 - z1), the derivative of the hidden layer: (N, H)."""


def _output(name: str, kind: Kind, compute: Stage, message: str, remedy: str = ERROR) -> Mistake:
    return Mistake(name, kind, compute, message, remedy)


def _mean(p: Pass, error: Array) -> Array:
    return np.asarray(error / p.y.dtype.type(p.N))


def _through_softmax(p: Pass, g: Array) -> Array:
    return np.asarray(p.y * (g - (g * p.y).sum(axis=1, keepdims=True)))


def _first_row(p: Pass) -> Array:
    error = p.y.copy()
    error[0] -= p.t.sum(axis=0) > 0
    return _mean(p, error)


def _outputs_of(y: Stage) -> Stage:
    return lambda p: output_error(np.asarray(y(p)), p.t, p.delta)


def _targets_of(t: Stage) -> Stage:
    return lambda p: output_error(p.y, np.asarray(t(p)), p.delta)


_J, _T, _F = Kind.SOFTMAX_JACOBIAN, Kind.WRONG_TARGETS, Kind.WRONG_FORWARD

OUTPUTS: tuple[Mistake, ...] = (
    _output(
        "softmax Jacobian missing",
        _J,
        lambda p: _mean(p, -p.t / (p.y + p.y.dtype.type(p.delta or 1e-300))),
        "The derivative of the softmax is missing: dY is the derivative of the loss by y, -t / y",
    ),
    _output(
        "softmax Jacobian, diagonal only",
        _J,
        lambda p: _mean(p, -p.t * (1 - p.y) * (p.y / (p.y + p.y.dtype.type(p.delta)))),
        "Only the diagonal y (1 - y) of the derivative of the softmax is used",
    ),
    _output(
        "squared error's delta (y-t)y(1-y)",
        _J,
        lambda p: _mean(p, (p.y - p.t) * p.y * (1 - p.y)),
        "dY is (y - t) y (1 - y), which belongs to a sigmoid with squared error",
    ),
    _output(
        "squared error's delta times y",
        _J,
        lambda p: _mean(p, (p.y - p.t) * p.y),
        "dY is (y - t) y: the y at the end is too much",
    ),
    _output(
        "squared error through softmax",
        _J,
        lambda p: _through_softmax(p, _mean(p, p.y - p.t)),
        "dY is the derivative of the squared error through the softmax, not of cross-entropy",
    ),
    _output(
        "softmax Jacobian after y - t",
        _J,
        lambda p: _mean(p, (p.y - p.t) * p.t),
        "dY is (y - t) at the label and zero elsewhere: the other classes have no part in it",
    ),
    _output(
        "plus in the softmax Jacobian",
        _J,
        lambda p: _mean(p, -(p.t + p.y * p.t.sum(axis=1, keepdims=True))),
        "dY is (-y - t) / N: a sign in the derivative of the softmax, y (1 - y) and -y y, is wrong",
    ),
    _output(
        "(y-t)(1-y)",
        _J,
        lambda p: _mean(p, (p.y - p.t) * (1 - p.y)),
        "dY is (y - t) (1 - y): the 1 - y at the end is too much",
    ),
    _output(
        "-y off the label",
        _J,
        lambda p: _mean(p, (p.y - p.t) * (2 * p.t - 1)),
        "dY has the wrong sign off the label",
    ),
    _output(
        "y off the label",
        _J,
        lambda p: _mean(p, (p.y - p.t) * (1 - p.t)),
        "dY is y off the label and zero at it",
    ),
    _output(
        "binary cross-entropy's derivative by y",
        _J,
        lambda p: _mean(p, (p.y - p.t) / (p.y * (1 - p.y))),
        "dY is (y - t) / (y (1 - y)), the derivative of the binary cross-entropy by y",
    ),
    _output(
        "binary cross-entropy through softmax",
        _J,
        lambda p: _through_softmax(p, _mean(p, (p.y - p.t) / (p.y * (1 - p.y)))),
        "dY is the derivative of the binary cross-entropy through the softmax",
    ),
    _output(
        "absolute error",
        _J,
        lambda p: _mean(p, np.sign(p.y - p.t)),
        "dY is the sign of y - t, the derivative of the absolute error by y",
    ),
    _output(
        "softmax twice",
        Kind.SOFTMAX_TWICE,
        _outputs_of(lambda p: softmax(p.y)),
        "The softmax is applied twice: dY uses softmax(y)",
        "Write y = softmax(a2), once: a loss that applies the softmax itself wants a2, not y.",
    ),
    _output(
        "softmax three times",
        Kind.SOFTMAX_TWICE,
        _outputs_of(lambda p: softmax(softmax(p.y))),
        "The softmax is applied three times: dY uses softmax(softmax(y))",
        "Write y = softmax(a2), once: a loss that applies the softmax itself wants a2, not y.",
    ),
    _output(
        "softmax twice, differentiated",
        Kind.SOFTMAX_TWICE,
        lambda p: _through_softmax(p, _mean(p, softmax(p.y) - p.t)),
        "The loss applies a second softmax to y, and the gradient goes through both",
        "Give a loss that applies the softmax itself the scores a2, not y.",
    ),
    _output(
        "softmax over the batch axis",
        Kind.SOFTMAX_AXIS,
        _outputs_of(lambda p: softmax(p.a2, 0)),
        "The softmax runs over the samples (axis 0) instead of the classes",
        SOFTMAX,
    ),
    _output(
        "softmax over the whole batch",
        Kind.SOFTMAX_AXIS,
        _outputs_of(lambda p: softmax(p.a2, None)),
        "The softmax divides by the sum over the whole batch instead of each sample's own",
        SOFTMAX,
    ),
    _output(
        "softmax not normalised",
        _F,
        _outputs_of(lambda p: np.exp(p.a2)),
        "y is exp(a2): the division by the sum over the classes is missing",
        SOFTMAX,
    ),
    _output(
        "no softmax",
        _F,
        _outputs_of(lambda p: p.a2),
        "dY uses the scores a2 where y = softmax(a2) belongs",
        SOFTMAX,
    ),
    _output(
        "log-softmax",
        _F,
        lambda p: _mean(p, np.log(p.y) - p.t),
        "dY uses log(y) where y belongs",
        SOFTMAX,
    ),
    _output(
        "exp over its largest",
        _F,
        _outputs_of(lambda p: p.y / p.y.max(axis=1, keepdims=True)),
        "y is divided by its largest entry, not by its sum",
        SOFTMAX,
    ),
    _output(
        "sigmoid outputs in place of softmax",
        _F,
        _outputs_of(lambda p: sigmoid(p.a2)),
        "The outputs are sigmoid(a2) in place of softmax(a2)",
        SOFTMAX,
    ),
    *(
        _output(
            f"softmax of {factor:g} a2",
            _F,
            _outputs_of(lambda p, factor=factor: softmax(p.y.dtype.type(factor) * p.a2)),  # type: ignore[misc]
            f"The softmax is that of {factor:g} a2",
            SOFTMAX,
        )
        for factor in (2.0, 0.5, -1.0)
    ),
    _output(
        "b2 left out of the forward pass",
        _F,
        _outputs_of(lambda p: softmax(p.a2 - p.b2)),
        "b2 is left out of the forward pass",
        "Write a2 = z1 @ W2 + b2.",
    ),
    *(
        _output(
            f"targets: {name}",
            _T,
            _targets_of(of),
            f"The gradient is that of other targets: {name}",
            LABELS,
        )
        for name, of in (
            ("labels one too high", lambda p: np.roll(p.t, 1, axis=1)),
            ("labels one too low", lambda p: np.roll(p.t, -1, axis=1)),
            ("the network's own answer (argmax)", lambda p: p.onehot(p.y.argmax(axis=1))),
            ("the labels of the sample before", lambda p: np.roll(p.t, 1, axis=0)),
            ("the labels of the sample after", lambda p: np.roll(p.t, -1, axis=0)),
            ("the labels in reverse order", lambda p: p.t[::-1]),
            ("the labels in sorted order", lambda p: p.onehot(np.sort(p.t.argmax(axis=1)))),
        )
    ),
    _output(
        "no -1 at the label",
        _T,
        lambda p: _mean(p, p.y),
        "Nothing is subtracted at the labels: dY is y / N",
        LABELS,
    ),
    _output(
        "outer index",
        _T,
        lambda p: _mean(p, p.y - (p.t.sum(axis=0) > 0)),
        "1 is subtracted from the column of every label in every row: dY[:, labels] -= 1",
        LABELS,
    ),
    _output(
        "outer index, counted",
        _T,
        lambda p: _mean(p, p.y - p.t.sum(axis=0)),
        "The targets of the whole batch are subtracted from every row",
        LABELS,
    ),
    _output(
        "first row only",
        _T,
        _first_row,
        "1 is subtracted in the first row only, at every label: dY[0, labels] -= 1",
        LABELS,
    ),
    _output(
        "labels as numbers",
        _T,
        lambda p: _mean(p, p.y - p.t.argmax(axis=1)[:, None]),
        "The label itself is subtracted from every class: labels of shape (N, 1) were broadcast",
        LABELS,
    ),
    _output(
        "focal weight",
        Kind.SAMPLE_WEIGHTS,
        lambda p: p.output_error * (p.y * p.t).sum(axis=1, keepdims=True),
        "Each sample is multiplied by its probability: the loss is -y at the label, without log",
        "Write loss = -np.log(y[np.arange(N), labels] + 1e-7).mean().",
    ),
)
"""In place of dY, the derivative of the loss by the scores a2: (N, K)."""


def _counting(weights: Callable[[Pass], Array]) -> Stage:
    def error(p: Pass) -> Array:
        counted = np.asarray(weights(p), p.y.dtype)
        return np.asarray(p.output_error * counted[:, None])

    return error


def _per_class(p: Pass) -> Array:
    counts = p.t.sum(axis=0).astype(np.float64)
    shares = np.divide(p.N / p.K, counts, out=np.zeros(p.K), where=counts > 0)
    return np.asarray(p.t.astype(np.float64) @ shares)


def _over_those(keep: Callable[[Pass], Array]) -> Callable[[Pass], Array]:
    def weights(p: Pass) -> Array:
        kept = keep(p)
        return np.asarray(kept * (p.N / max(1, int(kept.sum()))))

    return weights


def _sample(message: str, kind: Kind, weights: Callable[[Pass], Array], remedy: str) -> Mistake:
    return Mistake(message, kind, _counting(weights), message, remedy)


ALL_SAMPLES = "Let every row of the batch count, and add the rows: dW += ..."
SAMPLES: tuple[Mistake, ...] = (
    *(
        _sample(text, Kind.DROPPED_SAMPLES, weights, ALL_SAMPLES)
        for message, keep in (
            ("The last sample has no part in the gradient", lambda p: np.arange(p.N) < p.N - 1),
            ("The first sample has no part in the gradient", lambda p: np.arange(p.N) > 0),
            ("The last sample alone makes the gradient", lambda p: np.arange(p.N) == p.N - 1),
            ("The first sample alone makes the gradient", lambda p: np.arange(p.N) == 0),
            (
                "Samples of class 0 have no part in the gradient",
                lambda p: p.t.argmax(axis=1) != 0,
            ),
            (
                "Samples that are classified rightly have no part in the gradient",
                lambda p: p.y.argmax(axis=1) != p.t.argmax(axis=1),
            ),
        )
        for text, weights in (
            (message, keep),
            (f"{message}, and the mean is over what is left", _over_those(keep)),
        )
    ),
    _sample(
        "Each class has the same weight, however many samples it has",
        Kind.SAMPLE_WEIGHTS,
        _per_class,
        "Give every sample the weight 1 / N, if none is meant.",
    ),
    _sample(
        "The last sample counts twice",
        Kind.SAMPLE_WEIGHTS,
        lambda p: 1 + (np.arange(p.N) == p.N - 1),
        "Give every sample the weight 1 / N, if none is meant.",
    ),
)
"""In place of dY: other weights of the samples, known ones, which no equation is needed to fit."""


@dataclass(frozen=True)
class Inputs:
    """What stands in place of x or z1 in x.T @ dA1 or z1.T @ dY."""

    tensor: str
    name: str
    compute: Callable[[Pass], Array]


INPUTS: tuple[Inputs, ...] = (
    Inputs("W2", "a1, before the sigmoid", lambda p: p.a1),
    Inputs("W2", "ReLU(a1)", lambda p: np.maximum(p.a1, 0)),
    Inputs("W2", "tanh(a1)", lambda p: np.tanh(p.a1)),
    Inputs("W2", "z1 (1 - z1), the derivative,", lambda p: p.z1 * (1 - p.z1)),
    Inputs("W2", "1 - z1", lambda p: 1 - p.z1),
    Inputs("W2", "z1²", lambda p: p.z1**2),
    Inputs("W2", "sigmoid(z1)", lambda p: sigmoid(p.z1)),
    Inputs("W2", "sigmoid(x @ W1), without b1,", lambda p: sigmoid(p.a1 - p.b1)),
    Inputs("W1", "x²", lambda p: p.x**2),
    Inputs("W1", "x minus its mean", lambda p: p.x - p.x.mean()),
    Inputs("W1", "x minus the mean of each input", lambda p: p.x - p.x.mean(axis=0)),
    Inputs("W1", "[x > 0]", lambda p: (p.x > 0).astype(p.x.dtype)),
    Inputs("W1", "1 - x", lambda p: 1 - p.x),
    Inputs("W1", "sigmoid(x)", lambda p: sigmoid(p.x)),
    *(
        Inputs(tensor, f"{name} {what}", lambda p, name=name, of=of: of(getattr(p, name)))  # type: ignore[misc]
        for tensor, name in (("W1", "x"), ("W2", "z1"))
        for what, of in (
            ("of the sample before", lambda rows: np.roll(rows, 1, axis=0)),
            ("of the sample after", lambda rows: np.roll(rows, -1, axis=0)),
            ("in reverse order", lambda rows: rows[::-1]),
            ("of the first sample only", lambda rows: np.broadcast_to(rows[:1], rows.shape)),
            ("of the last sample only", lambda rows: np.broadcast_to(rows[-1:], rows.shape)),
            (
                "averaged over the batch",
                lambda rows: np.broadcast_to(rows.mean(axis=0, keepdims=True), rows.shape),
            ),
        )
    ),
)
"""In place of the inputs of a layer in the gradient of its weights."""


def _cut(sums: Array, error: Array) -> Array:
    """Return as many sums as the error has units, 0 where there are fewer samples."""
    cut = np.zeros(error.shape[1], dtype=error.dtype)
    cut[: len(sums)] = sums[: len(cut)]
    return cut


REDUCTIONS: tuple[tuple[str, Callable[[Array], Array]], ...] = (
    ("the mean over the samples", lambda e: e.mean(axis=0)),
    ("the last sample only", lambda e: e[-1]),
    ("the first sample only", lambda e: e[0]),
    ("the sum over samples and units", lambda e: e.sum()),
    ("the mean over samples and units", lambda e: e.mean()),
    ("the largest over the samples", lambda e: e.max(axis=0)),
    ("the sum of absolute values", lambda e: np.abs(e).sum(axis=0)),
    ("the sum over the units, one value per sample", lambda e: e.sum(axis=1)),
    # A loop over a plain buffer meets no shape that would stop it.
    ("the first sums over the units", lambda e: _cut(e.sum(axis=1), e)),
    ("row-major sums of the column-major memory", lambda e: e.ravel("F").reshape(e.shape).sum(0)),
    ("column-major sums of the row-major memory", lambda e: e.reshape(e.T.shape).sum(axis=1)),
)
"""In place of the sum over the samples, axis 0, in the gradient of a bias."""


def other_forwards(p: Pass) -> Iterator[tuple[str, str, Pass, Array]]:
    """Yield other forward passes: what they do, what is right, and the pass with its slope."""
    right = "Write z1 = sigmoid(x @ W1 + b1), with the x that is checked."
    relu, tanh = np.maximum(p.a1, 0), np.tanh(p.a1)
    one = p.a1.dtype.type(1)
    hard = np.clip(p.a1 / 5 + one / 2, 0, 1)
    quick = sigmoid(2 * p.a1)
    activations = (
        ("ReLU", relu, (p.a1 > 0).astype(p.a1.dtype)),
        ("tanh", tanh, 1 - tanh**2),
        ("no function at all", p.a1, np.ones_like(p.a1)),
        ("softplus", np.logaddexp(0, p.a1), p.z1),
        ("1 - sigmoid", 1 - p.z1, -p.z1 * (1 - p.z1)),
        ("sigmoid(2 a1)", quick, 2 * quick * (1 - quick)),
        ("softsign", p.a1 / (1 + np.abs(p.a1)), 1 / (1 + np.abs(p.a1)) ** 2),
        ("sigmoid(sigmoid(a1))", again := sigmoid(p.z1), again * (1 - again) * _rise(p.z1)),
        ("a hard sigmoid", hard, ((hard > 0) & (hard < 1)) * (one / 5)),
        *(
            (
                f"a leaky ReLU ({k} below 0)",
                np.where(p.a1 > 0, 1, k) * p.a1,
                np.where(p.a1 > 0, 1, k),
            )
            for k in (0.01, 0.1, 0.2)
        ),
    )
    for name, z1, slope in activations:
        other = _with_hidden(p, p.x, p.a1, z1.astype(p.a1.dtype))
        text = f"The hidden activation is {name} in place of the sigmoid"
        yield text, right, other, slope.astype(p.a1.dtype)
        text = f"The forward pass uses {name}, the backward pass the sigmoid's formula"
        yield text, right, other, z1 * (1 - z1)
        text = f"The forward pass uses {name}, the backward pass the sigmoid"
        yield text, right, other, p.z1 * (1 - p.z1)
    for text, a1, bias in (
        ("b1 is left out of the forward pass", p.a1 - p.b1, p.b2),
        ("b1 is added twice in the forward pass", p.a1 + p.b1, p.b2),
        ("b1 is subtracted in the forward pass", p.a1 - 2 * p.b1, p.b2),
        ("b1 and b2 are left out of the forward pass", p.a1 - p.b1, 0 * p.b2),
    ):
        z1 = sigmoid(a1)
        other = _with_hidden(replace(p, b2=bias), p.x, a1, z1)
        yield text, right, other, z1 * (1 - z1)
    for text, x in other_inputs(p.x):
        a1 = x @ p.W1 + p.b1
        z1 = sigmoid(a1)
        yield f"The inputs {text}", right, _with_hidden(p, x, a1, z1), z1 * (1 - z1)


def other_inputs(x: Array) -> Iterator[tuple[str, Array]]:
    """Yield what people do to the inputs beforehand: the end of a sentence about them, and they."""
    spread, each, half = x.std(), x.std(axis=0), x.dtype.type(0.5)
    for text, used in (
        ("were divided by 255", x / 255),
        ("were multiplied by 255", x * 255),
        ("were halved", x / 2),
        ("were moved to 2 x - 1", 2 * x - 1),
        ("were moved to x - 0.5", x - half),
        ("had their mean taken off", x - x.mean()),
        ("had the mean of each taken off", x - x.mean(axis=0)),
        ("were standardised", (x - x.mean()) / (spread + (spread == 0))),
        ("were standardised one by one", (x - x.mean(axis=0)) / (each + (each == 0))),
    ):
        yield text, used.astype(x.dtype)


def _with_hidden(p: Pass, x: Array, a1: Array, z1: Array) -> Pass:
    a2 = z1 @ p.W2 + p.b2
    return replace(p, x=x, a1=a1, z1=z1, a2=a2, y=softmax(a2))
