"""The structured numerical gradient is the literal one, with less rounding."""

from __future__ import annotations

import flint
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.reference import simple_net, structured, two_layer_net
from oracle.values import Array, TwoLayerNetParameters
from tests.strategies import EPSILON, seeds, sizes

steps = st.sampled_from([1e-5, 1e-4, 1e-2, 0.5])
deltas = st.sampled_from([0.0, 1e-7])


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


def _allowed(h: float, value: float) -> float:
    """Bound the rounding of the literal loop: some 50 roundings of a loss, and of w + h, over h."""
    return 50 * EPSILON * (1 + abs(value)) * 4 / h


@given(seeds, st.tuples(sizes, sizes, sizes, sizes), steps, deltas, st.booleans())
def test_structure_changes_nothing_but_rounding(
    seed: int, shape: tuple[int, int, int, int], h: float, delta: float, soft: bool
) -> None:
    """The same central difference: it differs by the rounding of the literal loop only."""
    parameters, x, t = _case(seed, shape, soft)
    literal = two_layer_net.literal_numerical_gradient(parameters, x, t, h=h, delta=delta)
    fast = structured.two_layer_net(parameters, x, t, h=h, delta=delta, threads=2)
    allowed = _allowed(h, two_layer_net.loss(parameters, x, t, delta=delta))
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
    value = simple_net.loss(parameters.W1, x, t, delta=delta)
    assert np.abs(fast - literal).max() <= _allowed(h, value)


@given(seeds)
def test_interpolation_is_evaluation(seed: int) -> None:
    """Three nodes give what evaluating at every h x gives, to a few roundings."""
    parameters, x, t = _case(seed, (4, 5, 3, 4), soft=False)
    nodes = structured.two_layer_net(parameters, x, t)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structured, "SMALL", 0.0)
        direct = structured.two_layer_net(parameters, x, t)
    for a, b in ((nodes.W1, direct.W1), (nodes.b1, direct.b1)):
        assert np.abs(a - b).max() <= 200 * EPSILON * np.abs(b).max()


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
    """Against 200 bits, no more than 16 roundings of the largest entry remain at any h."""
    parameters, x, t = _case(1, (3, 3, 2, 3), soft=False)
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


def test_a_checkpoint_stops_it() -> None:
    """A checkpoint that raises ends the computation."""

    def stop() -> None:
        raise TimeoutError

    parameters, x, t = _case(0, (3, 4, 2, 3), soft=False)
    with pytest.raises(TimeoutError):
        structured.two_layer_net(parameters, x, t, checkpoint=stop)
