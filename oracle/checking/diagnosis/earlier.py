"""Gradients at other parameters, such as those before a step, alone or added to the right one.

One step length is fitted; all the other numbers of the gradient check it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from oracle.checking.backward import Pass, backward, sigmoid, softmax
from oracle.checking.diagnosis.recovery import sent
from oracle.diagnosis.comparison import Comparison
from oracle.diagnosis.evidence import beyond_doubt, even
from oracle.findings import FindingKind as Kind
from oracle.values import Array, Finding

Tensors = Mapping[str, Array]

STEPS = 12
"""Steps of Gauss and Newton for the step length; each gains digits, or none will."""


ENOUGH = 1e-12
"""Share of the gradient that is left where a step length is found."""


def at_other_parameters(p: Pass, comparison: Comparison) -> tuple[Finding, ...]:
    """Find a gradient at P + s D, with D what was sent or the right gradient, and maybe a sum."""
    if not all(beyond_doubt(comparison, n) for n in comparison.candidate) or any(
        comparison.is_coarse(n) for n in comparison.candidate
    ):
        return ()
    right = backward(p)
    held = {n: sent(comparison, n) for n in right}
    rest = {n: g - right[n] for n, g in held.items()}
    for stale, wanted in ((True, held), (False, rest)):
        for along in (wanted, right):
            step = _step(p, along, wanted)
            if not step:
                continue
            found = _gradient(p, along, step)
            expected = found if stale else {n: g + right[n] for n, g in found.items()}
            if all(comparison.fits(n, g, allowed=even(comparison, n)) for n, g in expected.items()):
                return (_found(step, stale=stale, own=along is wanted),)
    return ()


def _found(step: float, *, stale: bool, own: bool) -> Finding:
    whose = "that gradient" if own else "the right gradient"
    where = f"at the parameters plus {step:.4g} times {whose}, as they are before or after a step"
    if stale:
        message = f"Every tensor is the gradient {where}."
        remedy = "Run forward and backward pass with the parameters that are sent."
        return Finding(Kind.STALE_BUFFER, "", message, remedy, {"step": step})
    message = f"Every tensor is the sum of the right gradient and the one {where}."
    remedy = "Clear the buffers before each batch."
    return Finding(Kind.ACCUMULATED, "", message, remedy, {"step": step})


def _step(p: Pass, along: Tensors, wanted: Tensors) -> float:
    """Return the s with the gradient at P + s D nearest to what is wanted, 0 if none is near."""

    def left(step: float) -> Array:
        return _flat({n: g - wanted[n] for n, g in _gradient(p, along, step).items()})

    size = float(np.linalg.norm(_flat(along)))
    if not np.isfinite(size) or size == 0:
        return 0.0
    small, step, off = 1e-6 / size, 0.0, left(0.0)
    first = float(np.linalg.norm(off))
    for count in range(STEPS):
        change = _change(left, step, off, small)
        step += change
        off = left(step)
        now = float(np.linalg.norm(off))
        if not np.isfinite(now) or (now > 0.7 * first / 2**count and now > ENOUGH * size):
            return 0.0
        if abs(change) <= 1e-10 * abs(step):
            break
    return step


def _change(left: Callable[[float], Array], step: float, off: Array, small: float) -> float:
    slope = (left(step + small) - left(step - small)) / (2 * small)
    square = float(slope @ slope)
    return -float(slope @ off) / square if square > 0 else 0.0


def _flat(tensors: Tensors) -> Array:
    return np.concatenate([tensors[n].ravel() for n in ("W1", "b1", "W2", "b2")])


def _gradient(p: Pass, along: Tensors, step: float) -> dict[str, Array]:
    W1, b1, W2, b2 = (getattr(p, n) + step * along[n] for n in ("W1", "b1", "W2", "b2"))
    a1 = p.x @ W1 + b1
    z1 = sigmoid(a1)
    a2 = z1 @ W2 + b2
    return backward(replace(p, W1=W1, b1=b1, W2=W2, b2=b2, a1=a1, z1=z1, a2=a2, y=softmax(a2)))
