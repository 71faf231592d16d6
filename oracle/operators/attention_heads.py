"""How attention is arranged: heads of queries that share keys and values, and what each sees."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Shape
from oracle.values import Array, Float64


@dataclass(frozen=True)
class Heads:
    """Attention whose rows are the heads of keys of all samples, each with its heads of queries.

    `seen` and `added` broadcast to (batch, kv heads, queries' heads of each, T, S).
    """

    batch: int
    kv: int
    group: int
    T: int
    S: int
    scale: float
    softcap: float
    seen: Array
    added: Float64 | None

    @property
    def rows(self) -> int:
        """Number of heads of keys of all samples."""
        return self.batch * self.kv

    @property
    def size(self) -> int:
        """Number of scores."""
        return self.rows * self.group * self.T * self.S

    def queries(self, xp: Numbers, x: Number) -> Number:
        """Return queries, or what has their heads, as (rows, group, T, D)."""
        return self._split(xp, x, self.group)

    def split(self, xp: Numbers, Q: Number, K: Number, V: Number) -> tuple[Number, Number, Number]:
        """Return queries, keys and values as (rows, group or 1, T or S, D or E)."""
        return self.queries(xp, Q), self._split(xp, K, 1), self._split(xp, V, 1)

    def _split(self, xp: Numbers, x: Number, group: int) -> Number:
        if x.ndim == 3:
            length = x.shape[1]
            x = xp.reshape(x, (self.batch, length, self.kv * group, -1))
            x = xp.transpose(x, (0, 2, 1, 3))
        return xp.reshape(x, (self.rows, group, *x.shape[2:]))

    def at(self, mask: Array, places: Array) -> Array:
        """Return what of a mask belongs to some rows, (rows, group or 1, T, S)."""
        b, h = places // self.kv, places % self.kv
        return mask[b if mask.shape[0] > 1 else 0 * b, h if mask.shape[1] > 1 else 0 * h]

    def weights(self, xp: Numbers, q: Number, k: Number, places: Array) -> tuple[Number, Number]:
        """Return the scores before they are capped, and the softmax."""
        S = xp.matmul(q, xp.swapped(k)) * self.scale
        capped = xp.tanh(S / self.softcap) * self.softcap if self.softcap else S
        if self.added is not None:
            capped = capped + xp.held(self.at(self.added, places))
        return S, xp.softmax(capped, -1, self.at(self.seen, places))


def join(xp: Numbers, x: Number, batch: int, ndim: int) -> Number:
    """Return (rows, group, T, D) as (batch, heads, T, D), or (batch, T, heads D) of three axes."""
    rows, group, T, D = x.shape
    whole = xp.reshape(x, (batch, rows // batch * group if batch else group, T, D))
    if ndim == 4:
        return whole
    return xp.reshape(xp.transpose(whole, (0, 2, 1, 3)), (batch, T, -1))


def causal(T: int, S: int, alignment: str) -> Array:
    """Return which keys (S) a query (T) sees."""
    first = S - T if alignment == "bottom_right" else 0
    return np.arange(S) <= np.arange(T)[:, np.newaxis] + first


def heads_of(
    Q: Shape,
    K: Shape,
    V: Shape,
    attn_mask: Array | None,
    *,
    causal_alignment: str,
    is_causal: int,
    kv_num_heads: int | None,
    q_num_heads: int | None,
    scale: float | None,
    softcap: float,
) -> Heads:
    """Return the arrangement of inputs of these shapes."""
    if len(Q) == 3:
        H, kv = q_num_heads or 1, kv_num_heads or 1
        T, S, D = Q[1], K[1], Q[2] // H
    else:
        H, kv, T, S, D = Q[1], K[1], Q[2], K[2], Q[3]
    group = H // kv
    seen = causal(T, S, causal_alignment) if is_causal else np.ones((T, S), dtype=bool)
    seen, added = seen[np.newaxis, np.newaxis, np.newaxis], None
    if attn_mask is not None:
        mask = by_head(attn_mask, kv, group, S)
        if mask.dtype.kind == "b":
            seen = seen & mask
        else:
            wide = mask.astype(np.float64)
            seen = seen & (wide > -np.inf)
            added = np.where(wide > -np.inf, wide, 0.0)
    factor = 1.0 / math.sqrt(D) if scale is None else scale
    return Heads(Q[0], kv, group, T, S, factor, softcap, seen, added)


def by_head(mask: Array, kv: int, group: int, S: int) -> Array:
    """Return a mask as (batch, kv heads, group, T, S), each of them 1 where it does not matter."""
    if mask.ndim and 1 < mask.shape[-1] < S:
        unseen = False if mask.dtype.kind == "b" else -np.inf
        width = [(0, 0)] * (mask.ndim - 1) + [(0, S - mask.shape[-1])]
        mask = np.pad(mask, width, constant_values=unseen)
    full = mask.reshape((*[1] * (4 - mask.ndim), *mask.shape))
    heads = (1, 1) if full.shape[1] == 1 else (kv, group)
    return full.reshape((full.shape[0], *heads, *full.shape[2:]))
