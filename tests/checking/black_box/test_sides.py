"""Kinks and bounds at x, coordinate by coordinate: what passes, what fails, whatever the seed."""

import numpy as np
import pytest

from oracle.checking.black_box.sides import ALIKE
from oracle.findings import FindingKind
from oracle.splitmix import positive_signs
from oracle.values import Verdict
from tests.checking.black_box.caller import run


def bounded(x):
    """Return a sum that is clipped at 0 and 1."""
    c = np.clip(x, 0, 1)
    return np.sum(np.arange(1.0, x.size + 1) * (c * c + c))


def barred(x):
    """Return a sum that has no value outside of [0, 1]."""
    if x.min() < 0 or x.max() > 1:
        raise FloatingPointError
    return np.sum(np.arange(1.0, x.size + 1) * (x * x + x))


def pieces(x):
    """Return a function of one number with two slopes."""
    return float(-2.304e-4 * x[0] if x[0] > 0 else -1.357e-7 * x[0])


AT_BOUNDS = np.array([0.0, 0.3, 1.0, 0.7])
SLOPES = np.arange(1.0, 5.0) * (2 * AT_BOUNDS + 1)
LARGEST = (lambda x: x.max(), np.ones(2))
CASES = {
    "both bounds of a clip": (bounded, AT_BOUNDS, SLOPES, "pass"),
    "a clip, 0 taken": (bounded, AT_BOUNDS, SLOPES * [0, 1, 0, 1], "pass"),
    "a clip, doubled at a bound": (bounded, AT_BOUNDS, SLOPES * [1, 1, 2, 1], "fail"),
    "a clip, doubled between": (bounded, AT_BOUNDS, SLOPES * [1, 2, 1, 1], "fail"),
    "both bounds of a domain": (barred, AT_BOUNDS, SLOPES, "pass"),
    "a domain, doubled at a bound": (barred, AT_BOUNDS, SLOPES * [2, 1, 1, 1], "fail"),
    "convex minus concave": (lambda x: abs(x[0]) - abs(x[1]), np.zeros(2), np.zeros(2), "pass"),
    "outside of both slopes": (pieces, np.zeros(1), np.array([1.079e-4]), "fail"),
    "one of both slopes": (pieces, np.zeros(1), np.array([-2.304e-4]), "pass"),
    "a tie, one of two": (*LARGEST, np.array([1.0, 0.0]), "pass"),
    "a tie, shared": (*LARGEST, np.array([0.5, 0.5]), "pass"),
    "a tie, both": (*LARGEST, np.array([1.0, 1.0]), "fail"),
    "a tie, too little": (*LARGEST, np.array([0.2, 0.2]), "fail"),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_a_kink_at_x_is_judged_alike_for_every_seed(case):
    f, x, g, verdict = CASES[case]
    for seed in range(4):
        assert run(lambda p: f(p["a"]), {"a": x}, {"a": g}, seed=seed).verdict == verdict


@pytest.mark.parametrize("n", [12, 60])
@pytest.mark.parametrize(
    ("place", "change", "verdict"),
    [
        ("none", 0.0, "pass"),
        ("smooth", -2.0, "fail"),  # the sign
        ("smooth", 0.15, "fail"),
        ("zero", 7.0, "fail"),
    ],
)
def test_a_smooth_entry_is_seen_whatever_kinks_its_neighbours_have(n, place, change, verdict):
    """Least squares with a penalty on |x|, at a point half of whose entries are 0."""
    rng = np.random.default_rng(n)
    A, b = rng.normal(size=(60, n)), rng.normal(size=60)
    x = np.where(rng.random(n) < 0.5, 0.0, rng.normal(size=n))

    def f(p):
        return 0.5 * np.sum((A @ p["a"] - b) ** 2) / 60 + 3 * np.abs(p["a"]).sum()

    g = A.T @ (A @ x - b) / 60 + 3 * np.sign(x)
    where = int(np.flatnonzero((x == 0) == (place == "zero"))[0])
    g[where] += change * (g[where] if place == "smooth" else 1.0)
    report = run(f, {"a": x}, {"a": g})
    assert report.verdict == verdict
    if verdict == "fail":
        [finding] = report.findings
        assert finding.kind is FindingKind.SINGLE_ENTRIES
        assert [entry.index for entry in finding.entries] == [(where,)]


def test_an_infinite_slope_is_no_side():
    """The root grows without bound: no entry may be said to be the slope there."""
    for slope in (0.0, 1.0, 1e6):
        x, g = {"a": np.zeros(3)}, {"a": np.full(3, slope)}
        assert run(lambda p: np.sqrt(np.abs(p["a"])).sum(), x, g).verdict is not Verdict.FAIL


def test_one_seed_moves_all_entries_alike():
    """The hash gives all ones for it."""
    assert positive_signs(ALIKE, 0, 64).all()
