"""What people write in place of the way back through a recurrent network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Slip
from oracle.operators.recurrent import Sequences

Changed = Callable[..., dict[str, Number]]
"""(xp, change of the sequences, arguments of the vjp) to derivatives by names of inputs."""

_TIME = "Carry what flows back to the state from each step to the one before."
_BIAS = "Sum the gradient of both biases over all steps."


def _same(given: Sequences) -> Sequences:
    return given


def slips(differentiate: Changed, gates: int) -> tuple[Slip, ...]:
    """Return the slips of an operator of so many gates."""

    def changed(code: str, says: str, change: Any, remedy: str) -> Slip:
        def wrong(xp: Numbers, *given: Any, **attributes: Any) -> dict[str, Number]:
            return differentiate(xp, change, *given, **attributes)

        return Slip(code, says, wrong, remedy)

    def after(code: str, says: str, of: Any, remedy: str) -> Slip:
        def wrong(xp: Numbers, *given: Any, **attributes: Any) -> dict[str, Number]:
            return of(differentiate(xp, _same, *given, **attributes))

        return Slip(code, says, wrong, remedy)

    def one_bias(which: int) -> Any:
        def of(found: dict[str, Number]) -> dict[str, Number]:
            if "B" not in found:
                return {}
            n = found["B"].shape[1] // 2
            kept = np.arange(2 * n) // n == which
            return {"B": found["B"] * kept}

        return of

    order = after(
        "gate_order",
        "the gates of dW and dR are in another order",
        lambda found: _reordered(found, gates),
        "Write the gates in ONNX's order.",
    )
    return (
        *([order] if gates > 1 else []),
        changed(
            "truncated_to_one_step",
            "nothing flows back from one step to the one before",
            lambda s: replace(s, through_time=False),
            _TIME,
        ),
        changed(
            "lengths_ignored",
            "the lengths of the sequences are ignored",
            lambda s: replace(s, lengths=None),
            "Stop each sequence at its length.",
        ),
        changed(
            "direction",
            "all directions run forwards",
            _forwards,
            "Run the reverse direction from the last step to the first.",
        ),
        changed(
            "wrong_state",
            "dR is formed with the states of another step",
            _shifted,
            "Write dR with the state before each step.",
        ),
        changed(
            "initial_state",
            "the initial state is taken to be zero",
            lambda s: replace(
                s, initial=tuple(None if one is None else one * 0.0 for one in s.initial)
            ),
            "Start from the initial state.",
        ),
        changed(
            "bias_ignored",
            "the biases are missing in the gates",
            lambda s: replace(s, B=None if s.B is None else s.B * 0.0),
            "Recompute the gates with both biases.",
        ),
        after("bias_once", "only the bias of the input has a gradient", one_bias(0), _BIAS),
        after("bias_once", "only the bias of the state has a gradient", one_bias(1), _BIAS),
    )


def _forwards(given: Sequences) -> Sequences:
    return replace(given, all_forwards=True)


def _shifted(given: Sequences) -> Sequences:
    return replace(given, shifted=1)


def _reordered(found: dict[str, Number], gates: int) -> dict[str, Number]:
    changed = {}
    for name in ("W", "R"):
        changed[name] = np.roll(found[name], found[name].shape[1] // gates, axis=1)
    return changed
