"""Checks of gradients of the document's functions; the tolerance follows from the arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from oracle.arithmetic.dtypes import Arithmetic, arithmetic
from oracle.checking import deltas, derivatives, known
from oracle.checking.derivatives import require_pair, require_probabilities
from oracle.checking.verdict import Evaluation, Question, judge
from oracle.diagnosis.comparison import Comparison
from oracle.document import nets
from oracle.graphs.graph import Plan
from oracle.reference.requirements import require_delta, require_simple_net, require_two_layer_net
from oracle.reference.targets import distribution
from oracle.slices import largest_size
from oracle.values import (
    Array,
    Checkpoint,
    Finding,
    ReferenceGradient,
    Report,
    TwoLayerNetParameters,
    never_stop,
)


def check_two_layer_net(
    parameters: TwoLayerNetParameters,
    x: Array,
    t: Array,
    gradient: Mapping[str, Array | None],
    *,
    delta: float | None = None,
    accumulation_dtype: str | None = None,
    checkpoint: Checkpoint = never_stop,
) -> Report:
    """Check a candidate gradient of the two-layer net, tensors "W1", "b1", "W2", "b2".

    Parameters
    ----------
    parameters, x, t
        The inputs at which the candidate was computed.
    gradient : mapping
        The candidate; its dtype is the arithmetic that it is judged by.
    delta : float
        Guard inside the logarithm of the loss that is meant; 0 for the textbook loss. None means
        either, the document's or none.
    accumulation_dtype : str, optional
        Type of the candidate's sums, if wider than its own.
    checkpoint : callable
        Called between the stages of the check; raises to stop.

    Returns
    -------
    Report
    """
    if delta is None:
        return deltas.either(
            lambda d: check_two_layer_net(
                parameters,
                x,
                t,
                gradient,
                delta=d,
                accumulation_dtype=accumulation_dtype,
                checkpoint=checkpoint,
            )
        )
    require_two_layer_net(parameters, x, t, checkpoint=checkpoint)
    require_delta(delta)
    D, H = parameters.W1.shape
    K = parameters.W2.shape[1]
    sizes = {"N": 1 if x.ndim == 1 else x.shape[0], "D": D, "H": H, "K": K}
    shapes = {name: tensor.shape for name, tensor in parameters.tensors().items()}

    def explain(comparison: Comparison) -> tuple[Finding, ...]:
        from oracle.checking.diagnosis import explain_two_layer_net  # noqa: PLC0415

        return explain_two_layer_net(parameters, x, t, comparison, delta=delta)

    unsaturated = 0.25 * largest_size(parameters.W2, checkpoint)
    inputs = float(np.abs(np.atleast_2d(x).astype(np.float64)).mean(axis=0).max())
    scale = {"W1": unsaturated * inputs, "b1": unsaturated, "W2": 0.5, "b2": 1.0}
    question = Question(
        "two-layer net",
        shapes,
        sizes,
        delta,
        *_numbers(
            lambda d: nets.two_layer_net(parameters, x, t, d), tuple(shapes), "x", scale, delta
        ),
        explain,
        _scores_with(delta),
    )
    return judge(question, gradient, _arithmetic(accumulation_dtype), checkpoint)


def check_simple_net(
    W: Array,
    x: Array,
    t: Array,
    gradient: Mapping[str, Array | None],
    *,
    delta: float | None = None,
    accumulation_dtype: str | None = None,
    checkpoint: Checkpoint = never_stop,
) -> Report:
    """Check a candidate gradient of the simple net, tensor "W"; see `check_two_layer_net`."""
    if delta is None:
        return deltas.either(
            lambda d: check_simple_net(
                W,
                x,
                t,
                gradient,
                delta=d,
                accumulation_dtype=accumulation_dtype,
                checkpoint=checkpoint,
            )
        )
    require_simple_net(W, x, t, checkpoint=checkpoint)
    require_delta(delta)
    D, K = W.shape
    sizes = {"N": 1 if x.ndim == 1 else x.shape[0], "D": D, "K": K}

    def explain(comparison: Comparison) -> tuple[Finding, ...]:
        from oracle.checking.diagnosis import explain_simple_net  # noqa: PLC0415

        return explain_simple_net(W, x, t, comparison, sizes, delta=delta)

    scale = {"W": float(np.abs(np.atleast_2d(x).astype(np.float64)).mean(axis=0).max())}
    question = Question(
        "simple net",
        {"W": W.shape},
        sizes,
        delta,
        *_numbers(lambda d: nets.simple_net(W, x, t, d), ("W",), "x", scale, delta),
        explain,
        _scores_with(delta),
    )
    return judge(question, gradient, _arithmetic(accumulation_dtype), checkpoint)


def check_mean_squared_error(
    y: Array,
    t: Array,
    gradient: Mapping[str, Array | None],
    *,
    accumulation_dtype: str | None = None,
    checkpoint: Checkpoint = never_stop,
) -> Report:
    """Check a candidate derivative of the mean squared error, tensor "y"."""
    require_pair(y, t, checkpoint)
    sizes = _loss_sizes(y)

    scale = {"y": max(largest_size(y, checkpoint), largest_size(t, checkpoint))}

    def explain(comparison: Comparison) -> tuple[Finding, ...]:
        from oracle.checking.diagnosis import explain_mean_squared_error  # noqa: PLC0415

        return explain_mean_squared_error(y, t, comparison, sizes)

    question = Question(
        "mean squared error",
        {"y": y.shape},
        sizes,
        None,
        *_numbers(lambda _: nets.mean_squared_error(y, t), ("y",), "y", scale, 0.0),
        explain,
    )
    return judge(question, gradient, _arithmetic(accumulation_dtype), checkpoint)


def check_cross_entropy_error(
    y: Array,
    t: Array,
    gradient: Mapping[str, Array | None],
    *,
    delta: float | None = None,
    accumulation_dtype: str | None = None,
    checkpoint: Checkpoint = never_stop,
) -> Report:
    """Check a candidate derivative of the cross-entropy error by `y`, tensor "y"."""
    if delta is None:
        return deltas.either(
            lambda d: check_cross_entropy_error(
                y,
                t,
                gradient,
                delta=d,
                accumulation_dtype=accumulation_dtype,
                checkpoint=checkpoint,
            )
        )
    require_probabilities(y, t, delta, checkpoint)
    sizes = _loss_sizes(y)
    targets = distribution(t, y.shape[-1], checkpoint).reshape(y.shape)
    scale = {"y": 1.0 if y.ndim == 1 else 1.0 / len(y)}

    def explain(comparison: Comparison) -> tuple[Finding, ...]:
        from oracle.checking.diagnosis import explain_cross_entropy_error  # noqa: PLC0415

        return explain_cross_entropy_error(y, targets, comparison, sizes, delta=delta)

    question = Question(
        "cross-entropy error",
        {"y": y.shape},
        sizes,
        delta,
        *_numbers(lambda d: nets.cross_entropy_error(y, t, d), ("y",), "y", scale, delta),
        explain,
        f"Write -t / (y + {delta:g}) / N",
    )
    return judge(question, gradient, _arithmetic(accumulation_dtype), checkpoint)


def _scores_with(delta: float) -> str:
    return f"Multiply each sample's (y - t) / N by y_t / (y_t + {delta:g})"


def _loss_sizes(y: Array) -> dict[str, int]:
    return {"N": 1 if y.ndim == 1 else y.shape[0], "K": y.shape[-1]} if y.ndim else {}


def _numbers(
    plan: Callable[[float], Plan],
    names: tuple[str, ...],
    argument: str,
    scale: Mapping[str, float],
    delta: float,
) -> tuple[Callable[[float], ReferenceGradient], Callable[[Arithmetic, float], Evaluation]]:
    """Return the reference and the budget of a graph that depends on delta.

    `argument` is blamed where its numbers lead to no gradient.
    """

    def exact(unit: float) -> ReferenceGradient:
        return derivatives.of(plan(delta), names, argument, unit)

    def evaluate(how: Arithmetic, d: float) -> Evaluation:
        return known.evaluation(known.known(plan(d), wanted=names), how, scale=scale)

    return exact, evaluate


def _arithmetic(accumulation_dtype: str | None) -> Callable[[str], Arithmetic]:
    """Return the arithmetic of a candidate.

    It computes in its own type throughout; where its sums are said to be wider, half precision is
    only stored, and computed in the type of the sums, as kernels do it.
    """

    def of(dtype: str) -> Arithmetic:
        own = dtype if accumulation_dtype in (None, dtype) else None
        return arithmetic(
            dtype, compute=own, accumulate=accumulation_dtype, argument="accumulation_dtype"
        )

    return of
