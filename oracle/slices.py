"""Large arrays are worked on in slices, with a look at the caller before each.

An array that fits into one slice is worked on as a whole, without a look and without a detour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from oracle.values import Array, Checkpoint, Float64

SLICE = 2**17
"""Numbers between two checkpoints: about a millisecond of arithmetic, 30 ms of several roundings
to half precision.
"""

WORK = 2**26
"""Multiply-adds between two checkpoints of a product: some milliseconds."""


def parts(size: int, checkpoint: Checkpoint, step: int = SLICE) -> Iterator[slice]:
    """Yield slices of `size` entries, `step` at a time, with a look before each if they are many.

    Parameters
    ----------
    size, step : int
        How many entries, and how many at a time.
    checkpoint : callable
        Raises to stop.

    Yields
    ------
    slice
        In order.
    """
    for begin in range(0, size, max(1, step)):
        if size > step:
            checkpoint()
        yield slice(begin, min(size, begin + max(1, step)))


def entrywise(
    function: Callable[..., Array], *arrays: Array, checkpoint: Checkpoint, dtype: Any = np.float64
) -> Array:
    """Return what a function that works entry by entry makes of arrays of one shape.

    Parameters
    ----------
    function : callable
        Takes slices of the arrays and returns one like them.
    *arrays : array
        Of one shape.
    checkpoint : callable
        Called between slices.
    dtype : type
        Of the result.

    Returns
    -------
    array
        Of the shape of the arrays.
    """
    first = arrays[0]
    if first.size <= SLICE:
        return np.asarray(function(*arrays), dtype)
    flat = [array.reshape(-1) for array in arrays]
    out = np.empty(first.size, dtype)
    for part in parts(first.size, checkpoint):
        out[part] = function(*(array[part] for array in flat))
    return out.reshape(first.shape)


def holds_anywhere(condition: Callable[..., Array], *arrays: Array, checkpoint: Checkpoint) -> bool:
    """Tell whether a condition holds anywhere; as `first_of`, and faster for small arrays."""
    if arrays[0].size <= SLICE:
        return bool(condition(*arrays).any())
    return first_of(condition, *arrays, checkpoint=checkpoint) is not None


def first_of(
    condition: Callable[..., Array], *arrays: Array, checkpoint: Checkpoint
) -> tuple[int, ...] | None:
    """Return the first index at which a condition holds of arrays of one shape, or None.

    Parameters
    ----------
    condition : callable
        Takes slices of the arrays and returns booleans.
    *arrays : array
        Of one shape.
    checkpoint : callable
        Called between slices.

    Returns
    -------
    tuple of int, or None
        The index.
    """
    flat = [array.reshape(-1) for array in arrays]
    for part in parts(arrays[0].size, checkpoint):
        holds = condition(*(array[part] for array in flat))
        if holds.any():
            at = part.start + int(np.argmax(holds))
            return tuple(int(i) for i in np.unravel_index(at, arrays[0].shape))
    return None


def largest_size(array: Array, checkpoint: Checkpoint) -> float:
    """Return the largest absolute value, or 0 of an empty array.

    Parameters
    ----------
    array : array
        Any.
    checkpoint : callable
        Called between slices.

    Returns
    -------
    float
        The value.
    """
    if array.size <= SLICE:
        return max(float(array.max(initial=0)), -float(array.min(initial=0)))
    flat = array.reshape(-1)
    sizes = [np.abs(flat[part]).max() for part in parts(flat.size, checkpoint)]
    return float(np.max(sizes, initial=0.0))


def stacked(pieces: Sequence[Array], checkpoint: Checkpoint) -> Array:
    """Return the rows of all pieces, as `np.concatenate` does.

    Parameters
    ----------
    pieces : sequence of array
        At least one, each with rows of the same shape.
    checkpoint : callable
        Called between slices; the memory of the result is had slice by slice too.

    Returns
    -------
    array
        The rows.
    """
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    out = np.empty((sum(map(len, pieces)), *first.shape[1:]), first.dtype)
    begin = 0
    for piece in pieces:
        checkpoint()
        for part in parts(len(piece), checkpoint, SLICE * len(out) // max(1, out.size)):
            out[begin + part.start : begin + part.stop] = piece[part]
        begin += len(piece)
    return out


def product(a: Float64, b: Float64, checkpoint: Checkpoint) -> Float64:
    """Return a @ b, in blocks of rows and columns if it is large.

    Parameters
    ----------
    a, b : float64
        (N, D) or (D,), and (D, K).
    checkpoint : callable
        Called between blocks.

    Returns
    -------
    float64
        (N, K) or (K,).
    """
    terms, columns = b.shape
    rows = np.atleast_2d(a)
    if len(rows) * terms * columns <= WORK and len(rows) * columns <= SLICE:
        return np.asarray(a @ b)
    out = np.empty((len(rows), columns))
    for c in parts(columns, checkpoint, min(SLICE, max(1, WORK // terms))):
        width = c.stop - c.start
        for r in parts(len(rows), checkpoint, min(WORK // (terms * width), 4 * SLICE // width)):
            np.matmul(rows[r], b[:, c], out=out[r, c])
    return out.reshape((*a.shape[:-1], columns))
