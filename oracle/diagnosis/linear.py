"""Linear algebra of a diagnosis: numbers that left float64 are refused before LAPACK sees them.

LAPACK prints a complaint of its own about an infinity, on the streams of the process.
"""

from __future__ import annotations

import numpy as np

from oracle.values import Array, Float64


def least_squares(columns: Array, values: Array, rcond: float | None = None) -> Float64:
    """Return the w that brings columns @ w nearest to values. Raises LinAlgError."""
    _require_finite(columns, values)
    return np.asarray(np.linalg.lstsq(columns, values, rcond=rcond)[0])


def singular_values(matrix: Array) -> Float64:
    """Return the singular values, the largest first. Raises LinAlgError."""
    _require_finite(matrix)
    return np.asarray(np.linalg.svd(matrix, compute_uv=False))


def svd(matrix: Array) -> tuple[Float64, Float64, Float64]:
    """Return the thin singular value decomposition. Raises LinAlgError."""
    _require_finite(matrix)
    left, sizes, right = np.linalg.svd(matrix, full_matrices=False)
    return left, sizes, right


def condition(matrix: Array) -> float:
    """Return the quotient of the largest and the smallest singular value. Raises LinAlgError."""
    _require_finite(matrix)
    return float(np.linalg.cond(matrix))


def _require_finite(*arrays: Array) -> None:
    if not all(np.isfinite(a).all() for a in arrays):
        msg = "the numbers of a fit are not finite"
        raise np.linalg.LinAlgError(msg)
