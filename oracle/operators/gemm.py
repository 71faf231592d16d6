"""Gemm (ONNX 13): Y = alpha A' B' + beta C, where A' is A, or its transpose if transA is 1.

    dA' = alpha dY B'ᵀ,   dB' = alpha A'ᵀ dY,   dC = beta dY, summed to the shape of C

Shapes: A' (M, K), B' (K, N), C broadcasts to (M, N).

Reference: BLAS, xGEMM; the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Case, Curve, Family, Shape, Signature, Slip, optional
from oracle.values import InvalidInput

SIGNATURE = Signature(
    "Gemm",
    inputs=("A", "B", optional("C")),
    outputs=("Y",),
    attributes={"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0},
    version=13,
)


def shapes(
    A: Shape, B: Shape, C: Shape | None = None, *, transA: int, transB: int, **_: float
) -> Sequence[Shape]:
    """Return (M, N)."""
    for name, shape in (("A", A), ("B", B)):
        if len(shape) != 2:
            raise InvalidInput(name, "be a matrix", f"shape {shape}")
    M, K = A[::-1] if transA else A
    terms, N = B[::-1] if transB else B
    if terms != K:
        raise InvalidInput("B", f"have {K} {'columns' if transB else 'rows'}", f"shape {B}")
    if C is not None and (len(C) > 2 or any(n not in (1, m) for n, m in zip(C[::-1], (N, M)))):  # noqa: B905
        raise InvalidInput("C", f"broadcast to ({M}, {N})", f"shape {C}")
    return ((M, N),)


def value(
    xp: Numbers,
    A: Number,
    B: Number,
    C: Number | None = None,
    *,
    alpha: float,
    beta: float,
    transA: int,
    transB: int,
) -> Number:
    """Return alpha A' B' + beta C."""
    left, right = _turned(xp, A, transA), _turned(xp, B, transB)
    if alpha == 1.0 and beta == 1.0:
        return xp.matmul(left, right, C)
    product = _scaled(xp.matmul(left, right), alpha)
    return product if C is None else product + _scaled(C, beta)


def vjp(
    xp: Numbers,
    dY: Number,
    A: Number,
    B: Number,
    C: Number | None = None,
    *,
    alpha: float,
    beta: float,
    transA: int,
    transB: int,
) -> dict[str, Callable[[], Number]]:
    """Return dA, dB and dC."""
    left, right, dP = _turned(xp, A, transA), _turned(xp, B, transB), _scaled(dY, alpha)
    found = {
        "A": lambda: _turned(xp, xp.matmul(dP, xp.swapped(right)), transA),
        "B": lambda: _turned(xp, xp.matmul(xp.swapped(left), dP), transB),
    }
    if C is not None:
        found["C"] = lambda: xp.unbroadcast(_scaled(dY, beta), C.shape)
    return found


def _turned(xp: Numbers, a: Number, turn: int) -> Number:
    return xp.swapped(a) if turn else a


def _scaled(x: Number, c: float) -> Number:
    return x if c == 1.0 else x * c


def _bias(reduce: Any) -> Any:
    """Return a vjp in which the bias is not the sum over the rows."""

    def wrong(
        xp: Numbers, dY: Number, A: Number, B: Number, C: Number | None = None, **_: Any
    ) -> dict[str, Number]:
        if C is None or (C.ndim > 1 and C.shape[0] != 1) or C.shape[-1:] != dY.shape[1:]:
            return {}
        held = np.broadcast_to(reduce(dY), dY.shape[1:])
        return {"C": np.reshape(held, C.shape)}

    return wrong


def _weights(change: Any) -> Any:
    """Return a vjp whose dA goes back through other weights, of the shape of B'."""

    def wrong(
        xp: Numbers,
        dY: Number,
        A: Number,
        B: Number,
        C: Number | None = None,
        *,
        alpha: float,
        transA: int,
        transB: int,
        **_: Any,
    ) -> dict[str, Number]:
        used = change(_turned(xp, B, transB))
        return {"A": _turned(xp, alpha * dY @ used.T, transA)}

    return wrong


def _inputs(change: Any) -> Any:
    """Return a vjp whose dB is formed with other inputs, of the shape of A'."""

    def wrong(
        xp: Numbers,
        dY: Number,
        A: Number,
        B: Number,
        C: Number | None = None,
        *,
        alpha: float,
        transA: int,
        transB: int,
        **_: Any,
    ) -> dict[str, Number]:
        used = np.broadcast_to(change(_turned(xp, A, transA)), dY.shape[:1] + _inner(A, transA))
        return {"B": _turned(xp, alpha * used.T @ dY, transB)}

    return wrong


def _with_bias(change: Any) -> Any:
    """Return a vjp whose dA goes back through weights that were changed with the bias at hand."""

    def wrong(
        xp: Numbers, dY: Number, A: Number, B: Number, C: Number | None = None, **attributes: Any
    ) -> dict[str, Number]:
        held = 0.0 if C is None else C
        return _weights(lambda used: change(used, held))(xp, dY, A, B, C, **attributes)

    return wrong


