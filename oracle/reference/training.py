"""The document's training of a two-layer net, by mini-batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from oracle.reference import mini_batch, structured, two_layer_net
from oracle.reference.requirements import (
    require_count,
    require_delta,
    require_finite,
    require_rank,
    require_targets,
    require_two_layer_net,
)
from oracle.slices import SLICE, entrywise, holds_anywhere, parts
from oracle.splitmix import outputs
from oracle.values import (
    DELTA,
    STEP,
    Array,
    Checkpoint,
    InvalidInput,
    TwoLayerNetParameters,
    never_stop,
)


def train(
    parameters: TwoLayerNetParameters,
    x: ArrayLike,
    t: ArrayLike,
    *,
    step_num: int = 100,
    batch_size: int = 100,
    lr: float = 0.1,
    seed: int = 0,
    method: str = "numerical",
    h: float = STEP,
    delta: float = DELTA,
    checkpoint: Checkpoint = never_stop,
) -> Iterator[tuple[int, float, TwoLayerNetParameters]]:
    """Repeat the document's steps: draw a mini-batch, compute its gradient, move against it.

    Mini-batch s (from 0) is `mini_batch.draw` with output s of SplitMix64(seed) as its seed.

    Parameters
    ----------
    parameters, x, t, delta
        As in `two_layer_net.loss`; x is (N, D).
    step_num, batch_size : int
        Number of steps and samples in a mini-batch, at least 1.
    lr : float
        The learning rate, finite and positive.
    seed : int
        Seed of the mini-batches.
    method : {"numerical", "analytic"}
        How gradients are computed.
    h : float
        The step of the numerical gradient.
    checkpoint : callable
        Called throughout; raises to stop the training.

    Yields
    ------
    int, float, TwoLayerNetParameters
        Steps done, the loss of the step's mini-batch before the step, the parameters after it.

    Raises
    ------
    InvalidInput
        If an argument is invalid; or if training diverges, naming `lr`.
    """
    require_count("step_num", step_num)
    require_count("batch_size", batch_size)
    wide, inputs = require_two_layer_net(
        parameters, x, t, at_once=batch_size, checkpoint=checkpoint
    )
    require_rank("x", inputs, (2,), "(N, D)")
    require_finite("lr", lr, positive=True)
    require_delta(delta)
    if method not in {"numerical", "analytic"}:
        raise InvalidInput("method", "be numerical or analytic", repr(method))
    targets = require_targets((len(inputs), len(wide.b2)), t, checkpoint)
    for step in range(step_num):
        checkpoint()
        batch_seed = int(outputs(seed, step, step + 1)[0])
        chosen = mini_batch.draw(len(inputs), batch_size, seed=batch_seed, checkpoint=checkpoint)
        batch, wanted = _rows(inputs, chosen, checkpoint), _rows(targets, chosen, checkpoint)
        try:
            value = two_layer_net.loss(wide, batch, wanted, delta=delta, checkpoint=checkpoint)
            if method == "analytic":
                slope = two_layer_net.gradient(
                    wide, batch, wanted, delta=delta, checkpoint=checkpoint
                )
            else:
                slope = structured.two_layer_net(
                    wide, batch, wanted, h=h, delta=delta, checkpoint=checkpoint
                )
        except InvalidInput as error:
            if step == 0:
                raise
            # What was valid at the start is the caller's no more.
            left = f"{lr}, with which step {step + 1} finds: {error}"
            raise InvalidInput("lr", "be small enough to go on", left) from error
        wide = _moved(wide, slope, lr, checkpoint)
        yield step + 1, value, wide


def _rows(a: Array, chosen: Array, checkpoint: Checkpoint) -> Array:
    """Return a[chosen]."""
    rows = np.empty((len(chosen), *a.shape[1:]), a.dtype)
    for part in parts(len(chosen), checkpoint, SLICE // (a.size // len(a))):
        rows[part] = a[chosen[part]]
    return rows


def _moved(
    wide: TwoLayerNetParameters, slope: TwoLayerNetParameters, lr: float, checkpoint: Checkpoint
) -> TwoLayerNetParameters:
    with np.errstate(over="ignore"):
        moved = {
            name: entrywise(lambda w, by: w - lr * by, tensor, by, checkpoint=checkpoint)
            for (name, tensor), by in zip(
                wide.tensors().items(), slope.tensors().values(), strict=True
            )
        }
    if any(
        holds_anywhere(lambda a: ~np.isfinite(a), tensor, checkpoint=checkpoint)
        for tensor in moved.values()
    ):
        raise InvalidInput("lr", "be small enough for finite parameters", str(lr))
    return TwoLayerNetParameters(**moved)
