"""What people write instead of the derivative of attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from oracle.arithmetic.float64 import Float64Numbers
from oracle.arithmetic.numbers import Number, Numbers
from oracle.arithmetic.special import tanh_slope
from oracle.operators.attention_heads import Heads, by_head, causal, heads_of, join
from oracle.operators.operator import Slip
from oracle.values import Array, Float64

_XP = Float64Numbers()


@dataclass(frozen=True)
class Parts:
    """Everything of which the derivative is made, as (rows, group, T or S, ...) in float64."""

    heads: Heads
    q: Float64
    k: Float64
    v: Float64
    d: Float64
    S: Float64
    P: Float64

    @property
    def dP(self) -> Float64:
        """Derivative by P."""
        return np.asarray(self.d @ self.v.swapaxes(-1, -2))

    @property
    def slope(self) -> Float64 | float:
        """Derivative of the softcap."""
        return tanh_slope(self.S / self.heads.softcap) if self.heads.softcap else 1.0

    @property
    def row(self) -> Float64:
        """The row term, Σ P dP."""
        return _row(self.P * self.dP)

    def dS(self, row: float = 1.0) -> Float64:
        """Return the derivative by the scores, without the scale; the row term so many times."""
        return np.asarray(self.P * (self.dP - row * self.row) * self.slope)

    def found(
        self,
        dS: Float64 | None = None,
        P: Float64 | None = None,
        *,
        scales: tuple[float, float] | None = None,
        summed: Callable[[Float64], Float64] | None = None,
    ) -> dict[str, Float64]:
        """Return dQ, dK and dV of these dS and P; `scales` are those of dQ and dK."""
        dS = self.dS() if dS is None else dS
        P = self.P if P is None else P
        over = summed or (lambda x: x.sum(axis=1, keepdims=True))
        first, second = scales or (self.heads.scale, self.heads.scale)
        return {
            "Q": first * dS @ self.k,
            "K": second * over(dS.swapaxes(-1, -2) @ self.q),
            "V": over(P.swapaxes(-1, -2) @ self.d),
        }


def _row(x: Float64) -> Float64:
    return np.asarray(x.sum(axis=-1, keepdims=True))


def _parts(dY: Any, Q: Any, K: Any, V: Any, heads: Heads) -> Parts:
    q, k, v = heads.split(_XP, Q, K, V)
    S, P = heads.weights(_XP, q, k, np.arange(heads.rows))
    return Parts(heads, q, k, v, heads.queries(_XP, dY), S, P)


Given = Mapping[str, Any]
Of = Callable[[Parts], Mapping[str, Float64]]


def _slip(code: str, says: str, of: Of, remedy: str) -> Slip:
    """Return the slip of other formulas."""
    return _other(code, says, lambda heads, mask, given: heads, remedy, of)


def _other(
    code: str,
    says: str,
    change: Callable[[Heads, Array | None, Given], Heads],
    remedy: str,
    of: Of = Parts.found,
) -> Slip:
    """Return the slip of another arrangement: other masks, scales or caps."""

    def wrong(
        xp: Numbers, dY: Any, Q: Any, K: Any, V: Any, attn_mask: Any = None, **attributes: Any
    ) -> dict[str, Number]:
        heads = heads_of(Q.shape, K.shape, V.shape, attn_mask, **attributes)
        with np.errstate(all="ignore"):
            found = of(_parts(dY, Q, K, V, change(heads, attn_mask, attributes)))
        right = {"Q": Q, "K": K, "V": V}
        return {
            name: joined
            for name, one in found.items()
            if (joined := join(xp, one, heads.batch, Q.ndim)).shape == right[name].shape
        }

    return Slip(code, says, wrong, remedy)


def _seeing(which: Callable[[Heads, str], Array], with_mask: bool = True) -> Any:
    """Return a change of what a query sees, where the attention is causal."""

    def change(heads: Heads, mask: Array | None, given: Given) -> Heads:
        if not given["is_causal"]:
            return heads
        seen = which(heads, given["causal_alignment"])[np.newaxis, np.newaxis, np.newaxis]
        if mask is not None and with_mask:
            spread = by_head(mask, heads.kv, heads.group, heads.S)
            seen = seen & (spread if spread.dtype.kind == "b" else spread > -np.inf)
        return replace(heads, seen=seen)

    return change


def _unmasked(heads: Heads, mask: Array | None, given: Given) -> Heads:
    seen = np.ones((heads.T, heads.S), dtype=bool)
    if given["is_causal"]:
        seen = causal(heads.T, heads.S, given["causal_alignment"])
    return replace(heads, seen=seen[np.newaxis, np.newaxis, np.newaxis], added=None)


def _shifted(by: int) -> Callable[[Heads, str], Array]:
    def seen(heads: Heads, alignment: str) -> Array:
        first = (heads.S - heads.T if alignment == "bottom_right" else 0) + by
        return np.arange(heads.S) <= np.arange(heads.T)[:, np.newaxis] + first

    return seen


def _turned(heads: Heads, alignment: str) -> Array:
    first = heads.S - heads.T if alignment == "bottom_right" else 0
    return np.arange(heads.S) >= np.arange(heads.T)[:, np.newaxis] + first


def _other_end(heads: Heads, alignment: str) -> Array:
    other = "top_left" if alignment == "bottom_right" else "bottom_right"
    return causal(heads.T, heads.S, other)


def _other_heads(q: Parts) -> Mapping[str, Float64]:
    """Return the derivative in which head h of the queries has keys h modulo their number."""
    heads = q.heads
    order = np.arange(heads.kv * heads.group).reshape(heads.group, heads.kv).T.ravel()

    def moved(x: Float64) -> Float64:
        flat = x.reshape(heads.batch, -1, *x.shape[2:])
        return np.asarray(flat[:, order].reshape(x.shape))

    def back(x: Float64) -> Float64:
        flat = x.reshape(heads.batch, -1, *x.shape[2:])
        return np.asarray(flat[:, np.argsort(order)].reshape(x.shape))

    qs = moved(q.q)
    S, P = heads.weights(_XP, qs, q.k, np.arange(heads.rows))
    found = replace(q, q=qs, d=moved(q.d), S=np.asarray(S), P=np.asarray(P)).found()
    return {**found, "Q": back(found["Q"])}


def _of_queries(q: Parts) -> Mapping[str, Float64]:
    S = q.S
    powers = np.where(q.P > 0, np.exp(S - S.max(axis=-2, keepdims=True)), 0.0)
    P = powers / np.maximum(powers.sum(axis=-2, keepdims=True), 1e-300)
    return replace(q, P=P).found()


def _base_two(q: Parts) -> Mapping[str, Float64]:
    P = np.where(q.P > 0, np.exp2(np.log(np.where(q.P > 0, q.P, 1.0))), 0.0)
    return replace(q, P=P).found()


_DS = "Write dS = P (dP - sum(P dP)) and dQ = scale dS K, dK = scale dS.T Q."
_MASK = "Use the mask of the forward pass in the backward pass."
_SUM = "Sum dK and dV over the heads of queries that share them."
_MAP = "Head h of the queries has head h // (heads / kv heads) of keys and values."
_CAP = "Multiply dS by 1 - tanh(S / softcap)^2."

SLIPS = (
    _slip(
        "scale_missing",
        "the scale is missing in dQ and dK",
        lambda q: q.found(scales=(1.0, 1.0)),
        _DS,
    ),
    _slip(
        "scale_missing",
        "the scale is missing in dQ",
        lambda q: q.found(scales=(1.0, q.heads.scale)),
        _DS,
    ),
    _slip(
        "scale_missing",
        "the scale is missing in dK",
        lambda q: q.found(scales=(q.heads.scale, 1.0)),
        _DS,
    ),
    _slip(
        "scale_twice",
        "the scale is applied twice in dQ and dK",
        lambda q: q.found(scales=(q.heads.scale**2, q.heads.scale**2)),
        _DS,
    ),
    _slip(
        "scale_twice",
        "the scale is applied twice in dQ",
        lambda q: q.found(scales=(q.heads.scale**2, q.heads.scale)),
        _DS,
    ),
    _slip(
        "scale_twice",
        "the scale is applied twice in dK",
        lambda q: q.found(scales=(q.heads.scale, q.heads.scale**2)),
        _DS,
    ),
    _other(
        "scale_missing",
        "P is formed without the scale",
        lambda heads, mask, given: replace(heads, scale=1.0),
        _MASK,
        lambda q: q.found(),
    ),
    _slip(
        "row_term_missing",
        "the row term, sum(P dP) = sum(dY Y), is missing in dS",
        lambda q: q.found(q.dS(row=0.0)),
        _DS,
    ),
    _slip(
        "row_term_twice",
        "the row term, sum(P dP), is subtracted twice in dS",
        lambda q: q.found(q.dS(row=2.0)),
        _DS,
    ),
    _slip(
        "row_term_sign",
        "the row term, sum(P dP), is added in dS",
        lambda q: q.found(q.dS(row=-1.0)),
        _DS,
    ),
    _slip(
        "row_term",
        "the row term is sum(dP), without P",
        lambda q: q.found(q.P * (q.dP - _row(q.dP)) * q.slope),
        _DS,
    ),
    _slip(
        "row_term",
        "the row term is the mean of dP",
        lambda q: q.found(q.P * (q.dP - q.dP.mean(axis=-1, keepdims=True)) * q.slope),
        _DS,
    ),
    _slip(
        "row_term",
        "the row term is not multiplied by P",
        lambda q: q.found((q.P * q.dP - q.row * (q.P > 0)) * q.slope),
        _DS,
    ),
    _slip(
        "softmax_jacobian",
        "only the diagonal of the softmax's Jacobian is used",
        lambda q: q.found(q.P * (1.0 - q.P) * q.dP * q.slope),
        _DS,
    ),
    _slip(
        "softmax_jacobian",
        "the derivative of the softmax is missing: dS is dP",
        lambda q: q.found(q.dP * (q.P > 0) * q.slope),
        _DS,
    ),
    _slip("softmax_axis", "the softmax runs over the queries", _of_queries, _DS),
    _slip("softmax_base", "P has powers of 2, not of e", _base_two, _DS),
    _other(
        "causal_mask_missing",
        "the causal mask is missing",
        _seeing(lambda heads, _: np.ones((heads.T, heads.S), dtype=bool)),
        _MASK,
    ),
    _other(
        "causal_mask_shifted",
        "the causal mask hides the query's own place",
        _seeing(_shifted(-1)),
        _MASK,
    ),
    _other(
        "causal_mask_shifted", "the causal mask shows one key too many", _seeing(_shifted(1)), _MASK
    ),
    _other(
        "causal_mask_alignment",
        "the causal mask is aligned at the other end",
        _seeing(_other_end),
        _MASK,
    ),
    _other(
        "causal_mask_transposed",
        "the causal mask shows the keys from the query's place on",
        _seeing(_turned),
        _MASK,
    ),
    _other("attention_mask_missing", "attn_mask is missing", _unmasked, _MASK),
    _other(
        "attention_mask_missing",
        "attn_mask hides, but what it adds is missing",
        lambda heads, mask, given: replace(heads, added=None),
        _MASK,
    ),
    _slip(
        "heads_not_summed",
        "dK and dV are those of the last head that shares them",
        lambda q: q.found(summed=lambda x: x[:, -1:]),
        _SUM,
    ),
    _slip(
        "heads_not_summed",
        "dK and dV are those of the first head that shares them",
        lambda q: q.found(summed=lambda x: x[:, :1]),
        _SUM,
    ),
    _slip(
        "heads_averaged",
        "dK and dV are the mean over the heads that share them",
        lambda q: q.found(summed=lambda x: x.mean(axis=1, keepdims=True)),
        _SUM,
    ),
    _slip(
        "head_map",
        "head h of the queries has keys and values h modulo their number",
        _other_heads,
        _MAP,
    ),
    _slip(
        "swapped_tensors",
        "dK and dV are swapped",
        lambda q: {"K": q.found()["V"], "V": q.found()["K"]},
        "Return dQ, dK, dV.",
    ),
    _slip(
        "softcap_slope_missing",
        "the derivative of the softcap is missing",
        lambda q: q.found(q.P * (q.dP - q.row)),
        _CAP,
    ),
    _slip(
        "softcap_slope",
        "the derivative of the softcap is taken at the capped score",
        lambda q: q.found(
            q.P
            * (q.dP - q.row)
            * (tanh_slope(np.tanh(q.S / q.heads.softcap)) if q.heads.softcap else 1.0)
        ),
        _CAP,
    ),
    _other(
        "softcap_missing",
        "the softcap is missing",
        lambda heads, mask, given: replace(heads, softcap=0.0),
        _CAP,
    ),
    _slip(
        "probabilities_missing",
        "dV is formed with the scores, not with P",
        lambda q: {"V": q.found(P=q.S * (q.P > 0))["V"]},
        "Write dV = P.T dY.",
    ),
    _slip(
        "probabilities_missing",
        "P is not divided by its sum in dV",
        lambda q: {"V": q.found(P=q.P / q.P.max(axis=-1, keepdims=True))["V"]},
        "Write dV = P.T dY.",
    ),
    _slip(
        "wrong_inputs",
        "dK is formed with the keys' own product, scale dS.T dY",
        lambda q: {"K": replace(q, q=q.d).found(q.dS())["K"]} if q.q.shape == q.d.shape else {},
        _DS,
    ),
    _slip(
        "wrong_inputs",
        "dP is formed with the keys, not with the values",
        lambda q: replace(q, v=q.k).found() if q.v.shape == q.k.shape else {},
        "dP = dY V.T.",
    ),
)
