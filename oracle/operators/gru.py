"""GRU (ONNX 22): a state of which a gate lets a part pass, and another renews the rest.

    z = f(X Wzᵀ + H Rzᵀ + Wbz + Rbz),   r = f(X Wrᵀ + H Rrᵀ + Wbr + Rbr)
    h = g(X Whᵀ + Wbh + (r H) Rhᵀ + Rbh), or with linear_before_reset r (H Rhᵀ + Rbh) in its place
    H' = (1 - z) h + z H
    dz = dH' (H - h),   dh = dH' (1 - z),   da = dh g';   without linear_before_reset:
    dr = (da Rh) H,   dH = dH' z + (da Rh) r + daz Rz + dar Rr

dW, dR and both biases are sums over all steps. Functions, directions and lengths are as in RNN.

Shapes: as in RNN, with W (directions, 3 H, inputs), R (directions, 3 H, H), B (directions, 6 H);
the gates are in the order z, r, h.

Reference: Cho et al., Learning Phrase Representations, 2014; the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators import recurrent
from oracle.operators.operator import (
    Case,
    Shape,
    Signature,
    Slip,
    flag_of,
    optional,
    optional_constant,
)
from oracle.operators.recurrent import Cell, Flows, Sequences, State, Weights, columns
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
    "GRU",
    inputs=(
        "X",
        "W",
        "R",
        optional("B"),
        optional_constant("sequence_lens"),
        optional("initial_h"),
    ),
    outputs=("Y", "Y_h"),
    attributes={"activations": None, **ATTRIBUTES, "linear_before_reset": 0},
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


def _step(
    xp: Numbers, gates: Number, state: State, w: Weights, *, f: str, g: str, linear: int
) -> tuple[State, Any]:
    """Return H', and what the way back needs."""
    (H,) = state
    n = H.shape[1]
    again = xp.matmul(H, xp.swapped(_rows(xp, w.R, 0, 2 * n))) + xp.part(w.bias, (slice(2 * n),))
    az = columns(xp, gates, 0, n) + columns(xp, again, 0, n)
    ar = columns(xp, gates, 1, n) + columns(xp, again, 1, n)
    z, r = apply(xp, f, az), apply(xp, f, ar)
    Rh, bias = _rows(xp, w.R, 2 * n, 3 * n), xp.part(w.bias, (slice(2 * n, 3 * n),))
    fed = H if linear else r * H
    q = xp.matmul(fed, xp.swapped(Rh)) + bias
    a = columns(xp, gates, 2, n) + (r * q if linear else q)
    h = apply(xp, g, a)
    return ((1.0 - z) * h + z * H,), (H, az, ar, a, z, r, h, q, fed)


def _back(
    xp: Numbers,
    kept: Any,
    flow: State,
    w: Weights,
    *,
    f: str,
    g: str,
    linear: int,
    passes: float = 1.0,
    reset: bool = True,
) -> Flows:
    """Return what flows back; `passes` and `reset` are 1 and True but in slips."""
    H, az, ar, a, z, r, h, q, fed = kept
    (d,) = flow
    n = H.shape[1]
    Rh = _rows(xp, w.R, 2 * n, 3 * n)
    da = d * (1.0 - z) * slope(xp, g, a)
    if linear:
        again = da * r
        dr, dH = da * q, xp.matmul(again, Rh)
    else:
        again = da
        inner = xp.matmul(da, Rh)
        dr, dH = inner * H, inner * r
    daz = d * (H - h) * slope(xp, f, az)
    dar = dr * slope(xp, f, ar) if reset else dr * 0.0
    both = xp.concat([daz, dar], 1)
    dH = dH + d * z * passes + xp.matmul(both, _rows(xp, w.R, 0, 2 * n))
    fed_by = ((0, 2 * n, H), (2 * n, 3 * n, fed))
    return Flows(xp.concat([both, da], 1), xp.concat([both, again], 1), fed_by, (dH,))


