"""What rounding may do to sums of products, in any order of their terms.

- A sum of n products t_i makes n roundings of its partial sums s_i, in any order and with or
  without fused multiply-add. They are independent and of either sign: |error| <= λ v √n rms(s_i),
  and never more than n v Σ|t_i| (Higham, Accuracy and Stability, section 3.1). Each is within
  v |s_i| and nearly uniform there, so that their sum exceeds λ v √n rms(s_i) with a probability
  below 2 exp(-3/2 λ²) (Hoeffding; Higham and Mary, 2019). With λ = 4 times `SAFETY` this is 1e-23
  for an entry, 1e-14 for all entries of ten thousand checks of a network of 40,000 parameters.
- The order may be that of the terms, a random one, or that of lanes: a processor, a GPU or several
  workers take every k-th term and add the lanes at the end. Where the terms have a period, a lane
  may hold terms of one sign only, and its partial sums are those of that lane. All widths of
  `LANES` are followed.
- Terms that are alike err alike. With n equal terms every addition within a binade errs by the
  same amount, together n/3 v S. This is charged in proportion to (Σ t_i)² / (n Σ t_i²), which is 1
  if all terms are equal and 1/n if their signs are random; and to the number of samples whose
  factor is the same, as all are where the weights are zero.
- Equal terms err alike where their signs are mixed too: within a binade, what is lost of a term
  depends on the term alone. Values that come m times each add up to λ v √(Σ m²) rms(s_i), and all
  samples lose the same: of this, what goes beyond one of each, Σ m (m - 1), has one sign
  everywhere. Terms are equal no more often than either of their factors, signs aside; where both
  come often, the terms themselves are counted.
- Copies of a sample or of a hidden unit err alike too: what is independent adds up over groups of
  copies, not over single ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oracle.arithmetic.dtypes import Arithmetic
from oracle.arithmetic.errors import LEAST_SQUARE
from oracle.values import Float64

SIGMAS = 4.0
"""λ of the module's docstring: how far independent roundings are followed."""

LANES = (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 32, 64, 128, 256)
"""Numbers of lanes in which a sum may be taken: of processors and GPUs, and of workers."""

UNEVEN = 2.0
"""How much larger the mean square of the partial sums of lanes is where it counts.

Up to there it is what any other order does to random terms, and within `SAFETY`, which then leaves
λ = 4.2: a probability of 1e-11 for an entry.
"""

FIRST = 2**14
"""Terms times entries from which lanes are looked at; smaller sums take a microsecond anyhow."""

SLICE = 2**20
"""Entries of a factor of one block; the product's are a quarter: some dozen arrays of 2 MB."""

COUNTED = 2**27
"""Terms of a block of sums of which equal ones are counted: some seconds."""

NORMAL = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Sums:
    """The sums a @ b + shift, and what rounding does to them: independently, and of one sign."""

    value: Float64
    local: Float64
    alike: Float64


