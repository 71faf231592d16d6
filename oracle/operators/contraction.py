"""Sums of products by the letters of their axes, as numpy.einsum takes them."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from oracle.arithmetic.numbers import Number, Numbers
from oracle.operators.operator import Shape
from oracle.values import InvalidInput

SPARE = [chr(code) for code in range(0x3B1, 0x3B1 + 64)]
"""Letters that no equation has: for axes of an ellipsis, and for the other one of a diagonal."""


@dataclass(frozen=True)
class Equation:
    """The letters of each input and of the output, and the length of each letter's axis."""

    terms: tuple[str, ...]
    output: str
    lengths: Mapping[str, int]


def parsed(equation: str, shapes: Sequence[Shape]) -> Equation:
    """Read an equation for inputs of these shapes.

    Raises
    ------
    InvalidInput
        If it is none, or does not fit the inputs.
    """
    if not isinstance(equation, str):
        raise InvalidInput("equation", "be a text", repr(equation))
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    letters = set(string.ascii_letters)
    for term in (*terms, right):
        if term.count("...") > 1 or not set(term.replace("...", "", 1)) <= letters:
            requirement = "hold letters, commas, ... and -> as numpy.einsum takes them"
            raise InvalidInput("equation", requirement, repr(equation))
    if len(terms) != len(shapes):
        requirement = f"name the axes of {len(shapes)} inputs"
        raise InvalidInput("equation", requirement, repr(equation))
    places = enumerate(zip(terms, shapes, strict=True))
    widths = [_ellipsis(k, term, shape) for k, (term, shape) in places]
    most = "".join(SPARE[: max(widths, default=0)])
    filled = [
        term.replace("...", most[len(most) - width :])
        for term, width in zip(terms, widths, strict=True)
    ]
    lengths: dict[str, int] = {}
    for k, (term, shape) in enumerate(zip(filled, shapes, strict=True)):
        for letter, length in zip(term, shape, strict=True):
            known = lengths.get(letter, 1 if letter in most else length)
            if known != length and not (letter in most and 1 in (known, length)):
                requirement = f"have {known} entries along {letter!r} of {equation!r}"
                raise InvalidInput("Inputs", requirement, f"{length} in place {k}")
            lengths[letter] = max(known, length) if 0 not in (known, length) else 0
    once = sorted(letter for letter in lengths if "".join(filled).count(letter) == 1)
    output = (
        right.replace("...", most) if arrow else most + "".join(x for x in once if x not in most)
    )
    if len(set(output)) < len(output) or not set(output) <= set(lengths):
        requirement = "name axes of the inputs in its output, each once"
        raise InvalidInput("equation", requirement, repr(equation))
    return Equation(tuple(filled), output, lengths)


def _ellipsis(place: int, term: str, shape: Shape) -> int:
    """Return for how many axes the ellipsis of an input stands."""
    named = len(term.replace("...", ""))
    if len(shape) < named or (len(shape) > named and "..." not in term):
        requirement = f"have {named} axes for {term!r}"
        raise InvalidInput("Inputs", requirement, f"shape {shape} in place {place}")
    return len(shape) - named


def contracted(
    xp: Numbers,
    terms: Sequence[str],
    factors: Sequence[Number],
    output: str,
    lengths: Mapping[str, int],
) -> Number:
    """Return the sum of the products, whose axes have the letters of the output, in their order."""
    pairs = [
        one
        for term, x in zip(terms, factors, strict=True)
        for one in _distinct(xp, term, x, lengths)
    ]
    letters, found = pairs[0]
    for k, (term, x) in enumerate(pairs[1:], 1):
        later = set(output).union(*(set(other) for other, _ in pairs[k + 1 :]))
        letters, found = _product(xp, letters, found, term, x, later)
    over = tuple(k for k, letter in enumerate(letters) if letter not in output)
    summed = xp.sum(found, over) if over else found
    left = [letter for letter in letters if letter in output]
    return xp.transpose(summed, [left.index(letter) for letter in output])