def _rows(xp: Numbers, R: Number, first: int, last: int) -> Number:
    return xp.part(R, (slice(first, last), slice(None)))


def _cells(direction: str, activations: Any, linear: int, **changed: Any) -> list[Cell]:
    cells = []
    for d in range(2 if direction == "bidirectional" else 1):
        f, g = functions(activations, ("Sigmoid", "Tanh"), d)
        step = partial(_step, f=f, g=g, linear=linear)
        cells.append(Cell(3, 1, step, partial(_back, f=f, g=g, linear=linear, **changed)))
    return cells


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
    linear_before_reset: int,
) -> Sequence[Shape]:
    """Return the shapes of Y and Y_h."""
    require(
        X,
        W,
        R,
        gates=3,
        direction=direction,
        hidden_size=hidden_size,
        layout=layout,
        sequence_lens=sequence_lens,
        others={"B": (B, "B"), "initial_h": (initial_h, "state")},
    )
    flag_of("linear_before_reset", linear_before_reset)
    require_functions(activations, 2, W[0])
    return recurrent.output_shapes(X, R, direction, layout, 1)


def value(xp: Numbers, *given: Any, activations: Any, **attributes: Any) -> tuple[Number, ...]:
    """Return Y and Y_h."""
    cells = _cells(attributes["direction"], activations, attributes["linear_before_reset"])
    return recurrent.value(xp, _sequences(*given, **attributes), cells)


def _differentiated(
    xp: Numbers,
    change: Any,
    dY: Number | None,
    dY_h: Number | None,
    *given: Any,
    activations: Any,
    linear_before_reset: int,
    changed: Any = None,
    **attributes: Any,
) -> dict[str, Number]:
    """Return the derivatives of sequences of which something was changed."""
    sequences = change(_sequences(*given, **attributes))
    cells = _cells(attributes["direction"], activations, linear_before_reset, **(changed or {}))
    found = recurrent.vjp(xp, sequences, cells, (dY, dY_h))
    return recurrent.named(found, {"0": "initial_h"})


def vjp(xp: Numbers, *given: Any, **attributes: Any) -> dict[str, Number]:
    """Return dX, dW, dR, dB and dinitial_h."""
    return _differentiated(xp, lambda same: same, *given, **attributes)


def _other_reset(
    xp: Numbers, *given: Any, linear_before_reset: int, **attributes: Any
) -> dict[str, Number]:
    """Return the derivatives with the reset gate at its other place."""
    return vjp(xp, *given, linear_before_reset=1 - linear_before_reset, **attributes)


def _with(**changed: Any) -> Any:
    def wrong(xp: Numbers, *given: Any, **attributes: Any) -> dict[str, Number]:
        return _differentiated(xp, lambda same: same, *given, changed=changed, **attributes)

    return wrong


SLIPS = (
    *slips(_differentiated, 3),
    Slip(
        "linear_before_reset",
        "the reset gate is at its other place (linear_before_reset)",
        _other_reset,
        "Apply the reset gate as linear_before_reset says.",
    ),
    Slip(
        "update_path_missing",
        "what passes through z is missing in the state's gradient",
        _with(passes=0.0),
        "Add dH' z to the gradient of the state.",
    ),
    Slip(
        "reset_path_missing",
        "the reset gate has no gradient",
        _with(reset=False),
        "Differentiate by the reset gate too.",
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return two directions, sequences of different lengths, and an initial state."""
    inputs, attributes = recurrent.drawn(rng, 3, ("initial_h",))
    return Case(inputs, {**attributes, "linear_before_reset": int(rng.integers(2))})


def agreed(rng: np.random.Generator) -> Case:
    """Return one direction of whole sequences, which is what ONNX's evaluator knows."""
    inputs, attributes = recurrent.drawn(rng, 3, ("initial_h",), agreed=True)
    return Case(inputs, {**attributes, "linear_before_reset": int(rng.integers(2))})