def rounded_product(a: Float64, b: Float64, how: Arithmetic, shift: Float64 | None = None) -> Sums:
    """Return a @ b + shift for matrices, with what the roundings of its sums may do."""
    n, columns = b.shape
    rows = a.shape[0]
    equal = _most_equal(b, n * how.v / 8.0)
    again = _repeats(b)
    again_across = _repeats(a.T) if again.any() else np.zeros(rows)
    value, local, alike = (np.empty((rows, columns)) for _ in range(3))
    width = min(columns, max(1, SLICE // max(n, 1)))
    height = max(1, min(8 * SLICE // max(n, 1), SLICE // 4) // max(width, 1))
    for left in range(0, columns, width):
        c = slice(left, left + width)
        for top in range(0, rows, height):
            r = slice(top, top + height)
            block = _block(
                a[r],
                b[:, c],
                how,
                shift=np.zeros((1, 1)) if shift is None else shift[:, c],
                equal=equal[c],
                most=np.minimum(again_across[r, np.newaxis], again[c]),
            )
            value[r, c], local[r, c], alike[r, c] = block.value, block.local, block.alike
    return Sums(value, local, alike)


def _block(
    a: Float64,
    b: Float64,
    how: Arithmetic,
    *,
    shift: Float64,
    equal: Float64,
    most: Float64,
) -> Sums:
    n = a.shape[1]
    squares = (a * a) @ (b * b)
    running, mean_square, largest = _partial_sums(a, b)
    mean_square = _of_lanes(a, b, mean_square, squares)
    like = np.minimum(largest * largest / np.maximum(n * squares, NORMAL), 1.0)
    root = np.sqrt(mean_square + squares + shift * shift)
    drift = np.maximum(n * like, equal) / 3.0
    rounding = how.v * (SIGMAS * np.sqrt(n) * root + drift * largest)
    rounding += how.u * (SIGMAS * np.sqrt(squares) + like * largest)
    repeats = _repeats_of_terms(a, b, most)
    grown = np.minimum(SIGMAS * np.sqrt(repeats), n * (repeats > 0))
    alike = grown * (how.v * root + how.u * np.sqrt(squares / max(n, 1)))
    value = running + shift
    bound = (n * how.v + how.u) * (np.abs(a) @ np.abs(b) + np.abs(shift))
    local = np.fmin(np.where(squares > LEAST_SQUARE, rounding, np.inf), bound)
    local += how.u * np.abs(value)
    # Products of zeros do not underflow.
    return Sums(value, local, np.fmin(alike, bound) + n * how.tiny * (bound > 0.0))


def _partial_sums(a: Float64, b: Float64) -> tuple[Float64, Float64, Float64]:
    """Return a @ b, and of its partial sums at 16 places the mean square and the largest."""
    n = a.shape[1]
    step = max(1, -(-n // 16))
    running = np.zeros((a.shape[0], b.shape[1]))
    mean_square = np.zeros_like(running)
    largest = np.zeros_like(running)
    for begin in range(0, n, step):
        running += a[:, begin : begin + step] @ b[begin : begin + step]
        mean_square += running * running * (min(step, n - begin) / n)
        np.maximum(largest, np.abs(running), out=largest)
    return running, mean_square, largest


def _of_lanes(a: Float64, b: Float64, in_order: Float64, squares: Float64) -> Float64:
    """Return the mean square of the partial sums in the worst of the orders.

    The partial sums of a lane rise to its total L: their mean square is L² / 3, and L² where the
    lane's sum changes little after its first terms. What `UNEVEN` covers is not counted.
    """
    n = a.shape[1]
    if n * in_order.size < FIRST or n < 8:
        return in_order
    worst = in_order
    for lanes in LANES:
        if 2 * lanes > n:
            break
        whole = n - n % lanes
        total = np.zeros_like(in_order)
        for lane in range(lanes):
            one = a[:, lane:whole:lanes] @ b[lane:whole:lanes]
            total += one * one
        total /= lanes
        # The lanes themselves are added at the end, the largest partial sum among them.
        usual = UNEVEN * np.maximum(in_order, squares / 3.0)
        worst = np.where(total > usual, np.maximum(worst, total), worst)
    return worst


def _most_equal(b: Float64, tolerance: float) -> Float64:
    """Return for each column how many of its values are one value, to a relative tolerance.

    A value alone counts as none, and zero as no value.
    """
    most = np.zeros(b.shape[1])
    for k, column in enumerate(b.T):
        values = np.sort(column[column != 0.0])
        ends = np.searchsorted(values, values + tolerance * np.abs(values), side="right")
        most[k] = (ends - np.arange(len(values))).max(initial=0)
    return np.where(most > 1, most, 0.0)


def _repeats(columns: Float64) -> Float64:
    """Return Σ m (m - 1) for each column, whose numbers come m times each; zeros do not count."""
    n, count = columns.shape
    pairs = np.zeros(count)
    if not n:
        return pairs
    width = max(1, SLICE // n)
    for left in range(0, count, width):
        lines = np.sort(np.abs(columns[:, left : left + width]).T, axis=1)
        first = np.ones(lines.shape, dtype=bool)
        np.not_equal(lines[:, 1:], lines[:, :-1], out=first[:, 1:])
        starts = np.flatnonzero(first)
        times = np.diff(starts, append=lines.size)
        weights = np.where(lines.ravel()[starts] > 0.0, times * (times - 1.0), 0.0)
        pairs[left : left + width] = np.bincount(starts // n, weights, len(lines))
    return pairs


def _repeats_of_terms(a: Float64, b: Float64, most: Float64) -> Float64:
    """Return Σ m (m - 1) of the terms of each entry of a @ b, of which it is at the `most` so much.

    A pair of equal numbers here and there counts as none: Σ m² exceeds n by less than a sixtieth,
    and its root by less than a hundredth, which is in `SAFETY`.
    """
    few = a.shape[1] / 60
    wanted = most > few
    if wanted.any() and a.size * b.shape[1] <= COUNTED:
        for row in np.flatnonzero(wanted.any(axis=1)):
            columns = np.flatnonzero(wanted[row])
            most[row, columns] = _repeats(a[row, :, np.newaxis] * b[:, columns])
    return np.where(most > few, most, 0.0)


def copies(rows: Float64) -> int:
    """Return the size of the largest group of rows that are equal up to their sign.

    Rows are told apart by their product with one irregular vector.
    """
    if not rows.size:
        return 1
    keys = np.sort(np.abs(rows @ np.sin(np.arange(1.0, rows.shape[1] + 1.0))))
    ends = np.flatnonzero(np.diff(keys) > 1e-12 * keys[-1]) + 1
    return int(np.diff(np.concatenate(([0], ends, [len(keys)]))).max())
