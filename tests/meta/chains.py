"""Chains of layers for which the diagnosis has no line of its own, and bugs in their backward pass.

The backward pass here is written out by hand, with hooks where somebody may write it wrongly.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from oracle.checking import known
from oracle.graphs.graph import Graph, Node, plan


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def softmax(a):
    e = np.exp(a - a.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


ACTIVATIONS = {
    "Sigmoid": (sigmoid, lambda a, z: z * (1 - z)),
    "Tanh": (np.tanh, lambda a, z: 1 - z * z),
    "Relu": (lambda a: np.maximum(a, 0), lambda a, z: (a > 0).astype(a.dtype)),
    "LeakyRelu": (
        lambda a: np.where(a > 0, a, a.dtype.type(0.01) * a),
        lambda a, z: np.where(a > 0, a.dtype.type(1), a.dtype.type(0.01)),
    ),
}


@dataclass(frozen=True)
class Chain:
    """Gemm, activation, Gemm, ..., loss; `biases` may be left out."""

    name: str
    lengths: tuple[int, ...]
    activations: tuple[str, ...]
    loss: str = "SoftmaxCrossEntropyLoss"
    biases: bool = True
    samples: int = 6

    def graph(self):
        nodes, at = [], "x"
        for k in range(1, len(self.lengths)):
            bias = (f"b{k}",) if self.biases else ()
            nodes.append(Node("Gemm", (at, f"W{k}", *bias), (f"a{k}",)))
            at = f"a{k}"
            if k <= len(self.activations):
                nodes.append(Node(self.activations[k - 1], (at,), (f"z{k}",)))
                at = f"z{k}"
        nodes.append(Node(self.loss, (at, "t"), ("loss",)))
        names = [n for k in range(1, len(self.lengths)) for n in self._names(k)]
        return Graph(tuple(nodes), ("x", "t", *names), ("loss",), self.name)

    def _names(self, k):
        return (f"W{k}", f"b{k}") if self.biases else (f"W{k}",)

    def case(self, seed, dtype="float64"):
        rng = np.random.default_rng(seed)
        P = {}
        for k, (i, o) in enumerate(zip(self.lengths, self.lengths[1:], strict=False), 1):
            P[f"W{k}"] = (rng.normal(size=(i, o)) / np.sqrt(i) * 1.5).astype(dtype)
            if self.biases:
                P[f"b{k}"] = (rng.normal(size=o) * 0.5).astype(dtype)
        x = rng.normal(size=(self.samples, self.lengths[0])).astype(dtype)
        if self.loss == "MeanSquaredError":
            t = rng.normal(size=(self.samples, self.lengths[-1])).astype(dtype)
        else:
            t = rng.integers(0, self.lengths[-1], self.samples)
        return P, x, t


@dataclass(frozen=True)
class Hooks:
    """What is written otherwise, by the number of a layer."""

    error: object = None
    slope: dict = field(default_factory=dict)
    back: dict = field(default_factory=dict)
    inputs: dict = field(default_factory=dict)
    bias: dict = field(default_factory=dict)
    function: dict = field(default_factory=dict)
    gradient: object = None


def backward(chain, P, x, t, how):
    """Return the gradient of somebody who wrote it as `how` says."""
    layers = len(chain.lengths) - 1
    h, stack = x, []
    for k in range(1, layers + 1):
        a = h @ P[f"W{k}"] + (P[f"b{k}"] if chain.biases else 0)
        z = a
        if k <= len(chain.activations):
            function = how.function.get(k, ACTIVATIONS[chain.activations[k - 1]][0])
            z = function(a).astype(x.dtype)
        stack.append((k, h, a, z))
        h = z
    if chain.loss == "MeanSquaredError":
        y, T, scale = h, t, x.dtype.type(1)
    else:
        T = np.eye(chain.lengths[-1], dtype=x.dtype)[t]
        y, scale = softmax(h), x.dtype.type(len(x))
    e = (y - T) / scale if how.error is None else (how.error(y, T, h) / scale).astype(x.dtype)
    g = {}
    for k, h, a, z in reversed(stack):
        if k <= len(chain.activations):
            slope = how.slope.get(k, ACTIVATIONS[chain.activations[k - 1]][1])
            e = (e * slope(a, z)).astype(x.dtype)
        before = stack[k - 2][2] if k > 1 else h
        used = how.inputs[k](h, before) if k in how.inputs else h
        g[f"W{k}"] = used.T @ e
        if chain.biases:
            g[f"b{k}"] = how.bias[k](e) if k in how.bias else e.sum(axis=0)
        W = how.back[k](P[f"W{k}"]) if k in how.back else P[f"W{k}"]
        e = e @ W.T
    if how.gradient is not None:
        g = how.gradient(g, P)
    return {n: np.ascontiguousarray(v, dtype=x.dtype) for n, v in g.items()}


def changed(name, function):
    return lambda g, P: g | {name: function(g[name], P[name])}


def bugs(chain):
    """Yield what was done, the codes that name it rightly, and the hooks that do it."""
    layers = len(chain.lengths) - 1
    N = chain.samples
    for k in range(1, len(chain.activations) + 1):
        own = chain.activations[k - 1]
        yield (
            f"no slope in {k}",
            "missing_activation_derivative",
            Hooks(slope={k: lambda a, z: np.ones_like(a)}),
        )
        yield f"slope z in {k}", "wrong_activation_derivative", Hooks(slope={k: lambda a, z: z})
        for other in ("Sigmoid", "Tanh", "Relu"):
            if other != own:
                f, s = ACTIVATIONS[other]
                yield (
                    f"slope of {other} in {k}",
                    "wrong_activation_derivative",
                    Hooks(slope={k: lambda a, z, f=f, s=s: s(a, f(a))}),
                )
                yield (
                    f"{other} in both passes in {k}",
                    "wrong_forward",
                    Hooks(function={k: f}, slope={k: s}),
                )
    for k in range(1, layers + 1):
        W, b = f"W{k}", f"b{k}"
        if k > 1:
            yield f"signs of {W} on the way back", "wrong_weights", Hooks(back={k: np.sign})
            yield (
                f"{W} from before the activation",
                "wrong_inputs",
                Hooks(inputs={k: lambda h, a: a}),
            )
            yield (
                f"{W} of the sample before",
                "wrong_inputs",
                Hooks(inputs={k: lambda h, a: np.roll(h, 1, axis=0)}),
            )
        if chain.biases:
            yield (
                f"{b} is a mean",
                "bias_reduction tensor_factor",
                Hooks(bias={k: lambda e: e.mean(axis=0)}),
            )
            yield (
                f"{b} is the last sample",
                "bias_reduction dropped_samples",
                Hooks(bias={k: lambda e: e[-1]}),
            )
        yield f"{W} zero", "zero_tensor", Hooks(gradient=changed(W, lambda g, p: 0 * g))
        yield (
            f"{W} in the other order",
            "transposed",
            Hooks(gradient=changed(W, lambda g, p: g.T.reshape(g.shape))),
        )
        yield f"decay in {W}", "weight_decay", Hooks(gradient=changed(W, lambda g, p: g + p / 10))
        yield f"{W} thrice", "tensor_factor", Hooks(gradient=changed(W, lambda g, p: 3 * g))
        yield (
            f"an entry of {W}",
            "single_entries",
            Hooks(gradient=changed(W, lambda g, p: g + (np.arange(g.size) == 4).reshape(g.shape))),
        )
        yield f"{W} holds weights", "stale_buffer", Hooks(gradient=changed(W, lambda g, p: p))
        yield (
            f"a row of {W} is zero",
            "single_entries",
            Hooks(gradient=changed(W, lambda g, p: g * (np.arange(len(g)) != 1)[:, None])),
        )
    yield (
        "summed over the batch",
        "missing_batch_mean constant_factor",
        Hooks(gradient=lambda g, P: {n: N * v for n, v in g.items()}),
    )
    yield "sign", "sign_flipped", Hooks(gradient=lambda g, P: {n: -v for n, v in g.items()})
    yield (
        "0.37 times",
        "constant_factor",
        Hooks(gradient=lambda g, P: {n: 0.37 * v for n, v in g.items()}),
    )
    if chain.loss == "MeanSquaredError":
        yield "|y - t|", "wrong_forward", Hooks(error=lambda y, t, s: abs(y - t))
        yield "y + t", "wrong_targets", Hooks(error=lambda y, t, s: y + t)
        yield "targets missing", "wrong_targets", Hooks(error=lambda y, t, s: y)
    else:
        yield "softmax twice", "softmax_twice", Hooks(error=lambda y, t, s: softmax(y) - t)
        yield "y (1 - y)", "softmax_jacobian", Hooks(error=lambda y, t, s: (y - t) * y * (1 - y))
        yield "labels too high", "wrong_targets", Hooks(error=lambda y, t, s: y - np.roll(t, 1, 1))
        yield (
            "smoothed",
            "wrong_targets",
            Hooks(error=lambda y, t, s: y - 0.9 * t - 0.1 / t.shape[1]),
        )
        yield "temperature 3", "wrong_forward", Hooks(error=lambda y, t, s: softmax(3 * s) - t)
        yield (
            "last sample dropped",
            "dropped_samples sample_weights",
            Hooks(error=lambda y, t, s: (y - t) * (np.arange(len(y)) < len(y) - 1)[:, None]),
        )
    if len(chain.activations) > 1:
        top = len(chain.activations)
        yield (
            "no slope at the top, signs below",
            ("missing_activation_derivative wrong_weights"),
            Hooks(slope={top: lambda a, z: np.ones_like(a)}, back={2: np.sign}),
        )
    yield (
        "slope z, summed",
        ("wrong_activation_derivative missing_batch_mean constant_factor"),
        Hooks(slope={1: lambda a, z: z}, gradient=lambda g, P: {n: N * v for n, v in g.items()}),
    )


CHAINS = (
    Chain("3 layers, tanh and sigmoid", (9, 8, 7, 4), ("Tanh", "Sigmoid")),
    Chain("2 layers, ReLU, squared error", (9, 8, 4), ("Relu",), "MeanSquaredError"),
    Chain("4 layers, ReLU, tanh and sigmoid", (10, 9, 8, 7, 4), ("Relu", "Tanh", "Sigmoid")),
    Chain("3 layers, LeakyReLU, no biases", (9, 8, 7, 4), ("LeakyRelu", "LeakyRelu"), biases=False),
    Chain("5 layers, ReLU", (11, 10, 9, 8, 7, 3), ("Relu", "Relu", "Relu", "Relu"), samples=9),
)


def rates(chains=CHAINS, seeds=range(2), dtype="float64", tell=None):
    """Return how many bugs are named rightly, wrongly and not at all."""
    total = Counter()
    for chain in chains:
        for seed in seeds:
            P, x, t = chain.case(seed, dtype)
            fits = plan(chain.graph(), {"x": x, "t": t, **P})
            for what, right, how in bugs(chain):
                with np.errstate(all="ignore"):
                    gradient = backward(chain, P, x, t, how)
                report = known.check(fits, gradient)
                if report.verdict != "fail":
                    total[report.verdict] += 1
                    outcome = str(report.verdict)
                else:
                    found = {str(f.kind) for f in report.findings} - {"unexplained"}
                    named = found <= set(right.split())
                    outcome = "unnamed" if not found else "right" if named else "wrong"
                    total[outcome] += 1
                if tell and outcome != "right":
                    tell(
                        chain.name,
                        seed,
                        outcome,
                        what,
                        [f"{f.kind}: {f.message}" for f in report.findings],
                    )
    return total
