"""`gradient-oracle serve` and `info` as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import click
import grpc
import numpy as np
import pytest
from click.testing import CliRunner
from gradient_oracle import channel
from grpc._cython import cygrpc

from oracle.__main__ import NAMES, main
from oracle.gradcheck.v1 import (
    server_pb2,
    server_pb2_grpc,
    two_layer_net_pb2,
    two_layer_net_pb2_grpc,
)
from oracle.service.ports import options
from oracle.service.settings import Settings
from oracle.wire import tensor
from tests.service.authorities import Authority

COMMAND = [sys.executable, "-m", "oracle"]


def run(*arguments, **environment):
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env=os.environ | environment,
        check=False,
    )


@contextmanager
def running(*arguments, **environment) -> Iterator[SimpleNamespace]:
    """Run a server; after the block, `returncode` and `log` (a list of objects) are known."""
    process = subprocess.Popen(
        [*COMMAND, "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"GRADIENT_ORACLE_SERVE_ADDRESS": "127.0.0.1:0"} | environment,
    )
    server = SimpleNamespace(process=process, log=[])
    try:
        assert process.stdout is not None
        server.address = process.stdout.readline().removeprefix("listening on ").strip()
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        server.returncode = process.returncode
        server.log = [json.loads(line) for line in errors.splitlines()]


def info(address):
    """Ask a server about itself."""
    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        stub = server_pb2_grpc.ServerServiceStub(channel)
        return stub.GetServerInfo(server_pb2.GetServerInfoRequest(), timeout=10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_in_order(number):
    """Exit code 0, within the grace, and the log says so, one JSON object a line."""
    with running("--compute-slots", "3") as server:
        assert info(server.address).limits.compute_slots == 3
        began = time.monotonic()
        server.process.send_signal(number)
        server.process.wait(timeout=10)
        assert time.monotonic() - began < 3
    assert server.returncode == 0
    messages = [line["message"] for line in server.log]
    assert messages == ["listening", "call", "stopping", "stopped"]
    call = server.log[1]
    assert call["method"] == "/oracle.gradcheck.v1.ServerService/GetServerInfo"
    assert call["code"] == "OK"


def training(address):
    """Begin a training that takes longer than any test, and wait until it runs."""
    channel = grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)])
    parameters = {
        name: tensor.encode(np.zeros(shape))
        for name, shape in {"w1": (1, 1), "b1": (1,), "w2": (1, 1), "b2": (1,)}.items()
    }
    request = two_layer_net_pb2.TrainRequest(
        parameters=two_layer_net_pb2.TwoLayerNetParameters(**parameters),
        inputs=tensor.encode(np.zeros((1, 1))),
        targets={"labels": tensor.encode(np.zeros(1, np.int64))},
        step_num=2**40,
    )
    run = two_layer_net_pb2_grpc.TwoLayerNetServiceStub(channel).Train(request)
    next(run)
    return channel, run


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_does_not_wait_for_running_calls(number, workers):
    """Whoever presses Ctrl-C again wants the prompt back, and not a training to its end."""
    with running("--grace", "60", "--workers", workers) as server:
        channel, _run = training(server.address)
        server.process.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(timeout=0.7)
        began = time.monotonic()
        server.process.send_signal(number)
        server.process.wait(timeout=10)
        assert time.monotonic() - began < 5
        channel.close()
    assert server.returncode == 0


def test_settings_come_from_the_environment():
    """Every option has a variable, so that a container needs no command line."""
    variables = {
        "GRADIENT_ORACLE_SERVE_MAX_CALL_SECONDS": "7.5",
        "GRADIENT_ORACLE_SERVE_MAX_WAITING_CALLS": "3",
        "GRADIENT_ORACLE_SERVE_LOG_LEVEL": "error",
    }
    with running(**variables) as server:
        answer = info(server.address)
    assert (answer.limits.max_call_seconds, answer.limits.max_waiting_calls) == (7.5, 3)
    assert answer.blas_threads == 1
    assert server.log == []


def test_a_port_alone_may_be_named():
    """The host stays that of the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = run("serve", "--port", str(port))
    assert f"could not bind to 127.0.0.1:{port}: it is in use" in found.stderr
    assert run("serve", "--port", "65536").returncode == 3


