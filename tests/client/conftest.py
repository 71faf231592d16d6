"""One server for the tests of the client, and three ways to reach it that must not differ."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
from contextlib import ExitStack

import gradient_oracle
import pytest

from tests.service.test_serve import running


@pytest.fixture(scope="session")
def address():
    """Return the address of a server that was started as a user starts one."""
    command = [sys.executable, "-m", "oracle", "serve", "--address", "127.0.0.1:0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as (process):
        yield process.stdout.readline().split()[-1]
        process.terminate()


class Awaiting:
    """The asyncio client with the manners of the blocking one: each call is awaited in a loop."""

    def __init__(self, client, loop):
        self.client, self.loop = client, loop

    def __getattr__(self, name):
        member = getattr(self.client, name)
        if name in {"simple_net", "two_layer_net"}:
            return Awaiting(member, self.loop)
        if not callable(member):
            return member

        def call(*args, **options):
            made = member(*args, **options)
            if inspect.iscoroutine(made):
                return self._wait(made)
            return Run(made, self._wait)

        return call

    def _wait(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)


class Run:
    """A training of the asyncio client, read one item after the other."""

    def __init__(self, run, wait):
        self.run, self.wait = run, wait

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return self.wait(anext(self.run))
        except StopAsyncIteration:
            raise StopIteration from None

    @property
    def parameters(self):
        return self.run.parameters

    def result(self):
        return self.wait(self.run.result())

    def close(self):
        self.wait(self.run.close())


@pytest.fixture(scope="session")
def loop():
    """Return an event loop that runs in a thread of its own."""
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever)
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join()
    made.close()


@pytest.fixture(scope="session")
def embedded():
    """Return the client of a server in this process, with the limit of the others."""
    with gradient_oracle.embedded(max_message_bytes=64 * 2**20) as client:
        yield client


@pytest.fixture(scope="session", params=["embedded", "remote", "asyncio"])
def oracle(request):
    """Return a client; the tests that take it hold for all."""
    if request.param == "embedded":
        yield request.getfixturevalue("embedded")
    elif request.param == "remote":
        with gradient_oracle.connect(request.getfixturevalue("address")) as client:
            yield client
    else:
        address, loop = (request.getfixturevalue(name) for name in ("address", "loop"))
        client = Awaiting(gradient_oracle.aio.connect(address), loop)
        yield client
        client.close()


@pytest.fixture
def replicas(tmp_path):
    """Run two servers that share a key; return them, what starts one, and what ends all."""
    keys = tmp_path / "keys"
    keys.write_text("0123456789abcdef" * 4)
    with ExitStack() as stack:

        def start(address="127.0.0.1:0"):
            options = ["--session-key-file", str(keys), "--grace", "1", "--address", address]
            return stack.enter_context(running(*options))

        yield [start(), start()], start, stack
