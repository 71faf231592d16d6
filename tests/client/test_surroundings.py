"""What is around the client: event loops, and libraries that replace threads."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import gradient_oracle
import pytest


def test_an_asyncio_client_works_in_one_event_loop_after_the_other(address):
    """Each loop has a channel of its own; that of a loop that is closed is left."""
    client = gradient_oracle.aio.connect(address)

    async def use():
        return await client.mean_squared_error([0.9, 0.1], [1.0, 0.0])

    async def end():
        await use()
        await client.close()

    assert asyncio.run(use()) == asyncio.run(use()) == pytest.approx(0.01)
    asyncio.run(end())


GREEN = """
{patch}
import gradient_oracle
try:
    with {client} as oracle:
        print(oracle.sigmoid([0.0]))
except gradient_oracle.OracleError as error:
    print(error)
"""
GEVENT = "from gevent import monkey; monkey.patch_all()"
KNOWN = f"{GEVENT}\nimport grpc.experimental.gevent as known; known.init_gevent()"
EVENTLET = "import eventlet; eventlet.monkey_patch()"


@pytest.mark.parametrize(
    ("patch", "client", "said"),
    [
        (GEVENT, "gradient_oracle.embedded()", "init_gevent()"),
        (GEVENT, "gradient_oracle.connect({address!r})", "init_gevent()"),
        (KNOWN, "gradient_oracle.connect({address!r})", "[0.5]"),
        (KNOWN, "gradient_oracle.embedded()", "start one in another process"),
        (EVENTLET, "gradient_oracle.embedded()", "without eventlet.monkey_patch()"),
        (EVENTLET, "gradient_oracle.connect({address!r})", "without eventlet.monkey_patch()"),
    ],
)
def test_replaced_threads_are_an_error_where_grpc_would_hang(address, patch, client, said):
    """gRPC waits in threads of its own, which gevent has to be told, and eventlet cannot."""
    pytest.importorskip("gevent" if "gevent" in patch else "eventlet")
    program = GREEN.format(patch=patch, client=client.format(address=address))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert said in done.stdout, done.stderr
