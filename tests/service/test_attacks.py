"""What one caller can make the server do, over a real socket: the list of docs/operating.md."""

from __future__ import annotations

from contextlib import ExitStack

import gradient_oracle
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from oracle.service import pools
from tests.service.hostile import RST_STREAM, Connection

SERVING = health_pb2.HealthCheckResponse.SERVING
MSE = "/oracle.gradcheck.v1.LossService/MeanSquaredError"
TRAIN = "/oracle.gradcheck.v1.TwoLayerNetService/Train"
CONVERSE = "/oracle.gradcheck.v1.BlackBoxService/Converse"
HEALTH = "/grpc.health.v1.Health/"
ONE = {"values": [1.0], "shape": [1]}


def health_of(call, timeout=20):
    """What a probe is told."""
    stub = health_pb2_grpc.HealthStub(call.channel)
    return stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout).status


@pytest.mark.parametrize("body", [b"", b"\0", b"\0\0\0\0\xff\0"])
@pytest.mark.parametrize(("connections", "streams"), [(1, 400), (8, 40)])
def test_calls_without_a_message_starve_nobody(serve, body, connections, streams):
    """Streams that are opened and left, for every kind of call; others are served meanwhile."""
    with serve() as call, ExitStack() as stack:
        for _ in range(connections):
            attacker = stack.enter_context(Connection(call.server.address))
            for at in range(streams):
                paths = (MSE, TRAIN, CONVERSE, HEALTH + "Check", HEALTH + "Watch")
                attacker.open(paths[at % len(paths)], body)
        for _ in range(3):
            assert health_of(call) == SERVING
            assert call("LossService/MeanSquaredError", predictions=ONE, targets=ONE).error == 0
        with gradient_oracle.connect(call.server.address) as oracle:
            x = np.array([0.5, 0.25])
            assert oracle.check_gradient(lambda x: np.sum(x**2), x, 2 * x).passed
            parameters = oracle.two_layer_net.init(2, 2, 2)
            oracle.two_layer_net.train(parameters, np.ones((1, 2)), [0], step_num=1).result()


def test_a_call_without_a_message_ends(serve, monkeypatch):
    """Its thread is free again, and the caller is told."""
    monkeypatch.setattr(pools, "SILENT_SECONDS", 0.2)
    with serve() as call, Connection(call.server.address) as attacker:
        streams = {attacker.open(path) for path in (MSE, TRAIN, CONVERSE, HEALTH + "Check")}
        ended = set()
        for kind, stream, _ in attacker.frames():
            if kind == RST_STREAM:
                ended.add(stream)
            if ended == streams:
                break
        assert ended == streams
