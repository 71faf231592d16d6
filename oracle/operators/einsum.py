"""Einsum (ONNX 12): the sum of products that an equation names, as numpy.einsum.

    d Input_k = the sum of d Output times the other inputs, whose axes are those of Input_k

An axis of Input_k that comes nowhere else is repeated. `...` stands for axes that broadcast; a
letter that comes twice in an input stands for its diagonal.

Reference: the ONNX operator specification; numpy.einsum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.contraction import Equation, contracted, parsed, repeated_to
from oracle.operators.operator import REQUIRED, Case, Shape, Signature, Slip, variadic
from oracle.values import Float64

SIGNATURE = Signature(
    "Einsum",
    inputs=(variadic("Inputs"),),
    outputs=("Output",),
    attributes={"equation": REQUIRED},
    version=12,
)


def shapes(*inputs: Shape, equation: str) -> Sequence[Shape]:
    """Return the shape of the output."""
    read = parsed(equation, inputs)
    return (tuple(read.lengths[letter] for letter in read.output),)


def value(xp: Numbers, *inputs: Number, equation: str) -> Number:
    """Return the sum of products."""
    read = parsed(equation, [x.shape for x in inputs])
    return contracted(xp, read.terms, inputs, read.output, read.lengths)


def vjp(xp: Numbers, dY: Number, *inputs: Number, equation: str) -> dict[str, list[Number]]:
    """Return for each input the sum of dY times the others."""
    read = parsed(equation, [x.shape for x in inputs])
    return {"Inputs": [_by(xp, dY, inputs, read, k) for k in range(len(inputs))]}


def _by(xp: Numbers, dY: Number, inputs: Sequence[Number], read: Equation, place: int) -> Number:
    others = [k for k in range(len(inputs)) if k != place]
    terms = [read.output, *(read.terms[k] for k in others)]
    factors = [dY, *(inputs[k] for k in others)]
    return repeated_to(xp, terms, factors, read.terms[place], inputs[place].shape, read.lengths)


def _slip(says: str, of: Callable[..., list[Number]], remedy: str) -> Slip:
    def wrong(xp: Numbers, dY: Float64, *inputs: Float64, equation: str) -> dict[str, list[Number]]:
        read = parsed(equation, [x.shape for x in inputs])
        return {"Inputs": of(xp, dY, inputs, read)}

    return Slip("wrong_factor", says, wrong, remedy)


def _without_others(
    xp: Numbers, dY: Float64, inputs: Sequence[Float64], read: Equation
) -> list[Number]:
    """Return what is left of the derivatives if the other inputs are taken to be ones."""
    ones = [np.ones_like(x) for x in inputs]
    return [_by(xp, dY, ones, read, k) for k in range(len(inputs))]


SLIPS = (
    _slip(
        "the other inputs are missing in the derivatives",
        _without_others,
        "Multiply dY by the other inputs, with the letters of this one as those of the output.",
    ),
)


def draw(rng: np.random.Generator) -> Case:
    """Return inputs of one of several equations."""
    cases = (
        ("ij,jk->ik", ((4, 5), (5, 3))),
        ("bhqd,bhkd->bhqk", ((2, 3, 4, 5), (2, 3, 6, 5))),
        ("...ij,jk", ((2, 4, 5), (5, 3))),
        ("i,j,ij->j", ((4,), (5,), (4, 5))),
        ("ii,ij->i", ((4, 4), (4, 5))),
        ("ijk->ik", ((4, 5, 3),)),
    )
    equation, sizes = cases[int(rng.integers(len(cases)))]
    return Case({"Inputs": [rng.normal(size=size) for size in sizes]}, {"equation": equation})
