"""The seconds that a check may take, by a clock that the caller reads."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oracle.findings import InconclusiveReason
from oracle.values import Verdict
from tests.checking.black_box.caller import run, smooth

WHOLE = run(*smooth(0, "float64"))


def wrong(seed=0):
    """Return a smooth f, a point, and its gradient with one entry wrong by 1 %."""
    f, x, g = smooth(seed, "float64")
    g["a"][2, 3] *= 1.01
    return f, x, g


@pytest.mark.parametrize(
    ("seconds", "each"), [(200.0, 1.0), (1e300, 1.0), (1.7e308, 5e-324), (5e-324, 0.0)]
)
def test_time_enough_changes_nothing(seconds, each):
    """A budget that is not met leaves the report as it is, to the bit, whatever the unit."""
    report = run(*smooth(0, "float64"), max_seconds=seconds, clock=lambda count: each * count)
    assert report == WHOLE


@pytest.mark.parametrize("seconds", [1e-9, 1.0, 18.5, 19.0, 40.0])
def test_a_check_ends_when_its_time_is_over_and_says_so(seconds):
    """The noise takes 19 evaluations and the first ladders above 40; half of them tell nothing."""
    report = run(*smooth(0, "float64"), max_seconds=seconds, clock=float)
    assert (report.verdict, report.reason) == (
        Verdict.INCONCLUSIVE,
        InconclusiveReason.BUDGET_SPENT,
    )
    assert report.summary == f"the {seconds:g} s allowed do not settle it"
    # One that has begun is not given up.
    assert report.measurement.evaluations < seconds + 1


def test_the_evaluations_are_named_when_they_are_what_is_spent():
    """The tighter budget is the one to raise."""
    few = run(*smooth(0, "float64"), max_evaluations=20, max_seconds=1e6, clock=float)
    assert few.summary == "the 20 evaluations allowed do not settle it"
    both = run(*smooth(0, "float64"), max_evaluations=70, max_seconds=85.0, clock=float)
    assert "70 evaluations allow no more" in both.notes[0]
    both = run(*smooth(0, "float64"), max_evaluations=85, max_seconds=70.0, clock=float)
    assert "70 s allow no more" in both.notes[0]


def test_a_check_plans_with_the_time_that_evaluations_take():
    """Half the directions in time say more than all of them too late; the report says how much."""
    report = run(*smooth(0, "float64"), max_seconds=100.0, clock=float)
    assert report.verdict == Verdict.PASS
    assert 0.01 < report.measurement.miss_probability < 0.5
    assert "100 s allow no more" in report.notes[0]


def test_the_time_that_f_takes_to_be_compiled_is_not_planned_with():
    """Of 1200 s the first evaluation takes 1000; the others all fit into the rest."""
    report = run(*smooth(0, "float64"), max_seconds=1200.0, clock=lambda n: n + 1000.0 * (n > 0))
    assert report == WHOLE


def test_a_gradient_that_was_shown_to_be_wrong_stays_wrong():
    """An f that slows down ends the search for the cause, and not what was confirmed before it."""
    full = run(*wrong())
    spent = [
        run(*wrong(), max_seconds=1e6, clock=lambda n, most=most: 0.0 if n < most else 1e6)
        for most in range(190, full.measurement.evaluations, 10)
    ]
    failed = [report for report in spent if report.verdict == Verdict.FAIL]
    assert 0 < len(failed) < len(spent)
    cut = [report for report in failed if not report.findings]
    assert cut
    assert all("1e+06 s allowed were over before" in report.notes[0] for report in cut)
    assert all(report.tensors[0].verdict == Verdict.FAIL for report in failed)


@settings(max_examples=20)
@given(
    seed=st.integers(0, 20),
    seconds=st.floats(1, 400),
    late=st.integers(0, 400),
    slower=st.sampled_from([1.0, 3.0, 50.0]),
)
@example(seed=0, seconds=100.0, late=84, slower=50.0)
def test_no_time_makes_a_right_gradient_wrong_or_a_wrong_one_right(seed, seconds, late, slower):
    """A check without the time to see is inconclusive, however unevenly the evaluations take it."""

    def clock(count):
        return count + (slower - 1) * max(0, count - late)

    right = run(*smooth(seed, "float64"), max_seconds=seconds, clock=clock)
    assert right.verdict != Verdict.FAIL
    f, x, g = smooth(seed, "float64")
    gone = run(f, x, {**g, "a": -g["a"]}, max_seconds=seconds, clock=clock)
    assert gone.verdict != Verdict.PASS
