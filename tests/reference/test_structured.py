"""The structured numerical gradient is the literal one, with less rounding."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import flint
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.reference import simple_net, structured, two_layer_net
from oracle.values import Array, InvalidInput, TwoLayerNetParameters
from tests.strategies import EPSILON, seeds, sizes

steps = st.sampled_from([1e-5, 1e-4, 1e-2, 0.5])
deltas = st.sampled_from([0.0, 1e-7])
UNIT = EPSILON / 2


def _case(
    seed: int, shape: tuple[int, int, int, int], soft: bool
) -> tuple[TwoLayerNetParameters, Array, Array]:
    rng = np.random.default_rng(seed)
    n, d, h, k = shape
    parameters = TwoLayerNetParameters(
        rng.normal(size=(d, h)), rng.normal(size=h), rng.normal(size=(h, k)), rng.normal(size=k)
    )
    x = rng.random((n, d)) * (rng.random((n, d)) > 0.3)
    return parameters, x, rng.dirichlet(np.ones(k), n) if soft else rng.integers(0, k, n)


def _rounding_of_loss(scores: float, error: float, samples: int, classes: int) -> float:
    """Bound the rounding of a mean cross-entropy, to first order, in units of u = 2^-53.

    `scores` bounds their size and `error` their rounding. A probability exp(a - max) / sum has the
    relative rounding 2 error (both scores), 2 scores (their difference), 2 (exp), K + 3 (the sum
    and its exp) and 1 (the quotient); adding delta 1. The logarithm, at most 2 scores + log K in
    size, and the mean over N samples round N + 2 times.
    """
    size = 2 * scores + np.log(classes)
    return 2 * error + 2 * scores + classes + 7 + (samples + 2) * size


def _allowed(parameters: TwoLayerNetParameters, x: Array, h: float) -> float:
    """Bound the rounding of the literal loop: of two losses over 2h, of w + h, of the quotient.

    The point w + h rounds by u (|w| + h), which moves the quotient by that times the slope over h;
    slopes are at most 1 behind the hidden layer and |x| sum |W2| / 4 before it.
    """
    W1, b1, W2, b2 = (np.abs(tensor) + h for tensor in parameters.tensors().values())
    hidden = (len(W1) + 1) * (np.abs(x) @ W1 + b1).max()
    behind = (W2.sum(axis=0) + b2).max()
    scores = (len(W2) + 1) * behind + W2.sum(axis=0).max() * (hidden / 4 + 4)
    loss = _rounding_of_loss(behind, scores, len(x), len(b2))
    slope = max(1.0, np.abs(x).max(initial=1) * W2.sum(axis=1).max() / 4)
    largest = max(tensor.max() for tensor in (W1, b1, W2, b2))
    return UNIT / h * (loss + slope * (largest + h))


def _allowed_simple(W: Array, x: Array, h: float) -> float:
    """Bound the rounding of the literal loop as `_allowed` does; slopes are at most |x|."""
    wide = np.abs(W) + h
    scores = (np.abs(x) @ wide).max()
    loss = _rounding_of_loss(scores, len(W) * scores, len(x), W.shape[1])
    return UNIT / h * (loss + np.abs(x).max(initial=1) * (wide.max() + h))


@given(seeds, st.tuples(sizes, sizes, sizes, sizes), steps, deltas, st.booleans())
def test_structure_changes_nothing_but_rounding(
    seed: int, shape: tuple[int, int, int, int], h: float, delta: float, soft: bool
) -> None:
    """The same central difference: it differs by the rounding of the literal loop only."""
    parameters, x, t = _case(seed, shape, soft)
    literal = two_layer_net.literal_numerical_gradient(parameters, x, t, h=h, delta=delta)
    fast = structured.two_layer_net(parameters, x, t, h=h, delta=delta)
    allowed = _allowed(parameters, x, h)
    for name, tensor in fast.tensors().items():
        assert np.abs(tensor - literal.tensors()[name]).max() <= allowed


@given(seeds, st.tuples(sizes, sizes, sizes, sizes), steps, deltas)
def test_the_simple_net_too(
    seed: int, shape: tuple[int, int, int, int], h: float, delta: float
) -> None:
    """One layer is the same law with the inputs in place of the hidden layer."""
    parameters, x, t = _case(seed, (*shape[:2], shape[3], shape[3]), soft=False)
    literal = simple_net.numerical_gradient(parameters.W1, x, t, h=h, delta=delta)
    fast = structured.simple_net(parameters.W1, x, t, h=h, delta=delta)
    assert np.abs(fast - literal).max() <= _allowed_simple(parameters.W1, x, h)


@given(seeds, steps, st.booleans())
def test_interpolation_is_evaluation(seed: int, h: float, soft: bool) -> None:
    """Nodes give what evaluating at every h x gives, to a few roundings of the largest entry."""
    parameters, x, t = _case(seed, (4, 60, 60, 4), soft)
    nodes = structured.two_layer_net(parameters, x, t, h=h)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structured, "_nodes", lambda _: 2**31)
        direct = structured.two_layer_net(parameters, x, t, h=h)
    for name, tensor in direct.tensors().items():
        difference = np.abs(nodes.tensors()[name] - tensor).max()
        assert difference <= 200 * EPSILON * np.abs(tensor).max()


@pytest.mark.parametrize("relative", [1e-6, 1e-3, 0.1, 1.0, 3.0])
def test_the_nodes_are_enough(relative: float) -> None:
    """log(1 + s) / s with s = u^2 is singular at u = i: its polynomial leaves few roundings."""
    count = structured._nodes(relative)
    nodes = relative**2 * (np.cos(np.pi * (np.arange(count) + 0.5) / count) + 1) / 2
    fitted = np.polynomial.Chebyshev.fit(
        nodes, np.log1p(nodes) / nodes, count - 1, [0, relative**2]
    )
    between = np.linspace(0, relative**2, 1000)[1:]
    error = np.abs(fitted(between) - np.log1p(between) / between).max()
    assert error <= 100 * EPSILON


def _enclosed_difference(
    tensors: dict[str, Array], x: Array, t: Array, h: float, delta: float
) -> dict[str, Array]:
    """Return the literal central difference of every parameter, computed with 200 bits."""
    with flint.ctx.workprec(200):
        exact = {name: np.vectorize(flint.arb, otypes=[object])(a) for name, a in tensors.items()}
        inputs = np.vectorize(flint.arb, otypes=[object])(x)

        def loss() -> flint.arb:
            total = flint.arb(0)
            for a, label in zip(inputs @ exact["W1"] + exact["b1"], t, strict=True):
                z = np.array([1 / (1 + (-entry).exp()) for entry in a], dtype=object)
                powers = [score.exp() for score in z @ exact["W2"] + exact["b2"]]
                total -= (powers[label] / sum(powers, flint.arb(0)) + delta).log()
            return total / len(t)

        answer = {}
        for name, tensor in exact.items():
            answer[name] = np.zeros(tensor.shape)
            for index in np.ndindex(tensor.shape):
                value = tensor[index]
                tensor[index] = value + h
                above = loss()
                tensor[index] = value - h
                answer[name][index] = float(((above - loss()) / (2 * flint.arb(h))).mid())
                tensor[index] = value
        return answer


@pytest.mark.parametrize("h", [1e-6, 1e-4, 0.1])
@pytest.mark.parametrize("delta", [0.0, 1e-7])
def test_nothing_cancels(h: float, delta: float) -> None:
    """Against 200 bits, no more than 16 roundings of the largest entry remain at any h.

    There are more inputs and hidden units than nodes, so both layers are interpolated.
    """
    parameters, x, t = _case(1, (2, 12, 11, 3), soft=False)
    exact = _enclosed_difference(parameters.tensors(), x, t, h, delta)
    fast = structured.two_layer_net(parameters, x, t, h=h, delta=delta).tensors()
    for name, tensor in fast.items():
        assert np.abs(tensor - exact[name]).max() <= 16 * EPSILON * np.abs(exact[name]).max()


@given(seeds)
def test_small_steps_do_not_cancel(seed: int) -> None:
    """At h = 1e-6 the truncation error is below 1e-11: the exact derivative is met to that."""
    parameters, x, t = _case(seed, (4, 5, 3, 4), soft=True)
    exact = two_layer_net.gradient(parameters, x, t).tensors()
    for name, tensor in structured.two_layer_net(parameters, x, t, h=1e-6).tensors().items():
        assert np.abs(tensor - exact[name]).max() <= 1e-11


@pytest.mark.parametrize("scale", [50.0, 1000.0])
def test_saturation_is_finite(scale: float) -> None:
    """Scores far apart give finite differences."""
    parameters, x, t = _case(0, (3, 4, 2, 3), soft=False)
    wild = TwoLayerNetParameters(parameters.W1, parameters.b1, scale * parameters.W2, parameters.b2)
    fast = structured.two_layer_net(wild, x, t).tensors()
    assert all(np.isfinite(tensor).all() for tensor in fast.values())


@given(seeds, steps, st.booleans())
def test_float32_parameters_are_exact_binary_numbers(seed: int, h: float, soft: bool) -> None:
    """Widening changes no number, so the answer for float32 is that for the widened."""
    parameters, x, t = _case(seed, (3, 4, 2, 3), soft)
    narrow = [tensor.astype(np.float32) for tensor in parameters.tensors().values()]
    wide = [tensor.astype(np.float64) for tensor in narrow]
    inputs = x.astype(np.float32)
    one = structured.two_layer_net(TwoLayerNetParameters(*narrow), inputs, t, h=h)
    two = structured.two_layer_net(TwoLayerNetParameters(*wide), inputs.astype(float), t, h=h)
    for name, tensor in one.tensors().items():
        assert tensor.dtype == np.float64
        assert (tensor == two.tensors()[name]).all()


@given(seeds)
def test_one_hot_targets_are_labels(seed: int) -> None:
    """A target with the weight 1 is a label."""
    parameters, x, t = _case(seed, (3, 4, 2, 3), soft=False)
    labels = structured.two_layer_net(parameters, x, t).tensors()
    one_hot = structured.two_layer_net(parameters, x, np.eye(3)[t]).tensors()
    assert all((one_hot[name] == tensor).all() for name, tensor in labels.items())


@pytest.mark.parametrize("shape", [(1, 5, 1, 3), (1, 1, 1, 1), (7, 1, 1, 2), (1, 3, 4, 2)])
@pytest.mark.parametrize("h", [1e-4, 5.0])
def test_one_sample_one_input_and_one_hidden_unit(
    shape: tuple[int, int, int, int], h: float
) -> None:
    """Each axis may have the length one."""
    parameters, x, t = _case(2, shape, soft=False)
    literal = two_layer_net.literal_numerical_gradient(parameters, x, t, h=h).tensors()
    fast = structured.two_layer_net(parameters, x, t, h=h).tensors()
    for name, tensor in fast.items():
        assert np.abs(tensor - literal[name]).max() <= _allowed(parameters, x, h)


def test_a_sample_without_a_batch() -> None:
    """Inputs (D,) are one sample."""
    parameters, x, t = _case(0, (1, 4, 3, 2), soft=False)
    one = structured.two_layer_net(parameters, x[0], t[0]).tensors()
    batch = structured.two_layer_net(parameters, x, t).tensors()
    assert all((one[name] == tensor).all() for name, tensor in batch.items())


def test_zero_inputs_have_zero_gradients() -> None:
    """What is multiplied by zero does not change the loss."""
    parameters, x, t = _case(0, (3, 4, 2, 3), soft=False)
    x[:, 1] = 0
    assert not structured.two_layer_net(parameters, x, t).W1[1].any()
    assert not structured.simple_net(parameters.W1, 0 * x, t % 2).any()


def test_where_the_structure_overflows_the_loop_answers() -> None:
    """A step of 1000 overflows exp; the literal loop, which shifts by the largest, does not."""
    parameters, x, t = _case(0, (3, 4, 2, 3), soft=False)
    literal = two_layer_net.literal_numerical_gradient(parameters, x, t, h=1e3).tensors()
    fast = structured.two_layer_net(parameters, x, t, h=1e3).tensors()
    for name, tensor in fast.items():
        assert np.abs(tensor - literal[name]).max() <= _allowed(parameters, x, 1e3)
    loop = simple_net.numerical_gradient(parameters.W1, x, t % 2, h=1e3)
    assert (structured.simple_net(parameters.W1, x, t % 2, h=1e3) == loop).all()


def test_a_step_that_leaves_the_range_has_an_answer_while_the_scores_have() -> None:
    """At 1e160 the square of h x overflows, at 1e300 the hidden sums of the loop do."""
    parameters, x, t = _case(0, (3, 4, 2, 3), soft=False)
    fast = structured.two_layer_net(parameters, 1e10 * x, t, h=1e160).tensors()
    assert all(np.isfinite(tensor).all() for tensor in fast.values())
    with pytest.raises(InvalidInput, match="within float64"):
        structured.two_layer_net(parameters, 1e10 * x, t, h=1e300)


@pytest.mark.parametrize("h", [0.0, -1e-4, np.nan, np.inf, 1e-17])
def test_a_step_that_changes_nothing_is_refused(h: float) -> None:
    """1 + 1e-17 is 1: the difference would be 0 whatever the gradient is."""
    parameters, x, t = _case(0, (3, 4, 2, 3), soft=False)
    with pytest.raises(InvalidInput, match="`h` must"):
        structured.two_layer_net(parameters, x, t, h=h)
    with pytest.raises(InvalidInput, match="`h` must"):
        structured.simple_net(parameters.W1, x, t % 2, h=h)


def test_threads_change_no_bit() -> None:
    """Tiles are those of one thread, and are added in order."""
    parameters, x, t = _case(0, (100, 5, 40, 50), soft=False)
    alone = structured.two_layer_net(parameters, x, t)
    with ThreadPoolExecutor(3) as pool:
        other = structured.two_layer_net(parameters, x, t, spread=pool.map)
    for name, tensor in other.tensors().items():
        assert (tensor == alone.tensors()[name]).all()


def test_a_checkpoint_stops_it() -> None:
    """A checkpoint that raises ends the computation."""

    def stop() -> None:
        raise TimeoutError

    parameters, x, t = _case(0, (3, 4, 2, 3), soft=False)
    with pytest.raises(TimeoutError):
        structured.two_layer_net(parameters, x, t, checkpoint=stop)


def test_few_tiles_are_held_at_a_time():
    """Each result has the size of the parameters; all at once would take 120 MB here."""
    rng = np.random.default_rng(0)
    D, H, K, N = 2000, 30, 300, 3000
    W1, W2 = rng.normal(size=(D, H)) / 50, rng.normal(size=(H, K)) / 50
    parameters = TwoLayerNetParameters(W1, np.zeros(H), W2, np.zeros(K))
    x, t = rng.normal(size=(N, D)), rng.integers(0, K, N)
    tracemalloc.start()
    try:
        structured.two_layer_net(parameters, x, t, spread=lambda f, parts: [f(p) for p in parts])
        assert tracemalloc.get_traced_memory()[1] < 2 * 8 * structured.HELD
    finally:
        tracemalloc.stop()
