"""f at the points of an ask: one after the other, in stacks, or by workers; no value is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from gradient_oracle import stacks, workers
from gradient_oracle.arrays import byte_count, coarsest
from gradient_oracle.called import Outcome, OutsideDomain, Parcel
from gradient_oracle.errors import OracleError, WorkerFailed, invalid
from gradient_oracle.journal import Journal
from gradient_oracle.points import Move, Point
from gradient_oracle.processes import Lost

Enough: TypeAlias = Callable[[], bool]
"""Tells whether no further evaluation may begin."""

HELD_BYTES = 2**28
"""Of points that wait for workers, beside the one for each that is needed anyway."""


class AnotherType(Exception):
    """f has values of another type than was said: the conversation has to begin again."""


class Evaluator:
    """Answers with f at moves of a point, in their order, from the journal as far as it knows them.

    `base` counts the x that the moves are beside, which a descent changes.
    """

    def __init__(
        self,
        point: Point,
        journal: Journal,
        pool: workers.Pool | None = None,
        *,
        vectorized: bool = False,
    ) -> None:
        if pool is not None and (vectorized or point.in_place):
            other = "vectorized" if vectorized else "in_place"
            raise invalid("workers", f"be left out with {other}=True", "both")
        self.point, self.journal, self.pool = point, journal, pool
        self.parcel = Parcel(point.called)
        self.base = self.count = 0
        self.expected: np.dtype[Any] | None = None
        self.evaluate = self._in_turn
        if pool is not None:
            self.evaluate = self._by_workers
        elif vectorized:
            self.evaluate = self._in_stacks

    def first(self) -> None:
        """Evaluate f at x, for the type of its values, where the others will be evaluated.

        Outside of its domain f has none. Where many are evaluated at a time, the type is taken to
        be that of x, until the first of them show another.
        """
        if self.pool is not None and not len(self.journal):
            self.expected = self.point.value_dtype = coarsest(self.point.scratch)
            return
        origin = Move()
        outcome = next(iter(self._raised([origin], self.evaluate([origin], lambda: False))))
        self.point.require_unchanged()
        if outcome.value is not None:
            self.point.value_dtype = outcome.value.dtype
        self.journal.require_same(self._key(origin), outcome.value)

    def again(self) -> None:
        """Begin again, with the values that are known by now."""
        self.journal.rewind()

    def _key(self, move: Move) -> tuple[Any, ...]:
        return (self.base, *move.key)

    def __call__(self, moves: Sequence[Move], enough: Enough = lambda: False) -> list[Outcome]:
        """Return what became of the moves; of the first ones only, if there was enough before."""
        known = [self.journal.take(self._key(move)) for move in moves]
        new = [move for move, outcome in zip(moves, known, strict=True) if outcome is None]
        found = iter(self._raised(new, self.evaluate(new, enough)))
        outcomes = []
        for move, outcome in zip(moves, known, strict=True):
            made = outcome
            if made is None:
                made = next(found, None)
                if made is None:
                    break
            else:
                self.point.foretell(move)
            outcomes.append(made)
        self.point.require_unchanged()
        self._require_expected(outcomes)
        return outcomes

    def _require_expected(self, outcomes: Sequence[Outcome]) -> None:
        """Raise if f at x, with which every conversation begins, has another type than expected."""
        expected, self.expected = self.expected, None
        if expected is not None and outcomes:
            value = outcomes[0].value
            self.point.value_dtype = np.dtype(np.float64) if value is None else value.dtype
            if self.point.value_dtype != expected:
                raise AnotherType

    def _raised(self, moves: Sequence[Move], outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
        """Keep the outcomes, and raise what f raised, with a note that says where."""
        for move in moves:
            try:
                outcome = next(outcomes, None)
                if outcome is None:
                    return
                if outcome.error is not None:
                    raise outcome.error
            except Lost as lost:
                at = self.point.told(moves[lost.index] if lost.index is not None else move)
                which = (
                    "" if lost.index is not None else f" or at one of {len(moves)} points with it"
                )
                raise WorkerFailed(f"f ended its worker {at}{which}: {lost}") from None
            except BaseException as error:
                self._note(error, move)
                raise
            self.count += 1
            self.journal.keep(self._key(move), outcome)
            yield outcome

    def _note(self, error: BaseException, move: Move) -> None:
        if isinstance(error, OracleError):
            return
        error.add_note(f"This was evaluation {self.count + 1} of f, {self.point.told(move)}.")
        if isinstance(error, (ArithmeticError, ValueError)):
            error.add_note(
                "If f is not defined there, return NaN or raise gradient_oracle.OutsideDomain: "
                "the check goes on with other points."
            )

    def _in_turn(self, moves: Sequence[Move], enough: Enough) -> Iterator[Outcome]:
        for move in moves:
            if enough():
                return
            with self.point.moved(move):
                try:
                    outcome = Outcome(self.point.value())
                except OutsideDomain as outside:
                    outcome = Outcome(outside=str(outside)[:200])
            yield outcome

    def _in_stacks(self, moves: Sequence[Move], enough: Enough) -> Iterator[Outcome]:
        most = max(1, stacks.BYTES // max(1, byte_count(self.point.arrays)))
        for begin in range(0, len(moves), most):
            if enough():
                return
            self.point.departure.require_waiting()
            yield from stacks.evaluate(self.point, moves[begin : begin + most])

    def _by_workers(self, moves: Sequence[Move], enough: Enough) -> Iterator[Outcome]:
        if self.pool is None:
            return

        def points() -> Iterator[Any]:
            for move in moves:
                if enough():
                    return
                self.point.departure.require_waiting()
                yield self.point.beside(move)

        held = max(1, HELD_BYTES // max(1, byte_count(self.point.arrays)))
        yield from self.pool.run(self.parcel, points(), held, self.point.departure)


def seconds_over(began: float, seconds: float) -> Enough:
    """Return what tells whether so many seconds have passed since a time of `time.monotonic`."""
    return lambda: time.monotonic() - began >= seconds
