"""Nested dicts, lists and tuples of arrays of NumPy, torch or jax as a flat list of arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from oracle.values import Array, InvalidInput

FLOATING = (np.float64, np.float32, np.float16, ml_dtypes.bfloat16)


@dataclass(frozen=True)
class Leaf:
    """One array of a tree: its path ("layers[0].W"), the caller's object, and it as NumPy."""

    path: str
    original: Any
    array: Array

    @property
    def floating(self) -> bool:
        """Whether the entries are floating numbers; integers and booleans are held fixed."""
        return self.array.dtype in FLOATING


def library(value: Any) -> str:
    """Name the library of an array: "numpy", "torch", "jax", or "" if it is none.

    A library that the caller has not imported cannot be the library of the caller's array.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        return "numpy"
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return "torch"
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(value, jax.Array):
        return "jax"
    return ""


def to_numpy(value: Any) -> Array:
    """View an array of any of the three libraries, or a Python number, as a NumPy array.

    It shares memory with the original where the library allows it.
    """
    if library(value) != "torch":
        return np.asarray(value)
    import torch

    plain = value.detach().resolve_neg().resolve_conj().cpu()
    if plain.dtype is torch.bfloat16:
        return plain.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return plain.numpy()


def shares(value: Any) -> bool:
    """Tell whether `from_numpy(array, value)` and `array` are the same memory."""
    kind = library(value)
    if kind == "torch":
        return bool(value.device.type == "cpu")
    return isinstance(value, np.ndarray)


def from_numpy(array: Array, like: Any) -> Any:
    """Give an array the library and the device of `like`.

    A torch tensor on the CPU shares memory with `array`; a jax array is a copy.
    """
    kind = library(like)
    if kind == "torch":
        import torch

        if array.dtype == ml_dtypes.bfloat16:
            tensor = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        else:
            tensor = torch.from_numpy(array)
        return tensor.to(like.device).requires_grad_(like.requires_grad)
    if kind == "jax":
        import jax.numpy as jnp

        return jnp.array(array, copy=True)
    return array if isinstance(like, np.ndarray) else array[()]


def flatten(tree: Any, argument: str = "x") -> list[Leaf]:
    """List the arrays of a tree in its own order, a dict in the order of its keys.

    Parameters
    ----------
    tree : array, or nested dicts, lists and tuples of arrays
        The caller's value.
    argument : str
        What the caller calls it, for the paths and for errors.

    Raises
    ------
    InvalidInput
        If a leaf is no array, or is complex.

    Examples
    --------
    >>> [leaf.path for leaf in flatten({"W": [np.zeros(2), np.zeros(3)], "b": np.zeros(1)})]
    ['W[0]', 'W[1]', 'b']
    """
    leaves: list[Leaf] = []

    def visit(node: Any, path: str) -> None:
        if isinstance(node, Mapping):
            for key, child in node.items():
                visit(child, f"{path}.{key}" if path else str(key))
        elif isinstance(node, (list, tuple)):
            for index, child in enumerate(node):
                visit(child, f"{path}[{index}]")
        else:
            leaves.append(leaf(node, path))

    def leaf(node: Any, path: str) -> Leaf:
        name = path or argument
        if not library(node):
            raise InvalidInput(name, "be an array", f"a {type(node).__name__}")
        array = to_numpy(node)
        if array.dtype not in FLOATING and array.dtype.kind not in "iub":
            raise InvalidInput(name, "have a floating or integer type", f"{array.dtype}")
        return Leaf(name, node, array)

    visit(tree, "")
    return leaves


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
        return next(rest)

    return visit(tree)


def _like_mapping(node: Mapping[Any, Any], items: dict[Any, Any]) -> Any:
    make: Callable[[dict[Any, Any]], Any] = type(node)
    return items if type(node) is dict else make(items)
