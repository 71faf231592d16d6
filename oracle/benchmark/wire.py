"""Calls over a socket beside a bare gRPC echo of the same bytes, alone and among others."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import gradient_oracle
import grpc
import numpy as np
from gradient_oracle import aio
from gradient_oracle.channel import options as channel_options
from grpc_health.v1 import health_pb2, health_pb2_grpc

from oracle.benchmark.echo import ECHO, SIGMOID
from oracle.benchmark.gradients import case
from oracle.benchmark.table import Row, at_least, at_most, median, medians
from oracle.gradcheck.v1 import activation_pb2
from oracle.wire import tensor

SERVE = ("oracle", "serve", "--address", "127.0.0.1:0", "--log-level", "warning")
"""The module and its arguments; the log of every call would be part of the measurement."""
CLIENTS = (1, 4, 16)


@contextmanager
def started(*module: str) -> Iterator[str]:
    """Run a module in a process of its own; yield the last word of its first line."""
    command = [sys.executable, "-m", *module]
    with subprocess.Popen(  # noqa: S603 - our own modules
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it is piped
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure small and large calls, clients beside each other, load, and training by calls."""
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with (
        started(*SERVE) as address,
        started("oracle.benchmark.echo") as bare,
        gradient_oracle.connect(address) as oracle,
        grpc.insecure_channel(bare, options=unlimited) as channel,
    ):
        echo: Any = channel.unary_unary(ECHO)
        yield from _sizes(oracle, channel, quick=quick)
        yield from _clients(oracle, echo, quick=quick)
        yield from _together(address, oracle, quick=quick)
        yield from _training(oracle, quick=quick)
        yield from _under_load(address, oracle, quick=quick)
    yield from _processes(quick=quick)


def _sizes(oracle: Any, channel: Any, *, quick: bool) -> Iterator[Row]:
    section = "one call (sigmoid) beside bare gRPC of the same bytes, taking turns"
    echo, sigmoid = channel.unary_unary(ECHO), channel.unary_unary(SIGMOID)
    for entries, bound in ((10, 1.15), (1_000, 0), (100_000, 0), (4_000_000, 1.3)):
        a = np.zeros(entries)
        message = activation_pb2.SigmoidRequest(scores=tensor.encode(a)).SerializeToString()
        calls = (partial(echo, message), partial(sigmoid, a.tobytes()), partial(oracle.sigmoid, a))
        block = max(2, 50 // (1 + entries // 10_000))
        bare, computed, ours = medians(calls, rounds=5 if quick else 30, block=block)
        size = f"{len(message):,} bytes"
        yield Row(section, f"echo, {size}", bare, ratio=1.0)
        yield Row(section, "  that computes sigmoid", computed, ratio=computed / bare)
        # The echo computes nothing; large tensors are compared without what computing adds to it.
        wire = ours - (max(0.0, computed - bare) if entries > 1_000_000 else 0.0)
        figure = at_most(bound, wire / bare, "x") if bound else {}
        note = "" if wire == ours else "computing left out"
        yield Row(section, "  gradient-oracle", wire, ratio=wire / bare, note=note, **figure)


def _rate(calls: Sequence[Callable[[], Any]], seconds: float) -> tuple[float, float]:
    """Return calls a second of threads that call without a pause, and the 99th percentile."""
    end = time.perf_counter() + seconds
    times: list[list[float]] = [[] for _ in calls]

    def client(call: Callable[[], Any], own: list[float]) -> None:
        begin = time.perf_counter()
        while begin < end:
            call()
            now = time.perf_counter()
            own.append(now - begin)
            begin = now

    threads = [
        threading.Thread(target=client, args=(call, own))
        for call, own in zip(calls, times, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [value for own in times for value in own]
    return len(everything) / seconds, float(np.quantile(everything, 0.99))


def _clients(oracle: Any, echo: Any, *, quick: bool) -> Iterator[Row]:
    section = "clients beside each other, each calling without a pause"
    parameters, x, t = case(64, 50, 10, 100)
    small = np.zeros(10)
    message = activation_pb2.SigmoidRequest(scores=tensor.encode(small)).SerializeToString()
    kinds: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("bare echo", partial(echo, message)),
        ("sigmoid", partial(oracle.sigmoid, small)),
        (
            "numerical gradient, 64-50-10",
            partial(oracle.two_layer_net.numerical_gradient, parameters.tensors(), x, t),
        ),
    )
    for name, call in kinds:
        call()
        alone = 0.0
        for clients in CLIENTS:
            rate, slowest = _rate([call] * clients, 1.0 if quick else 3.0)
            alone = alone or rate
            figure = at_least(1, rate / alone, "x") if clients == 16 and name != "bare echo" else {}
            called = f"{name}, {clients} client{'s' if clients > 1 else ''}"
            note = f"p99 {1e3 * slowest:.3g} ms"
            yield Row(section, called, rate, "calls/s", ratio=rate / alone, note=note, **figure)


def _together(address: str, oracle: Any, *, quick: bool) -> Iterator[Row]:
    """Measure one caller's small calls one after another, from threads, and by asyncio.

    A request of many calls in one would spare gRPC's share of each, but arrays can be stacked, and
    longer calls wait for arithmetic: there is none.
    """
    section = "many small calls (sigmoid) of one caller"
    calls = 500 if quick else 4000
    a = np.zeros(10)

    def one_by_one() -> None:
        for _ in range(calls):
            oracle.sigmoid(a)

    def by_threads() -> None:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda _: oracle.sigmoid(a), range(calls)))

    async def gathered() -> None:
        async with aio.connect(address) as client:
            free = asyncio.Semaphore(16)

            async def one() -> None:
                async with free:
                    await client.sigmoid(a)

            await asyncio.gather(*(one() for _ in range(calls)))

    ways: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("one after another", one_by_one),
        ("from 16 threads", by_threads),
        ("asyncio, 16 under way", lambda: asyncio.run(gathered())),
    )
    alone = 0.0
    for name, way in ways:
        rate = calls / median(way, runs=3)
        alone = alone or rate
        yield Row(section, name, rate, "calls/s", ratio=rate / alone)


