"""The slips of the normalisations, made of what people write instead of their formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.normalised import Flow
from oracle.operators.normalised_wrong import (
    BOTH,
    CENTRED,
    DBIAS,
    DSCALE,
    DX,
    DX_PLAIN,
    OFF_CENTRE,
    PLAIN,
    SCALES,
    Of,
    Rows,
)
from oracle.operators.operator import Curve, Slip
from oracle.values import Float64


def slips(
    flow_of: Callable[..., Flow], *, centred: bool, bias: bool, within: bool = True
) -> tuple[Slip, ...]:
    """Return the slips of an operator; `flow_of` takes what its vjp gets.

    `within` says whether Scale differs within a row, so that its place makes a difference.
    """

    def of_dX(code: str, says: str, of: Of) -> Slip:
        def wrong(xp: Numbers, *given: Any, **attributes: Any) -> dict[str, Number]:
            flow = flow_of(xp, *given, **attributes)
            with np.errstate(all="ignore"):
                rows = of(Rows.of(flow))
            if flow.more:
                statistics = Rows.of(flow)
                rows = rows + flow.more(statistics, *flow.extra)
            return {flow.names[0]: flow.layout.back(xp, rows)}

        return Slip(code, says, wrong, DX if centred else DX_PLAIN)

    def of_dScale(code: str, says: str, of: Of) -> Slip:
        def wrong(xp: Numbers, *given: Any, **attributes: Any) -> dict[str, Number]:
            flow = flow_of(xp, *given, **attributes)
            if flow.shapes[0] is None:
                return {}
            with np.errstate(all="ignore"):
                rows = of(Rows.of(flow))
            return {flow.names[1]: flow.reduced(flow.layout.back(xp, rows), 0)}

        return Slip(code, says, wrong, DSCALE)

    def reduction(which: int, says: str, change: Callable[[Float64, Flow], Float64]) -> Slip:
        def wrong(xp: Numbers, *given: Any, **attributes: Any) -> dict[str, Number]:
            flow = flow_of(xp, *given, **attributes)
            if flow.shapes[which] is None:
                return {}
            full = flow.dY if which else flow.dY * flow.layout.back(xp, Rows.of(flow).h)
            return {flow.names[1 + which]: change(full, flow)}

        return Slip("bias_reduction", says, wrong, DBIAS if which else DSCALE)

    def mean(which: int) -> Callable[[Float64, Flow], Float64]:
        def of(full: Float64, flow: Flow) -> Float64:
            total = np.asarray(flow.reduced(full, which))
            return total * total.size / full.size

        return of

    def first(which: int) -> Callable[[Float64, Flow], Float64]:
        def of(full: Float64, flow: Flow) -> Float64:
            kept = np.arange(len(full)) == 0
            return np.asarray(flow.reduced(full * kept.reshape(-1, *[1] * (full.ndim - 1)), which))

        return of

    everything = (*(CENTRED if centred else PLAIN), *BOTH)
    dX = [one for one in everything if within or one[0] != "scale_outside"]
    reductions = [
        reduction(0, "dScale is the mean over the rows, not their sum", mean(0)),
        reduction(0, "dScale holds the first sample only", first(0)),
    ]
    if bias:
        reductions += [
            reduction(1, "dB is the mean over the rows, not their sum", mean(1)),
            reduction(1, "dB holds the first sample only", first(1)),
            Slip(
                "scale_in_dbias",
                "dB is multiplied by Scale",
                _scaled_bias(flow_of),
                DBIAS,
            ),
        ]
    return (
        *(of_dX(*one) for one in dX),
        *(of_dScale(*one) for one in (*SCALES, *(OFF_CENTRE if centred else ()))),
        *reductions,
    )


def _scaled_bias(flow_of: Callable[..., Flow]) -> Callable[..., Mapping[str, Number]]:
    def wrong(xp: Numbers, *given: Any, **attributes: Any) -> dict[str, Number]:
        flow = flow_of(xp, *given, **attributes)
        if flow.shapes[1] is None or flow.scale is None:
            return {}
        return {flow.names[2]: flow.reduced(flow.g, 1)}

    return wrong


def curves(flow_of: Callable[..., Flow]) -> tuple[Curve, ...]:
    """Return the curves of an operator: another epsilon."""

    def of(c: float, xp: Numbers, *given: Any, **attributes: Any) -> dict[str, Number]:
        flow = replace(flow_of(xp, *given, **attributes), epsilon=10.0**c)
        return {name: each() for name, each in flow.derivative().items()}

    return (
        Curve(
            "wrong_epsilon",
            "epsilon is 10^{0}",
            of,
            "Use the epsilon of the forward pass.",
            lambda attributes: np.log10(max(attributes["epsilon"], 1e-300)),
            (-12.0, -6.0, -5.0, -3.0),
        ),
    )
