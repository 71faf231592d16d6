"""Wrong backward passes that the diagnosis was not built from, with the names that fit them.

Each is the right pass with one step written as somebody could write it. The names were chosen
from the documented meaning of the codes before the oracle was asked, and nothing is shared with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

TENSORS = ("W1", "b1", "W2", "b2")


def sigmoid(a):
    return np.where(a >= 0, 1 / (1 + np.exp(-np.abs(a))), 1 - 1 / (1 + np.exp(-np.abs(a))))


def softmax(a, axis=-1):
    powers = np.exp(a - a.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def slope_of_the_logarithm(s):
    """p / (p + delta) of each sample, p the probability of its label."""
    p = (s.t * s.y).sum(axis=1, keepdims=True)
    return p / (p + s.delta) if s.delta else np.ones_like(p)


STEPS: dict[str, Callable[[Any], Any]] = {
    "a1": lambda s: s.x @ s.W1 + s.b1,
    "z": lambda s: sigmoid(s.a1),
    "a2": lambda s: s.z @ s.W2 + s.b2,
    "y": lambda s: softmax(s.a2),
    "w": slope_of_the_logarithm,
    "dy": lambda s: s.w * (s.y - s.t) / s.N,
    "dW2": lambda s: s.z.T @ s.dy,
    "db2": lambda s: s.dy.sum(axis=0),
    "dz": lambda s: s.dy @ s.W2.T,
    "da": lambda s: s.dz * s.z * (1 - s.z),
    "dW1": lambda s: s.x.T @ s.da,
    "db1": lambda s: s.da.sum(axis=0),
    "gradient": lambda s: {"W1": s.dW1, "b1": s.db1, "W2": s.dW2, "b2": s.db2},
}
"""The right pass; a bug replaces some of its steps."""


def backward(parameters, x, labels, delta, **steps):
    """Run the pass with `steps` in place of the right ones, in the arithmetic of `x`."""
    classes = parameters["b2"].shape[0]
    s = SimpleNamespace(**{name: parameters[name] for name in TENSORS})
    s.x, s.labels, s.delta = x, labels, delta
    s.t = np.eye(classes, dtype=x.dtype)[labels]
    (s.N, s.D), s.H, s.K = x.shape, parameters["b1"].shape[0], classes
    s.rng = np.random.default_rng(12)
    s.earlier = s.rng.permutation(x.ravel()).reshape(x.shape)  # the batch before this one
    for name, right in STEPS.items():
        setattr(s, name, steps.get(name, right)(s))
    return s.gradient


def tensors(s, dtype=None):
    return {n: getattr(s, n).astype(dtype or s.x.dtype) for n in TENSORS}


@dataclass(frozen=True)
class Bug:
    """One wrong backward pass.

    `names` are the codes that name it rightly. `single` are more of them for a batch of one, where
    some bugs become another: to weigh the only sample is to multiply by a constant.
    """

    name: str
    names: frozenset[str]
    steps: dict[str, Callable[[Any], Any]]
    single: frozenset[str]

    @property
    def keeps_types(self):
        """Whether the types of the tensors are the bug."""
        return "dtype_mismatch" in self.names

    def gradient(self, parameters, x, labels, delta):
        """Return what the wrong code would send, in the type of `x` unless that is the bug."""
        with np.errstate(all="ignore"):
            wrong = backward(parameters, x, labels, delta, **self.steps)
        narrowed = {np.dtype(np.float32), np.dtype(np.float64)} if self.keeps_types else {x.dtype}
        return {n: g if g.dtype in narrowed else g.astype(x.dtype) for n, g in wrong.items()}


def bug(name: str, names: str, *, single: str = "", **steps: Callable[[Any], Any]) -> Bug:
    return Bug(name, frozenset(names.split()), steps, frozenset(single.split()))


def after(change: Callable[[Any, str, Any], Any], tensors: str = "W1 b1 W2 b2"):
    """A last step that changes what is returned: change(right, s, name)."""

    def gradient(s):
        right = STEPS["gradient"](s)
        return {n: change(g, s, n) if n in tensors.split() else g for n, g in right.items()}

    return gradient


def dropout(s, share=0.5):
    return (s.rng.random((s.N, s.H)) < share).astype(s.x.dtype) / share
