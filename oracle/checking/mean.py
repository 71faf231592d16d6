"""The error of a candidate in the mean: what tells a bug from the rounding of half precision.

Rounding errors of many entries average out, a bug's do not. So the error is projected on a fixed
family of directions: the right gradient in each tensor, in each of its rows and columns, and the
change that each slip of the graph would make. How far rounding takes each projection is measured:
the graph is evaluated `RUNS` times with every stored tensor rounded at a place of its own in the
rounding step, the same for equal numbers. With s the root of the mean square of these projections,
the projection t of a candidate has t / s distributed as Student's t, and exceeds

    `WAYS` s (c n^((n + 1) / 2) / (n p))^(1 / n),   c = Γ((n + 1) / 2) / (√(n π) Γ(n / 2))

with a probability of at most p, n being `RUNS`: the tail of the density
c (1 + x² / n)^(-(n + 1) / 2) is below the integral of c (x² / n)^(-(n + 1) / 2). p is
`FALSE_ALARM` over the number of directions, both signs counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from oracle.arithmetic.dtypes import NUMPY, Arithmetic
from oracle.arithmetic.float64 import Float64Numbers
from oracle.arithmetic.numbers import Number
from oracle.diagnosis.hypotheses import Hypothesis
from oracle.diagnosis.tensors import equals, factor_findings, listed, tensor_factor
from oracle.findings import FindingKind
from oracle.values import Array, Finding, Float64

RUNS = 24
"""Evaluations with roundings of their own: more of them narrow the limits by less than a tenth."""

WAYS = 2.0
"""Times that another choice of what is stored, or one more of it, may let the error grow."""

FALSE_ALARM = 1e-9
"""Probability that a right gradient fails in the mean."""

LEAST = 1e-3
"""Share of the gradient's norm that a slip has to change to be a direction."""

EXACT = 2.0**-52
"""What is added to every limit: the rounding of the projections themselves."""

Gradient = Callable[[Float64Numbers], Mapping[str, Number]]
"""The derivatives of a graph in a kind of number."""


