"""The oracle checked by itself: known wrong and known correct gradients through its own verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from oracle import splitmix
from oracle.checking import closed_form
from oracle.checking.backward import forward
from oracle.checking.wrong_gradients import CORRECT_GRADIENTS, WRONG_GRADIENTS
from oracle.findings import FindingKind
from oracle.values import (
    DELTA,
    Array,
    Checkpoint,
    InvalidInput,
    Report,
    TwoLayerNetParameters,
    Verdict,
    never_stop,
)

Check = Callable[[TwoLayerNetParameters, Array, Array, dict[str, "Array | None"]], Report]

DTYPES = ("float64", "float32")


@dataclass(frozen=True)
class Row:
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

    sizes: tuple[int, int, int, int]
    dtype: str
    rows: tuple[Row, ...]

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
    def _caught(row: Row) -> bool:
        return bool(row.right) and row.visible and row.verdict is Verdict.FAIL


def run(
    sizes: tuple[int, int, int, int] = (5, 11, 7, 3),
    *,
    dtype: str = "float64",
    weight_scale: float = 1.0,
    seed: int = 0,
    check: Check = closed_form.check_two_layer_net,
    checkpoint: Checkpoint = never_stop,
) -> SelfTest:
    """Run every known gradient through the verdict.

    The wrong gradients start from the textbook (y - t) / N, the correct ones keep the delta.

    Parameters
    ----------
    sizes : tuple of int
        N, D, H and K, at least 1.
    dtype : str
        The arithmetic of the gradients: "float64" or "float32".
    weight_scale : float
        The weights are uniform in [-weight_scale, weight_scale).
    seed : int
        Seed of SplitMix64.
    check : callable
        Gives the report of (parameters, x, t, gradient).
    checkpoint : callable
        Called before every gradient; raises to stop.

    Returns
    -------
    SelfTest
        One row per gradient, and the counts.

    Raises
    ------
    InvalidInput
        If a size is below 1 or the dtype is unknown.
    """
    if min(sizes) < 1:
        raise InvalidInput("sizes", "be at least 1", str(sizes))
    if dtype not in DTYPES:
        raise InvalidInput("dtype", f"be one of {', '.join(DTYPES)}", repr(dtype))
    parameters, x, t = _case(sizes, dtype, weight_scale, seed)
    p = forward(parameters, x, t, delta=0.0, dtype=dtype)
    exact = forward(parameters, x, t, delta=DELTA, dtype=dtype)
    reference = _widest(parameters, x, t)
    rows = []
    for name, compute in CORRECT_GRADIENTS:
        checkpoint()
        rows.append(_row(name, (), compute(exact), reference, check=check, case=(parameters, x, t)))
    for bug in WRONG_GRADIENTS:
        checkpoint()
        with np.errstate(all="ignore"):
            gradient = bug.compute(p)
        if gradient is not None:
            rows.append(
                _row(bug.name, bug.named, gradient, reference, check=check, case=(parameters, x, t))
            )
    return SelfTest(sizes, dtype, tuple(rows))


def _case(
    sizes: tuple[int, int, int, int], dtype: str, weight_scale: float, seed: int
) -> tuple[TwoLayerNetParameters, Array, Array]:
    N, D, H, K = sizes
    shapes = [(D, H), (H,), (H, K), (K,), (N, D), (N,)]
    counts = [int(np.prod(shape)) for shape in shapes]
    uniform = (splitmix.outputs(seed, 0, sum(counts)) >> np.uint64(11)) * 2.0**-53
    parts = np.split(uniform, np.cumsum(counts)[:-1])
    W1, b1, W2, b2, x, u = (part.reshape(s) for part, s in zip(parts, shapes, strict=True))
    scaled = [(weight_scale * (2 * a - 1)).astype(dtype) for a in (W1, b1, W2, b2)]
    labels = np.minimum((u * K).astype(np.int64), K - 1)
    return TwoLayerNetParameters(*scaled), (2 * x - 1).astype(dtype), labels


def _widest(parameters: TwoLayerNetParameters, x: Array, t: Array) -> dict[str, Array]:
    return CORRECT_GRADIENTS[0][1](forward(parameters, x, t, delta=DELTA))


def _row(
    name: str,
    right: tuple[FindingKind, ...],
    gradient: dict[str, Array],
    reference: dict[str, Array],
    *,
    check: Check,
    case: tuple[TwoLayerNetParameters, Array, Array],
) -> Row:
    typed: dict[str, Array | None] = {
        n: np.ascontiguousarray(g, dtype=case[1].dtype) for n, g in gradient.items()
    }
    report = check(*case, typed)
    limits = {tensor.name: tensor.detection_limit for tensor in report.tensors}
    visible = any(
        _change(gradient[n], reference[n]) > limits.get(n, report.detection_limit)
        for n in reference
    )
    found = tuple(finding.kind for finding in report.findings)
    return Row(name, right, report.verdict, found, visible)


def _change(gradient: Array, reference: Array) -> float:
    largest = float(np.abs(reference).max(initial=0.0))
    change = float(np.abs(gradient.astype(np.float64) - reference).max(initial=0.0))
    return change / largest if largest > 0 else change
