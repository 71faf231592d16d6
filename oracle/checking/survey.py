"""What a report says of one tensor: how much of its budget is used, where, and by how many."""

from __future__ import annotations

import itertools

import numpy as np

from oracle.diagnosis.comparison import Comparison
from oracle.slices import entrywise, holds_anywhere
from oracle.values import (
    HISTOGRAM_EDGES,
    Array,
    BudgetMap,
    Checkpoint,
    Entry,
    Float64,
    TensorReport,
    Verdict,
)

HALVED = 0.5
"""Share of the gradient that must not pass in its place.

A tensor whose every entry may be off by half of itself could be halved, and a budget of its largest
entry hides one entry of that size: agreement means nothing in either case.
"""

WORST_ENTRIES = 5
"""Entries of a tensor that a report shows."""

SURVEYED = 2**18
"""Entries counted between two checkpoints: about 20 ms."""

VANISHING = 1e-4
"""Share of its unsaturated size below which a gradient that rounding hides counts as zero.

Saturated outputs have gradients of 1e-12 or 1e-40, which no evaluation in the candidate's type can
tell from zero. Zero is then the right answer, and a candidate that is not zero within rounding
fails. Where rounding hides more than this share, the check is inconclusive.
"""


def tensor_report(
    name: str, comparison: Comparison, radius: Float64, scale: float, checkpoint: Checkpoint
) -> TensorReport:
    """Survey a tensor of the candidate; `scale` is the size that it has where nothing saturates."""
    candidate, reference = comparison.candidate[name], comparison.reference[name]
    allowed = comparison.allowed[name]

    def used_share(candidate: Array, reference: Float64, allowed: Float64) -> Float64:
        gap = np.abs(candidate.astype(np.float64) - reference)
        # Where nothing is allowed, the arithmetic is exact.
        exact = np.where(gap > 0.0, np.inf, 0.0)
        return np.asarray(np.divide(gap, allowed, out=exact, where=allowed > 0.0))

    with np.errstate(over="ignore"):
        share = entrywise(used_share, candidate, reference, allowed, checkpoint=checkpoint)
    checkpoint()
    largest = comparison.largest(name)
    checkpoint()
    widest = float(allowed.max(initial=0.0))
    checkpoint()
    used = float(share.max(initial=0.0))
    checkpoint()
    limit = widest / largest if largest > 0.0 else 0.0
    verdict = Verdict.PASS if used <= 1.0 else Verdict.FAIL
    if verdict is Verdict.PASS and limit >= HALVED and widest > VANISHING * scale:
        tells = limit < 1.0 and holds_anywhere(
            lambda r, bound: np.asarray(HALVED * np.abs(r) > bound),
            reference,
            allowed,
            checkpoint=checkpoint,
        )
        verdict = Verdict.PASS if tells else Verdict.INCONCLUSIVE
    flat = share.ravel()
    order, histogram = _survey(flat, checkpoint)
    worst = tuple(
        Entry(
            tuple(int(i) for i in np.unravel_index(at, share.shape)),
            float(candidate.flat[at]),
            float(reference.flat[at]),
            float(allowed.flat[at]),
        )
        for at in order
    )
    return TensorReport(
        name=name,
        shape=tuple(int(n) for n in share.shape),
        verdict=verdict,
        budget_used=used,
        detection_limit=limit,
        largest_reference=largest,
        radius=float(np.max(radius, initial=0.0)),
        worst=worst,
        wrong_entries=int(np.count_nonzero(share > 1.0)),
        budget_map=_budget_map(share, candidate, reference),
        histogram=histogram,
    )


def _survey(flat: Float64, checkpoint: Checkpoint) -> tuple[list[int], tuple[int, ...]]:
    """Return where the worst entries are, the worst first, and the histogram of all."""
    largest: list[int] = []
    counts = np.zeros(len(HISTOGRAM_EDGES) - 1, dtype=np.int64)
    for begin in range(0, flat.size, SURVEYED):
        checkpoint()
        chunk = flat[begin : begin + SURVEYED]
        most = min(WORST_ENTRIES, chunk.size)
        largest += (begin + np.argpartition(-chunk, most - 1)[:most]).tolist()
        counts += np.histogram(np.minimum(chunk, 1e300), bins=np.array(HISTOGRAM_EDGES))[0]
    largest.sort(key=lambda at: -flat[at])
    return largest[:WORST_ENTRIES], tuple(counts.tolist())


def _budget_map(share: Float64, candidate: Array, reference: Float64) -> BudgetMap:
    grid = _matrix(share)
    rows, columns = min(64, grid.shape[0]), min(64, grid.shape[1])
    if rows == 0 or columns == 0:
        return BudgetMap(rows, columns, ())
    down = np.arange(rows) * grid.shape[0] // rows
    right = np.arange(columns) * grid.shape[1] // columns
    cells = np.maximum.reduceat(np.maximum.reduceat(grid, down, axis=0), right, axis=1)
    if not cells.max() > 1.0:
        return BudgetMap(rows, columns, tuple(cells.ravel().tolist()))
    places = [
        _place(grid, top, bottom, left, end)
        for top, bottom in itertools.pairwise([*down.tolist(), grid.shape[0]])
        for left, end in itertools.pairwise([*right.tolist(), grid.shape[1]])
    ]
    at = tuple(np.array(places).T)
    sent = _matrix(candidate)[at].astype(np.float64)
    return BudgetMap(
        rows,
        columns,
        tuple(cells.ravel().tolist()),
        tuple(sent.tolist()),
        tuple(_matrix(reference)[at].tolist()),
    )


def _matrix(tensor: Array) -> Array:
    """Return a tensor as rows and columns: the first axis, and all others."""
    return np.atleast_2d(tensor.reshape(tensor.shape[0], -1) if tensor.ndim > 1 else tensor)


def _place(grid: Float64, top: int, bottom: int, left: int, end: int) -> tuple[int, int]:
    """Return where the largest number of a block is."""
    block = grid[top:bottom, left:end]
    row, column = divmod(int(np.argmax(block)), block.shape[1])
    return top + row, left + column
