"""The document's central difference of every parameter, without a forward pass for each.

Moving W1[i, j] by h moves one entry of the hidden layer, so all scores of a sample move by d v with
one number d and v = W2[j]; moving W2[j, k] moves one score by h z[j]. With

    q = Σ_k y_k expm1(d (v_k - v_t))

the probability of the target becomes y_t / (1 + q), and its loss rises by

    log1p(q r / (1 + q (1 - r))),   r = y_t / (y_t + delta),

which does not cancel however small d is. No derivative is used: the loss is evaluated on both
sides.

The rise depends on x[n, i] only through u = h x[n, i]. It is analytic in the strip |Im u| < radius,
so (rise(u) - rise(-u)) / u, which is even, is analytic in u^2 within a parabola with focus 0 and
vertex -radius^2, and within the ellipse with that vertex and the foci 0 and max(u)^2. Hence few
Chebyshev nodes in u^2 serve all inputs, with a remainder below rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from oracle.reference import simple_net as literal_simple_net
from oracle.reference import two_layer_net as literal_two_layer_net
from oracle.reference.activations import sigmoid, softmax
from oracle.reference.requirements import (
    require_delta,
    require_simple_net,
    require_step,
    require_targets,
    require_two_layer_net,
)
from oracle.reference.targets import distribution
from oracle.slices import SLICE, parts
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

HELD = 2**22
"""Numbers of the results of tiles that are held until they are added: 32 MB."""

FEWEST_TILES = 4
"""Tiles that are worked on at a time however large their results are, on as many cores."""

REMAINDER = 2.0**-56
"""What interpolation may leave, relative to the largest value between the nodes."""

SCORE_RADIUS = 0.4
"""Within it, the loss is analytic in the move of one score: |q| <= exp(0.4) - 1 < 1/2."""

Spread = Callable[..., Iterable[Any]]
"""Applies a function to every item of a list, and yields what it returns in order."""

Rise = Callable[[Float64], Float64]
"""Takes moves of a tile's samples (N, 1), returns how much each column's loss rises, (N, J)."""


@dataclass(frozen=True)
class _Target:
    """A target of every sample (N,), its weight, and y_t and delta over y_t + delta (N, 1)."""

    label: Array
    weight: Float64
    ratio: Float64
    guard: Float64

    def loss(self, q: Float64) -> Float64:
        """Return the rise of this target's share of the loss when y_t becomes y_t / (1 + q)."""
        rise = np.log1p(q * self.ratio / (1 + q * self.guard))
        return np.where(self.weight > 0, self.weight * rise, 0)


@dataclass(frozen=True)
class _Outputs:
    """Probabilities (N, K), and as many targets as the sample with most of them has."""

    y: Float64
    targets: tuple[_Target, ...]