def _processes(*, quick: bool) -> Iterator[Row]:
    section = (
        "16 connections: one process with as many threads as cores, and a process for each core"
    )
    cores = str(os.cpu_count() or 1)
    parameters, x, t = case(20, 10, 10, 16)
    big, wide_x, wide_t = case(784, 50, 10, 100)
    with ExitStack() as stack:
        ends = [
            stack.enter_context(_connections(*SERVE, "--max-waiting-calls", "32", *more))
            for more in ((), ("--workers", cores))
        ]
        right = ends[0][0].two_layer_net.gradient(parameters.tensors(), x, t)
        kinds: tuple[tuple[str, Callable[[Any], Any]], ...] = (
            (
                "check, 20-10-10",
                lambda o: o.check_two_layer_net(parameters.tensors(), x, t, right),
            ),
            (
                "numerical gradient, 784-50-10",
                lambda o: o.two_layer_net.numerical_gradient(big.tensors(), wide_x, wide_t),
            ),
        )
        for name, call in kinds:
            rates = [
                _rate([partial(call, oracle) for oracle in oracles], 1.0 if quick else 3.0)[0]
                for oracles in ends
            ]
            yield Row(section, f"{name}, threads", rates[0], "calls/s", ratio=1.0)
            more = f"{name}, --workers {cores}"
            yield Row(section, more, rates[1], "calls/s", ratio=rates[1] / rates[0])


@contextmanager
def _connections(*server: str) -> Iterator[list[Any]]:
    """Start a server and yield clients with a connection each, as those of many processes have."""
    with started(*server) as address, ExitStack() as stack:
        oracles = []
        for _ in range(max(CLIENTS)):
            oracle = stack.enter_context(gradient_oracle.connect(address))
            options = [*channel_options(address), ("grpc.use_local_subchannel_pool", 1)]
            oracle.connection.channel = grpc.insecure_channel(address, options)
            oracles.append(oracle)
        yield oracles


def _training(oracle: Any, *, quick: bool) -> Iterator[Row]:
    section = "training with numerical gradients only, every step a call"
    parameters, x, t = case(64, 50, 10, 1000)
    params = dict(parameters.tensors())
    steps = 100 if quick else 1000
    begin = time.perf_counter()
    for step in range(steps):
        batch = oracle.mini_batch(len(x), 100, seed=step)
        slope = oracle.two_layer_net.numerical_gradient(params, x[batch], t[batch])
        params = {name: tensor - 0.1 * slope[name] for name, tensor in params.items()}
    seconds = (time.perf_counter() - begin) * 1000 / steps
    note = "" if steps == 1000 else f"from {steps} steps"
    name = "1,000 steps, 64-50-10, mini-batches of 100"
    yield Row(section, name, seconds, note=note, **at_most(60, seconds, "s"))
    big, x, t = case(784, 50, 10, 100)
    one = median(
        partial(oracle.two_layer_net.numerical_gradient, dict(big.tensors()), x, t),
        runs=5 if quick else 21,
    )
    yield Row(section, "one step, 784-50-10, N = 100", one, **at_most(0.1, one, "s"))


def _under_load(address: str, oracle: Any, *, quick: bool) -> Iterator[Row]:
    section = "answers while every core computes long calls"
    asked = health_pb2.HealthCheckRequest()
    with grpc.insecure_channel(address) as channel:
        check = partial(health_pb2_grpc.HealthStub(channel).Check, asked)
        short = partial(oracle.sigmoid, np.zeros(10))
        check()
        for kind in ("gradients", "checks"):
            with started("oracle.benchmark.load", address, kind):
                time.sleep(1)
                for name, call, bound in (("health", check, 0.05), ("sigmoid", short, 0.0)):
                    slowest = _quantile(call, 200 if quick else 1000)
                    figure = at_most(1e3 * bound, 1e3 * slowest, "ms") if bound else {}
                    beside = f"{name} beside {kind}, 99th percentile"
                    yield Row(section, beside, slowest, **figure)


def _quantile(call: Callable[[], Any], calls: int) -> float:
    times = []
    for _ in range(calls):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
        time.sleep(0.002)
    return float(np.quantile(times, 0.99))
