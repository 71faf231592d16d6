"""Values of f that were measured are never lost: in memory, in a file, whatever ends the check."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import gradient_oracle
import numpy as np
import pytest
from gradient_oracle import Journal

X = np.linspace(-1, 1, 6, dtype=np.float32)
G = 2 * X


class Counted:
    """f, how often it was called, and the call at which it raises."""

    def __init__(self, *, fails_at=0, error=None):
        self.calls, self.fails_at, self.error = 0, fails_at, error or ValueError("no")

    def __call__(self, x):
        self.calls += 1
        if self.calls == self.fails_at:
            raise self.error
        return np.sum(x * x)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("kept", ["file", "memory"])
def test_a_check_goes_on_where_it_ended(embedded, tmp_path, error, kept):
    """Every value before the end is taken from the journal; f is asked once more at x alone."""
    path = tmp_path / "journal" if kept == "file" else None
    whole = Counted()
    alone = embedded.check_gradient(whole, X, G, name="f")
    broken = Counted(fails_at=30, error=error)
    with pytest.raises(type(error)) as caught:
        embedded.check_gradient(broken, X, G, name="f", journal=path)
    notes = "\n".join(caught.value.__notes__)
    assert "This was evaluation 30 of f, at x with" in notes
    assert "29 values of f are kept" in notes
    again = Counted()
    journal = path or caught.value.journal
    report = embedded.check_gradient(again, X, G, name="f", journal=journal)
    assert report.message == alone.message
    assert again.calls == whole.calls - 29


def test_another_gradient_is_checked_with_the_same_values(embedded):
    """Values belong to points: what a check of a right gradient needs is known already."""
    journal, first, second = Journal(), Counted(), Counted()
    embedded.check_gradient(first, X, G, journal=journal)
    assert len(journal) == first.calls
    assert embedded.check_gradient(second, X, 2 * G, journal=journal).verdict == "fail"
    fresh = Counted()
    embedded.check_gradient(fresh, X, 2 * G)
    assert second.calls < fresh.calls - 30


def test_classes_of_entries_belong_to_a_gradient(embedded):
    """The values of one are not taken for those of another, which moves other entries."""
    x = {"W": np.array([1.0, 1e-6, 2e-6, 3.0]), "b": np.array([1e-5])}

    def f(p):
        return np.sum(p["W"] ** 2) + p["b"][0] ** 2

    journal, right = Journal(), {name: 2 * array for name, array in x.items()}
    for scale in (np.ones(4), np.array([1e-6, 1e6, 1.0, 1.0]), np.array([0, 1.0, 1e7, 1.0])):
        claimed = right | {"W": right["W"] * scale}
        alone = embedded.check_gradient(f, x, claimed)
        assert embedded.check_gradient(f, x, claimed, journal=journal).message == alone.message


def test_a_numerical_gradient_and_a_descent_go_on(embedded, tmp_path):
    x = X.astype(np.float64)
    for name, call in (
        ("gradient", lambda f, **options: embedded.numerical_gradient(f, x, **options)),
        ("descent", lambda f, **options: embedded.gradient_descent(f, x, step_num=3, **options)),
    ):
        broken, again, whole = Counted(fails_at=9), Counted(), Counted()
        with pytest.raises(ValueError, match="no"):
            call(broken, journal=tmp_path / name)
        assert call(again, journal=tmp_path / name).tobytes() == call(whole).tobytes()
        assert again.calls == whole.calls - 8


def test_a_line_that_was_being_written_is_no_line(embedded, tmp_path):
    """A crash may come in the middle of one."""
    path = tmp_path / "journal"
    first, again = Counted(), Counted()
    alone = embedded.check_gradient(first, X, G, journal=path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 9])
    assert embedded.check_gradient(again, X, G, journal=path).message == alone.message
    assert again.calls == 1
    assert all(json.loads(line) for line in path.read_text().splitlines())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda o, p: o.check_gradient(np.sum, 2 * X, G, journal=p), "be one of the same x"),
        (lambda o, p: o.check_gradient(np.sum, X, G, journal=p), "start another journal"),
        (lambda o, _: o.check_gradient(np.sum, X, G, journal=3), "be a path or a Journal"),
        (lambda o, p: o.check_gradient(np.sum, X, G, journal=p.parent), "a file that can be made"),
        (lambda o, _: o.check_gradient(np.sum, X, G, journal=__file__), "be a journal"),
    ],
)
def test_a_journal_of_something_else_is_refused(embedded, tmp_path, call, message):
    path = tmp_path / "journal"
    embedded.check_gradient(Counted(), X, G, journal=path)
    with pytest.raises(gradient_oracle.InvalidRequest, match=message) as caught:
        call(embedded, path)
    assert caught.value.argument == "journal"


def test_points_outside_are_remembered(embedded):
    """What f said once, that it is not defined there, it need not say again."""
    said = []

    def f(x):
        if x[0] > 1:
            said.append(x[0])
            raise gradient_oracle.OutsideDomain("above 1")
        return x[0] ** 2

    journal, x, g = Journal(), np.array([1.0]), np.array([2.0])
    alone = embedded.check_gradient(f, x, g, journal=journal)
    count = len(said)
    assert count > 0
    assert embedded.check_gradient(f, x, g, journal=journal).message == alone.message
    assert len(said) == count


def test_what_a_deadline_cuts_off_is_kept(embedded):
    def hangs(x, calls=[0]):  # noqa: B006
        calls[0] += 1
        if calls[0] > 12:
            time.sleep(60)
        return np.sum(x * x)

    with pytest.raises(gradient_oracle.DeadlineExceeded) as caught:
        embedded.check_gradient(hangs, X, G, timeout=3)
    assert len(caught.value.journal) == 12


def test_a_server_that_is_lost_takes_no_value_with_it():
    """The values are with the caller; another server is told the same."""
    command = [sys.executable, "-m", "oracle", "serve", "--address", "127.0.0.1:0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        counted = Counted()

        def f(x):
            if counted.calls == 40:
                process.kill()
                process.wait()
            return counted(x)

        with (
            gradient_oracle.connect(process.stdout.readline().split()[-1]) as oracle,
            pytest.raises(gradient_oracle.OracleError) as caught,
        ):
            oracle.check_gradient(f, X, G)
    journal, again = caught.value.journal, Counted()
    assert len(journal) >= 41
    with gradient_oracle.embedded() as oracle:
        assert oracle.check_gradient(again, X, G, journal=journal).passed
    whole = len(journal) - again.calls
    assert whole >= 41


def test_progress_ends_at_1(oracle):
    told = []
    oracle.check_gradient(np.sum, X, np.ones_like(X), progress=lambda *said: told.append(said))
    assert told[-1] == ("done", 1.0)
