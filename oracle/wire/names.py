"""What the arrays of a two-layer net are called: W1, b1, W2, b2, or as the layers of PyTorch."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from oracle.values import Array

NET = ("W1", "b1", "W2", "b2")
"""The document's names."""


class UnknownNames(Exception):
    """Names of which nobody can tell what they are; the message is "must ..., got ..."."""

    def __init__(self, requirement: str, was: str) -> None:
        super().__init__(f"must {requirement}, got {was}")
        self.requirement = requirement
        self.was = was


@dataclass(frozen=True)
class Names:
    """The names that a caller has for W1, b1, W2, b2; `turned` if its matrices are (out, in)."""

    theirs: Mapping[str, str]
    turned: bool = False

    def take(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Return arrays of theirs by the document's names and in its orientation."""
        return {
            name: self._orient(name, arrays[given])
            for name, given in self.theirs.items()
            if given in arrays
        }

    def give(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Return arrays by their names: the reverse of `take`."""
        return {self.theirs[name]: self._orient(name, array) for name, array in arrays.items()}

    def _orient(self, name: str, array: Array) -> Array:
        return array.T if self.turned and name in {"W1", "W2"} else array

    def __str__(self) -> str:
        """Return what is what, "W1 is fc1.weight.T, ...", or "" where that is plain."""
        if all(name.lower() == given.lower() for name, given in self.theirs.items()):
            return ""
        turn = ".T" if self.turned else ""
        first, *rest = (
            (name, given + (turn if name in {"W1", "W2"} else ""))
            for name, given in self.theirs.items()
        )
        return ", ".join([f"{first[0]} is {first[1]}", *(" ".join(pair) for pair in rest)])


DOCUMENT = Names({name: name for name in NET})


def documented(given: Iterable[str]) -> Names | None:
    """Return the document's names as a caller writes them, in any case; None if none is there."""
    canonical = {name.lower(): name for name in NET}
    found = {canonical[name.lower()]: name for name in given if name.lower() in canonical}
    return Names({name: found.get(name, name) for name in NET}) if found else None


def layers(shapes: Mapping[str, tuple[int, ...]]) -> Names:
    """Return the names of two layers of PyTorch, `fc1.weight` and `fc1.bias` say, from the shapes.

    The first layer is the one whose outputs are the inputs of the other; where the sizes allow
    both, the numbers in the names decide. A weight is (out, in), unless the biases say that all
    of them are (in, out).

    Examples
    --------
    >>> shapes = {"0.weight": (3, 5), "0.bias": (3,), "2.weight": (2, 3), "2.bias": (2,)}
    >>> str(layers(shapes))
    'W1 is 0.weight.T, b1 0.bias, W2 2.weight.T, b2 2.bias'

    Raises
    ------
    UnknownNames
        If there are other arrays than these, or nothing says which layer is the first.
    """
    both = [name.removesuffix(".weight") for name in shapes if name.endswith(".weight")]
    wanted = {f"{layer}.{part}" for layer in both for part in ("weight", "bias")}
    if len(both) != 2 or set(shapes) != wanted:
        raise UnknownNames(
            "map W1, b1, W2, b2, or the weight and the bias of two layers of PyTorch, to arrays",
            listed(shapes),
        )
    weights = {layer: shapes[f"{layer}.weight"] for layer in both}
    outputs = {layer: math.prod(shapes[f"{layer}.bias"]) for layer in both}
    rows = all(weights[layer][:1] == (outputs[layer],) for layer in both)
    columns = all(weights[layer][-1:] == (outputs[layer],) for layer in both)
    turned = rows or not columns
    inputs = {layer: weights[layer][-1:] if turned else weights[layer][:1] for layer in both}
    orders = [(a, b) for a, b in (both, both[::-1]) if inputs[b] == (outputs[a],)]
    first, second = orders[0] if len(orders) == 1 else _numbered(both, turned)
    return Names(
        {
            "W1": f"{first}.weight",
            "b1": f"{first}.bias",
            "W2": f"{second}.weight",
            "b2": f"{second}.bias",
        },
        turned,
    )


def _numbered(both: Sequence[str], turned: bool) -> tuple[str, str]:
    """Put two layers whose shapes do not tell into the order of the numbers in their names."""
    a, b = sorted(both, key=_numbers)
    if _numbers(a) == _numbers(b):
        turn = ".T" if turned else ""
        example = f'"W1": {a}.weight{turn}, "b1": {a}.bias, "W2": {b}.weight{turn}, "b2": {b}.bias'
        raise UnknownNames(
            "call its arrays W1, b1, W2, b2, for the sizes of the layers do not say which is the "
            f"first: {{{example}}}, or the reverse",
            f"{a} and {b}",
        )
    return a, b


def _numbers(name: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", name)]


def listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return names and shapes for a message."""
    return ", ".join(f"{name} {shapes[name]}" for name in sorted(shapes)) or "nothing"
