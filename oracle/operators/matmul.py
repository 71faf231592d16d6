"""MatMul (ONNX 13): Y = A B for matrices, stacks of them that broadcast, or vectors.

    dA = dY Bᵀ, dB = Aᵀ dY, each summed over what was broadcast

Reference: the ONNX operator specification; numpy.matmul.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators import gemm
from oracle.operators.broadcasting import not_summed
from oracle.operators.operator import Case, Family, Shape, Signature, Slip
from oracle.values import Float64, InvalidInput

SIGNATURE = Signature("MatMul", inputs=("A", "B"), outputs=("Y",), version=13)


def shapes(A: Shape, B: Shape) -> Sequence[Shape]:
    """Return the shape of the product; vectors lose the axis that they gained."""
    for name, shape in (("A", A), ("B", B)):
        if not shape:
            raise InvalidInput(name, "have an axis", "a scalar")
    terms = B[-2] if len(B) > 1 else B[0]
    if A[-1] != terms:
        where = "rows" if len(B) > 1 else "entries"
        raise InvalidInput("B", f"have {A[-1]} {where}", f"shape {B}")
    try:
        stack = np.broadcast_shapes(A[:-2], B[:-2])
    except ValueError:
        raise InvalidInput("B", f"broadcast with `A` {A}", f"shape {B}") from None
    return ((*stack, *A[-2:-1], *(B[-1:] if len(B) > 1 else ())),)


def _matrices(xp: Numbers, A: Number, B: Number) -> tuple[Number, Number]:
    """Return vectors as a row, or as a column."""
    left = xp.expand_dims(A, 0) if A.ndim == 1 else A
    return left, xp.expand_dims(B, 1) if B.ndim == 1 else B


def _product_shape(A: Number, B: Number) -> Shape:
    """Return the shape of dY where vectors are matrices."""
    stack = np.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    return (*stack, A.shape[-2], B.shape[-1])


def value(xp: Numbers, A: Number, B: Number) -> Number:
    """Return A B."""
    left, right = _matrices(xp, A, B)
    product = xp.matmul(left, right)
    wanted = shapes(A.shape, B.shape)[0]
    return product if product.shape == wanted else xp.reshape(product, wanted)


def _wide(xp: Numbers, dY: Number, A: Number, B: Number) -> tuple[Number, Number, Number]:
    left, right = _matrices(xp, A, B)
    shape = _product_shape(left, right)
    return (dY if dY.shape == shape else xp.reshape(dY, shape)), left, right


def _by_a(xp: Numbers, dY: Number, A: Number, B: Number) -> Number:
    wide, _, right = _wide(xp, dY, A, B)
    return xp.matmul(wide, xp.swapped(right))


def _by_b(xp: Numbers, dY: Number, A: Number, B: Number) -> Number:
    wide, left, _ = _wide(xp, dY, A, B)
    return xp.matmul(xp.swapped(left), wide)


def vjp(xp: Numbers, dY: Number, A: Number, B: Number) -> dict[str, Callable[[], Number]]:
    """Return dA and dB."""
    return {
        "A": lambda: _summed(xp, _by_a(xp, dY, A, B), A, 0),
        "B": lambda: _summed(xp, _by_b(xp, dY, A, B), B, 1),
    }


def _summed(xp: Numbers, full: Number, x: Number, axis: int) -> Number:
    """Return a gradient in the shape of x, of which a vector gained an axis."""
    shape = (*x.shape[:axis], 1, *x.shape[axis:]) if x.ndim == 1 else x.shape
    found = xp.unbroadcast(full, shape)
    return xp.reshape(found, x.shape) if x.ndim == 1 else found


def _flat(wrong: Callable[..., Any]) -> Callable[..., dict[str, Number]]:
    """Return the slip of a product of two matrices, for rows in a stack and one matrix, too."""

    def vjp(xp: Numbers, dY: Float64, A: Float64, B: Float64) -> dict[str, Number]:
        if A.ndim < 2 or B.ndim != 2:
            return {}
        rows = A.reshape(-1, A.shape[-1])
        attributes = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}
        found = wrong(xp, dY.reshape(len(rows), -1), rows, B, **attributes)
        return {n: g.reshape(A.shape if n == "A" else B.shape) for n, g in found.items()}

    return vjp


def _stacked(wrong: Callable[..., dict[str, Float64]]) -> Callable[..., dict[str, Number]]:
    """Return a slip of a product of two stacks of matrices of one depth."""

    def vjp(xp: Numbers, dY: Float64, A: Float64, B: Float64) -> dict[str, Number]:
        if A.ndim < 3 or A.shape[:-2] != B.shape[:-2]:
            return {}
        return wrong(dY, A, B)

    return vjp


def _reshaped(x: Float64) -> Float64:
    """Return matrices reshaped where they should be transposed; square ones stay as they are."""
    return x.reshape(*x.shape[:-2], x.shape[-1], x.shape[-2])


def _turned(x: Float64) -> Float64:
    return np.swapaxes(x, -1, -2)


def _summed_by_b(xp: Numbers, dY: Float64, A: Float64, B: Float64) -> Float64:
    full = _by_b(xp, dY, A, B)
    return full[..., 0] if B.ndim == 1 else full


_BACK, _FORMED = "Write dA = dY @ B.T of each matrix.", "Write dB = A.T @ dY of each matrix."

SLIPS = (
    *(Slip(slip.code, slip.says, _flat(slip.wrong), slip.remedy) for slip in gemm.OF_PRODUCTS),
    Slip(
        "wrong_weights",
        "each matrix of the gradient goes back through B without its transpose",
        _stacked(lambda dY, A, B: {"A": dY @ _reshaped(B)}),
        _BACK,
    ),
    Slip(
        "wrong_inputs",
        "each matrix of the gradient is formed with A without its transpose",
        _stacked(lambda dY, A, B: {"B": _reshaped(A) @ dY}),
        _FORMED,
    ),
    Slip(
        "wrong_weights",
        "the gradient goes back through the first matrix of the stack B",
        _stacked(lambda dY, A, B: {"A": dY @ _turned(B[:1])}),
        _BACK,
    ),
    Slip(
        "wrong_inputs",
        "the gradient is formed with the first matrix of the stack A",
        _stacked(lambda dY, A, B: {"B": _turned(A[:1]) @ dY}),
        _FORMED,
    ),
    Slip(
        "wrong_weights",
        "the gradient goes back through the matrices of B in reverse order",
        _stacked(lambda dY, A, B: {"A": dY @ _turned(B[::-1])}),
        _BACK,
    ),
    *not_summed("A", _by_a, 0, "dA"),
    *not_summed("B", _summed_by_b, 1, "dB"),
)


def _at_matrices(of: Callable[..., Any]) -> Callable[..., Any]:
    """Return the bases of a family, or none where the operands are no two matrices."""

    def bases(xp: Numbers, dY: Float64, A: Float64, B: Float64) -> Any:
        return of(xp, dY, A, B, alpha=1.0, transA=0, transB=0) if A.ndim == B.ndim == 2 else []

    return bases


FAMILIES = tuple(
    Family(one.code, one.says, _at_matrices(one.bases), one.remedy) for one in gemm.FAMILIES
)


def draw(rng: np.random.Generator) -> Case:
    """Return matrices, stacks of them, or a stack and one matrix."""
    shapes = (((7, 5), (5, 3)), ((2, 7, 5), (2, 5, 3)), ((2, 4, 5), (5, 3)), ((5,), (2, 5, 3)))
    A, B = shapes[int(rng.integers(len(shapes)))]
    return Case({"A": rng.normal(size=A), "B": rng.normal(size=B)})
