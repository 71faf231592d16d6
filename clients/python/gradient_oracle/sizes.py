"""The entries of a tensor by their sizes in x and in the gradient, as black_box.proto numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from oracle.gradcheck.v1 import black_box_pb2 as pb
from oracle.values import Array

CHUNK = 2**16
"""Entries that are looked at together."""
WIDTH = 10
"""Binary orders of magnitude of a class."""
SMALLEST, ZERO = 4, 5
"""The class of all sizes from 2^-40 of the largest down, and that of zeros."""
SIZES = ZERO + 1


def _exponents(entries: Array, largest: float) -> Array:
    """Return the size class of each entry in comparison with the largest."""
    _, exponent = np.frexp(np.abs(entries.astype(np.float64)))
    top = int(np.frexp(largest)[1])
    found = np.minimum((top - exponent) // WIDTH, SMALLEST)
    return np.where(entries == 0, ZERO, found).astype(np.uint8)


def numbers(x: Array, gradient: Array) -> Array:
    """Return the number of the class of every entry, in one byte each.

    Parameters
    ----------
    x, gradient : (n,) array
        The flat entries of a tensor and of its gradient, finite.

    Returns
    -------
    (n,) uint8
        6 times the size class in x plus that in the gradient.
    """
    tops = [
        max((float(np.abs(chunk).max()) for chunk in _chunks(entries)), default=0.0)
        for entries in (x, gradient)
    ]
    found = np.empty(x.size, np.uint8)
    for begin in range(0, x.size, CHUNK):
        here = slice(begin, begin + CHUNK)
        in_x, in_gradient = _exponents(x[here], tops[0]), _exponents(gradient[here], tops[1])
        found[here] = SIZES * in_x + in_gradient
    return found


def _chunks(entries: Array) -> Iterator[Array]:
    for begin in range(0, entries.size, CHUNK):
        yield entries[begin : begin + CHUNK].astype(np.float64)


def describe(x: Array, gradient: Array, classes: Array) -> list[pb.BlackBoxClass]:
    """Return what the oracle is told of the classes of a tensor; of a single one nothing."""
    known = np.flatnonzero(np.bincount(classes, minlength=SIZES**2))
    if known.size < 2:
        return []
    messages = {int(n): pb.BlackBoxClass(number=int(n), first=-1) for n in known}
    for begin in range(0, x.size, CHUNK):
        here = slice(begin, begin + CHUNK)
        sizes = [np.abs(entries[here].astype(np.float64)) for entries in (x, gradient)]
        for number, message in messages.items():
            places = np.flatnonzero(classes[here] == number)
            if not places.size:
                continue
            in_x, in_gradient = (size[places] for size in sizes)
            if message.first < 0:
                message.first = begin + int(places[0])
            message.count += places.size
            message.largest = max(message.largest, float(in_x.max()))
            message.gradient_largest = max(message.gradient_largest, float(in_gradient.max()))
            # The sums of squares; their mean and root are taken at the end.
            message.mean_square += float(np.dot(in_x, in_x))
            message.gradient_norm += float(np.dot(in_gradient, in_gradient))
    for message in messages.values():
        message.mean_square /= message.count
        message.gradient_norm = float(np.sqrt(message.gradient_norm))
    return list(messages.values())