def test_a_taken_port_is_a_sentence_and_an_exit_code():
    """A second server on the same port would take a part of the calls, at random."""
    with running() as server:
        found = run("serve", "--address", server.address)
    assert found.returncode == 3
    assert f"could not bind to {server.address}: it is in use; choose another" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("address", ["0.0.0.0:0", "192.0.2.1:0", "[::]:0", "example.org:1", ":0"])
def test_what_is_not_loopback_needs_a_flag(address):
    """Whoever reaches the port may use it, so nobody serves the world by accident."""
    found = run("serve", "--address", address)
    assert found.returncode == 3
    assert "not a loopback address" in found.stderr
    assert "without --tls-certificate and --tls-key, whoever is on the way reads" in found.stderr
    assert "without --token-file or --tls-client-ca, whoever reaches the port" in found.stderr


def test_what_a_flag_allows_is_said_again_in_the_log():
    """A container is started by somebody who has not read its help."""
    with running("--address", "0.0.0.0:0", "--allow-remote") as server:
        assert info(f"127.0.0.1:{server.address.rpartition(':')[2]}").version
    warnings = [line["message"] for line in server.log if line["level"] == "WARNING"]
    assert ["on the way" in warnings[0], "reaches the port" in warnings[1]] == [True, True]


def test_encryption_and_tokens_need_no_flag(tmp_path):
    """One of them alone is not enough."""
    certificate, key = Authority(tmp_path / "authority").issue("server")
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[ci]\ntokens = ["0123456789abcdef"]\n')
    tls = ["--tls-certificate", certificate, "--tls-key", key]
    for alone, said in ((tls, "--token-file"), (["--token-file", tokens], "--tls-certificate")):
        found = run("serve", "--address", "0.0.0.0:0", *alone)
        assert found.returncode == 3
        assert f"without {said}" in found.stderr
    with running("--address", "0.0.0.0:0", *tls, "--token-file", tokens) as server:
        assert server.address.startswith("0.0.0.0:")
    assert not [line for line in server.log if line["level"] == "WARNING"]


@pytest.mark.parametrize("address", ["LOCALHOST:0", "[::1]:0"])
def test_loopback_is_known_however_it_is_written(address):
    """Names of hosts have no case."""
    if address.startswith("[") and not ipv6():
        pytest.skip("no IPv6 here")
    with running("--address", address) as server:
        assert server.address.rpartition(":")[0] == address.rpartition(":")[0]
        assert info(server.address).version


