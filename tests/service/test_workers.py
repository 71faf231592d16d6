"""`serve --workers`: processes that share a port, and what happens when one of them is gone."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

import grpc
import pytest

from oracle.gradcheck.v1 import server_pb2, server_pb2_grpc
from oracle.service import workers
from oracle.service.ports import CannotServe
from oracle.service.settings import Settings
from tests.service.test_serve import info, run, running

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the kernel of Linux balances a shared port"
)
OWN = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
"""Channels of one process share a connection to an address unless they are told not to."""


def children(pid):
    """Process numbers of the children of a process."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def alive(pid):
    """Whether a process runs; one that has ended but is not yet reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds=10.0):
    """Wait for something that has to come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_connections_are_spread_over_the_workers():
    """Each of thirty connections is one of two workers' by chance: both get some."""
    with running("--workers", "2", "--compute-slots", "3") as server:
        for _ in range(30):
            with grpc.insecure_channel(server.address, OWN) as channel:
                stub = server_pb2_grpc.ServerServiceStub(channel)
                answer = stub.GetServerInfo(server_pb2.GetServerInfoRequest(), timeout=10)
                assert answer.limits.compute_slots == 3
    answered = {line["process"] for line in server.log if line["message"] == "call"}
    assert len(answered) == 2
    assert server.process.pid not in answered
    assert server.returncode == 0


def test_settings_reach_the_workers_and_their_number_does_not():
    """Also from the environment, which a worker inherits."""
    variables = {
        "GRADIENT_ORACLE_SERVE_WORKERS": "2",
        "GRADIENT_ORACLE_SERVE_REFLECTION": "1",
        "GRADIENT_ORACLE_SERVE_MAX_CALL_SECONDS": "7.5",
        "GRADIENT_ORACLE_SERVE_LOG_LEVEL": "error",
    }
    with running(**variables) as server:
        assert info(server.address).limits.max_call_seconds == 7.5
        assert [len(children(worker)) for worker in children(server.process.pid)] == [0, 0]
    assert server.log == []


@pytest.mark.parametrize("age", [0.0, workers.SHORT_LIFE])
def test_a_worker_that_is_killed_is_replaced(age):
    """However old it is: the port stays ours, and the other one serves on."""
    with running("--workers", "2") as server:
        first, other = children(server.process.pid)
        time.sleep(age)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: len({*children(server.process.pid)} - {first}) == 2)
        assert alive(other)
        assert info(server.address).version
    assert "a worker ended; another takes its place" in [line["message"] for line in server.log]
    assert server.returncode == 0


def programs(*lines):
    """Workers that run these programs, one after the other, and then none that ends."""
    made = workers.Workers(Settings("127.0.0.1:0"), 1)
    left = [*lines, "import sys; sys.stdin.read()"]
    spawn = made._spawn

    def spawn_next():
        made._command = (sys.executable, "-c", left.pop(0))
        return spawn()

    made._spawn = spawn_next
    return made, left


def test_a_server_of_which_the_last_worker_ends_by_itself_ends():
    """Its option is wrong, say, or its port is gone: another would do the same."""
    made, left = programs("print()\nraise SystemExit(3)", "raise SystemExit(4)")
    made.start()
    with pytest.raises(CannotServe, match="exit code 3"):
        made.watch(lambda: False)
    assert len(left) == 2
    made.stop(0)


def test_a_server_whose_workers_never_listen_does_not_start():
    """A worker that ends before its first word has said why on standard error."""
    made, _ = programs("raise SystemExit(5)")
    with pytest.raises(CannotServe, match="exit code 5"):
        made.start()
    made.stop(0)


def test_a_worker_is_told_twice_to_hurry():
    """The second time it gives its calls no time."""
    patient = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: signal.signal(15, 0))"
    made, _ = programs(patient + "\nprint(flush=True)\nwhile True: signal.pause()")
    made.start()
    began = time.monotonic()
    made.stop(60, lambda: time.monotonic() > began + 0.3)
    assert 0.3 < time.monotonic() - began < 10


def test_a_last_worker_that_is_killed_is_replaced_after_a_pause():
    """Who kills it may kill the next as well, and should not keep the machine busy."""
    kill = "import os, signal\nprint(flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
    made, left = programs(kill)
    made.start()
    began = time.monotonic()
    made.watch(lambda: not left)
    assert 1 < time.monotonic() - began < 10
    made.stop(0)


def test_workers_end_with_their_parent():
    """Even when it is killed, and can tell them nothing."""
    with running("--workers", "2") as server:
        started = children(server.process.pid)
        assert len(started) == 2
        server.process.kill()
        wait_until(lambda: not any(map(alive, started)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_of_them(number):
    """Exit code 0, and no process is left."""
    with running("--workers", "2") as server:
        started = children(server.process.pid)
        server.process.send_signal(number)
        server.process.wait(timeout=10)
        assert not any(map(alive, started))
    assert server.returncode == 0


def test_a_taken_port_and_a_remote_address_are_refused():
    """By one sentence, as without workers."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("serve", "--workers", "2", "--address", address)
    assert done.returncode == 3
    assert done.stderr.startswith(f"Error: could not bind to {address}: it is in use; choose")
    assert done.stderr.count("\n") == 1
    assert "not a loopback" in run("serve", "--workers", "2", "--address", "0.0.0.0:0").stderr
