"""What Prometheus reads, over its own socket."""

from __future__ import annotations

import os
import signal
import socket
import threading
import urllib.request

import gradient_oracle
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from oracle.service.ports import CannotServe
from oracle.service.server import Server
from oracle.service.settings import Settings
from tests.service.test_serve import info, running
from tests.service.test_tokens import OLD, file  # noqa: F401 - a fixture
from tests.service.test_workers import children, wait_until


def read(address):
    """Return what is told, by name and labels."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
        families = text_string_to_metric_families(page.read().decode())
    return {
        (sample.name.removeprefix("gradient_oracle_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith(("_created", "_bucket"))
    }


@pytest.fixture
def server():
    """Serve, and tell metrics."""
    made = Server(Settings("127.0.0.1:0", metrics_address="127.0.0.1:0", compute_slots=2))
    made.start()
    yield made
    made.stop()


def test_calls_seconds_bytes_and_verdicts_are_counted(server):
    """By method and code; a verdict by what it is about, and by the code of its findings."""
    with gradient_oracle.connect(server.address) as oracle:
        oracle.mean_squared_error([1.0], [3.0])
        with pytest.raises(gradient_oracle.InvalidRequest):
            oracle.mean_squared_error([1.0], [3.0, 4.0])
        oracle.check_mean_squared_error([1.0, 2.0], [0.0, 0.0], np.array([1.0, 2.0]))
        oracle.check_mean_squared_error([1.0, 2.0], [0.0, 0.0], np.array([-1.0, -2.0]))
        oracle.check_gradient(np.sum, np.ones(3), np.ones(3), name="any name")
    told = read(server.exposition.address)
    method = "LossService/MeanSquaredError"
    assert told["calls_total", "OK", method, ""] == 1
    assert told["calls_total", "INVALID_ARGUMENT", method, ""] == 1
    assert told["call_seconds_count", method] == 2
    assert told["call_seconds_sum", method] > 0
    assert told["received_bytes_total", method] > 0
    assert told["sent_bytes_total", method] > 0
    verdicts = {key[1:]: value for key, value in told.items() if key[0] == "verdicts_total"}
    assert verdicts["function", "pass"] == 1
    assert sum(verdicts.values()) == 3
    findings = {key[1:] for key in told if key[0] == "findings_total"}
    assert "sign_flipped" in {label for labels in findings for label in labels}
    assert not any("any name" in key for key in told)


def test_load_is_told_as_it_is(server):
    """A conversation whose caller thinks is under way; its slots are free."""
    entered, leave = threading.Event(), threading.Event()

    def waits(x):
        entered.set()
        leave.wait(20)
        return x.sum()

    with gradient_oracle.connect(server.address) as oracle:
        thread = threading.Thread(target=oracle.numerical_gradient, args=(waits, np.ones(2)))
        thread.start()
        assert entered.wait(20)
        told = read(server.exposition.address)
        assert told["calls_under_way", "BlackBoxService/Converse"] == 1
        assert (told["slots",], told["slots_taken",], told["waiting_calls",]) == (2, 0, 0)
        with server.gate.slots, server.gate.line.stand("another"):
            told = read(server.exposition.address)
        assert (told["slots_taken",], told["waiting_calls",]) == (1, 1)
        leave.set()
        thread.join(20)


def test_names_of_tokens_are_told_and_refusals_too(file):  # noqa: F811
    """Whose calls they are, and that somebody knocks."""
    server = Server(Settings("127.0.0.1:0", metrics_address="127.0.0.1:0", token_file=str(file)))
    server.start()
    with gradient_oracle.connect(server.address, token=OLD) as oracle:
        oracle.info()
    with (
        gradient_oracle.connect(server.address) as oracle,
        pytest.raises(gradient_oracle.Unauthenticated),
    ):
        oracle.info()
    told = read(server.exposition.address)
    server.stop()
    method = "ServerService/GetServerInfo"
    assert told["calls_total", "OK", method, "ci"] >= 1
    assert told["calls_total", "UNAUTHENTICATED", method, ""] >= 1
    assert OLD not in str(told)


def test_several_processes_tell_their_sums_and_what_was_restarted():
    """Each has counted a part, and one of them is no more."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with running("--workers", "2", "--metrics-address", address) as server:
        first, second = children(server.process.pid)
        for _ in range(4):
            info(server.address)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: read(address).get(("processes_restarted_total",)) == 1)
        wait_until(lambda: {*children(server.process.pid)} - {first, second})
        told = read(address)
    assert told["calls_total", "OK", "ServerService/GetServerInfo", ""] == 4
    assert server.returncode == 0


def test_an_address_that_cannot_be_had_is_a_sentence():
    """Before anything is served."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CannotServe, match=r"--metrics-address .* in use"):
            Server(Settings("127.0.0.1:0", metrics_address=address))
    with pytest.raises(CannotServe, match="HOST:PORT"):
        Server(Settings("127.0.0.1:0", metrics_address="nonsense"))
