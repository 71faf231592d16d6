"""The document's central difference of every parameter, without a forward pass for each.

Moving W1[i, j] by h moves one entry of the hidden layer, so all scores of a sample move by d v with
one number d and v = W2[j]; moving W2[j, k] moves one score by h z[j]. With

    q = Σ_k y_k expm1(d (v_k - v_t))

the probability of the target becomes y_t / (1 + q), and its loss rises by

    log1p(q r / (1 + q (1 - r))),   r = y_t / (y_t + delta),

which does not cancel however small d is. No derivative is used: the loss is evaluated on both
sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from oracle.reference import simple_net as literal_simple_net
from oracle.reference import two_layer_net as literal_two_layer_net
from oracle.reference.activations import sigmoid, softmax
from oracle.reference.requirements import (
    require_count,
    require_delta,
    require_simple_net,
    require_step,
    require_targets,
    require_two_layer_net,
)
from oracle.values import (
    DELTA,
    STEP,
    Array,
    Checkpoint,
    Float64,
    TwoLayerNetParameters,
    never_stop,
)

TILE = 2**17
"""Entries of the largest temporary: a megabyte, which stays in the cache."""

NODES = (np.cos(np.pi * (np.arange(3) + 0.5) / 3) + 1) / 2
"""Chebyshev nodes on [0, 1], where the loss is evaluated between h = 0 and the largest h x."""

SMALL = 2.0**-9
"""Largest h x, relative to the radius of analyticity, for which three nodes are exact.

