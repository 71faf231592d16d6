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
from oracle.operators.operator import Case, Shape, Signature, Slip, optional
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


def _reduced(reduce: Any) -> Any:
    """Return a vjp in which the bias is not the sum over the rows."""

    def wrong(
        xp: Numbers,
        dY: Number,
        A: Number,
        B: Number,
        C: Number | None = None,
        *,
        beta: float,
        **_: Any,
    ) -> dict[str, Number]:
        if C is None or (C.ndim > 1 and C.shape[0] != 1) or C.shape[-1:] == (1,):
            return {}
        return {"C": np.reshape(reduce(dY) * beta, C.shape)}

    return wrong


def _untransposed(
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
    right = _turned(xp, B, transB)
    if right.shape[0] != right.shape[1]:
        return {"A": _turned(xp, alpha * dY @ right.reshape(right.shape[::-1]), transA)}
    return {"A": _turned(xp, alpha * dY @ right, transA)}


_SUM = "The gradient of a bias that is added to every row is dY.sum(axis=0)."

SLIPS = (
    Slip(
        "bias_reduction",
        "the bias is reduced over the batch by its mean",
        _reduced(lambda dY: dY.mean(0)),
        _SUM,
    ),
    Slip("bias_reduction", "the bias holds the last row of dY", _reduced(lambda dY: dY[-1]), _SUM),
    Slip("bias_reduction", "the bias holds the first row of dY", _reduced(lambda dY: dY[0]), _SUM),
    Slip(
        "wrong_weights",
        "the error goes back through the weights without their transpose",
        _untransposed,
        "Write dA = dY @ B.T.",
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
