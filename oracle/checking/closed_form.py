"""Checks of gradients of the document's functions; the tolerance follows from the arithmetic."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from oracle.checking import budget, derivatives
from oracle.checking.arithmetic import Arithmetic
from oracle.checking.budget import Evaluation
from oracle.checking.comparison import Comparison
from oracle.checking.derivatives import difference, require_pair, require_probabilities
from oracle.checking.verdict import Question, judge
from oracle.reference.requirements import require_delta, require_simple_net, require_two_layer_net
from oracle.reference.targets import distribution
from oracle.slices import entrywise, largest_size
from oracle.values import (
    DELTA,
    Array,
    Checkpoint,
    Finding,
    Float64,
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
    delta: float = DELTA,
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
        Guard inside the logarithm of the loss that is meant; 0 for the textbook loss.
    accumulation_dtype : str, optional
        Type of the candidate's sums, if wider than its own.
    checkpoint : callable
        Called at least every 50 ms.

    Returns
    -------
    Report
    """
    require_two_layer_net(parameters, x, t, checkpoint=checkpoint)
    require_delta(delta)
    D, H = parameters.W1.shape
    K = parameters.W2.shape[1]
    sizes = {"N": 1 if x.ndim == 1 else x.shape[0], "D": D, "H": H, "K": K}
    shapes = {name: tensor.shape for name, tensor in parameters.tensors().items()}

    def explain(comparison: Comparison) -> tuple[Finding, ...]:
        from oracle.checking.diagnosis import explain_two_layer_net  # noqa: PLC0415

        return explain_two_layer_net(parameters, x, t, comparison, delta=delta)

    question = Question(
        "two-layer net",
        shapes,
        sizes,
        delta,
        lambda: derivatives.two_layer_net(parameters, x, t, delta=delta, checkpoint=checkpoint),
        lambda how, d: budget.two_layer_net(parameters, x, t, how, delta=d, checkpoint=checkpoint),
        explain,
        _scores_with(delta),
    )
    return judge(question, gradient, accumulation_dtype, checkpoint)


def check_simple_net(
    W: Array,
    x: Array,
    t: Array,
    gradient: Mapping[str, Array | None],
    *,
    delta: float = DELTA,
    accumulation_dtype: str | None = None,
    checkpoint: Checkpoint = never_stop,
) -> Report:
    """Check a candidate gradient of the simple net, tensor "W"; see `check_two_layer_net`."""
    require_simple_net(W, x, t, checkpoint=checkpoint)
    require_delta(delta)
    D, K = W.shape
    sizes = {"N": 1 if x.ndim == 1 else x.shape[0], "D": D, "K": K}

    def explain(comparison: Comparison) -> tuple[Finding, ...]:
        from oracle.checking.diagnosis import explain_simple_net  # noqa: PLC0415

        return explain_simple_net(W, x, t, comparison, sizes, delta=delta)

    question = Question(
        "simple net",
        {"W": W.shape},
        sizes,
        delta,
        lambda: derivatives.simple_net(W, x, t, delta=delta, checkpoint=checkpoint),
        lambda how, d: budget.simple_net(W, x, t, how, delta=d, checkpoint=checkpoint),
        explain,
        _scores_with(delta),
    )
    return judge(question, gradient, accumulation_dtype, checkpoint)


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

    def evaluate(how: Arithmetic, _: float) -> Evaluation:
        value = difference(y, t, checkpoint)
        size = max(largest_size(y, checkpoint), largest_size(t, checkpoint))
        bound = budget.mean_squared_error(y, t, how, checkpoint)
        return Evaluation({"y": value}, bound, {"y": size})

    def explain(comparison: Comparison) -> tuple[Finding, ...]:
        from oracle.checking.diagnosis import explain_mean_squared_error  # noqa: PLC0415

        return explain_mean_squared_error(y, t, comparison, sizes)

    question = Question(
        "mean squared error",
        {"y": y.shape},
        sizes,
        None,
        lambda: derivatives.mean_squared_error(y, t, checkpoint=checkpoint),
        evaluate,
        explain,
    )
    return judge(question, gradient, accumulation_dtype, checkpoint)


def check_cross_entropy_error(
    y: Array,
    t: Array,
    gradient: Mapping[str, Array | None],
    *,
    delta: float = DELTA,
    accumulation_dtype: str | None = None,
    checkpoint: Checkpoint = never_stop,
) -> Report:
    """Check a candidate derivative of the cross-entropy error by `y`, tensor "y"."""
    require_probabilities(y, t, delta, checkpoint)
    sizes = _loss_sizes(y)
    targets = distribution(t, y.shape[-1], checkpoint).reshape(y.shape)
    samples = 1 if y.ndim == 1 else len(y)

    def evaluate(how: Arithmetic, d: float) -> Evaluation:
        def by_entry(y: Array, targets: Float64) -> Float64:
            guarded = np.maximum(y.astype(np.float64) + d, np.finfo(np.float64).tiny)
            return np.asarray(-targets / guarded / samples)

        value = entrywise(by_entry, y, targets, checkpoint=checkpoint)
        bound = budget.cross_entropy_error(y, t, how, delta=d, checkpoint=checkpoint)
        return Evaluation({"y": value}, bound, {"y": 1.0 / samples})

    def explain(comparison: Comparison) -> tuple[Finding, ...]:
        from oracle.checking.diagnosis import explain_cross_entropy_error  # noqa: PLC0415

        return explain_cross_entropy_error(y, targets, comparison, sizes, delta=delta)

    question = Question(
        "cross-entropy error",
        {"y": y.shape},
        sizes,
        delta,
        lambda: derivatives.cross_entropy_error(y, t, delta=delta, checkpoint=checkpoint),
        evaluate,
        explain,
        f"Write -t / (y + {delta:g}) / N",
    )
    return judge(question, gradient, accumulation_dtype, checkpoint)


def _scores_with(delta: float) -> str:
    return f"Multiply each sample's (y - t) / N by y_t / (y_t + {delta:g})"


def _loss_sizes(y: Array) -> dict[str, int]:
    return {"N": 1 if y.ndim == 1 else y.shape[0], "K": y.shape[-1]} if y.ndim else {}
