"""A server of another version than the client, over a real socket."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import warnings
from concurrent import futures
from importlib.metadata import version

import gradient_oracle
import grpc
import numpy as np
import pytest

from oracle.gradcheck.v1 import loss_pb2, loss_pb2_grpc, server_pb2, server_pb2_grpc

MINE = version("gradient-oracle")
NEXT = f"{int(MINE.split('.')[0]) + 1}.0.0"
X = np.ones(2)
PARAMS = {"W1": np.ones((1, 1)), "b1": [0.0], "W2": np.ones((1, 2)), "b2": [0.0, 0.0]}


class Other(server_pb2_grpc.ServerServiceServicer, loss_pb2_grpc.LossServiceServicer):
    """A server that tells a version and has one method more."""

    version = NEXT

    def GetServerInfo(self, _request, _context):
        return server_pb2.GetServerInfoResponse(version=self.version)

    def MeanSquaredError(self, _request, _context):
        return loss_pb2.MeanSquaredErrorResponse(error=7)


@pytest.fixture
def other():
    """Return the servicer and its address."""
    servicer = Other()
    server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    server_pb2_grpc.add_ServerServiceServicer_to_server(servicer, server)
    loss_pb2_grpc.add_LossServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    server.stop(0).wait()


def test_another_major_version_is_warned_of_once(other):
    """By the first call of a connection, though it be several at once; again by the next client."""
    _, address = other

    def use():
        with gradient_oracle.connect(address) as oracle, futures.ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(oracle.mean_squared_error, [1.0], [1.0]) for _ in range(4)]
            return [call.result() for call in calls]

    for _ in range(2):
        with pytest.warns(gradient_oracle.VersionMismatch) as caught:
            assert use() == [7] * 4
        (told,) = caught
        assert address in str(told.message)
        assert f"version {NEXT} and this client {MINE}; install one version" in str(told.message)


def test_the_asyncio_client_warns_once(other):
    """Its conversations go another way than its calls, and are still of one connection."""
    _, address = other

    async def use():
        async with gradient_oracle.aio.connect(address) as oracle:
            await asyncio.gather(*(oracle.mean_squared_error([1.0], [1.0]) for _ in range(3)))
            with pytest.raises(gradient_oracle.ServerFailure, match=f"version {NEXT}"):
                await oracle.check_gradient(np.sum, X, X)

    with pytest.warns(gradient_oracle.VersionMismatch) as caught:
        asyncio.run(use())
    assert len(caught) == 1


@pytest.mark.parametrize("told", ["", "main", f"{MINE.split('.')[0]}.99.1"])
def test_a_version_that_may_fit_is_no_warning(other, told):
    """Within a major version the contract only grows; one that is not told cannot be compared."""
    servicer, address = other
    servicer.version = told
    with gradient_oracle.connect(address) as oracle:
        assert oracle.mean_squared_error([1.0], [1.0]) == 7


@pytest.mark.parametrize(
    "call",
    [
        lambda o: o.sigmoid(X),
        lambda o: o.two_layer_net.train(PARAMS, [[1.0]], [0]).result(),
        lambda o: o.check_gradient(np.sum, X, X),
        lambda o: o.check_gradient(np.sum, X, X, timeout=20),
        lambda o: o.numerical_gradient(np.sum, X, transport="unary"),
    ],
)
@pytest.mark.parametrize(
    ("told", "said"), [(MINE, f"it has version {MINE}"), ("", "it tells no version")]
)
def test_a_method_that_the_server_lacks_is_told_with_both_versions(other, call, told, said):
    """And with what to do: the caller cannot know which of the two is the older."""
    servicer, address = other
    servicer.version = told
    with (
        gradient_oracle.connect(address) as oracle,
        pytest.raises(gradient_oracle.ServerFailure) as caught,
    ):
        call(oracle)
    text = str(caught.value)
    assert f"the oracle at {address} does not serve this method" in text
    assert f"{said} and this client {MINE}; install one version on both sides" in text


def test_where_warnings_are_errors_one_may_be_let_through(other):
    """The error is the warning itself, once; a filter of its class leaves the others errors."""
    _, address = other
    with gradient_oracle.connect(address) as oracle:
        with pytest.raises(gradient_oracle.VersionMismatch):
            oracle.mean_squared_error([1.0], [1.0])
        assert oracle.mean_squared_error([1.0], [1.0]) == 7
    with warnings.catch_warnings(), gradient_oracle.connect(address) as oracle:
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", gradient_oracle.VersionMismatch)
        assert oracle.mean_squared_error([1.0], [1.0]) == 7


@pytest.mark.parametrize(
    ("more", "passed"), [("", 1), ("ignore::gradient_oracle.VersionMismatch", 0)]
)
def test_the_filter_of_pytest_finds_the_class(other, tmp_path, more, passed):
    """The form of the documentation, in the ini file of somebody else's suite."""
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nfilterwarnings =\n    error\n    {more}\n")
    test = "def test_loss(gradient_oracle):\n    gradient_oracle.mean_squared_error([1.0], [1.0])\n"
    (tmp_path / "test_it.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", f"--gradient-oracle-address={other[1]}"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == passed, done.stdout
