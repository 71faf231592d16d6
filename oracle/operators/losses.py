"""What losses of single entries have in common: a loss and a slope of each, and a reduction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.attributes import require_one_of
from oracle.operators.operator import Shape, Slip
from oracle.values import Array, InvalidInput

REDUCTIONS = ("mean", "sum", "none")

Slope = Callable[..., Number]
"""(xp, *inputs, **attributes) to the derivative of each entry's loss."""


def count_of(shape: Shape, reduction: str) -> float:
    """Return what a reduction divides by: the entries, or the samples of a batch."""
    if reduction == "mean":
        return float(np.prod(shape, dtype=np.int64))
    return float(shape[0]) if reduction == "batchmean" else 1.0


def reduced(xp: Numbers, losses: Number, reduction: str) -> Number:
    """Return the losses of entries, or their sum or mean."""
    if reduction == "none":
        return losses
    total = xp.sum(losses)
    return total if reduction == "sum" else total / count_of(losses.shape, reduction)


def spread(d: Number, shape: Shape, reduction: str) -> Number:
    """Return the cotangent of each entry's loss, which broadcasts to it."""
    return d / count_of(shape, reduction) if reduction in ("mean", "batchmean") else d


def chained(name: str, slope: Slope) -> Callable[..., dict[str, Number]]:
    """Return the vjp by the first input of a loss of this slope."""

    def vjp(
        xp: Numbers, d: Number, input: Number, *given: Any, reduction: str, **attributes: Any
    ) -> dict[str, Number]:
        return {name: spread(d, input.shape, reduction) * slope(xp, input, *given, **attributes)}

    return vjp


def wrong(name: str, code: str, says: str, slope: Slope, remedy: str) -> Slip:
    """Return the slip of another slope."""

    def of(xp: Numbers, *given: Any, **attributes: Any) -> dict[str, Number]:
        with np.errstate(all="ignore"):
            return chained(name, slope)(xp, *given, **attributes)

    return Slip(code, says, of, remedy)


def common(vjp: Callable[..., dict[str, Number]]) -> tuple[Slip, ...]:
    """Return the slips of any loss: its cotangent, and what its mean divides by."""

    def otherwise(
        factor: Callable[[Shape, str], float],
    ) -> Callable[..., dict[str, Number]]:
        def of(xp: Numbers, d: Any, input: Any, *given: Any, **attributes: Any) -> Any:
            c = factor(input.shape, attributes["reduction"])
            found = vjp(xp, d, input, *given, **attributes)
            return {name: one * c for name, one in found.items()}

        return of

    def samples(shape: Shape, reduction: str) -> float:
        return count_of(shape, reduction) / shape[0] if reduction == "mean" else 1.0

    def ones(xp: Numbers, d: Any, *given: Any, **attributes: Any) -> Any:
        return vjp(xp, np.ones_like(d), *given, **attributes)

    remedy = "Divide by what the mean of the forward pass divides by."
    return (
        Slip("missing_batch_mean", "the mean is missing", otherwise(count_of), remedy),
        Slip(
            "wrong_mean",
            "the mean divides by the samples, not by all entries",
            otherwise(samples),
            remedy,
        ),
        Slip(
            "upstream_gradient_ignored",
            "the gradient of the loss that comes from above is ignored",
            ones,
            "Multiply by the cotangent of the loss.",
        ),
    )


def require_same(
    reduction: str, input: Shape, known: tuple[str, ...] = REDUCTIONS, **others: Array | Shape
) -> Shape:
    """Return the shape of the loss of entries.

    Raises
    ------
    InvalidInput
        If a shape is another one, a known array does not hold finite numbers, the reduction is
        unknown, or there is nothing to take the mean of.
    """
    require_one_of("reduction", reduction, known)
    for name, other in others.items():
        shape = tuple(other) if isinstance(other, tuple) else other.shape
        if shape != input:
            raise InvalidInput(name, f"have shape {input}, as the first input", f"shape {shape}")
        if not isinstance(other, tuple):
            require_numbers(name, other)
    if reduction == "none":
        return input
    if count_of(input, reduction) == 0.0 or (reduction == "batchmean" and not input):
        raise InvalidInput("reduction", 'be "sum" or "none" where nothing is counted', reduction)
    return ()


def require_numbers(name: str, a: Array) -> None:
    """Raise unless a known input holds finite numbers.

    Raises
    ------
    InvalidInput
        If it does not.
    """
    if a.dtype.kind in "iub":
        return
    if a.dtype.kind == "c" or not np.isfinite(a.astype(np.float64)).all():
        raise InvalidInput(name, "hold finite numbers", "others")


def held(xp: Numbers, a: Array) -> Number:
    """Return a known input: whole numbers are exact."""
    return xp.exact(a) if a.dtype.kind in "iub" else xp.held(a)
