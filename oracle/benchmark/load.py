"""Calls that keep every core of a server busy, from a process of their own."""

from __future__ import annotations

import contextlib
import sys
import threading

import gradient_oracle

from oracle.benchmark.gradients import case

CALLERS = 4


def press(address: str) -> None:
    """Call without a pause until the process is ended."""
    parameters, x, t = case(784, 50, 10, 1000)
    with gradient_oracle.connect(address) as oracle:

        def caller() -> None:
            while True:
                with contextlib.suppress(gradient_oracle.Overloaded):
                    oracle.two_layer_net.numerical_gradient(parameters.tensors(), x, t)

        threads = [threading.Thread(target=caller, daemon=True) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        print("calling", flush=True)  # noqa: T201 - the starter reads it
        threads[0].join()


if __name__ == "__main__":
    press(sys.argv[1])
