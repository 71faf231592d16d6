"""Which entries are called wrong: those that are, and no others."""

import numpy as np
import pytest

from oracle.findings import FindingKind
from oracle.values import Verdict
from tests.checking.black_box.caller import run


def sines(x):
    return float(np.sin(x["a"]).sum())


def product(x):
    return float(np.prod(x["a"]))


def located(report):
    """Return what is said to be wrong and nothing else, and the entries."""
    assert report.verdict == Verdict.FAIL
    for finding in report.findings:
        if finding.kind is FindingKind.SINGLE_ENTRIES:
            return finding.message, {entry.index for entry in finding.entries}
    return "", set()


@pytest.mark.parametrize("n", [3, 8, 24, 25, 60])
@pytest.mark.parametrize("how", ["a constant", "reversed", "decay"])
def test_no_entries_are_named_where_all_are_wrong(n, how):
    """Errors of one size cancel in half of the directions, and in two alike they always do."""
    x = np.linspace(0.1, 1, n)
    wrong = {"a constant": np.cos(x) + 0.1, "reversed": np.cos(x)[::-1], "decay": np.cos(x) + x / 9}
    message, _ = located(run(sines, {"a": x}, {"a": wrong[how].copy()}))
    middle = how == "reversed" and n == 3  # It stays where it is, and two are wrong.
    assert middle or "Only" not in message


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("f", [sines, product])
def test_a_right_entry_is_not_among_the_wrong_ones(f, seed):
    """The table beside the finding shows which entries agree."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 2, 6)
    gradient = np.cos(x) if f is sines else np.prod(x) / x
    which = int(rng.integers(6))
    gradient[which] *= -1
    message, entries = located(run(f, {"a": x}, {"a": gradient}))
    assert entries == {(which,)}
    assert message == f"Only [{which}] of a is wrong."


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_several_entries_of_many_are_found_whatever_their_signs(count):
    """What one entry adds to every direction is taken away before the next is looked for."""
    rng = np.random.default_rng(count)
    for _ in range(5):
        x = rng.normal(size=(20, 30))
        wrong = np.cos(x)
        which = rng.choice(x.size, count, replace=False)
        wrong.ravel()[which] += 0.3 * rng.choice([-1, 1])
        _, entries = located(run(sines, {"a": x}, {"a": wrong}))
        assert entries == {tuple(int(k) for k in np.unravel_index(n, x.shape)) for n in which}


def test_a_row_is_named_if_all_directions_agree_that_the_error_lies_there():
    x = np.random.default_rng(3).normal(size=(40, 25))
    for factor in (0, -1, 2):
        wrong = np.cos(x)
        wrong[17] *= factor
        assert located(run(sines, {"a": x}, {"a": wrong}))[0] == "a is wrong in row 17 only."


def test_two_rows_far_apart_are_no_range():
    """Between them most is right."""
    x = np.random.default_rng(4).normal(size=(40, 25))
    wrong = np.cos(x)
    wrong[[3, 33]] *= -1
    assert located(run(sines, {"a": x}, {"a": wrong}))[0] == ""


def test_columns_are_no_rows():
    x = np.random.default_rng(5).normal(size=(40, 25))
    wrong = np.cos(x)
    wrong[:, 4] = 0
    assert "row" not in located(run(sines, {"a": x}, {"a": wrong}))[0]


def test_two_errors_that_cancel_outside_of_a_row_are_not_overlooked():
    """In some directions they do; that all of them are explained is what a range needs."""
    x = np.random.default_rng(6).normal(size=(40, 25))
    for n in range(40):
        wrong = np.cos(x)
        wrong[17] *= -1
        wrong[30, n % 24 : n % 24 + 2] += 0.05
        message, _ = located(run(sines, {"a": x}, {"a": wrong}, seed=n))
        assert message != "a is wrong in row 17 only."
