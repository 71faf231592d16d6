"""What holds of attention beside the laws: what flash kernels do, and queries that see nothing."""

from __future__ import annotations

import numpy as np
import pytest

from oracle.arithmetic.dtypes import arithmetic
from oracle.arithmetic.float64 import Float64Numbers
from oracle.arithmetic.rounded import RoundedNumbers
from oracle.operators.table import OPERATORS

ATTENTION = OPERATORS["Attention"]


def flash(q, k, v, d, scale, tile):  # noqa: PLR0917
    """Return dQ, dK and dV as FlashAttention-2: running sums of tiles, P anew from log Σ exp."""
    T, S = q.shape[0], k.shape[0]
    most, total = np.full((T, 1), -np.inf, q.dtype), np.zeros((T, 1), q.dtype)
    Y = np.zeros((T, v.shape[1]), q.dtype)
    for j in range(0, S, tile):
        s = q @ k[j : j + tile].T * scale
        above = np.maximum(most, s.max(axis=1, keepdims=True))
        p, again = np.exp(s - above), np.exp(most - above)
        total = total * again + p.sum(axis=1, keepdims=True)
        Y, most = Y * again + p @ v[j : j + tile], above
    Y, lse = Y / total, most + np.log(total)
    row = (d * Y).sum(axis=1, keepdims=True)
    dQ, dK, dV = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for j in range(0, S, tile):
        part = slice(j, j + tile)
        P = np.exp(q @ k[part].T * scale - lse)
        dS = P * (d @ v[part].T - row) * scale
        dV[part], dK[part] = P.T @ d, dS.T @ q
        dQ += dS @ k[part]
    return {"Q": dQ, "K": dK, "V": dV}


@pytest.mark.parametrize("size", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("length", [16, 100])
def test_flash_attention_stays_within_the_bound_and_the_bound_is_near(size, length):
    rng = np.random.default_rng(9)
    q, k, v, d = (rng.normal(size=(length, 16)).astype(np.float32) for _ in range(4))
    q = (q * size).astype(np.float32)
    theirs = flash(q, k, v, d, np.float32(0.25), 8)
    wide = [x.astype(np.longdouble) for x in (q, k, v, d)]
    exact = flash(*wide, np.longdouble(0.25), length)
    xp = RoundedNumbers(arithmetic("float32"))
    arguments = [xp.held(x[None, None]) for x in (q, k, v)]
    above = [xp.held(d[None, None])]
    bound = ATTENTION.vjp(xp, above, [*arguments, None], ATTENTION.complete({"scale": 0.25}))
    for name, their in theirs.items():
        assert their.dtype == np.float32
        gap = np.abs(their - exact[name]).astype(np.float64)
        assert np.all(gap <= bound[name].budget[0, 0])
        # Roundings of P may have one sign, as those of a library's exp may, along all the keys.
        assert np.median(bound[name].budget) < 250.0 * gap.max()


def test_a_query_that_sees_no_key_has_zeros():
    rng = np.random.default_rng(10)
    Q, K, V = (rng.normal(size=(1, 1, n, 3)) for n in (5, 2, 2))
    attributes = ATTENTION.complete({"is_causal": 1, "causal_alignment": "bottom_right"})
    xp = Float64Numbers()
    (Y,) = ATTENTION.value(xp, [Q, K, V, None], attributes)
    found = ATTENTION.vjp(xp, [np.ones_like(Y)], [Q, K, V, None], attributes)
    assert not Y[0, 0, :3].any()
    assert Y[0, 0, 3:].all()
    assert not found["Q"][0, 0, :3].any()
    assert all(np.isfinite(one).all() for one in found.values())


def test_blocks_of_heads_give_what_all_at_once_give(monkeypatch):
    """A block is a matter of memory: numbers are the same, bounds no smaller."""
    from oracle.arithmetic import float64, numbers, rounded

    rng = np.random.default_rng(11)
    Q, K, V, d = (rng.normal(size=(2, 3, 4, 3)) for _ in range(4))
    attributes = ATTENTION.complete({})

    def found(xp):
        held = [xp.held(x) for x in (Q, K, V)]
        return ATTENTION.vjp(xp, [xp.held(d)], [*held, None], attributes)

    kinds = [Float64Numbers(), RoundedNumbers(arithmetic("float64"))]
    whole, bounded = map(found, kinds)
    for module in (float64, numbers, rounded):
        monkeypatch.setattr(module, "BLOCK", 40)
    parts, again = map(found, kinds)
    for name in whole:
        assert np.allclose(parts[name], whole[name], rtol=1e-14, atol=1e-15)
        assert np.all(again[name].budget >= 0.5 * bounded[name].budget)
        assert np.all(np.abs(again[name].value - bounded[name].value) <= bounded[name].budget)
