"""What both sides of the wire share: aliases, parameters as values, and what a check reports."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from oracle.findings import Code, FindingKind, InconclusiveReason

Array: TypeAlias = NDArray[Any]
Float64: TypeAlias = NDArray[np.float64]

Checkpoint: TypeAlias = Callable[[], None]
"""Called by long computations at least every 50 ms, by those of graphs between stages; raises to
stop them.
"""


def never_stop() -> None:
    """Let a long computation run to its end."""


DELTA = 1e-7
"""The document's guard inside the logarithm: log(y + delta)."""

STEP = 1e-4
"""The document's h in (f(x + h) - f(x - h)) / 2h."""


class InvalidInput(Exception):
    """An argument that breaks a precondition.

    The message reads "`argument` must `requirement`, got `was`"; `argument` is the name that the
    reference function gives it (`y`, `W1`, `h`).
    """

    def __init__(self, argument: str, requirement: str, was: str) -> None:
        super().__init__(f"`{argument}` must {requirement}, got {was}")
        self.argument = argument
        self.requirement = requirement
        self.was = was


@dataclass(frozen=True)
class TwoLayerNetParameters:
    """Weights and biases of a two-layer net; also the shape of a gradient with respect to them.

    W1 is (D, H), b1 is (H,), W2 is (H, K), b2 is (K,).
    """

    W1: Array
    b1: Array
    W2: Array
    b2: Array

    def tensors(self) -> dict[str, Array]:
        """Return the four arrays by name, in the document's order."""
        return {"W1": self.W1, "b1": self.b1, "W2": self.W2, "b2": self.b2}


class Verdict(Code):
    """The answer of a check."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class ReferenceKind(Code):
    """Where the reference of a check came from, which says how far it can be trusted."""

    ENCLOSURE = "enclosure"
    """Ball arithmetic: the radius is proven."""
    DERIVED_BOUND = "derived_bound"
    """Float64 arithmetic with a running error bound: the radius is derived."""


@dataclass(frozen=True)
class ReferenceGradient:
    """A derivative that says how far it can be trusted.

    `tensors` holds float64 arrays by name; `radius` bounds the distance of every entry of a tensor
    from the exact value, the final rounding to float64 included, as an array of the same shape or a
    scalar. `exact_radius` is the largest radius before that rounding, over the largest entry.
    """

    tensors: Mapping[str, Float64]
    radius: Mapping[str, Float64]
    kind: ReferenceKind
    exact_radius: float
    correctly_rounded: bool


@dataclass(frozen=True)
class Entry:
    """One entry of a candidate gradient beside the reference."""

    index: tuple[int, ...]
    candidate: float
    reference: float
    allowed: float


@dataclass(frozen=True)
class Finding:
    """One named cause.

    `message` is a sentence; `remedy` the line of mathematics or code that fixes it, or "";
    `evidence` holds the numbers that show it, by name; `tensor` is "" if it is about all.
    """

    kind: FindingKind
    tensor: str
    message: str
    remedy: str = ""
    evidence: Mapping[str, float] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class BudgetMap:
    """|candidate - reference| / allowed, as block maxima on a grid of at most 64 x 64.

    `cells` is row-major, `rows * columns` long; NaN where there is no number. `candidate` and
    `reference` hold the entry with the largest share in each block, if some entry is wrong.
    """

    rows: int
    columns: int
    cells: tuple[float, ...]
    candidate: tuple[float, ...] = ()
    reference: tuple[float, ...] = ()


@dataclass(frozen=True)
class TensorReport:
    """What a check saw in one tensor.

    `budget_used` is max |candidate - reference| / allowed; `detection_limit` is max allowed over
    max |reference|: a larger error, relative to the largest entry, would have failed.
    `histogram` counts entries by their share of the budget, with the edges of `HISTOGRAM_EDGES`.
    """

    name: str
    shape: tuple[int, ...]
    verdict: Verdict
    budget_used: float
    detection_limit: float
    largest_reference: float
    radius: float
    worst: tuple[Entry, ...] = ()
    wrong_entries: int = 0
    budget_map: BudgetMap | None = None
    histogram: tuple[int, ...] = ()


HISTOGRAM_EDGES = (0.0, 1e-3, 1e-2, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 10.0, 1e3, 1e6, math.inf)
"""Edges of the bins that count entries by |candidate - reference| / allowed."""


@dataclass(frozen=True)
class Rung:
    """One step of a ladder of finite differences along one direction.

    `difference` is the central difference over 2 step, `extrapolated` the best Richardson value
    with that step as its finest, `noise` what the noise of f may do to `difference`.
    """

    step: float
    difference: float
    extrapolated: float
    noise: float


@dataclass(frozen=True)
class Direction:
    """One direction along which a black box was measured: predicted and measured slope."""

    tensor: str
    begin: int
    end: int
    predicted: float
    measured: float
    error: float
    verdict: Verdict
    rungs: tuple[Rung, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """What a black-box check measured of the caller's function; `argument_dtype` is that of x."""

    evaluations: int
    value: float
    noise: float
    deterministic: bool
    miss_probability: float
    directions: tuple[Direction, ...] = ()
    argument_dtype: str = ""


