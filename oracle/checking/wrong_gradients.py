"""Wrong gradients of the two-layer net, as people have written them, each with its right names.

Every one is a pure function of a forward pass. It returns None where the shapes or the batch cannot
show it. `named` holds the codes that name it rightly, the best first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from oracle.checking.backward import (
    Pass,
    backward,
    forward,
    output_error,
    product,
    sigmoid,
    softmax,
)
from oracle.checking.mistakes import (
    INPUTS,
    OUTPUTS,
    REDUCTIONS,
    SLOPES,
    Inputs,
    Stage,
    other_forwards,
)
from oracle.findings import FindingKind as Kind
from oracle.values import Array, TwoLayerNetParameters

Compute = Callable[[Pass], "dict[str, Array] | None"]


@dataclass(frozen=True)
class WrongGradient:
    """A wrong gradient, and the codes that name it."""

    name: str
    named: tuple[Kind, ...]
    compute: Compute


def _output(of: Stage) -> Compute:
    return lambda p: backward(p, output=of(p))


def _targets(of: Callable[[Pass], Array]) -> Compute:
    return lambda p: backward(p, output=output_error(p.y, of(p), p.delta))


def _hidden_error(p: Pass) -> Array:
    return np.asarray(p.output_error @ p.W2.T * p.z1 * (1 - p.z1))


def _reduced(reduce: Callable[[Array], Array], names: tuple[str, ...]) -> Compute:
    def compute(p: Pass) -> dict[str, Array] | None:
        errors = {"b1": _hidden_error(p), "b2": p.output_error}
        right = backward(p)
        wrong = {n: np.asarray(reduce(errors[n])) for n in names}
        if any(g.ndim and g.shape != right[n].shape for n, g in wrong.items()):
            return None
        return right | {n: np.broadcast_to(g, right[n].shape) for n, g in wrong.items()}

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


def _from_other_inputs(used: Inputs) -> Compute:
    def compute(p: Pass) -> dict[str, Array]:
        error = _hidden_error(p) if used.tensor == "W1" else p.output_error
        return backward(p) | {used.tensor: used.compute(p).T @ error}

    return compute


def _of_other_forward(number: int) -> Compute:
    def compute(p: Pass) -> dict[str, Array]:
        _, _, other, slope = list(other_forwards(p))[number]
        return backward(other, derivative=slope)

    return compute


_SOME = forward(
    TwoLayerNetParameters(*(np.ones(shape) for shape in ((1, 1), (1,), (1, 1), (1,)))),
    np.ones((1, 1)),
    np.ones((1, 1)),
    delta=0.0,
)


def _names_of(kind: Kind) -> tuple[Kind, ...]:
    # The weight of the only sample of a batch is a factor.
    return (kind, Kind.CONSTANT_FACTOR) if kind is Kind.SAMPLE_WEIGHTS else (kind,)


BY_STAGE: tuple[WrongGradient, ...] = (
    *(WrongGradient(m.name, _names_of(m.kind), _output(m.compute)) for m in OUTPUTS),
    *(
        WrongGradient(m.name, (m.kind,), lambda p, m=m: backward(p, derivative=m.compute(p)))  # type: ignore[misc]
        for m in SLOPES
    ),
    *(
        WrongGradient(
            f"{' and '.join(names)}: {text}", (Kind.BIAS_REDUCTION,), _reduced(reduce, names)
        )
        for text, reduce in REDUCTIONS
        for names in (("b1", "b2"), ("b1",), ("b2",))
    ),
    *(
        WrongGradient(f"{m.tensor} from {m.name}", (Kind.WRONG_INPUTS,), _from_other_inputs(m))
        for m in INPUTS
    ),
    *(
        WrongGradient(text, (Kind.WRONG_FORWARD,), _of_other_forward(number))
        for number, (text, *_) in enumerate(other_forwards(_SOME))
    ),
    WrongGradient("W2 not transposed", (Kind.WRONG_WEIGHTS,), _square),
    *(
        WrongGradient(name, (Kind.DROPPED_SAMPLES,), compute)
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
"""One stage gives way to each of the known mistakes."""


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
        a1 = product(fields["x"], fields["W1"]) + fields["b1"]
        z1 = sigmoid(a1)
        a2 = product(z1, fields["W2"]) + fields["b2"]
        made = {"a1": a1, "z1": z1, "a2": a2, "y": softmax(a2)}
        narrow = replace(p, **fields, **made)
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

WRONG_GRADIENTS = BY_STAGE + FREE


def _sample_by_sample(p: Pass) -> dict[str, Array]:
    total = {n: np.zeros_like(g) for n, g in backward(p).items()}
    errors = p.output_error
    for n in reversed(range(p.N)):
        p.checkpoint()
        row = errors[n : n + 1]
        dA = row @ p.W2.T * (p.z1[n] * (1 - p.z1[n]))
        part = {
            "W1": p.x[n : n + 1].T @ dA,
            "b1": dA[0],
            "W2": p.z1[n : n + 1].T @ row,
            "b2": row[0],
        }
        for name in total:
            total[name] += part[name]
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
