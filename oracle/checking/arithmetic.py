"""How a candidate computes, and values that know what rounding may have done to them.

The rules by which errors are added are those of `oracle.checking.budget`.
"""

from __future__ import annotations

from dataclasses import dataclass

import ml_dtypes
import numpy as np

from oracle.reference.requirements import widened
from oracle.slices import entrywise
from oracle.values import Array, Checkpoint, Float64, InvalidInput, never_stop

TYPES = {
    "float64": (2.0**-53, 2.0**-1022, 2.0**-1024),
    "float32": (2.0**-24, 2.0**-126, 2.0**-128),
    "float16": (2.0**-11, 2.0**-24, 2.0**-16),
    "bfloat16": (2.0**-8, 2.0**-126, 2.0**-128),
}
"""Unit roundoff, the magnitude below which a result may become zero, and one over the overflow.

Processors flush subnormals of float32 and bfloat16 to zero, those of float16 are kept.
"""

_NUMPY = {
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}


@dataclass(frozen=True)
class Arithmetic:
    """How a candidate computes: storage type, its roundoff u, that of its sums v, and underflow.

    `f` is the error of a function in units of u; `lost` is one over a number that overflows.
    """

    dtype: str
    accumulation_dtype: str
    u: float
    v: float
    tiny: float
    lost: float
    f: float

    def input_error(self, a: Array) -> Float64:
        """Return what rounding an input to the storage type does to it, entry by entry."""
        if np.can_cast(a.dtype, _NUMPY[self.dtype]):
            return np.broadcast_to(0.0, a.shape)
        wide = a.astype(np.float64)
        with np.errstate(over="ignore", under="ignore"):
            held = wide.astype(_NUMPY[self.dtype]).astype(np.float64)
        return np.where(held == wide, 0.0, np.maximum(np.abs(wide) * self.u, self.tiny))

    def held(self, a: Array, checkpoint: Checkpoint = never_stop) -> Uncertain:
        """Return an input with what rounding it to the storage type does to it."""
        if np.can_cast(a.dtype, _NUMPY[self.dtype]):
            error = np.broadcast_to(0.0, a.shape)
        else:
            error = entrywise(self.input_error, a, checkpoint=checkpoint)
        return Uncertain(widened(a, checkpoint), common(error))

    def delta_error(self, delta: float) -> float:
        """Return what rounding delta to the storage type does to it."""
        return 0.0 if delta == 0.0 else max(self.u * delta, self.tiny)


def arithmetic(dtype: str, accumulation_dtype: str | None = None) -> Arithmetic:
    """Return the arithmetic of a candidate.

    Raises
    ------
    InvalidInput
        If a type is not one of float64, float32, float16, bfloat16, or sums are narrower than
        their terms.
    """
    sums = accumulation_dtype or dtype
    for argument, name in (("gradient", dtype), ("accumulation_dtype", sums)):
        if name not in TYPES:
            raise InvalidInput(argument, "be float64, float32, float16 or bfloat16", name)
    u, tiny, lost = TYPES[dtype]
    v = TYPES[sums][0]
    if v > u:
        raise InvalidInput("accumulation_dtype", f"not be narrower than {dtype}", sums)
    return Arithmetic(dtype, sums, u, v, tiny, lost, 1.0 if _NUMPY[dtype].itemsize == 2 else 4.0)


FLOAT64 = arithmetic("float64")


@dataclass(frozen=True)
class Error:
    """Bounds, entry by entry: of an error of one sign everywhere, and of an independent one."""

    common: Float64
    independent: Float64

    @property
    def total(self) -> Float64:
        """Return the bound of their sum."""
        return self.common + self.independent

    def times(self, size: Float64) -> Error:
        """Return the error of a product with something exact, |size|."""
        return Error(self.common * size, self.independent * size)

    def plus(self, other: Error) -> Error:
        """Return the error of a sum."""
        return Error(self.common + other.common, self.independent + other.independent)

    def at_most(self, bound: float) -> Error:
        """Return the error of something that cannot err by more than `bound`."""
        return Error(np.minimum(self.common, bound), np.minimum(self.independent, bound))


def common(bound: Float64) -> Error:
    """Return an error that may have one sign everywhere."""
    return Error(bound, np.broadcast_to(0.0, bound.shape))


@dataclass(frozen=True)
class Uncertain:
    """A matrix in float64, and what it may be off by in the arithmetic in question."""

    value: Float64
    error: Error

    def rows(self, r: slice) -> Uncertain:
        """Return some of the rows."""
        error = Error(self.error.common[r], self.error.independent[r])
        return Uncertain(self.value[r], error)

    def transposed(self) -> Uncertain:
        """Return the transpose."""
        return Uncertain(self.value.T, Error(self.error.common.T, self.error.independent.T))
