"""RotaryEmbedding (ONNX 23): pairs of entries of a head turned by the angle of their place.

    Y1 = cos X1 - sin X2,   Y2 = sin X1 + cos X2
    dX1 = cos dY1 + sin dY2,   dX2 = cos dY2 - sin dY1

A pair is an entry of the first half of a head and that of the second, or two neighbours if
interleaved is 1. Entries from rotary_embedding_dim on, if that is not 0, pass as they are.

Shapes: X (batch, heads, T, D), or (batch, T, heads D) with num_heads; cos_cache and sin_cache
(places, D / 2) with position_ids (batch, T), else (batch, T, D / 2). They are not differentiated.

Reference: Su et al., RoFormer, 2021; the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.attributes import require_whole
from oracle.operators.operator import (
    Case,
    Shape,
    Signature,
    Slip,
    constant,
    flag_of,
    optional_constant,
)
from oracle.values import Array, InvalidInput

SIGNATURE = Signature(
    "RotaryEmbedding",
    inputs=("X", constant("cos_cache"), constant("sin_cache"), optional_constant("position_ids")),
    outputs=("Y",),
    attributes={"interleaved": 0, "num_heads": None, "rotary_embedding_dim": 0},
    version=23,
)


def shapes(
    X: Shape,
    cos_cache: Array,
    sin_cache: Array,
    position_ids: Array | None = None,
    *,
    interleaved: int,
    num_heads: int | None,
    rotary_embedding_dim: int,
) -> Sequence[Shape]:
    """Return the shape of X."""
    flag_of("interleaved", interleaved)
    require_whole("num_heads", num_heads, 1)
    if len(X) not in (3, 4):
        raise InvalidInput("X", "have three axes or four", f"shape {X}")
    if len(X) == 3 and (num_heads is None or X[2] % num_heads):
        requirement = f"divide {X[2]}, the last axis of X, which has no axis of heads"
        raise InvalidInput("num_heads", requirement, str(num_heads))
    D = X[3] if len(X) == 4 else X[2] // (num_heads or 1)
    turned = rotary_embedding_dim or D
    if turned % 2 or not 0 <= turned <= D:
        requirement = f"be even and at most the head size {D}"
        raise InvalidInput("rotary_embedding_dim", requirement, str(turned))
    places = (X[0], X[2] if len(X) == 4 else X[1])
    for name, cache in (("cos_cache", cos_cache), ("sin_cache", sin_cache)):
        if cache.dtype.kind in "biuc":
            raise InvalidInput(name, "hold floating numbers", str(cache.dtype))
        if position_ids is None and cache.shape != (*places, turned // 2):
            raise InvalidInput(name, f"have shape {(*places, turned // 2)}", str(cache.shape))
        if position_ids is not None and (cache.ndim != 2 or cache.shape[1] != turned // 2):
            raise InvalidInput(name, f"have shape (places, {turned // 2})", str(cache.shape))
    if position_ids is not None:
        _require_places(position_ids, places, min(len(cos_cache), len(sin_cache)))
    return (X,)


def _require_places(given: Array, shape: Shape, most: int) -> None:
    if given.dtype.kind not in "iu" or given.shape != shape:
        was = f"{given.dtype} of shape {given.shape}"
        raise InvalidInput("position_ids", f"hold whole numbers of shape {shape}", was)
    if given.size and not (given.min() >= 0 and given.max() < most):
        was = f"{given.min()} to {given.max()}"
        raise InvalidInput("position_ids", f"be from 0 to {most - 1}", was)


def _turned(
    xp: Numbers,
    X: Number,
    cos_cache: Array,
    sin_cache: Array,
    position_ids: Array | None,
    *,
    interleaved: int,
    num_heads: int | None,
    rotary_embedding_dim: int,
    back: bool,
) -> Number:
    """Return the pairs turned by their angle, or back by it."""
    flat = X.ndim == 3
    heads = xp.transpose(xp.reshape(X, (*X.shape[:2], num_heads or 1, -1)), (0, 2, 1, 3))
    x = heads if flat else X
    D = x.shape[3]
    half = (rotary_embedding_dim or D) // 2
    caches = [a if position_ids is None else a[position_ids] for a in (cos_cache, sin_cache)]
    cos, sin = (xp.held(np.expand_dims(a, 1)) for a in caches)
    sin = -sin if back else sin

    def some(part: slice) -> Number:
        return xp.part(x, (slice(None), slice(None), slice(None), part))

    if interleaved:
        first, second = some(slice(0, 2 * half, 2)), some(slice(1, 2 * half, 2))
    else:
        first, second = some(slice(0, half)), some(slice(half, 2 * half))
    real, imaginary = cos * first - sin * second, sin * first + cos * second
    rest = some(slice(2 * half, D))
    if interleaved:
        pairs = xp.concat([xp.expand_dims(real, -1), xp.expand_dims(imaginary, -1)], 4)
        Y = xp.concat([xp.reshape(pairs, (*x.shape[:3], 2 * half)), rest], 3)
    else:
        Y = xp.concat([real, imaginary, rest], 3)
    return xp.reshape(xp.transpose(Y, (0, 2, 1, 3)), X.shape) if flat else Y


def value(
    xp: Numbers,
    X: Number,
    cos_cache: Array,
    sin_cache: Array,
    position_ids: Array | None = None,
    **attributes: Any,
) -> Number:
    """Return Y."""
    return _turned(xp, X, cos_cache, sin_cache, position_ids, back=False, **attributes)


def vjp(
    xp: Numbers,
    dY: Number,
    X: Number,
    cos_cache: Array,
    sin_cache: Array,
    position_ids: Array | None = None,
    **attributes: Any,
) -> dict[str, Number]:
    """Return dX."""
    return {"X": _turned(xp, dY, cos_cache, sin_cache, position_ids, back=True, **attributes)}


def _slip(code: str, says: str, change: Any) -> Slip:
    """Return the slip of another angle: `change` takes cos, sin, places and attributes."""

    def wrong(
        xp: Numbers, dY: Any, X: Any, cos: Array, sin: Array, places: Any = None, **attributes: Any
    ) -> dict[str, Number]:
        cos, sin, places, other = change(cos, sin, places, attributes)
        return {"X": _turned(xp, dY, cos, sin, places, **{"back": True, **attributes, **other})}

    return Slip(code, says, wrong, _REMEDY)


_REMEDY = "Turn dY back: dX1 = cos dY1 + sin dY2, dX2 = cos dY2 - sin dY1, in the pairs of X."


def _before(cache: Array, places: Any, by: int) -> Array:
    return np.roll(cache, by, axis=0 if places is not None else 1)


def _unturned(
    xp: Numbers, dY: Any, X: Any, *given: Any, rotary_embedding_dim: int, **attributes: Any
) -> dict[str, Number]:
    """Return dX whose last entries, which pass as they are, are zero."""
    if not rotary_embedding_dim:
        return {}
    attributes["rotary_embedding_dim"] = rotary_embedding_dim
    D = X.shape[-1] if X.ndim == 4 else X.shape[-1] // attributes["num_heads"]
    kept = np.arange(X.shape[-1]) % D < rotary_embedding_dim
    return {"X": vjp(xp, dY, X, *given, **attributes)["X"] * kept}


SLIPS = (
    _slip(
        "rotation_sign",
        "dY is turned on, not back: the sign of the sine",
        lambda c, s, p, a: (c, s, p, {"back": False}),
    ),
    _slip(
        "rotation_pairs",
        "the pairs are those of the other layout, interleaved for halves",
        lambda c, s, p, a: (c, s, p, {"interleaved": 1 - a["interleaved"]}),
    ),
    _slip(
        "rotation_missing",
        "dY is not turned at all",
        lambda c, s, p, a: (np.ones_like(c), np.zeros_like(s), p, {}),
    ),
    _slip(
        "rotation_sine_missing",
        "the sine is missing",
        lambda c, s, p, a: (c, np.zeros_like(s), p, {}),
    ),
    _slip("rotation_swapped", "cosine and sine are swapped", lambda c, s, p, a: (s, c, p, {})),
    _slip(
        "rotation_place",
        "the angle is that of the place before",
        lambda c, s, p, a: (_before(c, p, 1), _before(s, p, 1), p, {}),
    ),
    _slip(
        "rotation_place",
        "the angle is that of the place after",
        lambda c, s, p, a: (_before(c, p, -1), _before(s, p, -1), p, {}),
    ),
    _slip(
        "rotation_twice",
        "dY is turned back twice",
        lambda c, s, p, a: (c * c - s * s, 2.0 * c * s, p, {}),
    ),
    Slip(
        "rotation_rest",
        "the entries that are not turned have no gradient",
        _unturned,
        "Pass the gradient of the entries that are not turned as it is.",
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return heads of which a part is turned, at places of their own."""
    angles = rng.uniform(0.2, 2.8, (9, 2))
    inputs = {
        "X": rng.normal(size=(2, 3, 5, 6)),
        "cos_cache": np.cos(angles),
        "sin_cache": np.sin(angles),
        "position_ids": rng.integers(0, 9, (2, 5)),
    }
    return Case(inputs, {"rotary_embedding_dim": 4, "interleaved": int(rng.integers(2))})
