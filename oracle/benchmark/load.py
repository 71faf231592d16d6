"""Calls that keep every core of a server busy, from a process of their own."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from functools import partial

import gradient_oracle

from oracle.benchmark.gradients import case

CALLERS = 4


def press(address: str, kind: str) -> None:
    """Call for "gradients" or "checks" without a pause until the process is ended."""
    parameters, x, t = case(784, 50, 10, 1000 if kind == "gradients" else 100)
    tensors = parameters.tensors()
    with gradient_oracle.connect(address) as oracle:
        call: Callable[[], object]
        if kind == "gradients":
            call = partial(oracle.two_layer_net.numerical_gradient, tensors, x, t)
        else:
            right = oracle.two_layer_net.gradient(tensors, x, t)
            call = partial(oracle.check_two_layer_net, tensors, x, t, right)

        def caller() -> None:
            while True:
                with contextlib.suppress(gradient_oracle.Overloaded):
                    call()

        threads = [threading.Thread(target=caller, daemon=True) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        print("calling", flush=True)  # noqa: T201 - the starter reads it
        threads[0].join()


if __name__ == "__main__":
    press(*sys.argv[1:])
