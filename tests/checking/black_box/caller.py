"""A caller that answers a black-box check with a function of its own, and functions to check."""

from __future__ import annotations

import numpy as np
from gradient_oracle import sizes

from oracle.checking.black_box import judgement
from oracle.checking.black_box.conversation import (
    Answer,
    CheckTask,
    Evaluation,
    SizeClass,
    TensorSpec,
)
from oracle.splitmix import positive_signs, seed_of


def run(f, x, g, *, clock=lambda _: 0.0, **effort):
    """Answer a check with f evaluated here; FloatingPointError says that f has no value.

    `clock` gives the seconds that so many evaluations took.
    """
    specs = tuple(
        TensorSpec(
            name, v.shape, str(v.dtype), v.size, float(np.abs(v).max(initial=0)),
            float(np.mean(np.square(v, dtype=np.float64))), float(np.abs(g[name]).max(initial=0)),
            float(np.linalg.norm(g[name].astype(np.float64))),
            gradient_dtype=str(g[name].dtype), classes=_classes(v, g[name]),
        )
        for name, v in x.items()
    )  # fmt: skip
    task = CheckTask(specs, str(np.asarray(f(x)).dtype), **effort)
    check = judgement.check(task)
    answer, count = None, 0
    while True:
        try:
            ask = check.send(answer)
        except StopIteration as stop:
            report = stop.value
            break
        answers = []
        for probe in ask.probes:
            if clock(count + len(answers)) < task.max_seconds:
                answers.append(_evaluate(f, x, g, probe))
        count += len(answers)
        answer = Answer(tuple(answers), clock(count))
        assert 0 <= ask.fraction_done <= 1
    assert report.measurement.evaluations == count <= task.max_evaluations
    return report


def _classes(x, g):
    flat = x.reshape(-1), g.reshape(-1)
    if not x.size or not np.isfinite(g.astype(float)).all():
        return ()
    told = sizes.describe(*flat, sizes.numbers(*flat))
    names = ("number", "count", "first", "largest", "mean_square")
    names += ("gradient_largest", "gradient_norm")
    return tuple(SizeClass(*(getattr(one, name) for name in names)) for one in told)


def _moves(x, g, probe):
    """Return by tensor the signed steps of its entries, as black_box.proto says."""
    names = list(x)
    if probe.selection is None:
        steps = np.zeros(x[names[probe.tensor]].size)
        signs = np.where(positive_signs(probe.seed, probe.begin, probe.end), 1.0, -1.0)
        steps[probe.begin : probe.end] = probe.step * signs
        return {names[probe.tensor]: steps}
    moves = {}
    for part in probe.selection.parts:
        name = names[part.tensor]
        flat, slopes = x[name].reshape(-1), g[name].reshape(-1)
        signs = np.where(positive_signs(seed_of(probe.seed, part.tensor), 0, flat.size), 1.0, -1.0)
        moves[name] = probe.step * part.scale * signs
        if part.classes:
            moves[name][~np.isin(sizes.numbers(flat, slopes), part.classes)] = 0.0
    return moves


def _evaluate(f, x, g, probe):
    point, predicted, farthest = dict(x), 0.0, 0.0
    for name, steps in _moves(x, g, probe).items():
        before = x[name].reshape(-1)
        moved = (before + steps).astype(before.dtype)
        change = moved.astype(np.float64) - before
        predicted += float(change @ g[name].reshape(-1).astype(np.float64))
        farthest = max(farthest, float(np.abs(change).max(initial=0)))
        point[name] = moved.reshape(x[name].shape)
    try:
        value = float(f(point))
    except FloatingPointError as outside:
        return Evaluation(0.0, 0.0, 0.0, outside=True, message=str(outside))
    return Evaluation(value, predicted, farthest)


def smooth(seed, dtype, scale=1.0, offset=0.0):
    """Return a smooth f, a point and the gradient."""
    rng = np.random.default_rng(seed)
    x = {"a": rng.normal(size=(5, 7)).astype(dtype), "b": rng.normal(size=3).astype(dtype)}

    def f(x):
        total = np.sum(np.sin(x["a"])) + np.sum(x["b"] ** 2) * np.tanh(x["a"][0, 0])
        return x["a"].dtype.type(scale * total + offset)

    a, b = x["a"].astype(float), x["b"].astype(float)
    ga = np.cos(a)
    ga[0, 0] += np.sum(b**2) / np.cosh(a[0, 0]) ** 2
    gb = 2 * b * np.tanh(a[0, 0])
    return f, x, {"a": (scale * ga).astype(dtype), "b": (scale * gb).astype(dtype)}


def quadratic(shapes, dtype="float64", seed=0):
    """Return f(x) = sum over all entries of c x + x^2 / 2 with random c, a point, the gradient."""
    rng = np.random.default_rng(seed)
    x = {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}
    c = {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}

    def f(x):
        return sum(np.sum(c[name] * v + v * v / 2) for name, v in x.items())

    return f, x, {name: (c[name] + v).astype(dtype) for name, v in x.items()}


def network(
    seed, *, sizes=(784, 50, 10), samples=10, deviation=0.01, dtype="float32", rectified=False
):
    """Return the loss of a network of sigmoids, or of rectifiers, in dtype, weights, gradient."""
    rng = np.random.default_rng(seed)
    D, H, K = sizes
    inputs = rng.random((samples, D)).astype(dtype)
    labels = rng.integers(0, K, samples)
    rows = np.arange(samples)
    one = inputs.dtype.type(1)
    x = {
        "W1": (deviation * rng.normal(size=(D, H))).astype(dtype),
        "b1": np.zeros(H, dtype),
        "W2": (deviation * rng.normal(size=(H, K))).astype(dtype),
        "b2": np.zeros(K, dtype),
    }

    def forward(x):
        a = inputs @ x["W1"] + x["b1"]
        z = np.maximum(a, 0) if rectified else one / (one + np.exp(-a))
        scores = z @ x["W2"] + x["b2"]
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return z, powers / powers.sum(axis=1, keepdims=True)

    def f(x):
        return -np.mean(np.log(forward(x)[1][rows, labels]))

    z, d = forward(x)
    d[rows, labels] -= 1
    d /= samples
    da = d @ x["W2"].T * ((z > 0) if rectified else z * (one - z))
    return f, x, {"W1": inputs.T @ da, "b1": da.sum(axis=0), "W2": z.T @ d, "b2": d.sum(axis=0)}
