"""What only the asyncio client can do: several things at a time, and be cancelled."""

from __future__ import annotations

import asyncio
import threading
import time

import gradient_oracle
import numpy as np
import pytest

NET = {"W1": np.ones((1, 1)), "b1": [0.0], "W2": np.ones((1, 2)), "b2": [0.0, 0.0]}


def test_calls_overlap_and_the_server_of_embedded_ends_with_it():
    """Sixteen calls are on their way before the first is answered."""

    async def main():
        async with gradient_oracle.aio.embedded() as oracle:
            calls = [oracle.mean_squared_error([float(i)], [0.0]) for i in range(16)]
            assert await asyncio.gather(*calls) == [i * i / 2 for i in range(16)]
            return oracle

    oracle = asyncio.run(main())
    with pytest.raises(gradient_oracle.Cancelled):
        asyncio.run(oracle.info())


def test_the_event_loop_goes_on_while_f_is_evaluated(address):
    """F is called in a thread, so that a slow one delays nobody."""

    async def main():
        threads = set()

        def f(x):
            threads.add(threading.current_thread())
            time.sleep(0.01)
            return np.sum(x**2)

        async with gradient_oracle.aio.connect(address) as oracle:
            ticks = 0
            check = asyncio.create_task(oracle.check_gradient(f, np.ones(2), np.full(2, 2.0)))
            while not check.done():
                await asyncio.sleep(0.005)
                ticks += 1
            assert check.result().passed
            assert ticks > 10
            assert threading.main_thread() not in threads

    asyncio.run(main())


def test_a_cancelled_check_evaluates_no_further():
    """The thread leaves at the next evaluation, and the loop can end."""

    async def main():
        calls = []
        started = asyncio.Event()
        loop = asyncio.get_running_loop()

        def f(x):
            calls.append(x)
            loop.call_soon_threadsafe(started.set)
            time.sleep(0.02)
            return np.sum(x)

        async with gradient_oracle.aio.embedded() as oracle:
            check = asyncio.create_task(oracle.check_gradient(f, np.ones(50), np.ones(50)))
            await started.wait()
            check.cancel()
            with pytest.raises(asyncio.CancelledError):
                await check
            await asyncio.sleep(0.1)
            seen = len(calls)
            await asyncio.sleep(0.1)
            assert len(calls) == seen < 10
            assert await oracle.mean_squared_error([1.0], [3.0]) == 2

    asyncio.run(main())


def test_a_training_that_is_left_early_is_cancelled(address):
    """The end of the block is the end of the training."""

    async def main():
        async with gradient_oracle.aio.connect(address) as oracle:
            x, t = np.ones((2, 1)), [0, 1]
            async with oracle.two_layer_net.train(NET, x, t, step_num=10**6) as run:
                async for item in run:
                    assert item.step == 1
                    break
            assert await oracle.two_layer_net.loss(NET, x, t) > 0

    asyncio.run(main())


def test_no_server_is_the_same_error():
    """The asyncio client waits as long and says the same."""

    async def main():
        async with gradient_oracle.aio.connect("127.0.0.1:1", connect_timeout=0.2) as oracle:
            for call in (oracle.info(), oracle.numerical_gradient(np.sum, np.ones(1))):
                with pytest.raises(gradient_oracle.OracleUnavailable, match=r"after 0\.2 s; start"):
                    await call
            with pytest.raises(gradient_oracle.OracleUnavailable):
                await anext(oracle.two_layer_net.train(NET, [[1.0]], [0]))

    asyncio.run(main())
