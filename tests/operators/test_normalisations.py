"""What holds of the normalisations beside the laws: other formulas stay within the bound."""

from __future__ import annotations

import numpy as np
import pytest

from oracle.arithmetic.dtypes import arithmetic
from oracle.arithmetic.float64 import Float64Numbers
from oracle.arithmetic.rounded import RoundedNumbers
from oracle.operators.table import OPERATORS


def one_pass(x, g, epsilon, n):
    """Return dX as kernels do that read a row once: variance by E[x²] - E[x]²."""
    mean = x.sum(axis=1, keepdims=True) / n
    r = (1 / np.sqrt((x * x).sum(axis=1, keepdims=True) / n - mean * mean + epsilon)).astype(
        x.dtype
    )
    return r * (
        g
        - g.sum(1, keepdims=True) / n
        - (x - mean) * r * ((g * (x - mean) * r).sum(1, keepdims=True) / n)
    )


def of_sums(x, g, epsilon, n):
    """Return dX as llm.c and Apex do: two sums, of g and of g h, and r / n outside."""
    mean = x.mean(axis=1, keepdims=True)
    r = 1 / np.sqrt(((x - mean) ** 2).mean(axis=1, keepdims=True) + epsilon)
    h = (x - mean) * r
    first, second = g.sum(axis=1, keepdims=True), (g * h).sum(axis=1, keepdims=True)
    return r / n * (n * g - first - h * second)


def of_slopes(x, g, epsilon, n):
    """Return dX by the derivatives of variance and mean, as textbooks have it."""
    mean = x.mean(axis=1, keepdims=True)
    c = x - mean
    v = (c * c).mean(axis=1, keepdims=True) + epsilon
    dv = (-(g * c).sum(axis=1, keepdims=True) / (2 * v * np.sqrt(v))).astype(x.dtype)
    dm = -(g / np.sqrt(v)).sum(axis=1, keepdims=True) - dv * 2 * c.sum(axis=1, keepdims=True) / n
    return g / np.sqrt(v) + dv * 2 * c / n + dm / n


@pytest.mark.parametrize("way", [one_pass, of_sums, of_slopes])
@pytest.mark.parametrize("offset", [0.0, 3.0, 30.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_other_formulas_stay_within_the_bound(way, offset, dtype):
    rng = np.random.default_rng(6)
    used = []
    for n in (5, 64, 257):
        x = (rng.normal(size=(40, n)) + offset).astype(dtype)
        scale = rng.normal(size=n).astype(dtype)
        dY = rng.normal(size=(40, n)).astype(dtype)
        operator = OPERATORS["LayerNormalization"]
        attributes = operator.complete({"epsilon": 1e-5})
        wide = [a.astype(np.longdouble) for a in (x, dY * 1.0, scale)]
        exact = of_sums(wide[0], wide[1] * wide[2], np.longdouble(1e-5), n)
        xp = RoundedNumbers(arithmetic(dtype))
        above = [xp.held(dY), None, None]
        bound = operator.vjp(xp, above, [xp.held(x), xp.held(scale), None], attributes)["X"]
        theirs = way(x, (dY * scale).astype(dtype), np.asarray(1e-5, dtype=dtype), n)
        assert theirs.dtype == dtype
        gap = np.abs(theirs - exact).astype(np.float64)
        assert np.all(gap <= bound.budget)
        used.append(np.median(bound.budget) / gap.max())
    if offset == 0.0:
        assert np.median(used) < 30.0


def test_the_statistics_of_a_batch_are_returned():
    rng = np.random.default_rng(7)
    X, each = rng.normal(size=(8, 3, 2)), [rng.uniform(0.5, 2.0, 3) for _ in range(4)]
    operator = OPERATORS["BatchNormalization"]
    attributes = operator.complete({"training_mode": 1, "momentum": 0.75})
    _, mean, var = operator.value(Float64Numbers(), [X, *each], attributes)
    assert np.allclose(mean, 0.75 * each[2] + 0.25 * X.mean(axis=(0, 2)), rtol=1e-14)
    assert np.allclose(var, 0.75 * each[3] + 0.25 * X.var(axis=(0, 2)), rtol=1e-14)
