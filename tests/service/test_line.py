"""Whoever computes least goes next; one who fills the line holds up only himself."""

from __future__ import annotations

import itertools
import threading
import time
from types import SimpleNamespace

from oracle.service import gate as gates
from oracle.service.gate import Gate
from oracle.service.line import Line


def test_who_computes_least_is_next():
    """Then who has waited longest for a slot."""
    line = Line()
    line.began("greedy")
    with line.stand("greedy"), line.stand("modest"):
        assert line.is_next("modest")
        assert not line.is_next("greedy")
        assert line.has_before("greedy")
        line.began("modest")
        line.ended("greedy")
        assert line.is_next("greedy")
    line.ended("modest")
    assert not line._served


def test_a_long_call_lets_another_caller_compute_in_between(monkeypatch):
    """One slot, taken by a call that never ends by itself and has more behind it."""
    monkeypatch.setattr(gates, "TURN", 0.05)
    gate = Gate(1, 20, 1, 60.0)
    left = threading.Event()
    numbers = itertools.count()

    def context(caller):
        return SimpleNamespace(
            time_remaining=lambda: None,
            is_active=lambda: not (caller == "unix:greedy" and left.is_set()),
            peer=lambda: caller,
        )

    def compute_for_ever():
        try:
            with gate.enter(context("unix:greedy")) as turn:
                while True:
                    next(numbers)
                    turn()
                    time.sleep(0.001)
        except gates.CallerLeft:
            pass

    greedy = [threading.Thread(target=compute_for_ever, daemon=True) for _ in range(8)]
    for thread in greedy:
        thread.start()
    while next(numbers) < 20:
        time.sleep(0.01)
    for _ in range(3):
        with gate.enter(context("unix:modest")):
            pass
    left.set()
    for thread in greedy:
        thread.join(20)
        assert not thread.is_alive()
    assert gate.slots.acquire(blocking=False)
