"""What the arrays of a two-layer net are called: W1, b1, W2, b2, or as layers of a library."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from oracle.values import Array

NET = ("W1", "b1", "W2", "b2")
"""The document's names."""


class UnknownNames(Exception):
    """Names of which nobody can tell what they are; the message begins after what holds them."""


def _unknown(requirement: str, was: str) -> UnknownNames:
    return UnknownNames(f"must {requirement}, got {was}")


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
        if all(_is_plain(name, given) for name, given in self.theirs.items()):
            return ""
        turn = ".T" if self.turned else ""
        first, *rest = (
            (name, given + (turn if name in {"W1", "W2"} else ""))
            for name, given in self.theirs.items()
        )
        return ", ".join([f"{first[0]} is {first[1]}", *(" ".join(pair) for pair in rest)])


DOCUMENT = Names({name: name for name in NET})


_DERIVED = re.compile(r"(?:d|g|grad)_?([wb][12])|([wb][12])[._]?grad", re.IGNORECASE)
"""What programs call the gradient of W1: dW1, grad_W1, W1_grad ..."""

_LAYER = re.compile(r"(.+?)[./](?:(weight|kernel)|bias)(?::0)?")
"""An array of a layer of PyTorch, fc1.weight, of Keras, dense/kernel:0, or of Flax."""

_POSITION = re.compile(r"arr_(\d+)")
"""What NumPy calls the arrays that are saved without names."""

_WANTED = (
    "map W1, b1, W2, b2, or the weight and the bias of two layers of PyTorch or Keras, to arrays"
)


def _is_plain(name: str, given: str) -> bool:
    match = _DERIVED.fullmatch(given)
    return name.lower() == ((match[1] or match[2]) if match else given).lower()


def recognised(shapes: Mapping[str, tuple[int, ...]], like: Names | None = None) -> Names:
    """Return which of a caller's arrays is which, from their names and shapes.

    They are the document's names in any case; layers of PyTorch, Keras or Flax; or arr_0 to arr_3
    in the document's order. Nothing else may be beside them: of a net with a third layer this would
    be a guess.

    Parameters
    ----------
    shapes : mapping
        Shapes of the arrays by name.
    like : Names, optional
        What the caller calls the parameters, if these are their gradient. Some may be missing then,
        and they may be called dW1, W1_grad ..., with the parameters beside them.

    Raises
    ------
    UnknownNames
        If nothing says what they are.

    Examples
    --------
    >>> recognised({"dW1": (5, 3), "db1": (3,)}, DOCUMENT).theirs["b1"]
    'db1'
    """
    if like is not None:
        derived = _derived(shapes)
        if derived and set(shapes) <= {*derived.values(), *NET, *like.theirs.values()}:
            # The parameters may lie beside them; one of those is no gradient that is missing.
            return Names({name: derived.get(name, f"d{name}") for name in NET})
        if set(shapes) <= set(like.theirs.values()):
            return like
    names = _documented(shapes)
    if names is None and any(_LAYER.fullmatch(name) for name in shapes):
        names = layers(shapes)
    if names is None and any(_POSITION.fullmatch(name) for name in shapes):
        return _positions(shapes)
    if names is None:
        raise _unknown(_WANTED, listed(shapes))
    unknown = sorted(set(shapes) - set(names.theirs.values()))
    if unknown:
        raise UnknownNames(
            f"has unexpected {', '.join(unknown)}: the two-layer net has W1, b1, W2, b2. "
            "For other networks use check(net, ...)"
        )
    return names


def _documented(given: Iterable[str]) -> Names | None:
    """Return the document's names as a caller writes them, in any case; None if none is there."""
    canonical = {name.lower(): name for name in NET}
    found = {canonical[name.lower()]: name for name in given if name.lower() in canonical}
    return Names({name: found.get(name, name) for name in NET}) if found else None


def _derived(given: Iterable[str]) -> dict[str, str]:
    matches = {name: _DERIVED.fullmatch(name) for name in given}
    canonical = {name.lower(): name for name in NET}
    return {canonical[(m[1] or m[2]).lower()]: name for name, m in matches.items() if m}


def _positions(shapes: Mapping[str, tuple[int, ...]]) -> Names:
    names = Names({name: f"arr_{n}" for n, name in enumerate(NET)})
    ranks = [len(shapes.get(given, ())) for given in names.theirs.values()]
    if set(shapes) != set(names.theirs.values()) or ranks[::2] != [2, 2]:
        raise _unknown(
            "have names, or be W1, b1, W2, b2 in this order (numpy.savez(file, W1=W1, b1=b1, ...))",
            listed(shapes),
        )
    return names


def layers(shapes: Mapping[str, tuple[int, ...]]) -> Names:
    """Return the names of two layers, `fc1.weight` and `fc1.bias` say, from the shapes.

    The first layer is the one whose outputs are the inputs of the other; where the sizes allow
    both, the numbers in the names decide. A kernel is (in, out). A weight is (out, in), unless the
    biases say that all of them are (in, out).

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
    matches = {name: _LAYER.fullmatch(name) for name in shapes}
    matrices = {m[1]: name for name, m in matches.items() if m and m[2]}
    biases = {m[1]: name for name, m in matches.items() if m and not m[2]}
    both = list(matrices)
    if len(both) != 2 or set(biases) != set(both) or not all(matches.values()):
        raise _unknown(_WANTED, listed(shapes))
    weights = {layer: shapes[matrices[layer]] for layer in both}
    outputs = {layer: math.prod(shapes[biases[layer]]) for layer in both}
    kernels = any(m and m[2] == "kernel" for m in matches.values())
    rows = all(weights[layer][:1] == (outputs[layer],) for layer in both)
    columns = all(weights[layer][-1:] == (outputs[layer],) for layer in both)
    turned = not kernels and (rows or not columns)
    inputs = {layer: weights[layer][-1:] if turned else weights[layer][:1] for layer in both}
    orders = [(a, b) for a, b in (both, both[::-1]) if inputs[b] == (outputs[a],)]
    first, second = orders[0] if len(orders) == 1 else _numbered(both, matrices, biases, turned)
    return Names(
        {
            "W1": matrices[first],
            "b1": biases[first],
            "W2": matrices[second],
            "b2": biases[second],
        },
        turned,
    )


def _numbered(
    both: Sequence[str], matrices: Mapping[str, str], biases: Mapping[str, str], turned: bool
) -> tuple[str, str]:
    """Put two layers whose shapes do not tell into the order of the numbers in their names."""
    a, b = sorted(both, key=_numbers)
    if _numbers(a) == _numbers(b):
        turn = ".T" if turned else ""
        example = ", ".join(
            f'"W{n}": {matrices[layer]}{turn}, "b{n}": {biases[layer]}'
            for n, layer in enumerate((a, b), 1)
        )
        raise _unknown(
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