def _distinct(
    xp: Numbers, term: str, x: Number, lengths: Mapping[str, int]
) -> list[tuple[str, Number]]:
    """Return a factor whose letters differ, and a mask of ones for each letter that came twice.

    An axis of length 1 that broadcasts is left out: it counts for every entry of the letter.
    """
    kept = [k for k, letter in enumerate(term) if x.shape[k] == lengths[letter]]
    if len(kept) < len(term):
        x = xp.reshape(x, [x.shape[k] for k in kept])
        term = "".join(term[k] for k in kept)
    masks = []
    for k, letter in enumerate(term):
        if letter in term[:k]:
            other = SPARE[32 + k]
            term = term[:k] + other + term[k + 1 :]
            masks.append((letter + other, xp.exact(np.eye(x.shape[k]))))
    return [(term, x), *masks]


def _product(
    xp: Numbers, a: str, x: Number, b: str, y: Number, later: set[str]
) -> tuple[str, Number]:
    """Return the product of two factors, summed over the letters that are not wanted later."""
    a, x = _summed(xp, a, x, later | set(b))
    b, y = _summed(xp, b, y, later | set(a))
    shared = [letter for letter in a if letter in b and letter in later]
    gone = [letter for letter in a if letter in b and letter not in later]
    rows = [letter for letter in a if letter not in b]
    columns = [letter for letter in b if letter not in a]
    left = _grouped(xp, a, x, (shared, rows, gone))
    right = _grouped(xp, b, y, (shared, gone, columns))
    lengths = {**dict(zip(a, x.shape, strict=True)), **dict(zip(b, y.shape, strict=True))}
    letters = "".join([*shared, *rows, *columns])
    product = xp.matmul(left, right)
    return letters, xp.reshape(product, [lengths[letter] for letter in letters])


def _summed(xp: Numbers, letters: str, x: Number, wanted: set[str]) -> tuple[str, Number]:
    over = tuple(k for k, letter in enumerate(letters) if letter not in wanted)
    if not over:
        return letters, x
    return "".join(letter for letter in letters if letter in wanted), xp.sum(x, over)


def _grouped(xp: Numbers, letters: str, x: Number, groups: Sequence[Sequence[str]]) -> Number:
    """Return a factor with one axis for each group of letters."""
    order = [letters.index(letter) for group in groups for letter in group]
    sizes = [math.prod(x.shape[letters.index(letter)] for letter in group) for group in groups]
    return xp.reshape(xp.transpose(x, order), sizes)


def repeated_to(
    xp: Numbers,
    terms: Sequence[str],
    factors: Sequence[Number],
    wanted: str,
    shape: Shape,
    lengths: Mapping[str, int],
) -> Number:
    """Return a sum of products in a shape; a letter that no factor has is repeated.

    Of a letter that comes twice, the diagonal is filled; an axis of length 1 gets the sum.
    """
    single = [n == 1 and lengths[letter] != 1 for letter, n in zip(wanted, shape, strict=True)]
    names = [
        "" if one else SPARE[32 + k] if letter in wanted[:k] else letter
        for k, (letter, one) in enumerate(zip(wanted, single, strict=True))
    ]
    masks = [
        (letter + name, xp.exact(np.eye(lengths[letter])))
        for letter, name in zip(wanted, names, strict=True)
        if name and name != letter
    ]
    every = [*terms, *(term for term, _ in masks)]
    held = set("".join(every))
    output = "".join(name for name in names if name in held and name)
    sizes = {**lengths, **{name: lengths[w] for name, w in zip(names, wanted, strict=True) if name}}
    found = contracted(xp, every, [*factors, *(mask for _, mask in masks)], output, sizes)
    kept = [n if name in output and name else 1 for n, name in zip(shape, names, strict=True)]
    return xp.broadcast_to(xp.reshape(found, kept), shape)