def ipv6():
    """Tell whether this machine has the loopback address of IPv6."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_an_ipv6_address_stands_in_brackets():
    """Else nobody knows where it ends; gRPC would log a line of its own."""
    found = run("serve", "--address", "::1:0")
    assert found.returncode == 3
    assert "stands in brackets: [::1]:0" in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize("address", ["127.0.0.1:70000", "127.0.0.1:port", "nonsense"])
def test_an_address_that_cannot_be_is_a_sentence(address):
    """No traceback for a typing error."""
    found = run("serve", "--address", address)
    assert found.returncode == 3
    assert f"cannot serve {address}" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_wrong_option_is_a_usage_error():
    """2, as everywhere; 3 in the commands that have answers for 1 and 2."""
    assert run("serve", "--compute-slots", "0").returncode == 3
    for usage in (["nothing"], ["--nothing"], ["info", "--nothing"], ["vectors", "a", "b"]):
        found = run(*usage)
        assert found.returncode == 3
        assert found.stderr.startswith("Usage: ")


@pytest.mark.parametrize("name", NAMES)
def test_each_option_is_set_by_the_variable_of_its_name(name):
    """GRADIENT_ORACLE_CHECK_REPORT sets --report of check, whatever the parameter is called."""
    with click.Context(main, info_name="gradient-oracle") as group:
        asked = main.get_command(group, name)
    with click.Context(asked, parent=group, info_name=name) as context:
        for option in asked.params:
            for flag in option.opts if isinstance(option, click.Option) else ():
                word = f"{name}{flag[1:]}".replace("-", "_").upper()
                with pytest.MonkeyPatch.context() as patch:
                    patch.setenv(f"GRADIENT_ORACLE_{word}", "1")
                    assert option.resolve_envvar_value(context) == "1", flag


def test_a_variable_sets_its_option():
    """JSON where text would be."""
    first = '{"x": [1.0], "gradient": [1.0, 2.0]}'
    answers = f"import sys; print({first!r}, flush=True); print(1.0, flush=True); sys.stdin.read()"
    variables = {"GRADIENT_ORACLE_CHECK_FUNCTION_JSON": "1"}
    found = run("check-function", "--", sys.executable, "-c", answers, **variables)
    assert json.loads(found.stdout)["verdict"] == "fail"


def test_help_names_every_command_and_every_option():
    """The help is the manual."""
    assert {"serve", "info", "demo"} <= set(run("--help").stdout.split())
    page = run("serve", "--help").stdout
    for option in ("--address", "--allow-remote", "--reflection", "--grace", "--log-level"):
        assert option in page
    assert "GRADIENT_ORACLE_SERVE_ADDRESS" in page


@pytest.mark.parametrize("command", NAMES)
def test_a_page_of_help_is_whole(command):
    """No sentence is cut off in the list, and no control code of the formatter is left."""
    shell = CliRunner()
    listed = shell.invoke(main, ["--help"]).output
    assert "..." not in listed.partition("Commands:")[2]
    page = shell.invoke(main, [command, "--help"])
    assert page.exit_code == 0
    assert "\\b" not in page.output


@pytest.mark.parametrize("option", ["--max-call-seconds", "--grace"])
@pytest.mark.parametrize("seconds", ["nan", "inf", "-1"])
def test_a_time_without_end_is_a_usage_error(option, seconds):
    """A deadline of NaN is never over."""
    found = run("serve", "--address", "127.0.0.1:0", option, seconds)
    assert found.returncode == 3
    assert option in found.stderr


@pytest.mark.parametrize(
    "command", [["self-test"], ["check-function", "--", "echo", '{"x": [1], "gradient": [1]}']]
)
def test_the_address_of_the_environment_is_asked(command):
    """By every command that asks a server, as the client and the fixture do."""
    found = run(*command, GRADIENT_ORACLE_ADDRESS="nonsense")
    assert found.returncode == 3
    assert "must be HOST:PORT, got 'nonsense'" in found.stderr


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    """Of the vectors, say, where a file has that name."""
    (tmp_path / "file").touch()
    found = run("vectors", str(tmp_path / "file" / "folder"))
    assert found.returncode == 3
    assert found.stderr.startswith("Error: Could not open file")


def test_info_prints_what_the_server_says():
    """Version, limits and functions, from the address in the environment."""
    with running() as server:
        found = run("info", GRADIENT_ORACLE_ADDRESS=server.address)
    assert found.returncode == 0
    assert "oracle.gradcheck.v1.TwoLayerNetService/Train" in found.stdout
    assert "largest message: 67108864 bytes" in found.stdout


def test_info_without_a_server_is_a_sentence():
    """Exit code 3 and no traceback, and soon."""
    found = run("info", "--address", "127.0.0.1:1", "--timeout", "0.5")
    assert found.returncode == 3
    assert found.stderr.startswith("Error: ")
    assert "Traceback" not in found.stderr


def test_every_option_is_one_that_grpc_knows():
    """It ignores the others: a slow function was cut off at the third ping of its client."""
    library = Path(cygrpc.__file__).read_bytes()
    for name, _ in [*options(Settings()), *channel.options("127.0.0.1:1")]:
        assert name.encode() in library, name
