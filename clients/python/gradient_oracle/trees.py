"""Nested dicts, lists and tuples of arrays of NumPy, torch or jax as a flat list of arrays."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradient_oracle.arrays import FLOATING, library, shares, to_numpy
from gradient_oracle.errors import invalid
from oracle.values import Array


def rooted(tree: Any) -> Any:
    """Return a tree, of which nested lists of numbers are one NumPy array.

    Examples
    --------
    >>> rooted([[1.0, 2.0], [3.0, 4.0]]).shape, rooted((np.ones(1), np.ones(1)))
    ((2, 2), (array([1.]), array([1.])))
    """
    if not _numbers(tree):
        return tree
    try:
        return np.array(tree)
    except ValueError:
        # Lists of different lengths: `flatten` says that a number among them is no array.
        return tree


def _numbers(node: Any) -> bool:
    if isinstance(node, (list, tuple)):
        return bool(node) and all(_numbers(child) for child in node)
    return isinstance(node, (int, float))


@dataclass(frozen=True)
class Leaf:
    """One array of a tree: its path ("layers[0].W"), the caller's object, and it as NumPy."""

    path: str
    original: Any
    array: Array

    @property
    def floating(self) -> bool:
        """Whether the entries are floating numbers; integers and booleans are held fixed."""
        return self.array.dtype.name in FLOATING


def flatten(tree: Any, argument: str = "x") -> list[Leaf]:
    """List the arrays of a tree in its own order, a dict in the order of its keys; None is none.

    Parameters
    ----------
    tree : array, or nested dicts, lists and tuples of arrays
        The caller's value.
    argument : str
        What the caller calls it, for the paths and for errors.

    Raises
    ------
    InvalidRequest
        If a leaf is no array, or is complex, or if two have one path.

    Examples
    --------
    >>> [leaf.path for leaf in flatten({"W": [np.zeros(2), np.zeros(3)], "b": np.zeros(1)})]
    ['W[0]', 'W[1]', 'b']
    """
    leaves: list[Leaf] = []
    places: dict[str, str] = {}
    for path, place, node in paths(tree):
        name = path or argument
        if not library(node):
            full = f"{argument}{path}" if path.startswith("[") else name
            raise invalid(full, "be an array of NumPy, torch or jax", f"a {type(node).__name__}")
        if places.setdefault(name, place) != place:
            both = f"{places[name]} and {place}, both `{name}`"
            raise invalid(argument, "have another name for each array", both)
        leaves.append(Leaf(name, node, to_numpy(node, name)))
    return leaves


def paths(node: Any, path: str = "", place: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield what a tree holds: its path, how Python reaches it, and it; None is nothing.

    Examples
    --------
    >>> [path for path, _, _ in paths({"W": [1, 2], "b": 3})]
    ['W[0]', 'W[1]', 'b']
    """
    if isinstance(node, Mapping):
        for key, child in node.items():
            yield from paths(child, f"{path}.{key}" if path else str(key), f"{place}[{key!r}]")
    elif isinstance(node, (list, tuple)):
        for index, child in enumerate(node):
            yield from paths(child, f"{path}[{index}]", f"{place}[{index}]")
    elif not _is_absent(node):
        yield path, place, node


def rebuild(tree: Any, leaves: Sequence[Any]) -> Any:
    """Make a tree of the structure of `tree` whose arrays are `leaves`, in the order of `flatten`.

    Examples
    --------
    >>> rebuild({"W": [0, 0], "b": 0}, [1, 2, 3])
    {'W': [1, 2], 'b': 3}
    """
    rest = iter(leaves)

    def visit(node: Any) -> Any:
        if isinstance(node, Mapping):
            return _like_mapping(node, {key: visit(child) for key, child in node.items()})
        if isinstance(node, tuple) and hasattr(node, "_fields"):
            return type(node)(*(visit(child) for child in node))
        if isinstance(node, (list, tuple)):
            return type(node)(visit(child) for child in node)
        return node if _is_absent(node) else next(rest)

    return visit(tree)


def parameters(tree: Any) -> Any:
    """Return the parameters of a torch module by their names; any other tree as it is."""
    return dict(tree.named_parameters()) if is_module(tree) else tree


def is_module(tree: Any) -> bool:
    """Tell whether a tree is a module of torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(tree, torch.nn.Module)


def shared(tree: Any) -> list[Array]:
    """Return the arrays of a tree that are read where they are, in the memory of NumPy."""
    nodes = [node for _, _, node in paths(parameters(tree))]
    return [to_numpy(node) for node in nodes if shares(node)]


def _is_absent(node: Any) -> bool:
    """Tell whether there is no array: None, or what jax calls the gradient of integers."""
    return node is None or getattr(getattr(node, "dtype", None), "names", None) == ("float0",)


def _like_mapping(node: Mapping[Any, Any], items: dict[Any, Any]) -> Any:
    if isinstance(node, dict):
        # A subclass may need more than the items to be made: a default, a history.
        made = copy.copy(node)
        made.update(items)
        return made
    make: Callable[[dict[Any, Any]], Any] = type(node)
    return make(items)
