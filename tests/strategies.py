"""What the laws draw from: small sizes, and numbers tame enough to bound rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

EPSILON = float(np.finfo(np.float64).eps)

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 6)


@st.composite
def generators(draw: st.DrawFn) -> np.random.Generator:
    """A seeded source of numbers; the seed is what shrinks."""
    return np.random.default_rng(draw(seeds))


@st.composite
def scores(draw: st.DrawFn) -> NDArray[Any]:
    """(N, K) of at most a few tens in size."""
    rng = draw(generators())
    return rng.normal(
        scale=draw(st.sampled_from([0.1, 1.0, 10.0])), size=(draw(sizes), draw(sizes))
    )


@st.composite
def batches(draw: st.DrawFn) -> tuple[NDArray[Any], NDArray[Any]]:
    """Probabilities (N, K) and labels (N,)."""
    a = draw(scores())
    powers = np.exp(a - a.max(axis=1, keepdims=True))
    labels = draw(generators()).integers(0, a.shape[1], size=len(a))
    return powers / powers.sum(axis=1, keepdims=True), labels


@st.composite
def simple_nets(draw: st.DrawFn) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """W (D, K), x (N, D), labels (N,)."""
    rng, n, d, k = draw(generators()), draw(sizes), draw(sizes), draw(sizes)
    return rng.normal(size=(d, k)), rng.normal(size=(n, d)), rng.integers(0, k, size=n)


@st.composite
def two_layer_nets(
    draw: st.DrawFn,
) -> tuple[dict[str, NDArray[Any]], NDArray[Any], NDArray[Any]]:
    """Parameters by name, x (N, D), labels (N,)."""
    rng, n, d, h, k = draw(generators()), draw(sizes), draw(sizes), draw(sizes), draw(sizes)
    parameters = {
        "W1": rng.normal(size=(d, h)),
        "b1": rng.normal(size=h),
        "W2": rng.normal(size=(h, k)),
        "b2": rng.normal(size=k),
    }
    return parameters, rng.normal(size=(n, d)), rng.integers(0, k, size=n)