def two_layer_net(
    parameters: TwoLayerNetParameters,
    x: ArrayLike,
    t: ArrayLike,
    *,
    h: float = STEP,
    delta: float = DELTA,
    checkpoint: Checkpoint = never_stop,
    spread: Spread = map,
) -> TwoLayerNetParameters:
    """Compute (loss(w + h) - loss(w - h)) / 2h for every parameter w of the two-layer net.

    Where |h x| is so large that interpolation needs as many nodes as there are inputs, the loss is
    evaluated at every h x[n, i] instead.

    Parameters
    ----------
    parameters, x, t, delta
        As in `two_layer_net.loss`.
    h : float
        The step, large enough to change every parameter. The points are w + h and w - h exactly,
        which the literal loop rounds to float64.
    checkpoint : callable
        Called between tiles; raises to stop.
    spread : callable
        Maps a function over the tiles, as `map` does, or on several cores at a time. The tiles and
        the order in which they are added are the same, and so is the result.

    Returns
    -------
    TwoLayerNetParameters
        float64.

    Raises
    ------
    InvalidInput
        If an argument is invalid.
    """
    wide, inputs = require_two_layer_net(parameters, x, t, checkpoint=checkpoint)
    require_delta(delta)
    require_step(h, checkpoint, **wide.tensors())
    rows = np.atleast_2d(inputs)
    classes = len(wide.b2)
    targets = require_targets((*inputs.shape[:-1], classes), t, checkpoint)
    weights = distribution(targets, classes, checkpoint)
    radius = _radius(wide.W2)

    def tile(part: slice) -> tuple[Float64, Float64]:
        checkpoint()
        a = rows[part] @ wide.W1 + wide.b1
        z, rest = sigmoid(a), sigmoid(-a)
        outputs = _outputs(z @ wide.W2 + wide.b2, weights[part], delta)
        hidden, score = partial(_hidden, z, rest, wide.W2, outputs), partial(_score, outputs)
        return (
            _differences(hidden, h, _with_bias(rows[part]), radius, checkpoint),
            _differences(score, h, _with_bias(z), SCORE_RADIUS, checkpoint),
        )

    numbers = sum(tensor.size for tensor in wide.tensors().values())
    inner, outer = _sum_of_tiles(tile, len(rows), wide.W2.size, numbers, spread)
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
    spread: Spread = map,
) -> Array:
    """Compute (loss(w + h) - loss(w - h)) / 2h for every weight w of the simple net.

    Parameters
    ----------
    W, x, t, delta
        As in `simple_net.loss`.
    h, checkpoint, spread
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
    wide, inputs = require_simple_net(W, x, t, checkpoint=checkpoint)
    require_delta(delta)
    require_step(h, checkpoint, W=wide)
    rows = np.atleast_2d(inputs)
    classes = wide.shape[1]
    targets = require_targets((*inputs.shape[:-1], classes), t, checkpoint)
    weights = distribution(targets, classes, checkpoint)

    def tile(part: slice) -> tuple[Float64, Float64]:
        checkpoint()
        score = partial(_score, _outputs(rows[part] @ wide, weights[part], delta))
        return _differences(score, h, rows[part], SCORE_RADIUS, checkpoint), np.zeros(())

    total, _ = _sum_of_tiles(tile, len(rows), wide.size, wide.size, spread)
    if not np.isfinite(total).all():
        return literal_simple_net.numerical_gradient(
            wide, inputs, t, h=h, delta=delta, checkpoint=checkpoint
        )
    return total / (2 * h * len(rows))


def _outputs(scores: Float64, weights: Float64, delta: float) -> _Outputs:
    y = softmax(scores)
    most = np.count_nonzero(weights, axis=1).max(initial=0)
    if most == 1:
        ranked = np.argmax(weights, axis=1)[:, None]
    else:
        ranked = np.argsort(-weights, axis=1, kind="stable")
    targets = []
    for label in ranked.T[:most]:
        weight, chosen = (np.take_along_axis(a, label[:, None], axis=1) for a in (weights, y))
        guarded = chosen + delta
        whole = guarded > 0
        ratio = np.divide(chosen, guarded, out=np.ones_like(chosen), where=whole)
        guard = np.divide(delta, guarded, out=np.zeros_like(chosen), where=whole)
        targets.append(_Target(label, weight, ratio, guard))
    return _Outputs(y, tuple(targets))


def _radius(W2: Float64) -> float:
    """Return a radius around any point in which the loss is analytic in the move of a hidden sum.

    For |u| <= 1 a sigmoid moves by at most 0.325 |u|; with spread the largest difference within a
    row of W2, |q| <= exp(0.325 |u| spread) - 1 < 1/2 for |u| <= 1.2 / spread, short of the
    singularities of the logarithms.
    """
    spread = float((W2.max(axis=1) - W2.min(axis=1)).max())
    return 1.0 if spread <= 1.2 else 1.2 / spread


def _hidden(z: Float64, rest: Float64, W2: Float64, outputs: _Outputs, move: Float64) -> Float64:
    """Return the rise of the loss when every hidden sum moves alone, (N, H).

    z and rest are sigmoid(a) and sigmoid(-a), (N, H).
    """
    growth = np.expm1(move)
    d = z * rest * growth / (1 + z * growth)
    total = np.zeros(d.shape)
    for target in outputs.targets:
        moved = W2 - W2.T[target.label][:, :, None]
        moved *= d[:, :, None]
        q = np.expm1(moved, out=moved) @ outputs.y[:, :, None]
        total += target.loss(q[:, :, 0])
    return total


def _score(outputs: _Outputs, move: Float64) -> Float64:
    """Return the rise of the loss when every score moves alone, (N, K)."""
    growth, decay = np.expm1(move), np.expm1(-move)
    total = np.zeros(outputs.y.shape)
    for target in outputs.targets:
        q = outputs.y.copy()
        own = target.label[:, None]
        np.put_along_axis(q, own, 0.0, axis=1)
        others = q.sum(axis=1, keepdims=True)
        q *= growth
        np.put_along_axis(q, own, decay * others, axis=1)
        total += target.loss(q)
    return total


def _differences(
    rise: Rise, h: float, x: Float64, radius: float, checkpoint: Checkpoint
) -> Float64:
    """Return Σ_n rise(h x[n, i])[n, j] - rise(-h x[n, i])[n, j], (I, J)."""
    u = h * x
    largest = float(np.abs(u).max()) or 1.0
    nodes = _nodes(largest / radius)
    if nodes >= x.shape[1]:
        return _evaluated(rise, u, checkpoint)
    return _interpolated(rise, u, largest, nodes, checkpoint)


def _nodes(relative: float) -> int:
    """Return how many Chebyshev nodes leave no more than `REMAINDER`, for max |u| / radius.

    The remainder falls as rho^-nodes; rho = exp(2 asinh(1 / relative)) is the sum of the semi-axes
    of the ellipse over half the distance of its foci.
    """
    rate = 2 * math.asinh(1 / min(relative, 2.0**30))
    return max(1, math.ceil(-math.log(REMAINDER) / rate))


def _interpolated(
    rise: Rise, u: Float64, largest: float, nodes: int, checkpoint: Checkpoint
) -> Float64:
    """Return the sum of differences over samples from `nodes` sizes of the move."""
    angles = np.pi * (np.arange(nodes) + 0.5) / nodes
    slopes = []
    for angle in angles:
        checkpoint()
        move = np.full((len(u), 1), largest * np.cos(angle / 2))  # its square is the node
        slopes.append((rise(move) - rise(-move)) / move)
    # Coefficients of T_k(2 u^2 / largest^2 - 1) by the discrete orthogonality of the nodes.
    transform = 2 / nodes * np.cos(np.arange(nodes)[:, None] * angles)
    transform[0] /= 2
    argument = 2 * (u / largest) ** 2 - 1
    previous, current = u * argument, u
    total = np.zeros((u.shape[1], slopes[0].shape[1]))
    for row in transform:
        checkpoint()
        mixed = sum(c * slope for c, slope in zip(row, slopes, strict=True))
        for part in parts(total.shape[1], checkpoint, 8 * SLICE // len(total)):
            total[:, part] += current.T @ mixed[:, part]
        previous, current = current, 2 * argument * current - previous
    return total


def _evaluated(rise: Rise, u: Float64, checkpoint: Checkpoint) -> Float64:
    """Return the sum of differences over samples, each evaluated."""
    rows = []
    for column in u.T[:, :, None]:
        checkpoint()
        rows.append((rise(column) - rise(-column)).sum(axis=0))
    return np.array(rows)


def _sum_of_tiles(
    tile: Callable[[slice], tuple[Float64, Float64]],
    samples: int,
    each: int,
    numbers: int,
    spread: Spread,
) -> tuple[Float64, Float64]:
    """Return the sums of what `tile` returns for slices of samples, added in order.

    A tile holds `each` temporary numbers for a sample, and returns `numbers`. So many tiles are
    worked on and held at a time as `HELD` has room for.
    """
    step = max(1, TILE // each)
    parts = [slice(begin, begin + step) for begin in range(0, samples, step)]
    together = max(FEWEST_TILES, HELD // numbers)

    def quiet(part: slice) -> tuple[Float64, Float64]:
        with np.errstate(all="ignore"):  # holds for the thread that sets it only
            return tile(part)

    pairs = (
        pair
        for begin in range(0, len(parts), together)
        for pair in spread(quiet, parts[begin : begin + together])
    )
    return _added(pairs)


def _added(pairs: Iterator[tuple[Float64, Float64]]) -> tuple[Float64, Float64]:
    first, second = (part.copy() for part in next(pairs))
    for one, other in pairs:
        first += one
        second += other
    return first, second


def _with_bias(a: Float64) -> Float64:
    return np.hstack([a, np.ones((len(a), 1))])
