"""Attention (ONNX 23): queries weigh values by a softmax of their products with keys.

    S = scale Q Kᵀ;  S' = softcap tanh(S / softcap) + mask;  P = softmax(S');  Y = P V
    dV = Pᵀ dY;  dP = dY Vᵀ;  dS' = P (dP - Σ P dP);  dS = dS' (1 - tanh²(S / softcap))
    dQ = scale dS K;  dK = scale dSᵀ Q

Softcap 0 means none; scale is 1 / sqrt(head size) where it is left out. Several heads of queries
may share one of keys and values, those that follow each other: dK and dV are summed over them. With
is_causal a query sees keys up to its own place, counted from the first of both, or from the last if
causal_alignment is "bottom_right". A query that sees no key has zeros.

Shapes: Q (batch, heads, T, D), K (batch, kv heads, S, D), V (batch, kv heads, S, E); or (batch, T,
heads D) and so on with q_num_heads and kv_num_heads. attn_mask broadcasts to (batch, heads, T, S):
true where a key is seen, or numbers to add. It is not differentiated; no cache of past keys.

Reference: Vaswani et al., Attention Is All You Need, 2017; Dao, FlashAttention-2, 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.arithmetic.rounded import RoundedNumbers
from oracle.operators import attention_slips
from oracle.operators.attention_heads import heads_of, join
from oracle.operators.attributes import require_number, require_one_of, require_whole
from oracle.operators.operator import Case, Shape, Signature, flag_of, optional_constant
from oracle.values import Array, InvalidInput

SIGNATURE = Signature(
    "Attention",
    inputs=("Q", "K", "V", optional_constant("attn_mask")),
    outputs=("Y",),
    attributes={
        "causal_alignment": "top_left",
        "is_causal": 0,
        "kv_num_heads": None,
        "q_num_heads": None,
        "scale": None,
        "softcap": 0.0,
    },
    version=23,
    ours=("causal_alignment",),
)


def shapes(
    Q: Shape,
    K: Shape,
    V: Shape,
    attn_mask: Array | None = None,
    *,
    causal_alignment: str,
    is_causal: int,
    kv_num_heads: int | None,
    q_num_heads: int | None,
    scale: float | None,
    softcap: float,
) -> Sequence[Shape]:
    """Return the shape of Y."""
    require_one_of("causal_alignment", causal_alignment, ("top_left", "bottom_right"))
    flag_of("is_causal", is_causal)
    require_number("scale", scale)
    if softcap < 0:
        raise InvalidInput("softcap", "not be negative", str(softcap))
    q, k, v = _split(Q, K, V, q_num_heads, kv_num_heads)
    batch, H, T, D = q
    for name, shape in (("K", k), ("V", v)):
        if shape[0] != batch:
            raise InvalidInput(name, f"have a batch of {batch}, as Q has", str(shape[0]))
    if not k[1] or H % k[1]:
        raise InvalidInput("K", f"have heads that divide the {H} of Q", str(k[1]))
    if k[3] != D or D == 0:
        raise InvalidInput("K", f"have the head size of Q, {D}", str(k[3]))
    if v[1:3] != k[1:3]:
        requirement = f"have the heads and the length of K, {k[1:3]}"
        raise InvalidInput("V", requirement, str(v[1:3]))
    if attn_mask is not None:
        _require_mask(attn_mask, (batch, H, T, k[2]))
    return ((batch, T, H * v[3]) if len(Q) == 3 else (batch, H, T, v[3]),)


def _split(
    Q: Shape, K: Shape, V: Shape, q_num_heads: int | None, kv_num_heads: int | None
) -> list[Shape]:
    """Return the shapes by heads."""
    counts = (("q_num_heads", q_num_heads), ("kv_num_heads", kv_num_heads))
    for name, number in counts:
        require_whole(name, number, 1)
    if len(Q) not in (3, 4):
        raise InvalidInput("Q", "have three axes or four", f"shape {Q}")
    for name, shape in (("K", K), ("V", V)):
        if len(shape) != len(Q):
            raise InvalidInput(name, f"have {len(Q)} axes, as Q has", f"shape {shape}")
    for name, number in counts:
        if len(Q) == 4 and number is not None:
            raise InvalidInput(name, "be left out: the inputs have an axis of heads", str(number))
        if len(Q) == 3 and number is None:
            raise InvalidInput(name, "be given: the inputs have no axis of heads", "nothing")
    if len(Q) == 4:
        return [Q, K, V]
    found: list[Shape] = []
    for (name, shape), (key, number) in zip(
        (("Q", Q), ("K", K), ("V", V)), (counts[0], counts[1], counts[1]), strict=True
    ):
        if shape[2] % (number or 1):
            raise InvalidInput(key, f"divide {shape[2]}, the last axis of {name}", str(number))
        found.append((shape[0], number or 1, shape[1], shape[2] // (number or 1)))
    return found


def _require_mask(mask: Array, scores: Shape) -> None:
    if mask.dtype.kind in "iuc":
        raise InvalidInput("attn_mask", "hold true and false, or numbers to add", str(mask.dtype))
    short = mask.ndim and 1 < mask.shape[-1] < scores[-1]
    full = (*mask.shape[:-1], scores[-1]) if short else mask.shape
    try:
        fits = np.broadcast_shapes(full, scores) == scores
    except ValueError:
        fits = False
    if not fits:
        raise InvalidInput("attn_mask", f"broadcast to {scores}", f"shape {mask.shape}")
    if mask.dtype.kind != "b" and not (mask < np.inf).all():
        raise InvalidInput("attn_mask", "hold numbers, or minus infinity", "others")


def value(
    xp: Numbers, Q: Number, K: Number, V: Number, attn_mask: Array | None = None, **attributes: Any
) -> Number:
    """Return Y."""
    heads = heads_of(Q.shape, K.shape, V.shape, attn_mask, **attributes)

    def of(q: Number, k: Number, v: Number, places: Array) -> Number:
        _, P = heads.weights(xp, q, k, places)
        return xp.matmul(P, v)

    q, k, v = heads.split(xp, Q, K, V)
    Y = xp.rowwise(of, q, k, v, np.arange(heads.rows), size=heads.size)
    return join(xp, Y, heads.batch, Q.ndim)


def vjp(
    xp: Numbers,
    dY: Number,
    Q: Number,
    K: Number,
    V: Number,
    attn_mask: Array | None = None,
    **attributes: Any,
) -> dict[str, Number]:
    """Return dQ, dK and dV."""
    heads = heads_of(Q.shape, K.shape, V.shape, attn_mask, **attributes)

    def of(q: Number, k: Number, v: Number, d: Number, places: Array) -> tuple[Number, ...]:
        S, P = heads.weights(xp, q, k, places)
        dP = xp.matmul(d, xp.swapped(v))
        row = xp.sum(P * dP, -1, keepdims=True)
        if isinstance(xp, RoundedNumbers):
            # Kernels that keep no P have Σ dY Y instead of Σ P dP.
            by_output = xp.sum(d * xp.matmul(P, v), -1, keepdims=True)
            row = xp.widest([row, by_output])
        dS = P * (dP - row)
        if heads.softcap:
            dS = dS * xp.tanh_slope(S / heads.softcap)
        dS = dS * heads.scale
        return (
            xp.matmul(dS, k),
            xp.sum(xp.matmul(xp.swapped(dS), q), 1, keepdims=True),
            xp.sum(xp.matmul(xp.swapped(P), d), 1, keepdims=True),
        )

    q, k, v = heads.split(xp, Q, K, V)
    d = heads.queries(xp, dY)
    found = xp.rowwise(of, q, k, v, d, np.arange(heads.rows), size=heads.size)
    return {
        name: join(xp, one, heads.batch, Q.ndim)
        for name, one in zip(("Q", "K", "V"), found, strict=True)
    }


SLIPS = attention_slips.SLIPS


def draw(rng: np.random.Generator) -> Case:
    """Return two heads of queries for each of two of keys; more keys than queries, and a mask."""
    seen = rng.uniform(size=(4, 6)) < 0.75
    seen[:, 0] = True
    inputs = {
        "Q": 1.5 * rng.normal(size=(2, 4, 4, 3)),
        "K": 1.5 * rng.normal(size=(2, 2, 6, 3)),
        "V": rng.normal(size=(2, 2, 6, 3)),
        "attn_mask": np.where(seen, rng.normal(size=(4, 6)), -np.inf),
    }
    attributes = {
        "is_causal": 1,
        "causal_alignment": str(rng.choice(["top_left", "bottom_right"])),
        "softcap": 3.0,
        "scale": 0.6,
    }
    return Case(inputs, attributes)
