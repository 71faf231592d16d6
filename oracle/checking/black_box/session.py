"""The values that a check has been given: counted, timed, kept by direction, watched for chance."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from typing import TypeAlias, TypeVar

from oracle.checking.black_box import differences, ladder, noise
from oracle.checking.black_box.conversation import (
    Answer,
    Ask,
    CheckTask,
    Evaluation,
    Probe,
    Selection,
    TensorSpec,
)
from oracle.checking.black_box.differences import Row, usable
from oracle.checking.black_box.ladder import Line, Slope

T = TypeVar("T")
Steps: TypeAlias = Generator[Ask, Answer, T]
"""A part of a check: yields asks, is sent answers, returns a T."""
PLANNED = 0.8
"""Share of the seconds left that is planned with: no two evaluations take the same time."""


class TimeSpent(Exception):
    """The seconds allowed are over; nothing more may be asked for."""


class Session:
    """Asks for evaluations within the budget; every ask begins with x itself again."""

    def __init__(self, task: CheckTask) -> None:
        self.task = task
        self.unit = noise.unit_roundoff(task.value_dtype)
        self.used = 0
        self.elapsed = 0.0
        self.first = (0, 0.0)
        self.short = ""
        self.level = 0.0
        self.stairs = 0.0
        self.foreseen: Mapping[Line, Sequence[float]] = {}
        self.widest_stair = (0.0, 0.0)
        self.at_x: list[Evaluation] = []
        self.samples: dict[Line, dict[float, tuple[Evaluation, Evaluation]]] = {}
        self.specs: dict[Selection, TensorSpec] = {}
        self.single: dict[tuple[Line, float], dict[float, Evaluation]] = {}

    @property
    def value(self) -> float:
        """Return f(x) as it came first."""
        return self.at_x[0].value if self.at_x else math.nan

    @property
    def scatter(self) -> float:
        """Return how far the values at x itself lie apart."""
        values = [answer.value for answer in self.at_x]
        return max(values) - min(values) if values else 0.0

    @property
    def noise(self) -> float:
        """Return what a value of f may be off by: rounding, measured noise, lack of determinism.

        The level is a standard deviation from nine values, the lower of two: in truth it may be a
        third more.
        """
        level = max(self.level, self.stairs)
        told = self.task.value_accuracy * abs(self.value)
        return max(2 * self.unit * abs(self.value), 4 * level, 3 * self.scatter, told)

    @property
    def defined(self) -> bool:
        """Tell whether f has a finite value at x, every time."""
        return all(not a.outside and math.isfinite(a.value) for a in self.at_x)

    def affords(self, evaluations: int) -> bool:
        """Tell whether so many evaluations may still be asked for.

        `short` remembers the tighter budget of the first refusal.
        """
        affordable = evaluations <= self.left
        if not affordable and not self.short:
            tighter = self.task.max_evaluations - self.used <= self._timely()
            self.short = self._evaluations if tighter else self._seconds
        return affordable

    @property
    def left(self) -> int:
        """Return how many evaluations the next ask may hold, x itself aside."""
        return min(self.task.max_evaluations - self.used, self._timely()) - 1

    def _timely(self) -> int:
        """Return how many evaluations fit into the time, if they take what they took so far.

        The first answer, in which f may have been compiled, counts only while there is no other.
        """
        used, elapsed = self.used - self.first[0], self.elapsed - self.first[1]
        if not used:
            used, elapsed = self.first
        if not elapsed or math.isinf(self.task.max_seconds):
            return self.task.max_evaluations
        planned = PLANNED * max(0.0, self.task.max_seconds - self.elapsed)
        return int(min(planned * used / elapsed, self.task.max_evaluations))

    @property
    def _evaluations(self) -> str:
        return f"{self.task.max_evaluations:,} evaluations"

    @property
    def _seconds(self) -> str:
        return f"{self.task.max_seconds:g} s"

    def ask(
        self, probes: Sequence[Probe], stage: str, *, again: bool = True
    ) -> Steps[Sequence[Evaluation]]:
        """Ask for x, if it is asked for again, and for the probes.

        Raises
        ------
        TimeSpent
            If the seconds are over before, or were before all was evaluated.
        """
        at_x = Probe(0, 0, 0, 0, 0.0)
        done = max(self.used / self.task.max_evaluations, self.elapsed / self.task.max_seconds)
        if self.elapsed < self.task.max_seconds:
            repeated = (at_x,) if again else ()
            answer = yield Ask((*repeated, *probes), stage, min(1.0, done))
            self.used += len(answer.evaluations)
            self.elapsed = answer.elapsed
            self.first = self.first if self.first[0] else (self.used, self.elapsed)
            self.at_x += answer.evaluations[: len(repeated)]
            if len(answer.evaluations) == len(repeated) + len(probes):
                return answer.evaluations[len(repeated) :]
        self.short = self._seconds
        raise TimeSpent

    def measure(self, wanted: Mapping[Line, Sequence[float]], stage: str) -> Steps[None]:
        """Evaluate above and below x along lines, at the steps that are new."""
        new = {
            line: [step for step in steps if step not in self.samples.get(line, {})]
            for line, steps in wanted.items()
        }
        probes = [probe for line, steps in new.items() for probe in line.probes(steps)]
        if probes:
            self._sample(new, (yield from self.ask(probes, stage)))

    def _sample(
        self, wanted: Mapping[Line, Sequence[float]], answers: Sequence[Evaluation]
    ) -> None:
        """Remember values above and below x along lines."""
        found = iter(answers)
        for line, steps in wanted.items():
            for step in steps:
                self.samples.setdefault(line, {})[step] = (next(found), next(found))

    def keep(self, line: Line, side: float, found: Mapping[float, Evaluation]) -> None:
        """Remember values on one side of x by their distance along a line."""
        self.single.setdefault((line, side), {}).update(found)

    def values(self, line: Line, side: float) -> dict[float, Evaluation]:
        """Return the values on one side of x by their distance along a line."""
        both = self.samples.get(line, {})
        found = {step: pair[side < 0] for step, pair in both.items() if usable(pair[side < 0])}
        return found | self.single.get((line, side), {})

    def measure_noise(self, line: Line, spec: TensorSpec, reserved: int) -> Steps[None]:
        """Take the noise from values on either side of x, of which the calmer side counts.

        A kink, a jump or a strong curvature adds to the differences of one side and one spacing
        more than to those of the other; noise does not. One at x itself is in neither. So many
        evaluations as are `reserved` are left.
        """
        floor = ladder.smallest_step(spec)
        coarse = max(64 * floor, 2.0**-20 * ladder.size(spec) * self.unit**0.25)
        levels = yield from self._levels(line, [(1.0, 2 * floor), (-1.0, coarse)])
        rough = 4 * min(levels, default=0.0) > ladder.ROUGH * self.unit * abs(self.value)
        if rough and self.affords(noise.POINTS + 1 + reserved):
            # What bends between two steps of `floor` may still be smooth between two numbers.
            levels += yield from self._levels(line, [(1.0, ladder.spacing(spec))])
        self.level = min(levels, default=0.0)

    def _levels(self, line: Line, tables: Sequence[tuple[float, float]]) -> Steps[list[float]]:
        """Return the noise of tables of values, each with its side of x and its spacing.

        What is `foreseen`, to be measured in any case, is measured with the first of them.
        """
        probes = [
            line.probe(side * k * spacing)
            for side, spacing in tables
            for k in range(1, noise.POINTS + 1)
        ]
        foreseen, self.foreseen = self.foreseen, {}
        beside = [probe for line, steps in foreseen.items() for probe in line.probes(steps)]
        if math.isinf(self.task.max_seconds):
            answers = yield from self.ask([*probes, *beside], "noise")
            self._sample(foreseen, answers[len(probes) :])
        else:
            # How long these take tells how long the others will, of which the first may be slower.
            answers = yield from self.ask(probes, "noise")
            if beside:
                self._sample(foreseen, (yield from self.ask(beside, "noise", again=False)))
        levels = []
        for n, (side, spacing) in enumerate(tables):
            table = answers[n * noise.POINTS : (n + 1) * noise.POINTS]
            found = {k * spacing: a for k, a in enumerate(table, 1) if usable(a)}
            self.keep(line, side, found)
            if len(found) == noise.POINTS:
                levels.append(noise.level([a.value - a.predicted for a in table]))
        return [level for level in levels if math.isfinite(level)]

    def rows(self, line: Line, step: float | None = None) -> list[Row]:
        """Return the differences that were measured along a line: all, or that of one step."""
        samples = self.samples.get(line, {})
        if step is not None:
            samples = {step: samples[step]}
        return differences.rows(samples, self.value, self.noise, self.unit)

    def slope(self, line: Line, steps: Sequence[float] | None = None) -> Slope:
        """Judge what was measured along a line: all, or at some steps only."""
        samples = self._at(line, steps)
        return ladder.judge(samples, self.value, self.noise, self.unit, self._finest(line))

    def glance(self, line: Line, like: Slope, steps: Sequence[float] | None = None) -> Slope:
        """Judge the one step that was measured along a line, or is meant."""
        return ladder.screen(self._at(line, steps), self.value, self.noise, self.unit, like)

    def repeat(self, line: Line, like: Slope, steps: Sequence[float] | None = None) -> Slope:
        """Judge the steps that were measured along a line, or some, as those of a similar one."""
        samples, finest = self._at(line, steps), self._finest(line)
        return ladder.repeat(samples, self.value, self.noise, self.unit, finest=finest, like=like)

    def _at(
        self, line: Line, steps: Sequence[float] | None
    ) -> Mapping[float, tuple[Evaluation, Evaluation]]:
        samples = self.samples.get(line, {})
        return samples if steps is None else {step: samples[step] for step in steps}

    def _finest(self, line: Line) -> float:
        spec = self.specs[line.selection] if line.selection else self.task.tensors[line.tensor]
        return ladder.spacing(spec)
