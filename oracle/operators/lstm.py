"""LSTM (ONNX 22): a cell that forgets and is written to through gates, and a state that it shows.

    i, f = s(X Wᵀ + H Rᵀ + Wb + Rb + P C),   c = g(...) without P,   C' = f C + i c
    o = s(... + Po C'),   H' = o h(C')
    do = dH' h(C'),   dC' += dH' o h' + dao Po,   di = dC' c,   df = dC' C,   dc = dC' i
    dC = dC' f + dai Pi + daf Pf,   dH = da R

dW, dR, dP and both biases are sums over all steps. With input_forget 1, f is 1 - i. Functions,
directions and lengths are as in RNN.

Shapes: as in RNN, with W (directions, 4 H, inputs), R (directions, 4 H, H), B (directions, 8 H),
P (directions, 3 H); the gates are in the order i, o, f, c, the peepholes i, o, f.

Reference: Hochreiter and Schmidhuber, Long Short-Term Memory, 1997; the ONNX specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
    "LSTM",
    inputs=(
        "X",
        "W",
        "R",
        optional("B"),
        optional_constant("sequence_lens"),
        optional("initial_h"),
        optional("initial_c"),
        optional("P"),
    ),
    outputs=("Y", "Y_h", "Y_c"),
    attributes={"activations": None, **ATTRIBUTES, "input_forget": 0},
    version=22,
    optional_outputs=2,
)


def _sequences(
    X: Number,
    W: Number,
    R: Number,
    B: Number | None = None,
    sequence_lens: Array | None = None,
    initial_h: Number | None = None,
    initial_c: Number | None = None,
    P: Number | None = None,
    *,
    direction: str,
    layout: int,
    **_: Any,
) -> Sequences:
    return Sequences(X, W, R, B, sequence_lens, (initial_h, initial_c), P, direction, layout)


def _step(
    xp: Numbers, gates: Number, state: State, w: Weights, *, f: str, g: str, h: str, tied: int
) -> tuple[State, Any]:
    """Return H' and C', and what the way back needs."""
    H, C = state
    n = H.shape[1]
    a = gates + xp.matmul(H, xp.swapped(w.R)) + w.bias
    ai, ao, af, ac = (columns(xp, a, k, n) for k in range(4))
    if w.peepholes is not None:
        Pi, Po, Pf = _peepholes(xp, w, n)
        ai, af = ai + Pi * C, af + Pf * C
    i, c = apply(xp, f, ai), apply(xp, g, ac)
    forget = 1.0 - i if tied else apply(xp, f, af)
    after = forget * C + i * c
    if w.peepholes is not None:
        ao = ao + Po * after
    o, shown = apply(xp, f, ao), apply(xp, h, after)
    return (o * shown, after), (H, C, ai, ao, af, ac, i, o, forget, c, after, shown)


def _peepholes(xp: Numbers, w: Weights, n: int) -> list[Number]:
    return [xp.part(w.peepholes, (slice(k * n, (k + 1) * n),)) for k in range(3)]


def _back(
    xp: Numbers,
    kept: Any,
    flow: State,
    w: Weights,
    *,
    f: str,
    g: str,
    h: str,
    tied: int,
    carried: float = 1.0,
    shows: float = 1.0,
) -> Flows:
    """Return what flows back; `carried` and `shows` are 1 but in slips."""
    H, C, ai, ao, af, ac, i, o, forget, c, after, shown = kept
    dH, dC = flow
    n = H.shape[1]
    dao = dH * shown * slope(xp, f, ao)
    dC = dC + dH * o * slope(xp, h, after) * shows
    if w.peepholes is not None:
        Pi, Po, Pf = _peepholes(xp, w, n)
        dC = dC + dao * Po
    dai = (dC * (c - C) if tied else dC * c) * slope(xp, f, ai)
    daf = xp.full(af, 0.0) if tied else dC * C * slope(xp, f, af)
    dac = dC * i * slope(xp, g, ac)
    before, more = dC * forget * carried, None
    if w.peepholes is not None:
        before = before + dai * Pi + daf * Pf
        more = xp.concat([dai * C, dao * after, daf * C], 1)
    da = xp.concat([dai, dao, daf, dac], 1)
    return Flows(da, da, ((0, 4 * n, H),), (xp.matmul(da, w.R), before), more)


def _cells(direction: str, activations: Any, tied: int, **changed: Any) -> list[Cell]:
    cells = []
    for d in range(2 if direction == "bidirectional" else 1):
        f, g, h = functions(activations, ("Sigmoid", "Tanh", "Tanh"), d)
        step = partial(_step, f=f, g=g, h=h, tied=tied)
        back = partial(_back, f=f, g=g, h=h, tied=tied, **changed)
        cells.append(Cell(4, 2, step, back))
    return cells


def shapes(
    X: Shape,
    W: Shape,
    R: Shape,
    B: Shape | None = None,
    sequence_lens: Array | None = None,
    initial_h: Shape | None = None,
    initial_c: Shape | None = None,
    P: Shape | None = None,
    *,
    activations: Any,
    direction: str,
    hidden_size: int | None,
    layout: int,
    input_forget: int,
) -> Sequence[Shape]:
    """Return the shapes of Y, Y_h and Y_c."""
    require(
        X,
        W,
        R,
        gates=4,
        direction=direction,
        hidden_size=hidden_size,
        layout=layout,
        sequence_lens=sequence_lens,
        others={
            "B": (B, "B"),
            "initial_h": (initial_h, "state"),
            "initial_c": (initial_c, "state"),
            "P": (P, "P"),
        },
    )
    flag_of("input_forget", input_forget)
    require_functions(activations, 3, W[0])
    return recurrent.output_shapes(X, R, direction, layout, 2)


def value(xp: Numbers, *given: Any, activations: Any, **attributes: Any) -> tuple[Number, ...]:
    """Return Y, Y_h and Y_c."""
    cells = _cells(attributes["direction"], activations, attributes["input_forget"])
    return recurrent.value(xp, _sequences(*given, **attributes), cells)


def _differentiated(
    xp: Numbers,
    change: Any,
    dY: Number | None,
    dY_h: Number | None,
    dY_c: Number | None,
    *given: Any,
    activations: Any,
    input_forget: int,
    changed: Any = None,
    **attributes: Any,
) -> dict[str, Number]:
    """Return the derivatives of sequences of which something was changed."""
    sequences = change(_sequences(*given, **attributes))
    cells = _cells(attributes["direction"], activations, input_forget, **(changed or {}))
    found = recurrent.vjp(xp, sequences, cells, (dY, dY_h, dY_c))
    return recurrent.named(found, {"0": "initial_h", "1": "initial_c"})


def vjp(xp: Numbers, *given: Any, **attributes: Any) -> dict[str, Number]:
    """Return the derivatives by all inputs but the lengths."""
    return _differentiated(xp, lambda same: same, *given, **attributes)


def _with(**changed: Any) -> Any:
    def wrong(xp: Numbers, *given: Any, **attributes: Any) -> dict[str, Number]:
        return _differentiated(xp, lambda same: same, *given, changed=changed, **attributes)

    return wrong


def _no_peepholes(given: Sequences) -> Sequences:
    return replace(given, P=None if given.P is None else given.P * 0.0)


def _unpeeped(xp: Numbers, *given: Any, **attributes: Any) -> dict[str, Number]:
    return _differentiated(xp, _no_peepholes, *given, **attributes)


SLIPS = (
    *slips(_differentiated, 4),
    Slip(
        "cell_path_missing",
        "nothing flows back through the cell, dC' f",
        _with(carried=0.0),
        "Carry dC = dC' f from each step to the one before.",
    ),
    Slip(
        "output_path_missing",
        "what the state shows of the cell has no gradient",
        _with(shows=0.0),
        "Add dH' o h'(C') to the gradient of the cell.",
    ),
    Slip(
        "peepholes_missing",
        "the peepholes are missing",
        _unpeeped,
        "Add P C to the gates, and dP to the gradients.",
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return two directions, sequences of different lengths, and an initial state."""
    inputs, attributes = recurrent.drawn(rng, 4, ("initial_h", "initial_c"))
    return Case({**inputs, "P": rng.normal(size=(2, 9))}, attributes)


def agreed(rng: np.random.Generator) -> Case:
    """Return one direction of whole sequences, which is what ONNX's evaluator knows."""
    inputs, attributes = recurrent.drawn(rng, 4, ("initial_h", "initial_c"), agreed=True)
    return Case({**inputs, "P": rng.normal(size=(1, 9))}, attributes)