class Emulated(Float64Numbers):
    """Float64 whose stored tensors are rounded to a narrower type.

    `seed` moves every number within its rounding step before it is rounded, by an amount that
    follows from the number alone, so that what is equal is rounded alike; None moves nothing.
    """

    def __init__(self, how: Arithmetic, seed: int | None, kink: float = 0.5) -> None:
        super().__init__(kink)
        self.kind = NUMPY[how.store]
        self.unit = how.w
        odd = None if seed is None else (2 * seed + 1) * 0x9E3779B97F4A7C15 % 2**64
        self.odd = None if odd is None else np.uint64(odd)

    def stored(self, x: Number) -> Number:
        """Return what is read back from memory."""
        a = np.asarray(x, dtype=np.float64)
        with np.errstate(over="ignore", under="ignore"):
            if self.odd is not None:
                bits = np.ascontiguousarray(a).view(np.uint64).reshape(a.shape)
                mixed = (bits ^ (bits >> np.uint64(29))) * self.odd
                share = (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53 - 0.5
                exponent = np.floor(np.log2(np.where(a == 0.0, 1.0, np.abs(a))))
                a = a + share * 2.0 * self.unit * 2.0**exponent * (a != 0.0)
            return a.astype(self.kind).astype(np.float64)


@dataclass(frozen=True)
class Direction:
    """A direction in one or several tensors: what it is, and the vector of all their entries."""

    name: str
    vector: Float64
    slip: Hypothesis | None = None

    def of(self, error: Float64) -> float:
        """Return the projection of an error, as a share of the direction."""
        return float(self.vector @ error) / float(self.vector @ self.vector)


@dataclass(frozen=True)
class Seen:
    """One direction: by which share of itself the candidate is off, and what rounding may do."""

    direction: Direction
    share: float
    limit: float

    @property
    def fails(self) -> bool:
        """Whether rounding does not explain it."""
        return abs(self.share) > self.limit


@dataclass(frozen=True)
class Mean:
    """What the projections say: those that fail, and the limit of a factor of each tensor.

    `lines` are rows and columns, which are looked at, and explain nothing.
    """

    seen: tuple[Seen, ...]
    lines: tuple[tuple[str, float, float], ...]
    factors: Mapping[str, float]
    error: Float64

    @property
    def failed(self) -> tuple[Seen, ...]:
        """Return the directions that fail, the most telling first."""
        wrong = [one for one in self.seen if one.fails]
        return tuple(sorted(wrong, key=lambda one: -abs(one.share) / one.limit))

    @property
    def failed_line(self) -> tuple[str, float, float] | None:
        """Return the row or column that fails most: its name, share and limit."""
        wrong = [line for line in self.lines if abs(line[1]) > line[2]]
        return max(wrong, key=lambda line: abs(line[1]) / line[2], default=None)

    def explains(self, change: Float64) -> bool:
        """Tell whether nothing fails once a change is taken off the error."""
        left = self.error - change
        return all(abs(one.direction.of(left)) <= one.limit for one in self.seen)


def mean(
    gradient: Gradient,
    how: Arithmetic,
    candidate: Mapping[str, Array],
    reference: Mapping[str, Float64],
    slips: Iterator[tuple[Hypothesis, Mapping[str, Float64]]],
) -> Mean:
    """Return the error of a candidate in the mean; `slips` gives gradients with one slip each."""
    names = list(reference)
    runs = []
    for seed in range(RUNS):
        found = gradient(Emulated(how, seed or None))
        runs.append(_flat({n: np.asarray(found[n]) - reference[n] for n in names}))
    noise = np.stack(runs)
    error = _flat({n: candidate[n].astype(np.float64) - reference[n] for n in names})
    right = _flat(reference)
    family = list(_tensors(reference))
    for slip, wrong in slips:
        change = _flat({n: wrong[n] for n in names}) - right
        if np.isfinite(change).all() and np.linalg.norm(change) > LEAST * np.linalg.norm(right):
            family.append(Direction(slip.says, change, slip))
    several = 2 * (len(family) + sum(sum(r.shape) for r in reference.values() if r.ndim == 2))
    quantile = WAYS * student(FALSE_ALARM / several)
    seen = []
    for direction in family:
        square = float(direction.vector @ direction.vector)
        spread = float(np.linalg.norm(noise @ direction.vector)) / math.sqrt(RUNS) / square
        seen.append(Seen(direction, direction.of(error), quantile * spread + EXACT))
    factors = {one.direction.name: one.limit for one in seen if one.direction.name in reference}
    lines = tuple(_lines(reference, error, noise, quantile))
    return Mean(tuple(seen), lines, factors, error)


def _flat(tensors: Mapping[str, Float64]) -> Float64:
    return np.concatenate([np.ravel(tensor) for tensor in tensors.values()])


def _tensors(reference: Mapping[str, Float64]) -> Iterator[Direction]:
    """Yield each tensor, then all together."""
    there = [n for n, r in reference.items() if r.any()]
    for name in there:
        kept = {n: r if n == name else np.zeros_like(r) for n, r in reference.items()}
        yield Direction(name, _flat(kept))
    if len(there) > 1:
        yield Direction(listed(there), _flat(reference))


def _lines(
    reference: Mapping[str, Float64], error: Float64, noise: Float64, quantile: float
) -> Iterator[tuple[str, float, float]]:
    """Yield rows and columns: the share by which each is off, and what rounding may do to it."""
    begin = 0
    for name, tensor in reference.items():
        part = slice(begin, begin + tensor.size)
        begin += tensor.size
        if tensor.ndim != 2:
            continue
        off = error[part].reshape(tensor.shape) * tensor
        runs = noise[:, part].reshape(-1, *tensor.shape) * tensor
        for axis, kind in enumerate(("row", "column")):
            squares = (tensor * tensor).sum(axis=1 - axis)
            told = squares > 0.0
            shares = off.sum(axis=1 - axis)[told] / squares[told]
            spreads = np.sqrt((runs.sum(axis=2 - axis)[:, told] ** 2).mean(axis=0)) / squares[told]
            limits = quantile * spreads + EXACT
            for k, share, limit in zip(np.flatnonzero(told), shares, limits, strict=True):
                yield f"{kind} {k} of {name}", float(share), float(limit)


def student(p: float) -> float:
    """Return what Student's t of `RUNS` degrees of freedom exceeds with a probability below p."""
    n = RUNS
    c = math.gamma((n + 1) / 2) / (math.sqrt(n * math.pi) * math.gamma(n / 2))
    return float((c * n ** ((n + 1) / 2) / (n * p)) ** (1 / n))


def findings(found: Mean, names: Sequence[str], sizes: Mapping[str, int]) -> tuple[Finding, ...]:
    """Return the account of an error in the mean that leaves nothing that fails."""
    failed = {one.direction.name: one for one in found.failed if one.direction.slip is None}
    every = failed.get(listed(list(names)))
    if every is not None and found.explains(every.share * every.direction.vector):
        return factor_findings(_meant(1.0 + every.share, every.limit, sizes), sizes)
    for one in found.failed:
        slip = one.direction.slip
        fits = slip is not None and abs(one.share - 1.0) <= one.limit
        if slip is not None and fits and found.explains(one.direction.vector):
            says = slip.says[0].upper() + slip.says[1:]
            node = {"node": float(slip.node)}
            return (Finding(FindingKind(slip.code), "", f"{says}.", slip.remedy, node),)
    alone = [failed[name] for name in names if name in failed]
    change = sum((one.share * one.direction.vector for one in alone), np.zeros_like(found.error))
    if alone and found.explains(change):
        factors = [(one.direction.name, _meant(1.0 + one.share, one.limit, sizes)) for one in alone]
        return tuple(tensor_factor(name, factor, sizes) for name, factor in factors)
    where, share, limit = found.failed_line or ("", 0.0, 0.0)
    if found.failed:
        first = found.failed[0]
        where, share, limit = first.direction.name, first.share, first.limit
    message = (
        f"The error does not average out as rounding does: along {where} the gradient is off by "
        f"{share:.2%}, and rounding explains {limit:.2%}."
    )
    evidence = {"share": share, "limit": limit}
    return (Finding(FindingKind.UNEXPLAINED, "", message, "", evidence),)


def _meant(factor: float, limit: float, sizes: Mapping[str, int]) -> float:
    """Return the known number that a factor may be, within its limit, or the factor itself."""
    known = [2.0, 0.5, *equals(abs(factor), sizes, limit).values()]
    near = [k for k in known if abs(abs(factor) - k) <= limit * abs(factor)]
    return math.copysign(near[0], factor) if near else factor
