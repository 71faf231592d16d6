"""What a function of the caller's returned, as the one number that a check is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradient_oracle import arrays, trees
from gradient_oracle.errors import InvalidRequest, invalid
from oracle.values import Array


def number(result: Any) -> Array:
    """Return the value of a function of one number, as a 0-d array of its own type.

    Raises
    ------
    InvalidRequest
        If it is no real number; the message says what may have been meant.
    """
    whole = _rooted(result)
    if isinstance(whole, (Mapping, list, tuple)):
        raise _no_number(whole)
    array = arrays.to_numpy(whole, "f")
    if array.size != 1:
        requirement = "return one number, or be given cotangent= for a vector"
        raise invalid("f", requirement, f"shape {array.shape}")
    return array.reshape(())


def _rooted(result: Any) -> Any:
    if result is None:
        raise invalid("f", "return its value", "None: is a `return` missing?")
    return trees.rooted(result)


def _no_number(result: Any) -> InvalidRequest:
    kind = type(result).__name__
    if isinstance(result, tuple) and len(result) == 2 and np.ndim(result[0]) == 0:
        was = "a tuple of 2: return the loss alone, or pass jac=True for (loss, gradient)"
        return invalid("f", "return one number", was)
    requirement = "return one number, or be given cotangent= of the structure of its value"
    return invalid("f", requirement, f"a {kind} of {len(result)}")


@dataclass(frozen=True)
class Pairing:
    """Weights c for the value of a vector function, whose product <c, f(x)> is one number.

    `weights` are those of the arrays of f(x) by their paths; `argument` is what the caller calls
    them.
    """

    weights: Mapping[str, Array]
    argument: str

    def __call__(self, result: Any) -> tuple[Array, np.dtype[Any]]:
        """Return <c, f(x)> in float64, and the coarsest floating type in f(x)."""
        return self.of(parts(result, "f"))

    def of(self, found: Mapping[str, Array]) -> tuple[Array, np.dtype[Any]]:
        """Return the same of the arrays of f(x) by their paths."""
        if found.keys() != self.weights.keys():
            requirement = f"have the structure of f(x), {_named(found)}"
            raise invalid(self.argument, requirement, _named(self.weights))
        total = 0.0
        for path, array in found.items():
            weights = self.weights[path]
            if weights.shape != array.shape:
                where = f" in `{path}`" if path else ""
                requirement = f"have the shape of f(x) {array.shape}{where}"
                raise invalid(self.argument, requirement, f"{weights.shape}")
            total += float(np.vdot(weights, array.astype(np.float64)))
        return np.asarray(total), arrays.coarsest(found.values())


def pairing(cotangent: Any) -> Pairing:
    """Return the weights that a caller gives: an array, or what f returns."""
    found = parts(cotangent, "cotangent")
    weights = {path: array.astype(np.float64) for path, array in found.items()}
    for path, array in weights.items():
        if not np.isfinite(array).all():
            raise invalid(path or "cotangent", "be finite", "NaN or infinity")
    return Pairing(weights, "cotangent")


def parts(result: Any, argument: str) -> dict[str, Array]:
    """Return the arrays of a value of f, or of what fits to it, by their paths.

    Examples
    --------
    >>> list(parts({"a": np.ones(2), "b": [1.0]}, "f")), list(parts([1.0, 2.0], "f"))
    (['a', 'b[0]'], [''])
    """
    return {
        path: arrays.to_numpy(node, path or argument)
        for path, _, node in trees.paths(_rooted(result))
    }


def _named(found: Mapping[str, Array]) -> str:
    return ", ".join(path or "one array" for path in found) or "nothing"
