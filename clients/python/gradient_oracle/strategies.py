"""Hypothesis strategies for inputs that make good checks: networks, batches, labels.

Needs the extra `gradient-oracle[strategies]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class TwoLayerNetCase:
    """A network and a batch: `params` maps W1 (D, H), b1 (H,), W2 (H, K), b2 (K,) to arrays.

    `x` is (N, D), `t` holds N labels.
    """

    params: dict[str, Array]
    x: Array
    t: Array


@st.composite
def batches(
    draw: st.DrawFn, *, samples: int, features: int, dtype: str = "float64", largest: float = 1.0
) -> Array:
    """Draw a (samples, features) array of both signs, normal with the scale `largest`.

    Hypothesis draws the seed of the entries, not each of them: an example stays cheap, and two
    entries are never equal by chance, which would hide a wrong order.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    return (largest * rng.standard_normal((samples, features))).astype(dtype)


@st.composite
def labels(draw: st.DrawFn, *, samples: int, classes: int) -> Array:
    """Draw (samples,) integer labels 0 <= t < classes."""
    drawn = st.lists(st.integers(0, classes - 1), min_size=samples, max_size=samples)
    return np.array(draw(drawn, label="labels"), dtype=np.int64)


@st.composite
def two_layer_nets(
    draw: st.DrawFn,
    *,
    most_samples: int = 7,
    most_features: int = 7,
    most_hidden: int = 7,
    most_classes: int = 5,
    dtype: str = "float64",
) -> TwoLayerNetCase:
    """Draw a two-layer net with non-zero biases, a batch and its labels.

    Weights are normal with a scale between 0.01 and 2, so neither vanishing nor saturated.
    """
    n = draw(st.integers(1, most_samples), label="N")
    d = draw(st.integers(1, most_features), label="D")
    h = draw(st.integers(1, most_hidden), label="H")
    k = draw(st.integers(2, most_classes), label="K")
    scale = draw(st.floats(0.01, 2.0), label="weight scale")
    shapes = {"W1": (d, h), "b1": (1, h), "W2": (h, k), "b2": (1, k)}
    params = {
        name: draw(batches(samples=rows, features=columns, dtype=dtype, largest=scale), label=name)
        for name, (rows, columns) in shapes.items()
    }
    params |= {name: params[name][0] for name in ("b1", "b2")}
    x = draw(batches(samples=n, features=d, dtype=dtype), label="x")
    return TwoLayerNetCase(params, x, draw(labels(samples=n, classes=k), label="t"))
