"""Processes that fork beside a client: an error at once in the child, nothing in the parent."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import asyncio, multiprocessing, os, sys, time
import numpy as np
import gradient_oracle

embedded, connect = gradient_oracle.embedded, lambda: gradient_oracle.connect(sys.argv[1])

def asynchronous():
    async def main():
        async with gradient_oracle.aio.connect(sys.argv[1]) as oracle:
            return await oracle.mean_squared_error([1.0], [3.0])
    assert asyncio.run(main()) == 2
    return connect()

def use(oracle):
    assert oracle.mean_squared_error([1.0], [3.0]) == 2
    assert oracle.numerical_gradient(np.sum, np.ones(2)).round(6).tolist() == [1, 1]

def child():
    from oracle.service import server  # A server of its own is no later for what it loads first.
    began = time.monotonic()
    try:
        with (CHILD) as own:
            use(own)
        print("it works")
    except gradient_oracle.OracleError as error:
        print(f"{type(error).__name__}: {error}")
    print("at once" if time.monotonic() - began < 2 else "late", flush=True)

oracle = PARENT
use(oracle)
if HOW == "multiprocessing":
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(20)
    code = process.exitcode
else:
    number = os.fork()
    if not number:
        child()
        sys.exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
print("child ended with", code)
use(oracle)
oracle.close()
print("parent goes on")
"""
ANOTHER = "was made before the process forked"
UNFIT = "gRPC does not work in it; start the process with multiprocessing.get_context"


@pytest.mark.parametrize("how", ["multiprocessing", "fork"])
@pytest.mark.parametrize(
    ("parent", "child", "said"),
    [
        ("embedded()", "oracle", UNFIT),
        ("embedded()", "embedded()", UNFIT),
        ("asynchronous()", "connect()", UNFIT),
        ("connect()", "oracle", ANOTHER),
        ("connect()", "connect()", "it works"),
        ("connect()", "embedded()", "it works"),
    ],
)
def test_a_forked_child_is_told_at_once_and_the_parent_goes_on(address, how, parent, child, said):
    """gRPC itself would let the child hang for ten seconds and end it with a signal."""
    script = SCRIPT.replace("CHILD", child).replace("PARENT", parent).replace("HOW", repr(how))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, address],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
        env=os.environ | {"GRPC_VERBOSITY": "NONE"},
    )
    lines = done.stdout.splitlines() or [done.stderr]
    assert said in lines[0], done.stderr
    assert lines[1:] == ["at once", "child ended with 0", "parent goes on"]
    assert done.stderr == ""
    assert done.returncode == 0


def test_tests_that_fork_share_no_server_of_the_session(tmp_path):
    """As under pytest-forked: a test in a child of the session's process gets a sentence."""
    (tmp_path / "test_it.py").write_text(
        "import os\n\n\n"
        "def test_it(gradient_oracle):\n"
        "    assert gradient_oracle.mean_squared_error([1.0], [3.0]) == 2\n"
        "    number = os.fork()\n"
        "    if not number:\n"
        "        try:\n"
        "            gradient_oracle.mean_squared_error([1.0], [3.0])\n"
        "        except Exception as error:\n"
        "            os._exit(7 if 'forked' in str(error) else 8)\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) == 7\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n0", tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout


WHILE_CALLING = """
import os, sys, threading
import gradient_oracle

oracle = gradient_oracle.connect(sys.argv[1])
oracle.mean_squared_error([1.0], [3.0])
leave = threading.Event()

def keep_calling():
    while not leave.is_set():
        oracle.mean_squared_error([1.0], [3.0])

from gradient_oracle import forks
threading.Thread(target=keep_calling, daemon=True).start()
while not forks._THIS.calling:
    pass
number = os.fork()
if not number:
    try:
        gradient_oracle.connect(sys.argv[1]).mean_squared_error([1.0], [3.0])
        print("it works", flush=True)
    except gradient_oracle.OracleError as error:
        print(error, flush=True)
    os._exit(0)
print("child ended with", os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), flush=True)
leave.set()
"""


def test_a_child_that_was_forked_while_another_thread_called_is_told(address):
    """What gRPC had in hand then would let it hang."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WHILE_CALLING, address],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"GRPC_VERBOSITY": "NONE"},
    )
    lines = done.stdout.splitlines()
    # Between the look and the fork the call may have ended; then the child works.
    assert "another thread called an oracle meanwhile" in lines[0] or lines[0] == "it works"
    assert lines[1] == "child ended with 0"