The difference of the losses over h x is even in h x: three nodes leave (h x / radius)^6 <= 2^-54.
"""


@dataclass(frozen=True)
class _Outputs:
    """Probabilities (N, K), weights of the targets (N, K), and what all tiles share."""

    y: Float64
    weights: Float64
    h: float
    delta: float
    checkpoint: Checkpoint

    def part(self, samples: slice) -> _Outputs:
        return _Outputs(self.y[samples], self.weights[samples], self.h, self.delta, self.checkpoint)


@dataclass(frozen=True)
class _Hidden:
    """The hidden layer z = sigmoid(a) (N, H), sigmoid(-a), and the weights behind it (H, K)."""

    z: Float64
    rest: Float64
    W2: Float64

    def part(self, samples: slice) -> _Hidden:
        return _Hidden(self.z[samples], self.rest[samples], self.W2)

    def moved(self, u: Float64 | float) -> Float64:
        """Return sigmoid(a + u) - sigmoid(a) without cancellation."""
        growth = np.expm1(u)
        return np.asarray(self.z * self.rest * growth / (1 + self.z * growth))


def two_layer_net(
    parameters: TwoLayerNetParameters,
    x: ArrayLike,
    t: ArrayLike,
    *,
    h: float = STEP,
    delta: float = DELTA,
    checkpoint: Checkpoint = never_stop,
    threads: int = 1,
) -> TwoLayerNetParameters:
    """Compute (loss(w + h) - loss(w - h)) / 2h for every parameter w of the two-layer net.

    The loss of a sample depends on x[n, i] only through h x[n, i]; where that is small, it is
    evaluated at three nodes on both sides and interpolated, with a remainder below rounding.
    Elsewhere it is evaluated at every h x[n, i].

    Parameters
    ----------
    parameters, x, t, delta
        As in `two_layer_net.loss`.
    h : float
        The step, large enough to change every parameter. The points are w + h and w - h exactly,
        which the literal loop rounds to float64.
    checkpoint : callable
        Called between tiles; raises to stop.
    threads : int
        How many threads compute tiles.

    Returns
    -------
    TwoLayerNetParameters
        float64.

    Raises
    ------
    InvalidInput
        If an argument is invalid.
    """
    wide, inputs = require_two_layer_net(parameters, x, t)
    require_delta(delta)
    require_step(h, **wide.tensors())
    require_count("threads", threads)
    rows = np.atleast_2d(inputs)
    weights = _one_hot(require_targets((*inputs.shape[:-1], len(wide.b2)), t), len(wide.b2))
    with np.errstate(all="ignore"):
        a = rows @ wide.W1 + wide.b1
        hidden = _Hidden(sigmoid(a), sigmoid(-a), wide.W2)
        y = softmax(hidden.z @ wide.W2 + wide.b2)
        outputs = _Outputs(y, weights, h, delta, checkpoint)
        first, second = _with_bias(rows), _with_bias(hidden.z)
        small = h * np.abs(first).max() <= SMALL * _radius(wide.W2)
        evaluate = _interpolated if small else _direct

        def tile(part: slice) -> tuple[Float64, Float64]:
            upper = evaluate(first[part], hidden.part(part), outputs.part(part))
            return upper, _scores(second[part], outputs.part(part))

        inner, outer = _sum_of_tiles(tile, len(rows), wide.W2.size, threads)
    if not (np.isfinite(inner).all() and np.isfinite(outer).all()):
        return literal_two_layer_net.literal_numerical_gradient(
            wide, inputs, t, h=h, delta=delta, checkpoint=checkpoint
        )
    scale = 2 * h * len(rows)
    inner, outer = inner / scale, outer / scale
    return TwoLayerNetParameters(W1=inner[:-1], b1=inner[-1], W2=outer[:-1], b2=outer[-1])


def simple_net(
    W: ArrayLike,
    x: ArrayLike,
    t: ArrayLike,
    *,
    h: float = STEP,
    delta: float = DELTA,
    checkpoint: Checkpoint = never_stop,
    threads: int = 1,
) -> Array:
    """Compute (loss(w + h) - loss(w - h)) / 2h for every weight w of the simple net.

    Parameters
    ----------
    W, x, t, delta
        As in `simple_net.loss`.
    h, checkpoint, threads
        As in `two_layer_net`.

    Returns
    -------
    float64
        The numerical gradient, (D, K).

    Raises
    ------
    InvalidInput
        If an argument is invalid.
    """
    wide, inputs = require_simple_net(W, x, t)
    require_delta(delta)
    require_step(h, W=wide)
    require_count("threads", threads)
    rows = np.atleast_2d(inputs)
    classes = wide.shape[1]
    weights = _one_hot(require_targets((*inputs.shape[:-1], classes), t), classes)
    with np.errstate(all="ignore"):
        outputs = _Outputs(softmax(rows @ wide), weights, h, delta, checkpoint)

        def tile(part: slice) -> tuple[Float64, Float64]:
            return _scores(rows[part], outputs.part(part)), np.zeros(())

        total, _ = _sum_of_tiles(tile, len(rows), classes * rows.shape[1], threads)
    if not np.isfinite(total).all():
        return literal_simple_net.numerical_gradient(
            wide, inputs, t, h=h, delta=delta, checkpoint=checkpoint
        )
    return total / (2 * h * len(rows))


def _radius(W2: Float64) -> float:
    """Return a radius around 0 within which the loss is analytic in the move of a hidden sum.

    For |u| <= 1 a sigmoid moves by at most 0.325 |u|; with spread the largest difference within a
    row of W2, |q| <= exp(0.325 |u| spread) - 1 < 1/2 for |u| <= 1.2 / spread, short of the
    singularities of the logarithms.
    """
    spread = float((W2.max(axis=1) - W2.min(axis=1)).max())
    return 1.0 if spread <= 1.2 else 1.2 / spread


def _interpolated(x: Float64, hidden: _Hidden, outputs: _Outputs) -> Float64:
    """Return the sum over samples of loss(+) - loss(-), (D + 1, H), from three values of |h x|."""
    largest = np.abs(x).max()
    values = []
    for node in NODES:
        move = outputs.h * largest * np.sqrt(node)
        up = _rise(hidden.moved(move), hidden.W2, outputs)
        down = _rise(hidden.moved(-move), hidden.W2, outputs)
        values.append((up - down) / move)
    coefficients = np.linalg.solve(np.vander(NODES, increasing=True), np.eye(len(NODES)))
    relative = (x / largest) ** 2
    power = outputs.h * x
    total = np.zeros((x.shape[1], hidden.z.shape[1]))
    for row in coefficients:
        outputs.checkpoint()
        total += power.T @ sum(c * value for c, value in zip(row, values, strict=True))
        power = power * relative
    return total


def _direct(x: Float64, hidden: _Hidden, outputs: _Outputs) -> Float64:
    """Return the sum over samples of loss(+) - loss(-), (D + 1, H), evaluated for every input."""
    total = np.zeros((x.shape[1], hidden.z.shape[1]))
    step = max(1, TILE // hidden.W2.size)
    for n in range(len(x)):
        sample, answer = hidden.part(slice(n, n + 1)), outputs.part(slice(n, n + 1))
        moving = np.flatnonzero(x[n])
        for begin in range(0, len(moving), step):
            chosen = moving[begin : begin + step]
            move = outputs.h * x[n, chosen, None]
            up = _rise(sample.moved(move), hidden.W2, answer)
            down = _rise(sample.moved(-move), hidden.W2, answer)
            total[chosen] += up - down
    return total


def _rise(d: Float64, W2: Float64, outputs: _Outputs) -> Float64:
    """Return the rise of the loss of every row when its scores move by d[n, j] W2[j], (N, H).

    A single row of outputs serves all rows of d.
    """
    total = np.zeros(d.shape)
    y = np.broadcast_to(outputs.y, (len(d), outputs.y.shape[1]))
    weights = np.broadcast_to(outputs.weights, y.shape)
    for target in np.flatnonzero(outputs.weights.any(axis=0)):
        chosen = np.flatnonzero(weights[:, target])
        outputs.checkpoint()
        moved = np.expm1(d[chosen, :, None] * (W2 - W2[:, target, None]))
        q = (moved @ y[chosen, :, None])[:, :, 0]
        ratio, guard = _shares(y[chosen, target, None], outputs.delta)
        total[chosen] += weights[chosen, target, None] * np.log1p(q * ratio / (1 + q * guard))
    return total


def _scores(z: Float64, outputs: _Outputs) -> Float64:
    """Return the sum over samples of loss(+) - loss(-) when score k moves by h z[n, j], (J, K)."""
    total = np.zeros((z.shape[1], outputs.y.shape[1]))
    for row, y, weights in zip(z, outputs.y, outputs.weights, strict=True):
        outputs.checkpoint()
        moving = np.flatnonzero(row)
        move = outputs.h * row[moving, None]
        growth, decay = np.expm1(move), np.expm1(-move)
        for target in np.flatnonzero(weights):
            ratio, guard = _shares(y[target], outputs.delta)
            others = np.delete(y, target).sum()
            above, below = growth * y, decay * y
            above[:, target], below[:, target] = decay[:, 0] * others, growth[:, 0] * others
            up = np.log1p(above * ratio / (1 + above * guard))
            down = np.log1p(below * ratio / (1 + below * guard))
            total[moving] += weights[target] * (up - down)
    return total


def _shares(y: Float64, delta: float) -> tuple[Float64, Float64]:
    """Return y / (y + delta) and delta / (y + delta); 1 and 0 if both are zero."""
    guarded = y + delta
    whole = guarded > 0
    ratio = np.divide(y, guarded, out=np.ones_like(guarded), where=whole)
    return ratio, np.divide(delta, guarded, out=np.zeros_like(guarded), where=whole)


def _sum_of_tiles(
    tile: Callable[[slice], tuple[Float64, Float64]], samples: int, each: int, threads: int
) -> tuple[Float64, Float64]:
    """Return the sums of what `tile` returns for slices of samples, added in order."""
    step = max(1, min(-(-samples // threads), TILE // each))
    parts = [slice(begin, begin + step) for begin in range(0, samples, step)]

    def quiet(part: slice) -> tuple[Float64, Float64]:
        with np.errstate(all="ignore"):  # holds for the thread that sets it only
            return tile(part)

    if threads == 1 or len(parts) == 1:
        return _added(map(quiet, parts))
    with ThreadPoolExecutor(threads) as pool:
        return _added(pool.map(quiet, parts))


def _added(pairs: Iterator[tuple[Float64, Float64]]) -> tuple[Float64, Float64]:
    first, second = next(pairs)
    for one, other in pairs:
        first, second = first + one, second + other
    return first, second


def _with_bias(a: Float64) -> Float64:
    return np.hstack([a, np.ones((len(a), 1))])


def _one_hot(targets: Array, classes: int) -> Float64:
    if targets.dtype.kind == "i":
        return np.asarray(np.eye(classes)[np.atleast_1d(targets)])
    return np.atleast_2d(targets)
