"""A call that computes in pieces is helped by free slots, and holds up nobody by it."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from oracle.service.gate import CallerLeft, Gate

ACTIVE = SimpleNamespace(time_remaining=lambda: None, is_active=lambda: True, peer=lambda: "unix:")


@pytest.fixture
def gate():
    """Three slots."""
    gate = Gate(3, 1, 1, 60.0)
    gate.helpers.start(2)
    yield gate
    gate.helpers.shutdown()


def free(gate):
    """How many slots can be had."""
    taken = 0
    while gate.slots.acquire(blocking=False):
        taken += 1
    for _ in range(taken):
        gate.slots.release()
    return taken


def test_results_come_in_order_and_slots_are_given_back(gate):
    """Whoever computed which."""
    with gate.enter(ACTIVE) as turn:
        assert list(turn.spread(lambda item: item**2, list(range(50)))) == [
            item**2 for item in range(50)
        ]
        assert free(gate) == 2
    assert free(gate) == 3


def test_free_slots_help(gate):
    """Three items that wait for each other end only if three threads compute them."""
    barrier = threading.Barrier(3)
    with gate.enter(ACTIVE) as turn:
        assert turn.spread(lambda _: barrier.wait(10) >= 0, [0, 1, 2]) == [True] * 3


def test_taken_slots_do_not_help(gate):
    """With the other slots taken, one thread computes all."""
    with gate.enter(ACTIVE), gate.enter(ACTIVE), gate.enter(ACTIVE) as turn:
        threads = set(turn.spread(lambda _: threading.get_ident(), list(range(20))))
    assert threads == {threading.get_ident()}


def test_a_call_that_comes_meanwhile_waits_for_one_piece_at_most(gate):
    """Helpers give their slot away after every piece.

    Counted in pieces, not seconds: while the call waits, those that run come to their end, and the
    one slot that spreads goes on. A call that waited to the end would see about thirty begin.
    """
    begun, waited, pieces = threading.Event(), [], []

    def piece(item):
        pieces.append(item)
        begun.set()
        time.sleep(0.05)

    def other():
        begun.wait(10)
        for _ in range(2):
            before = len(pieces)
            with gate.enter(ACTIVE):
                waited.append(len(pieces) - before)

    thread = threading.Thread(target=other)
    thread.start()
    with gate.enter(ACTIVE) as turn:
        turn.spread(piece, list(range(30)))
    thread.join()
    assert len(waited) == 2
    assert max(waited) < 10


def test_short_calls_follow_each_other_and_long_ones_hold_up_nobody(gate):
    """A second call starts when the first ends, or takes long."""
    begun, end = threading.Event(), threading.Event()

    def first(seconds):
        with gate.enter(ACTIVE):
            begun.set()
            end.wait(seconds)

    for seconds, least, most in ((0.02, 0.01, 0.2), (5.0, 0.02, 1.0)):
        begun.clear()
        thread = threading.Thread(target=first, args=(seconds,))
        thread.start()
        begun.wait(10)
        began = time.monotonic()
        with gate.enter(ACTIVE):
            waited = time.monotonic() - began
        with gate.enter(ACTIVE):
            pass
        end.set()
        thread.join()
        end.clear()
        assert least < waited < most


def test_an_exception_of_a_piece_is_that_of_the_whole(gate):
    """The rest is left undone, and every slot is free again."""
    done = []

    def piece(item):
        if item == 3:
            raise CallerLeft
        time.sleep(0.005)
        done.append(item)

    with pytest.raises(CallerLeft), gate.enter(ACTIVE) as turn:
        turn.spread(piece, list(range(1000)))
    assert len(done) < 20
    assert free(gate) == 3
