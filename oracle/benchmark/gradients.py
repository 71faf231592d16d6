"""Numerical gradients of the document's 784-50-10 net, by this project and by its peers."""

from __future__ import annotations

import importlib
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from oracle.benchmark.table import Row, at_least, at_most, median
from oracle.reference import structured, two_layer_net
from oracle.values import DELTA, STEP, Array, TwoLayerNetParameters

SAMPLED = 200
"""Parameters that a slow peer moves in a quick run; its time is scaled to all of them."""

Case = tuple[TwoLayerNetParameters, Array, Array]
Measure = Callable[[Case, int], tuple[Callable[[], Any], int]]
"""Takes a case and how many parameters to move; returns a call and how many it moves."""


def case(inner: int, hidden: int, classes: int, samples: int) -> Case:
    """Return a network as the document initialises it, and a batch of random inputs."""
    rng = np.random.default_rng(0)
    parameters = two_layer_net.init(inner, hidden, classes)
    return parameters, rng.random((samples, inner)), rng.integers(0, classes, samples)


def count(parameters: TwoLayerNetParameters) -> int:
    """Return how many parameters there are."""
    return sum(tensor.size for tensor in parameters.tensors().values())


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure the structured gradient, its peers on the same work, and how its cost grows."""
    net = case(784, 50, 10, 100)
    total = count(net[0])
    section = f"all {total:,} central differences of a 784-50-10 net, N = 100"
    runs = 5 if quick else 21
    base = median(partial(structured.two_layer_net, *net), runs=runs)
    yield Row(section, "gradient-oracle, one core", base, ratio=1.0)
    for name, module, measure, bound in PEERS:
        row = partial(Row, section, name)
        try:
            importlib.import_module(module)
        except ImportError:
            yield row(None, note=f"{module.partition('.')[0]} is not installed")
            continue
        run, moved = measure(net, SAMPLED if quick else total)
        seconds = median(run, runs=3) * total / moved
        ratio = seconds / base
        figure = at_least(bound, ratio, "x") if bound else {}
        note = "" if moved == total else f"from {moved}"
        yield row(seconds, ratio=ratio, note=note, **figure)
    for name, check in _derivatives(net):
        if check is None:
            yield Row(section, name, None, note="not installed")
            continue
        seconds = median(check, runs=runs)
        yield Row(section, name, seconds, ratio=seconds / base, note="one random direction")
    yield _memory(section, net)
    yield from _growth(quick=quick)


def _memory(section: str, net: Case) -> Row:
    tracemalloc.start()
    structured.two_layer_net(*net)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    name = "gradient-oracle, peak extra memory"
    return Row(section, name, peak, "MB", **at_most(200, peak, "MB"))


def _growth(*, quick: bool) -> Iterator[Row]:
    section = "growth of the structured gradient"
    base = 0.0
    for inner, hidden, samples, h in (
        (784, 50, 100, STEP),
        (1568, 50, 100, STEP),
        (784, 100, 100, STEP),
        (784, 50, 200, STEP),
        (784, 50, 1000, STEP),
        (64, 50, 100, STEP),
        (784, 50, 100, 0.1),
    ):
        net = case(inner, hidden, 10, samples)
        call = partial(structured.two_layer_net, *net, h=h)
        seconds = median(call, runs=3 if quick else 9)
        base = base or seconds
        step = "" if h == STEP else f", h = {h:g}"
        name = f"{inner}-{hidden}-10, N = {samples}{step}"
        yield Row(
            section, name, seconds, ratio=seconds / base, note=f"{count(net[0]):,} parameters"
        )
    for hidden, samples in ((50, 1000), (500, 1000)):
        net = case(784, hidden, 10, samples)
        one = median(partial(structured.two_layer_net, *net), runs=3 if quick else 9)
        with ThreadPoolExecutor(2) as pool:
            spread = partial(structured.two_layer_net, *net, spread=pool.map)
            two = median(spread, runs=3 if quick else 9)
        name = f"784-{hidden}-10, N = {samples}, on two threads"
        yield Row(section, name, two, ratio=two / one, note="of that on one")


def _split(flat: Any, parameters: TwoLayerNetParameters) -> tuple[Any, Any, Any, Any]:
    """Return W1, b1, W2, b2 out of one vector, of any library."""
    tensors = parameters.tensors().values()
    ends = np.cumsum([tensor.size for tensor in tensors])
    W1, b1, W2, b2 = (
        flat[end - tensor.size : end].reshape(tensor.shape)
        for end, tensor in zip(ends, tensors, strict=True)
    )
    return W1, b1, W2, b2


def _numpy_loss(net: Case, moved: int) -> tuple[Callable[[Array], float], Array]:
    """Return the loss as a function of the first entries of all parameters, and those entries."""
    parameters, x, t = net
    flat = np.concatenate([tensor.ravel() for tensor in parameters.tensors().values()])
    first = flat[:moved].copy()

    def f(head: Array) -> float:
        flat[:moved] = head
        W1, b1, W2, b2 = _split(flat, parameters)
        z = 1 / (1 + np.exp(-(x @ W1 + b1)))
        a = z @ W2 + b2
        powers = np.exp(a - a.max(axis=1, keepdims=True))
        y = powers / powers.sum(axis=1, keepdims=True)
        return float(-np.mean(np.log(y[np.arange(len(y)), t] + DELTA)))

    return f, first


def _literal(net: Case, moved: int) -> tuple[Callable[[], Any], int]:
    f, point = _numpy_loss(net, moved)

    def loop() -> None:
        for i in range(len(point)):
            value = point[i]
            point[i] = value + STEP
            above = f(point)
            point[i] = value - STEP
            _ = (above - f(point)) / (2 * STEP)
            point[i] = value

    return loop, moved


def _scipy(net: Case, moved: int) -> tuple[Callable[[], Any], int]:
    from scipy.optimize._numdiff import approx_derivative

    f, point = _numpy_loss(net, moved)
    return partial(approx_derivative, f, point, method="3-point"), moved


def _numdifftools(net: Case, moved: int) -> tuple[Callable[[], Any], int]:
    import numdifftools

    f, point = _numpy_loss(net, moved)
    return partial(numdifftools.Gradient(f, step=STEP, order=2), point), moved


def _torch_loss(net: Case, moved: int) -> tuple[Callable[[Any], Any], Any]:
    import torch

    torch.set_num_threads(1)
    parameters, x, t = net
    flat = torch.tensor(np.concatenate([a.ravel() for a in parameters.tensors().values()]))
    inputs, labels = torch.tensor(x), torch.tensor(t)
    first, rest = flat[:moved].clone().requires_grad_(), flat[moved:]

    def f(head: Any) -> Any:
        W1, b1, W2, b2 = _split(torch.cat([head, rest]), parameters)
        z = torch.sigmoid(inputs @ W1 + b1)
        y = torch.softmax(z @ W2 + b2, dim=1)
        return -torch.log(y[torch.arange(len(labels)), labels] + DELTA).mean()

    return f, first


def _gradcheck(net: Case, moved: int) -> tuple[Callable[[], Any], int]:
    from torch.autograd import gradcheck

    f, first = _torch_loss(net, moved)
    return partial(gradcheck, f, (first,), eps=STEP, raise_exception=False), moved


def _jax_loss(net: Case) -> tuple[Callable[[Any], Any], Any]:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call, unused-ignore]
    parameters, x, t = net
    flat = jnp.concatenate([jnp.ravel(a) for a in parameters.tensors().values()])
    inputs, labels = jnp.asarray(x), jnp.asarray(t)

    def f(point: Any) -> Any:
        W1, b1, W2, b2 = _split(point, parameters)
        y = jax.nn.softmax(jax.nn.sigmoid(inputs @ W1 + b1) @ W2 + b2)
        return -jnp.log(y[jnp.arange(len(labels)), labels] + DELTA).mean()

    return f, flat


def _jitted(net: Case, moved: int) -> tuple[Callable[[], Any], int]:
    import jax
    import jax.numpy as jnp

    f, flat = _jax_loss(net)

    def difference(i: Any) -> Any:
        return (f(flat.at[i].add(STEP)) - f(flat.at[i].add(-STEP))) / (2 * STEP)

    # Compiled before the clock runs.
    compiled = jax.jit(lambda indices: jax.lax.map(difference, indices))
    compiled(jnp.arange(moved)).block_until_ready()
    return lambda: compiled(jnp.arange(moved)).block_until_ready(), moved


PEERS: tuple[tuple[str, str, Measure, float], ...] = (
    ("the document's loop", "numpy", _literal, 300),
    ("scipy approx_derivative", "scipy.optimize._numdiff", _scipy, 0),
    ("numdifftools Gradient", "numdifftools", _numdifftools, 0),
    ("jitted JAX finite differences", "jax", _jitted, 180),
    ("torch gradcheck", "torch", _gradcheck, 500),
)
"""Name, module, measurement, and how many times slower than one core the peer should be."""


def _derivatives(net: Case) -> Iterator[tuple[str, Callable[[], Any] | None]]:
    """Yield the checks that compare a derivative along random directions only."""
    name = "torch gradcheck, fast mode"
    try:
        from torch.autograd import gradcheck

        f, first = _torch_loss(net, count(net[0]))
        fast = partial(gradcheck, f, (first,), eps=STEP, fast_mode=True, raise_exception=False)
        yield name, fast
    except ImportError:
        yield name, None
    name = "JAX check_grads"
    try:
        from jax.test_util import check_grads

        g, flat = _jax_loss(net)
        yield name, partial(check_grads, g, (flat,), order=1, modes=("rev",))
    except ImportError:
        yield name, None
