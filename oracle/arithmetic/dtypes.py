"""In which types a candidate computes, sums and stores, and what each of them rounds."""

from __future__ import annotations

from dataclasses import dataclass

import ml_dtypes
import numpy as np

from oracle.values import Array, Float64, InvalidInput


@dataclass(frozen=True)
class Rounding:
    """What one type does to a result: unit roundoff, underflow, overflow.

    A result below `tiny` may become zero; one over a number that overflows is `lost`. Processors
    flush subnormals of float32 and bfloat16 to zero, those of float16 are kept.
    """

    u: float
    tiny: float
    lost: float


ROUNDING = {
    "float64": Rounding(2.0**-53, 2.0**-1022, 2.0**-1024),
    "float32": Rounding(2.0**-24, 2.0**-126, 2.0**-128),
    "float16": Rounding(2.0**-11, 2.0**-24, 2.0**-16),
    "bfloat16": Rounding(2.0**-8, 2.0**-126, 2.0**-128),
}
"""The types of a candidate gradient."""

NUMPY = {
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}


@dataclass(frozen=True)
class Arithmetic:
    """How a candidate computes: three types, for operations, for sums, and for what is stored.

    `u`, `v` and `w` are their unit roundoffs; `tiny` and `lost` are those of `compute`. `f` is the
    error of exp, log, tanh and their like in units of u: 4 where libraries of that type claim 1
    to 2; 1 in half precision, which all libraries evaluate in float32 and round once.
    """

    compute: str
    accumulate: str
    store: str

    @property
    def u(self) -> float:
        """Unit roundoff of an operation."""
        return ROUNDING[self.compute].u

    @property
    def v(self) -> float:
        """Unit roundoff of a partial sum."""
        return ROUNDING[self.accumulate].u

    @property
    def w(self) -> float:
        """Unit roundoff of what is stored."""
        return ROUNDING[self.store].u

    @property
    def tiny(self) -> float:
        """Below this a result may become zero."""
        return ROUNDING[self.compute].tiny

    @property
    def lost(self) -> float:
        """One over a number that overflows."""
        return ROUNDING[self.compute].lost

    @property
    def f(self) -> float:
        """Error of a function, in units of u."""
        return 1.0 if NUMPY[self.compute].itemsize == 2 else 4.0

    @property
    def stores_narrower(self) -> bool:
        """Whether what is stored is rounded once more."""
        return self.w > self.u

    def input_error(self, a: Array) -> Float64:
        """Return what rounding an input to the type that is stored does to it, entry by entry."""
        narrow = NUMPY[self.store]
        if np.can_cast(a.dtype, narrow):
            return np.broadcast_to(0.0, a.shape)
        wide = a.astype(np.float64)
        with np.errstate(over="ignore", under="ignore"):
            held = wide.astype(narrow).astype(np.float64)
        bound = np.maximum(np.abs(wide) * self.w, ROUNDING[self.store].tiny)
        return np.where(held == wide, 0.0, bound)

    def constant_error(self, c: float) -> float:
        """Return what rounding a constant to the type of the operations does to it."""
        with np.errstate(over="ignore", under="ignore"):
            held = float(np.float64(c).astype(NUMPY[self.compute]))
        return 0.0 if held == c else max(self.u * abs(c), self.tiny)


def arithmetic(
    store: str,
    *,
    compute: str | None = None,
    accumulate: str | None = None,
    argument: str = "accumulate",
) -> Arithmetic:
    """Return the arithmetic of a candidate whose tensors are of the type `store`.

    Where nothing else is said, float64 and float32 compute and sum in their own type; half
    precision is stored only: a kernel computes and sums in float32 and rounds what it writes.
    `argument` is what the caller calls `accumulate`.

    Raises
    ------
    InvalidInput
        If a type is not one of `ROUNDING`, if sums are narrower than operations, or operations
        narrower than what is stored.
    """
    inner = "float32" if store in ("float16", "bfloat16") else store
    computed = compute or inner
    sums = accumulate or computed
    for called, name in (("gradient", store), ("compute", computed), (argument, sums)):
        if name not in ROUNDING:
            raise InvalidInput(called, "be float64, float32, float16 or bfloat16", name)
    how = Arithmetic(computed, sums, store)
    if how.v > how.u:
        raise InvalidInput(argument, f"not be narrower than {computed}", sums)
    if how.u > how.w:
        raise InvalidInput("compute", f"not be narrower than {store}, which it stores", computed)
    return how


FLOAT64 = arithmetic("float64")
