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
from typing import Any

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

MANY = 2**19
"""Entries of a product from which the lanes are followed in some of them, and the rest judged so.

What has a period has it in a factor, a row or a column of which every entry is made; `SAMPLE` rows
and columns of each block are followed, and an entry is charged with the worst of its own row and
column. Independent terms, whose lanes differ by chance, are charged with the worst of `SAMPLE`.
"""

SAMPLE = 16

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
                many=rows * columns >= MANY,
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
    many: bool,
) -> Sums:
    n = a.shape[1]
    squares = (a * a) @ (b * b)
    running, mean_square, largest = _partial_sums(a, b)
    follow = _of_some_lanes if many else _of_lanes
    mean_square = follow(a, b, mean_square, squares)
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
    lane's sum changes little after its first terms. What `UNEVEN` covers is not counted. L² is no
    more than Σ a² Σ b² over the lane (Cauchy and Schwarz): rows in which this settles it are left
    out, as those of many lanes of random terms are.
    """
    n = a.shape[1]
    if n * in_order.size < FIRST or n < 8:
        return in_order
    worst = in_order
    # The lanes themselves are added at the end, the largest partial sum among them.
    usual = UNEVEN * np.maximum(in_order, squares / 3.0)
    if len(a) == 1:
        return _of_lanes_of_one(a.T * b, worst, usual)
    a_squares, b_squares = (a * a).T, b * b
    for lanes in LANES:
        if 2 * lanes > n:
            break
        whole = n - n % lanes
        of_a, of_b = (_in_lanes(x[:whole], lanes) for x in (a_squares, b_squares))
        rows = np.flatnonzero(((of_a.T @ of_b) * (2.0 / lanes) > usual).any(axis=1))
        if not rows.size:
            continue
        total = _lane_squares(a[rows, :whole], b[:whole], lanes) / lanes
        uneven = np.where(total > usual[rows], np.maximum(worst[rows], total), worst[rows])
        worst = worst.copy() if worst is in_order else worst
        worst[rows] = uneven
    return worst


def _of_lanes_of_one(terms: Float64, in_order: Float64, usual: Float64) -> Float64:
    """Return what `_of_lanes` does for sums of columns; half as many lanes are pairs of lanes."""
    n = len(terms)
    worst = in_order
    sums: dict[int, Float64] = {}
    for lanes in reversed([one for one in LANES if 2 * one <= n]):
        whole = n - n % lanes
        twice = sums.get(2 * lanes)
        if twice is not None and n - n % (2 * lanes) == whole:
            sums[lanes] = twice[:lanes] + twice[lanes:]
        else:
            sums[lanes] = _in_lanes(terms[:whole], lanes)
        total = np.square(sums[lanes]).sum(axis=0, keepdims=True) / lanes
        worst = np.where(total > usual, np.maximum(worst, total), worst)
    return worst


def _of_some_lanes(a: Float64, b: Float64, in_order: Float64, squares: Float64) -> Float64:
    """Return what `_of_lanes` does, judged by some rows and columns."""
    usual = np.maximum(in_order, squares / 3.0)
    rows = np.linspace(0, len(a) - 1, min(SAMPLE, len(a))).astype(int)
    columns = np.linspace(0, b.shape[1] - 1, min(SAMPLE, b.shape[1])).astype(int)

    def share(r: Any, c: Any, axis: int) -> Float64:
        followed = _of_lanes(a[r], b[:, c], in_order[r][:, c], squares[r][:, c])
        least = np.maximum(usual[r][:, c], NORMAL)
        return np.asarray((followed / least).max(axis=axis, keepdims=True))

    everything = slice(None)
    worst = np.maximum(share(rows, everything, 0), share(everything, columns, 1))
    return np.where(worst > UNEVEN, worst * usual, in_order)


def _in_lanes(x: Float64, lanes: int) -> Float64:
    """Return the sums of every so many-th row."""
    return np.asarray(x.reshape(-1, lanes, x.shape[1]).sum(axis=0))


def _lane_squares(a: Float64, b: Float64, lanes: int) -> Float64:
    """Return the sum of the squares of the sums of lanes of a @ b."""
    total = np.zeros((len(a), b.shape[1]))
    for lane in range(lanes):
        # NumPy hands a product to BLAS only if its factors are contiguous.
        one = np.ascontiguousarray(a[:, lane::lanes]) @ np.ascontiguousarray(b[lane::lanes])
        total += np.square(one, out=one)
    return total


def _most_equal(b: Float64, tolerance: float) -> Float64:
    """Return for each column how many of its values are one value, to a relative tolerance.

    A value alone counts as none, and zero as no value.
    """
    n, count = b.shape
    most = np.zeros(count)
    width = max(1, SLICE // max(n, 1))
    for left in range(0, count, width):
        part = most[left : left + width]
        lines = np.sort(b[:, left : left + width].T, axis=1)
        ends = lines + tolerance * np.abs(lines)
        again = np.flatnonzero((lines[:, 1:] <= ends[:, :-1]).any(axis=1))
        # Values that come once or a few times, as in most columns, are found for all at once.
        for times in range(2, 5):
            near = (lines[again, times - 1 :] <= ends[again, : n - times + 1]) & (
                lines[again, : n - times + 1] != 0.0
            )
            again = again[near.any(axis=1)]
            part[again] = times
        for k in again:
            values = lines[k][lines[k] != 0.0]
            last = np.searchsorted(values, values + tolerance * np.abs(values), side="right")
            part[k] = (last - np.arange(len(values))).max(initial=0)
    return most


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
        if first.all():
            continue
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


def clusters(values: Float64, kept: Float64) -> float:
    """Return how many of the numbers of a column are rounded alike, in the mean: 1 if none are.

    Rows are what is summed over. Numbers that lie close together are rounded to one number by
    nearly the same amount, as outputs y - t near initialisation are; spread over the whole width of
    a rounding step their errors cancel. With S the sum of the errors that go to one number, it is
    Σ S² / Σ error², for the column where it is largest.
    """
    off = kept - values
    squares = (off * off).sum(axis=0)
    order = np.argsort(kept, axis=0, kind="stable")
    along = np.take_along_axis(kept, order, axis=0)
    errors = np.take_along_axis(off, order, axis=0)
    first = np.ones(along.shape, dtype=bool)
    first[1:] = along[1:] != along[:-1]
    n = len(along)
    flat = errors.T.ravel()
    starts = np.flatnonzero(first.T.ravel())
    sums = np.add.reduceat(flat, starts) if flat.size else flat
    of = np.bincount(starts // max(n, 1), sums * sums, minlength=values.shape[1])
    return float(np.max(of / np.maximum(squares, NORMAL), initial=1.0))
