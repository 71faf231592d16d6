"""RNN (ONNX 22): a state that is a function of the input and of the state before.

    a_t = X_t Wᵀ + Wb + H_{t-1} Rᵀ + Rb,   H_t = f(a_t)
    da_t = dH_t f'(a_t),   dH_{t-1} += da_t R,   dX_t = da_t W
    dW = Σ da_tᵀ X_t,   dR = Σ da_tᵀ H_{t-1},   dWb = dRb = Σ da_t

The reverse direction runs from the last step to the first; a sequence stops at its length, behind
which Y is zero. f is one of Relu, Sigmoid, Softplus and Tanh.

Shapes: X (T, batch, inputs), W (directions, H, inputs), R (directions, H, H), B (directions, 2 H),
sequence_lens (batch,), initial_h (directions, batch, H); Y (T, directions, batch, H). With layout 1
the batch comes first.

Reference: Elman, Finding Structure in Time, 1990; the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators import recurrent
from oracle.operators.operator import Case, Shape, Signature, optional, optional_constant
from oracle.operators.recurrent import Cell, Flows, Sequences, State, Weights
from oracle.operators.recurrent_attributes import (
    ATTRIBUTES,
    apply,
    functions,
    require,
    require_functions,
    slope,
)
from oracle.operators.recurrent_slips import slips
from oracle.values import Array

SIGNATURE = Signature(
    "RNN",
    inputs=(
        "X",
        "W",
        "R",
        optional("B"),
        optional_constant("sequence_lens"),
        optional("initial_h"),
    ),
    outputs=("Y", "Y_h"),
    attributes={"activations": ["Tanh", "Tanh"], **ATTRIBUTES},
    version=22,
    optional_outputs=1,
)


def _sequences(
    X: Number,
    W: Number,
    R: Number,
    B: Number | None = None,
    sequence_lens: Array | None = None,
    initial_h: Number | None = None,
    *,
    direction: str,
    layout: int,
    **_: Any,
) -> Sequences:
    return Sequences(X, W, R, B, sequence_lens, (initial_h,), None, direction, layout)


def _cell(name: str) -> Cell:
    """Return the cell of a function."""

    def step(xp: Numbers, gates: Number, state: State, w: Weights) -> tuple[State, Any]:
        a = gates + xp.matmul(state[0], xp.swapped(w.R)) + w.bias
        return (apply(xp, name, a),), (a, state[0])

    def back(xp: Numbers, kept: Any, flow: State, w: Weights) -> Flows:
        a, h = kept
        da = flow[0] * slope(xp, name, a)
        return Flows(da, da, ((0, a.shape[1], h),), (xp.matmul(da, w.R),))

    return Cell(1, 1, step, back)


def _cells(direction: str, activations: Any) -> list[Cell]:
    count = 2 if direction == "bidirectional" else 1
    return [_cell(*functions(activations, ("Tanh",), d)) for d in range(count)]


def shapes(
    X: Shape,
    W: Shape,
    R: Shape,
    B: Shape | None = None,
    sequence_lens: Array | None = None,
    initial_h: Shape | None = None,
    *,
    activations: Any,
    direction: str,
    hidden_size: int | None,
    layout: int,
) -> Sequence[Shape]:
    """Return the shapes of Y and Y_h."""
    require(
        X,
        W,
        R,
        gates=1,
        direction=direction,
        hidden_size=hidden_size,
        layout=layout,
        sequence_lens=sequence_lens,
        others={"B": (B, "B"), "initial_h": (initial_h, "state")},
    )
    require_functions(activations, 1, W[0])
    return recurrent.output_shapes(X, R, direction, layout, 1)


def value(xp: Numbers, *given: Any, activations: Any, **attributes: Any) -> tuple[Number, ...]:
    """Return Y and Y_h."""
    cells = _cells(attributes["direction"], activations)
    return recurrent.value(xp, _sequences(*given, **attributes), cells)


def _differentiated(
    xp: Numbers,
    change: Any,
    dY: Number | None,
    dY_h: Number | None,
    *given: Any,
    activations: Any,
    **attributes: Any,
) -> dict[str, Number]:
    """Return the derivatives of sequences of which something was changed."""
    sequences = change(_sequences(*given, **attributes))
    cells = _cells(attributes["direction"], activations)
    found = recurrent.vjp(xp, sequences, cells, (dY, dY_h))
    return recurrent.named(found, {"0": "initial_h"})


def vjp(xp: Numbers, *given: Any, **attributes: Any) -> dict[str, Number]:
    """Return dX, dW, dR, dB and dinitial_h."""
    return _differentiated(xp, lambda same: same, *given, **attributes)


SLIPS = slips(_differentiated, 1)


def draw(rng: np.random.Generator) -> Case:
    """Return two directions, sequences of different lengths, and an initial state."""
    return Case(*recurrent.drawn(rng, 1, ("initial_h",)))


def agreed(rng: np.random.Generator) -> Case:
    """Return one direction of whole sequences, which is what ONNX's evaluator knows."""
    return Case(*recurrent.drawn(rng, 1, ("initial_h",), agreed=True))