def _stepped(
    c: float, xp: Numbers, dY: Number, A: Number, B: Number, *rest: Any, **attributes: Any
) -> dict[str, Number]:
    """Return the vjp whose dA goes back through the weights less c times their gradient."""
    transA, transB = attributes["transA"], attributes["transB"]
    moved = _turned(xp, B, transB) - c * _turned(xp, A, transA).T @ dY
    return {"A": _turned(xp, attributes["alpha"] * dY @ moved.T, transA)}


def _but_last(n: int) -> Any:
    return np.arange(n) < n - 1


def _inner(A: Number, transA: int) -> tuple[int, ...]:
    return (A.shape[0],) if transA else (A.shape[1],)


def _square(B: Number) -> Number:
    return B.T if B.shape[0] == B.shape[1] else B.reshape(B.shape[::-1]).T


_SUM = "The gradient of a bias that is added to every row is dY.sum(axis=0)."
_BACK = "Write dA = dY @ B.T, with the weights of the forward pass."
_FORMED = "Write dB = A.T @ dY, with the inputs of the forward pass."

_BIASES = (
    ("is reduced over the batch by its mean", lambda e: e.mean(axis=0)),
    ("holds the last sample of dY only", lambda e: e[-1]),
    ("holds the first sample of dY only", lambda e: e[0]),
    ("holds the sum of dY over samples and units", lambda e: e.sum()),
    ("holds the mean of dY over samples and units", lambda e: e.mean()),
    ("holds the largest of dY over the samples", lambda e: e.max(axis=0)),
    ("holds the sum of |dY| over the samples", lambda e: np.abs(e).sum(axis=0)),
)

_BACKWARDS = (
    ("the weights without their transpose", _square),
    ("ones", np.ones_like),
    ("the signs of the weights", np.sign),
    ("the absolute values of the weights", np.abs),
    ("weights whose rows are in reverse order", lambda B: B[::-1]),
    ("weights whose columns are in reverse order", lambda B: B[:, ::-1]),
    ("weights whose rows are moved by one", lambda B: np.roll(B, 1, axis=0)),
    ("weights whose columns are moved by one", lambda B: np.roll(B, 1, axis=1)),
    ("weights whose rows are moved back by one", lambda B: np.roll(B, -1, axis=0)),
    ("weights whose columns are moved back by one", lambda B: np.roll(B, -1, axis=1)),
    ("weights without their last row", lambda B: B * _but_last(len(B))[:, np.newaxis]),
    ("weights without their last column", lambda B: B * _but_last(B.shape[1])),
)

_SHIFTED = (("the weights plus the bias", lambda B, C: B + C),)

_FORWARDS = (
    ("those of the sample before", lambda h: np.roll(h, 1, axis=0)),
    ("those of the sample after", lambda h: np.roll(h, -1, axis=0)),
    ("those of the samples in reverse order", lambda h: h[::-1]),
    ("those of the first sample", lambda h: h[:1]),
    ("those of the last sample", lambda h: h[-1:]),
    ("their mean over the batch", lambda h: h.mean(axis=0, keepdims=True)),
    ("them less their mean over the batch", lambda h: h - h.mean(axis=0, keepdims=True)),
    ("them less their mean", lambda h: h - h.mean()),
    ("their squares", lambda h: h * h),
    ("1 less them", lambda h: 1.0 - h),
    ("whether they are positive", lambda h: (h > 0) * 1.0),
    ("their slope as of a sigmoid, A (1 - A)", lambda h: h * (1.0 - h)),
)

OF_PRODUCTS = (
    *(
        Slip("wrong_weights", f"the error goes back through {says}", _weights(f), _BACK)
        for says, f in _BACKWARDS
    ),
    *(
        Slip(
            "wrong_inputs",
            f"instead of its inputs the weights' gradient has {says}",
            _inputs(f),
            _FORMED,
        )
        for says, f in _FORWARDS
    ),
)
"""What people write instead of the derivatives of a product of matrices."""

SLIPS = (
    *(Slip("bias_reduction", f"the bias {says}", _bias(f), _SUM) for says, f in _BIASES),
    *OF_PRODUCTS,
    *(
        Slip("wrong_weights", f"the error goes back through {says}", _with_bias(f), _BACK)
        for says, f in _SHIFTED
    ),
)


CURVES = (
    Curve(
        "wrong_weights",
        "the error goes back through the weights after a step of {0} times their gradient",
        _stepped,
        _BACK,
        lambda _: 0.0,
        (0.1, 1.0),
    ),
)


def _functions(h: Any) -> list[Any]:
    grown = np.exp(np.minimum(h, 50.0))
    return [np.ones_like(h), h, h * h, h**3, np.abs(h), grown, (h > 0) * 1.0]


FAMILIES = (
    Family(
        "wrong_inputs",
        "the weights' gradient is formed with another function of its inputs",
        lambda xp, dY, A, B, *rest, alpha, transA, transB, **_: [
            {"B": _turned(xp, alpha * f.T @ dY, transB)} for f in _functions(_turned(xp, A, transA))
        ],
        _FORMED,
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return matrices whose sizes are different primes."""
    transA, transB = int(rng.integers(2)), int(rng.integers(2))
    A = rng.normal(size=(7, 5))
    B = rng.normal(size=(5, 3))
    inputs = {
        "A": A.T.copy() if transA else A,
        "B": B.T.copy() if transB else B,
        "C": rng.normal(size=3),
    }
    return Case(inputs, {"transA": transA, "transB": transB})
