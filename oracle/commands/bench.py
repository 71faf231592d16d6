"""`gradient-oracle bench`: this project beside what a user would use instead, in one run."""

from __future__ import annotations

import importlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import click
import numpy as np

from oracle.reference import structured, two_layer_net
from oracle.values import STEP, Array, TwoLayerNetParameters

SAMPLED = 200
"""Parameters that a slow peer evaluates without --full; its time is scaled to all of them."""

IMPORTS = ("numpy, grpc", "numpy, grpc, gradient_oracle")


@click.command("bench")
@click.option("--full", is_flag=True, help="Run slow peers on all parameters (minutes).")
@click.option("--repeat", default=5, show_default=True, help="Runs behind each median.")
def command(full: bool, repeat: int) -> None:
    """Compare the time of numerical gradients, and of imports; set OPENBLAS_NUM_THREADS=1."""
    parameters, x, t = _case(784, 50, 10, 100)
    count = _count(parameters)
    base = _median(lambda: structured.two_layer_net(parameters, x, t), repeat)
    click.echo(f"784-50-10, N = 100, all {count} parameters (median of {repeat})")
    _line("structured", base, "1.0 x")
    for name, peer in _peers():
        _line(name, *_peer(peer, parameters, x, t, count if full else SAMPLED, base))
    click.echo("\ngrowth (structured)")
    for inner, hidden, samples in ((64, 50, 100), (784, 50, 100), (784, 100, 100), (784, 50, 1000)):
        case = _case(inner, hidden, 10, samples)
        seconds = _median(partial(structured.two_layer_net, *case), repeat)
        _line(f"{inner}-{hidden}-10, N = {samples}", seconds, f"{_count(case[0])} parameters")
    click.echo("\nimports (a fresh interpreter)")
    times = [_median(partial(_import, names), repeat) for names in IMPORTS]
    for names, seconds in zip(IMPORTS, times, strict=True):
        _line(names, seconds, f"{seconds / times[0]:.2f} x")


Loss = Callable[[Array], float]


def _peers() -> Iterator[tuple[str, Callable[[Loss, Array], Any] | str]]:
    """Yield every peer: a callable that differentiates f at a point, or why it is missing."""
    yield "literal loop", _literal
    for name, module, make in (
        ("scipy approx_derivative", "scipy.optimize._numdiff", _scipy),
        ("numdifftools", "numdifftools", _numdifftools),
    ):
        try:
            yield name, make(importlib.import_module(module))
        except ImportError:
            yield name, "not installed"


def _literal(f: Loss, point: Array) -> None:
    for i in range(len(point)):
        value = point[i]
        point[i] = value + STEP
        above = f(point)
        point[i] = value - STEP
        _ = (above - f(point)) / (2 * STEP)
        point[i] = value


def _scipy(module: Any) -> Callable[[Loss, Array], Any]:
    return lambda f, point: module.approx_derivative(f, point, method="3-point")


def _numdifftools(module: Any) -> Callable[[Loss, Array], Any]:
    return lambda f, point: module.Gradient(f, step=STEP, order=2)(point)


def _peer(
    peer: Callable[[Loss, Array], Any] | str,
    parameters: TwoLayerNetParameters,
    x: Array,
    t: Array,
    *work: float,
) -> tuple[float | None, str]:
    """Return the seconds of a peer for all parameters, and its ratio to the structured gradient."""
    if isinstance(peer, str):
        return None, peer
    sampled, base = int(work[0]), work[1]
    flat = np.concatenate([tensor.ravel() for tensor in parameters.tensors().values()])
    count = len(flat)

    def f(head: Array) -> float:
        flat[:sampled] = head
        W1, rest = np.split(flat, [parameters.W1.size])
        b1, W2, b2 = np.split(rest, np.cumsum([parameters.b1.size, parameters.W2.size]))
        z = 1 / (1 + np.exp(-(x @ W1.reshape(parameters.W1.shape) + b1)))
        a = z @ W2.reshape(parameters.W2.shape) + b2
        powers = np.exp(a - a.max(axis=1, keepdims=True))
        y = powers / powers.sum(axis=1, keepdims=True)
        return float(-np.mean(np.log(y[np.arange(len(y)), t] + 1e-7)))

    start = time.perf_counter()
    peer(f, flat[:sampled].copy())
    seconds = (time.perf_counter() - start) * count / sampled
    how = "" if sampled == count else f" (scaled from {sampled} parameters)"
    return seconds, f"{seconds / base:.0f} x{how}"


def _case(
    inner: int, hidden: int, classes: int, samples: int
) -> tuple[TwoLayerNetParameters, Array, Array]:
    rng = np.random.default_rng(0)
    parameters = two_layer_net.init(inner, hidden, classes)
    return parameters, rng.random((samples, inner)), rng.integers(0, classes, samples)


def _count(parameters: TwoLayerNetParameters) -> int:
    return sum(tensor.size for tensor in parameters.tensors().values())


def _import(names: str) -> None:
    subprocess.run([sys.executable, "-c", f"import {names}"], check=True)  # noqa: S603 - own words only


def _median(run: Callable[[], Any], repeat: int) -> float:
    run()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _line(name: str, seconds: float | None, note: str) -> None:
    shown = "" if seconds is None else f"{1e3 * seconds:12.1f} ms"
    click.echo(f"  {name:32}{shown:>15}  {note}")