@dataclass(frozen=True)
class Report:
    """The answer of a check, as the checks make it; the contract defines what is sent of it.

    A check of a function that only the caller can evaluate has a `measurement`, and no
    `reference_kind`. Its `budget_used` counts error bars and `accumulation_dtype` is the type of
    the values of f.
    """

    subject: str
    verdict: Verdict
    reason: InconclusiveReason | None
    summary: str
    findings: tuple[Finding, ...]
    tensors: tuple[TensorReport, ...]
    budget_used: float
    detection_limit: float
    candidate_dtype: str
    accumulation_dtype: str
    reference_kind: ReferenceKind | None
    entries: int
    delta: float | None = None
    matched_delta: float | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    measurement: Measurement | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SelfTestRow:
    """What became of one gradient: its verdict, and the codes that it was given and deserves.

    `right` are the codes that name it rightly, none for a correct gradient. `visible` says whether
    its largest change of a tensor, over the tensor's largest entry, exceeds the detection limit.
    """

    name: str
    right: tuple[FindingKind, ...]
    verdict: Verdict
    found: tuple[FindingKind, ...]
    visible: bool

    @property
    def named_rightly(self) -> bool:
        """Whether the first finding is one of the right codes."""
        return bool(self.found) and self.found[0] in self.right


@dataclass(frozen=True)
class SelfTest:
    """The rows of a self-test, and their counts.

    `wrong` counts the wrong gradients that the detection limit makes visible, `detected` those of
    them that failed, `named` those named rightly, `misnamed` those with another name; `correct`
    and `false_alarms` count the correct ones and those of them that failed.
    """

    rows: tuple[SelfTestRow, ...]

    @property
    def wrong(self) -> int:
        """Number of visible wrong gradients."""
        return sum(bool(row.right) and row.visible for row in self.rows)

    @property
    def detected(self) -> int:
        """Number of visible wrong gradients that failed."""
        return sum(self._caught(row) for row in self.rows)

    @property
    def named(self) -> int:
        """Number of those detected that were named rightly."""
        return sum(self._caught(row) and row.named_rightly for row in self.rows)

    @property
    def misnamed(self) -> int:
        """Number of those detected that were given a wrong name."""
        unknown = FindingKind.UNEXPLAINED
        return sum(
            self._caught(row) and not row.named_rightly and row.found[:1] != (unknown,)
            for row in self.rows
        )

    @property
    def correct(self) -> int:
        """Number of correct gradients."""
        return sum(not row.right for row in self.rows)

    @property
    def false_alarms(self) -> int:
        """Number of correct gradients that failed."""
        return sum(not row.right and row.verdict is Verdict.FAIL for row in self.rows)

    @staticmethod
    def _caught(row: SelfTestRow) -> bool:
        return bool(row.right) and row.visible and row.verdict is Verdict.FAIL

    def __str__(self) -> str:
        return (
            f"wrong gradients detected  {self.detected} of {self.wrong}\n"
            f"named rightly             {self.named} of {self.detected}\n"
            f"named wrongly             {self.misnamed} of {self.detected}\n"
            f"false alarms              {self.false_alarms} of {self.correct}"
        )
