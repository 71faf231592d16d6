"""The oracle checked by itself: known wrong and known correct gradients through its own verdict."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

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
    SelfTest,
    SelfTestRow,
    TwoLayerNetParameters,
    never_stop,
)

Check = Callable[[TwoLayerNetParameters, Array, Array, dict[str, "Array | None"]], Report]

DTYPES = ("float64", "float32")


MOST_NUMBERS = 4_000_000
"""Parameters, inputs and activations of a case together: some minutes of work."""


def numbers(
    batch_size: int = 5, input_size: int = 11, hidden_size: int = 7, output_size: int = 3
) -> int:
    """Return how many numbers the parameters, inputs and activations of a case are."""
    return (input_size + output_size) * (batch_size + hidden_size) + batch_size * hidden_size


def require_case(
    batch_size: int = 5,
    input_size: int = 11,
    hidden_size: int = 7,
    output_size: int = 3,
    *,
    dtype: str = "float64",
    weight_scale: float = 1.0,
) -> None:
    """Raise InvalidInput unless `run` can make a case of these.

    Raises
    ------
    InvalidInput
        As `run` does.
    """
    N, D, H, K = batch_size, input_size, hidden_size, output_size
    sizes = {"batch_size": N, "input_size": D, "hidden_size": H, "output_size": K}
    for name, size in sizes.items():
        if not 1 <= size <= MOST_NUMBERS:
            raise InvalidInput(name, f"be from 1 to {MOST_NUMBERS}", str(size))
    held = numbers(N, D, H, K)
    if held > MOST_NUMBERS:
        requirement = f"leave at most {MOST_NUMBERS} parameters, inputs and activations"
        raise InvalidInput("batch_size", requirement, str(held))
    if dtype not in DTYPES:
        raise InvalidInput("dtype", f"be one of {', '.join(DTYPES)}", repr(dtype))
    if not 0 <= weight_scale < math.inf:
        raise InvalidInput("weight_scale", "be finite and at least 0", str(weight_scale))


def run(
    batch_size: int = 5,
    input_size: int = 11,
    hidden_size: int = 7,
    output_size: int = 3,
    *,
    dtype: str = "float64",
    weight_scale: float = 1.0,
    seed: int = 0,
    check: Check | None = None,
    checkpoint: Checkpoint = never_stop,
) -> SelfTest:
    """Run every known gradient through the verdict.

    The wrong gradients start from the textbook (y - t) / N, the correct ones keep the delta.

    Parameters
    ----------
    batch_size, input_size, hidden_size, output_size : int
        N, D, H and K, at least 1.
    dtype : str
        The arithmetic of the gradients: "float64" or "float32".
    weight_scale : float
        Weights and biases are uniform in [-weight_scale, weight_scale).
    seed : int
        Seed of SplitMix64.
    check : callable, optional
        Gives the report of (parameters, x, t, gradient); `closed_form.check_two_layer_net`.
    checkpoint : callable
        Called by every check; raises to stop.

    Returns
    -------
    SelfTest
        One row per gradient, and the counts.

    Raises
    ------
    InvalidInput
        If a size is below 1, the case is larger than MOST_NUMBERS, the dtype is unknown, or the
        scale is negative or not finite.
    """
    sizes = (batch_size, input_size, hidden_size, output_size)
    require_case(*sizes, dtype=dtype, weight_scale=weight_scale)
    judge = check or functools.partial(
        closed_form.check_two_layer_net, delta=DELTA, checkpoint=checkpoint
    )
    parameters, x, t = _case(sizes, dtype, weight_scale, seed)
    p = forward(parameters, x, t, delta=0.0, dtype=dtype, checkpoint=checkpoint)
    exact = forward(parameters, x, t, delta=DELTA, dtype=dtype, checkpoint=checkpoint)
    reference = _widest(parameters, x, t)
    rows = []
    for name, compute in CORRECT_GRADIENTS:
        checkpoint()
        rows.append(_row(name, (), compute(exact), reference, check=judge, case=(parameters, x, t)))
    textbook = _fingerprint(CORRECT_GRADIENTS[0][1](p))
    shown = []
    for bug in WRONG_GRADIENTS:
        checkpoint()
        with np.errstate(all="ignore"):
            gradient = bug.compute(p)
        if gradient is not None and not _alike(_fingerprint(gradient), textbook, dtype):
            shown.append((bug, _fingerprint(gradient)))
    for bug, mark in shown:
        checkpoint()
        with np.errstate(all="ignore"):
            gradient = bug.compute(p)
        if gradient is not None:
            # One bug can give the numbers of another, as factors 2 and N do for N = 2.
            twins = [other for other, its in shown if other is not bug and _alike(mark, its, dtype)]
            right = dict.fromkeys(kind for wrong in (bug, *twins) for kind in wrong.named)
            if not all(np.any(tensor) for tensor in gradient.values()):
                right[FindingKind.ZERO_TENSOR] = None
            rows.append(
                _row(
                    bug.name,
                    tuple(right),
                    gradient,
                    reference,
                    check=judge,
                    case=(parameters, x, t),
                )
            )
    return SelfTest(tuple(rows))


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


def _fingerprint(gradient: dict[str, Array]) -> Array:
    """Return, tensor by tensor, its norm and two weighted sums, which tell gradients apart."""
    marks = []
    for tensor in gradient.values():
        flat = tensor.astype(np.float64).ravel()
        weights = [np.cos(c * np.arange(1, flat.size + 1)) for c in (1.0, 2.0**0.5)]
        marks.append([np.linalg.norm(flat), *(weight @ flat for weight in weights)])
    return np.array(marks)


def _alike(a: Array, b: Array, dtype: str) -> bool:
    """Tell whether two fingerprints differ by rounding only."""
    rounding = 2.0**8 * np.finfo(dtype).eps * np.maximum(a[:, :1], b[:, :1])
    return bool(np.all(np.abs(a - b) <= rounding))


def _row(
    name: str,
    right: tuple[FindingKind, ...],
    gradient: dict[str, Array],
    reference: dict[str, Array],
    *,
    check: Check,
    case: tuple[TwoLayerNetParameters, Array, Array],
) -> SelfTestRow:
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
    return SelfTestRow(name, right, report.verdict, found, visible)


def _change(gradient: Array, reference: Array) -> float:
    largest = float(np.abs(reference).max(initial=0.0))
    change = float(np.abs(gradient.astype(np.float64) - reference).max(initial=0.0))
    return change / largest if largest > 0 else change
