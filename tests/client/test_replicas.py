"""Several servers behind one address: one that dies costs nobody a check, and no evaluation."""

from __future__ import annotations

import asyncio
import signal
from contextlib import ExitStack

import gradient_oracle
import numpy as np
import pytest

from tests.service.test_serve import running

X = np.linspace(-1.0, 1.0, 40)


def address_of(replicas):
    """Return one address that leads to all, as a name with several addresses does."""
    return f"ipv4:{','.join(replica.address for replica in replicas)}"


class Restarts:
    """A function at whose evaluations servers die, and that knows where it was asked."""

    def __init__(self, replicas=(), start=None, number=signal.SIGKILL):
        self.replicas, self.start, self.number = replicas, start, number
        self.points = []

    def __call__(self, x):
        self.points.append(x.tobytes())
        turn, rest = divmod(len(self.points), 30)
        if rest == 0 and turn <= len(self.replicas):
            dies = self.replicas[turn - 1]
            dies.process.send_signal(self.number)
            dies.process.wait(20)
            if turn == 1:
                self.start(dies.address)
        return np.sum(np.sin(x) * x)


GRADIENT = np.cos(X) * X + np.sin(X)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_check_survives_that_each_server_dies_in_turn(replicas, number, asynchronous):
    """Its stream breaks, unary calls go on at the other, and f is asked at no point again."""
    undisturbed = Restarts()
    with gradient_oracle.embedded() as oracle:
        expected = oracle.check_gradient(undisturbed, X, GRADIENT, name="f")
    f = Restarts(*replicas[:2], number)
    address = address_of(replicas[0])
    if asynchronous:

        async def main():
            async with gradient_oracle.aio.connect(address) as oracle:
                return await oracle.check_gradient(f, X, GRADIENT, name="f")

        report = asyncio.run(main())
    else:
        with gradient_oracle.connect(address) as oracle:
            report = oracle.check_gradient(f, X, GRADIENT, name="f")
    assert len(f.points) > 60
    assert f.points == undisturbed.points
    assert report.to_json() == expected.to_json()


@pytest.mark.parametrize("transport", ["auto", "unary"])
def test_a_server_that_starts_anew_with_another_key_costs_no_evaluation(transport):
    """Its token is none of the new server's, and what was said is."""
    undisturbed = Restarts()
    with gradient_oracle.embedded() as oracle:
        oracle.check_gradient(undisturbed, X, GRADIENT)
    with ExitStack() as stack:

        def start(address="127.0.0.1:0"):
            return stack.enter_context(running("--address", address))

        server = start()
        f = Restarts([server], start)
        with gradient_oracle.connect(server.address) as oracle:
            assert oracle.check_gradient(f, X, GRADIENT, transport=transport)
    assert f.points == undisturbed.points


def test_calls_are_spread_over_all_servers_and_none_is_lost_when_one_stops(replicas):
    """By the client, which is told by health that a server stops, without anything in between."""
    servers, _, stack = replicas
    with gradient_oracle.connect(address_of(servers)) as oracle:
        # Nobody reads the log of a server before its end, and a pipe holds some 200 lines.
        for number in range(150):
            assert oracle.mean_squared_error([1.0], [3.0]) == 2
            if number == 50:
                servers[0].process.send_signal(signal.SIGTERM)
            if number == 100:
                servers[0].process.wait(20)
    stack.close()
    for server, least in zip(servers, (15, 50), strict=True):
        assert len([line for line in server.log if line["message"] == "call"]) > least
