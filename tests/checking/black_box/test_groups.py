"""Entries whose sizes differ by orders of magnitude, in x or in the gradient."""

import numpy as np
import pytest

from oracle.checking.black_box import groups
from oracle.checking.black_box.conversation import CheckTask, SizeClass, TensorSpec
from oracle.checking.black_box.ladder import Line
from oracle.checking.black_box.session import Session
from oracle.checking.black_box.subject import Subject
from oracle.values import Verdict
from tests.checking.black_box.caller import run


def parted(counts, *, by_x):
    """Return the classes of every group of a tensor that has so many entries of each class."""
    classes = tuple(
        SizeClass(number, count, 0, 1.0, 1.0, 1.0, 1.0) for number, count in sorted(counts.items())
    )
    size = sum(counts.values())
    spec = TensorSpec("x", (size,), "float64", size, 1.0, 1.0, 1.0, 1.0, classes=classes)
    found = groups.of(
        Session(CheckTask((spec,), "float64")), Subject(0, spec, Line(0, 0, size, 1)), by_x=by_x
    )
    return [(group.spec.size, group.first.begin, group.classes) for group in found]


@pytest.mark.parametrize(
    ("counts", "by_x", "expected"),
    [
        ({0: 1000}, True, []),
        ({0: 995, 1: 4, 6: 1}, True, []),  # the tails of two bell curves
        ({0: 900, 1: 100}, False, [(900, 0, (0,)), (100, 0, (1,))]),
        ({0: 900, 6: 100}, False, []),  # sizes in x, where its steps sufficed
        ({0: 900, 6: 100}, True, [(900, 0, (0,)), (100, 0, (6,))]),
        ({0: 2, 5: 1}, False, [(2, 0, (0,)), (1, 0, ())]),  # a gradient of 0 beside two of size
        ({0: 2, 4: 1}, False, [(2, 0, (0,)), (1, 0, ())]),
    ],
)
def test_a_size_is_a_group_of_its_own_if_chance_leaves_fewer(counts, by_x, expected):
    assert parted(counts, by_x=by_x) == expected


def logistic(features=0, seed=0):
    """Return the loss of a logistic regression with unscaled features, and its gradient."""
    rng = np.random.default_rng(seed)
    columns = [5_000 + 3_000 * rng.normal(size=200), 50 * rng.normal(size=200), np.ones(200)]
    columns += [10.0 ** rng.uniform(-3, 3) * rng.normal(size=200) for _ in range(features)]
    X, y = np.stack(columns, 1), (rng.random(200) < 0.5).astype(float)
    w = np.array([1e-4, 0.01, 0.2, *(1e-4 * rng.normal(size=features))])

    def f(p):
        scores = X @ p["w"]
        return float(np.sum(np.logaddexp(0, scores) - y * scores))

    return f, w, X.T @ (1 / (1 + np.exp(-X @ w)) - y)


@pytest.mark.parametrize("features", [0, 40])
@pytest.mark.parametrize(("factor", "verdict"), [(1, "pass"), (0, "fail"), (2, "fail")])
def test_a_small_entry_beside_large_ones_is_seen(features, factor, verdict):
    """The bias of a regression whose features are in the thousands."""
    f, w, g = logistic(features)
    g[2] *= factor
    for seed in range(3):
        assert run(f, {"w": w}, {"w": g}, seed=seed).verdict == verdict


@pytest.mark.parametrize("n", [4, 30])
def test_scales_of_sixteen_decades_in_one_tensor_are_judged(n):
    """Each entry bends f on its own scale; no common step is right for two of them."""
    rng = np.random.default_rng(n)
    k = 10.0 ** rng.uniform(-8, 8, n)
    c = rng.uniform(1, 2, n)

    def f(p):
        if p["k"].min() <= 0:
            raise FloatingPointError
        return float(np.sum(c * np.log(p["k"])))

    assert run(f, {"k": k}, {"k": c / k}).verdict is Verdict.PASS
    for where in (int(k.argmin()), int(k.argmax())):
        wrong = c / k
        wrong[where] *= 2
        assert run(f, {"k": k}, {"k": wrong}).verdict is Verdict.FAIL
