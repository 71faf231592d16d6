"""What people write in place of the derivative of a convolution, or of its transpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Slip
from oracle.values import Float64

_FLIP = "Slide the kernel of the forward pass back, each entry to the place that it met."
_SUM = "Sum dW over the batch and all positions."
_GROUP = "A group of the output meets the same group of the input alone."


def _flipped(a: Float64) -> Float64:
    return np.flip(a, axis=tuple(range(2, a.ndim)))


def _spatial(a: Float64, by: int) -> Float64:
    """Return an array moved along its places, with zeros where nothing comes from."""
    moved = np.zeros_like(a)
    if by > 0:
        moved[:, :, by:] = a[:, :, :-by]
    else:
        moved[:, :, :by] = a[:, :, -by:]
    return moved


def slips(vjp: Callable[..., Any], x: str, w: str, *, transposes: bool) -> tuple[Slip, ...]:
    """Return the slips of an operator of this vjp, whose inputs have these names."""

    def of(code: str, says: str, change: Callable[..., dict[str, Number]], remedy: str) -> Slip:
        def wrong(xp: Numbers, dY: Any, X: Any, W: Any, B: Any = None, **attributes: Any) -> Any:
            def right(
                dY: Any = dY, X: Any = X, W: Any = W, **others: Any
            ) -> dict[str, Callable[[], Number]]:
                return dict(vjp(xp, dY, X, W, B, **{**attributes, **others}))

            found = change(right, dY, X, W, attributes)
            shapes = {x: X.shape, w: W.shape, "B": None if B is None else B.shape}
            return {name: one for name, one in found.items() if one.shape == shapes[name]}

        return Slip(code, says, wrong, remedy)

    def exchanged(W: Float64, group: int) -> Float64:
        """Return the kernels of the groups in the order of the next group."""
        return np.roll(W, len(W) // group, axis=0)

    def other_channels(X: Float64, group: int) -> Float64:
        return np.roll(X, X.shape[1] // group, axis=1)

    slipped = [
        of(
            "kernel_not_flipped",
            "the kernel is not turned: dX is slid with it as it is, mirrored",
            lambda right, dY, X, W, a: {x: right(W=_flipped(W))[x]()},
            _FLIP,
        ),
        of(
            "kernel_flipped",
            "dW is mirrored",
            lambda right, dY, X, W, a: {w: _flipped(right()[w]())},
            _FLIP,
        ),
        of(
            "pad_off_by_one",
            "dX is one place too far on: the pads are off by one",
            lambda right, dY, X, W, a: {x: _spatial(right()[x](), 1)},
            _FLIP,
        ),
        of(
            "pad_off_by_one",
            "dX is one place too far back: the pads are off by one",
            lambda right, dY, X, W, a: {x: _spatial(right()[x](), -1)},
            _FLIP,
        ),
        of(
            "pad_off_by_one",
            "dW is formed with inputs that are one place too far on",
            lambda right, dY, X, W, a: {w: right(X=_spatial(X, 1))[w]()},
            _FLIP,
        ),
        of(
            "pad_off_by_one",
            "dW is formed with inputs that are one place too far back",
            lambda right, dY, X, W, a: {w: right(X=_spatial(X, -1))[w]()},
            _FLIP,
        ),
        of(
            "pads_exchanged",
            "the pads of both ends are exchanged",
            lambda right, dY, X, W, a: {
                n: f() for n, f in right(pads=_turned(a, X.ndim - 2)).items() if n != "B"
            },
            _FLIP,
        ),
        of(
            "groups_mixed",
            "dX of a group has the kernel of the next group",
            lambda right, dY, X, W, a: {x: right(W=exchanged(W, a["group"]))[x]()},
            _GROUP,
        ),
        of(
            "groups_mixed",
            "dW of a group has the inputs of the next group",
            lambda right, dY, X, W, a: {w: right(X=other_channels(X, a["group"]))[w]()},
            _GROUP,
        ),
        of(
            "dropped_samples",
            "dW has the first sample only",
            lambda right, dY, X, W, a: {w: right(dY=_first(dY))[w]()},
            _SUM,
        ),
        of(
            "dropped_samples",
            "dW has the last sample only",
            lambda right, dY, X, W, a: {w: right(dY=_first(dY[::-1])[::-1])[w]()},
            _SUM,
        ),
        of(
            "extra_batch_mean",
            "dW is the mean over the batch, not the sum",
            lambda right, dY, X, W, a: {w: right()[w]() / len(X)},
            _SUM,
        ),
        of(
            "mean_over_positions",
            "dW is the mean over the positions, not the sum",
            lambda right, dY, X, W, a: {w: right()[w]() / np.prod(dY.shape[2:])},
            _SUM,
        ),
        of(
            "bias_reduction",
            "dB is the sum over the batch at the first position",
            lambda right, dY, X, W, a: {"B": dY.reshape(*dY.shape[:2], -1)[:, :, 0].sum(axis=0)},
            "Sum dB over all positions.",
        ),
        of(
            "bias_reduction",
            "dB is the mean over the batch, summed over the positions",
            lambda right, dY, X, W, a: {"B": right()["B"]() / len(X)} if "B" in right() else {},
            "Sum dB over the batch.",
        ),
        of(
            "bias_reduction",
            "dB is the mean over the positions, summed over the batch",
            lambda right, dY, X, W, a: (
                {"B": right()["B"]() / np.prod(dY.shape[2:])} if "B" in right() else {}
            ),
            "Sum dB over all positions.",
        ),
    ]
    if not transposes:
        slipped.append(
            of(
                "stride_missing",
                "dY is not spread by the stride in dX",
                lambda right, dY, X, W, a: {x: _unstrided(right, dY, X, a)},
                _FLIP,
            )
        )
    return tuple(slipped)


def _turned(a: dict[str, Any], d: int) -> list[int]:
    pads = list(a.get("pads") or [0] * (2 * d))
    return [*pads[d:], *pads[:d]]


def _first(dY: Float64) -> Float64:
    return dY * (np.arange(len(dY)) == 0).reshape(-1, *[1] * (dY.ndim - 1))


def _unstrided(right: Callable[..., Any], dY: Float64, X: Float64, a: dict[str, Any]) -> Float64:
    """Return dX of windows without a stride, of whose positions dY holds the first."""
    strides = a.get("strides") or [1] * (X.ndim - 2)
    positions = [(m - 1) * s + 1 for m, s in zip(dY.shape[2:], strides, strict=True)]
    wider = np.zeros((*dY.shape[:2], *positions))
    first = tuple(slice(0, m) for m in dY.shape[2:])
    wider[(slice(None), slice(None), *first)] = dY
    spread = wider[(slice(None), slice(None), *(slice(None, None, s) for s in strides))]
    return np.asarray(right(dY=spread)["X"]())
