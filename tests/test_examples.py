"""Clients that are written with the generated messages alone hold the whole conversation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.conftest import serving

TOP = Path(__file__).parents[1]
EXAMPLES = TOP / "tests" / "examples"
ASK_TELL = EXAMPLES / "ask_tell.py"
NODE_PACKAGES = 'await import("@grpc/grpc-js"); await import("@grpc/proto-loader")'


def run(program, *arguments):
    return subprocess.run(
        [*program, *arguments],
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONPATH": str(TOP)},
    )


@pytest.fixture(scope="module")
def node():
    """A Node that finds the packages of gRPC in `node_modules` here or in a folder above."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("no Node")
    if run([found, "--input-type=module", "--eval", NODE_PACKAGES]).returncode:
        pytest.skip("no @grpc/grpc-js and @grpc/proto-loader for Node")
    return found


ANSWERS = pytest.mark.parametrize(
    ("factor", "said"), [("1", "PASS"), ("1.001", "Only [3] of x is wrong.")]
)


@ANSWERS
def test_forty_lines_are_a_client(factor, said):
    """Unary calls, signs as the contract says them, and no line of the client of this package."""
    source = ASK_TELL.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 40
    assert "gradient_oracle" not in source
    with serving() as call:
        done = run([sys.executable, ASK_TELL], call.server.address, factor)
    assert said in done.stdout, done.stderr


@ANSWERS
def test_a_client_in_javascript_needs_the_protos_alone(node, factor, said):
    """Seeds of 64 bits, which its numbers cannot hold, are strings there."""
    with serving() as call:
        done = run([node, EXAMPLES / "ask_tell.mjs"], call.server.address, factor)
    assert said in done.stdout, done.stderr
