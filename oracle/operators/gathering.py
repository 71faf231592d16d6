"""What the operators that gather and scatter have in common: indices, and how they slip."""

from __future__ import annotations

from typing import Any

import numpy as np

from oracle.operators.operator import Shape
from oracle.values import Array, Float64, InvalidInput


def require_indices(indices: Array, length: int) -> None:
    """Raise unless indices are whole numbers of an axis; negative ones count from its end.

    Raises
    ------
    InvalidInput
        If they are not.
    """
    if indices.dtype.kind not in "iu":
        raise InvalidInput("indices", "hold whole numbers", str(indices.dtype))
    if indices.size and not (indices.min() >= -length and indices.max() < length):
        was = f"{indices.min()} to {indices.max()}"
        raise InvalidInput("indices", f"be from {-length} to {length - 1}", was)


def require_within(indices: Array, data: Shape, axis: int) -> None:
    """Raise unless indices have as many axes as data, and are no longer along the others.

    Raises
    ------
    InvalidInput
        If they have not.
    """
    longer = any(
        n > m for k, (n, m) in enumerate(zip(indices.shape, data, strict=False)) if k != axis
    )
    if indices.ndim != len(data) or longer:
        requirement = f"have {len(data)} axes, as data has, and be no longer along the others"
        raise InvalidInput("indices", requirement, f"shape {indices.shape}")


def flat_places(indices: Array, data: Shape, axis: int) -> Array:
    """Return the place in row-major order of the entry of data that each index names."""
    grid: list[Any] = list(np.indices(indices.shape, sparse=True))
    grid[axis] = indices % data[axis]
    spread = np.broadcast_arrays(*grid)
    return np.ravel_multi_index([one.astype(np.int64) for one in spread], data).ravel()


def last_only(d: Float64, places: Array, length: int) -> Float64:
    """Return rows of which a place that is named several times has but the last."""
    found = np.zeros((length, *d.shape[1:]))
    for place, row in zip(places.tolist(), d, strict=True):
        found[place] = row
    return found


def first_only(d: Float64, places: Array, length: int) -> Float64:
    """Return rows of which a place that is named several times has but the first."""
    return last_only(d[::-1], places[::-1], length)


def averaged(d: Float64, places: Array, length: int) -> Float64:
    """Return rows of which a place that is named several times has the mean."""
    count = np.maximum(np.bincount(places, minlength=length), 1)
    return summed(d, places, length) / count.reshape(-1, *[1] * (d.ndim - 1))


def summed(d: Float64, places: Array, length: int) -> Float64:
    """Return the sums of the rows that name a place."""
    found = np.zeros((length, *d.shape[1:]))
    np.add.at(found, places, d)
    return found


REPEATED = (
    ("duplicates_lost", "an index that comes several times has only its last gradient", last_only),
    (
        "duplicates_lost",
        "an index that comes several times has only its first gradient",
        first_only,
    ),
    (
        "duplicates_averaged",
        "an index that comes several times has the mean, not the sum",
        averaged,
    ),
    (
        "index_off_by_one",
        "the gradient goes to the next index",
        lambda d, places, length: summed(d, (places + 1) % length, length),
    ),
    (
        "index_off_by_one",
        "the gradient goes to the index before",
        lambda d, places, length: summed(d, (places - 1) % length, length),
    ),
)
"""What people write in place of the sum over all that name a place."""

ADD = "Add the gradients of all that name an index: np.add.at, atomicAdd, index_add."
