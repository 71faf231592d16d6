"""Functions that are coarser than the types of their values and of x say."""

import numpy as np
import pytest

from oracle.findings import InconclusiveReason
from oracle.values import Verdict
from tests.checking.black_box.caller import run

COARSE = {
    "computed in float32": lambda a: float(np.sum(np.sin(a.astype(np.float32)))),
    "computed in float16": lambda a: float(np.sum(np.sin(a.astype(np.float16)).astype(float))),
    "a float32 value": lambda a: float(np.float32(np.sum(np.sin(a)))),
    "printed with 8 digits": lambda a: float(f"{np.sum(np.sin(a)):.8g}"),
    "printed with 4 digits": lambda a: float(f"{np.sum(np.sin(a)):.4g}"),
    "on a grid": lambda a: round(float(np.sum(np.sin(a))) / 1e-5) * 1e-5,
    "counted": lambda a: float(int(10_000 * np.sum(np.sin(a)))),
}


@pytest.mark.parametrize("coarse", sorted(COARSE))
@pytest.mark.parametrize("n", [1, 7, 60, 2_000])
def test_stairs_condemn_no_gradient_and_hide_no_error_beyond_the_limit(coarse, n):
    """Over one stair f has no slope; over many it has the one of its gradient."""
    scale = 10_000 if coarse == "counted" else 1
    for seed in range(3):
        x = {"a": np.random.default_rng([seed, n]).normal(size=n)}
        right = scale * np.cos(x["a"])

        def f(x):
            return COARSE[coarse](x["a"])

        report = run(f, x, {"a": right})
        assert report.verdict == Verdict.PASS or report.reason == InconclusiveReason.NOISE
        # One stair of float32 spoils the difference over the longest step by so much.
        assert report.detection_limit > 2.0**-24
        for error in (1.05 * report.detection_limit, 3 * max(1.0, report.detection_limit)):
            wrong = right.copy()
            wrong[seed % n] += error * np.abs(right).max()
            told = run(f, x, {"a": wrong})
            # The limit is relative to the largest entry of the gradient that was checked.
            seen = error * np.abs(right).max() > told.detection_limit * np.abs(wrong).max()
            assert not (told.verdict == Verdict.PASS and seen)


@pytest.mark.parametrize("coarse", ["computed in float32", "printed with 8 digits", "on a grid"])
def test_a_wrong_gradient_of_a_coarse_function_fails(coarse):
    """Its error is larger than the limit that the stairs leave."""
    x = {"a": np.random.default_rng(1).normal(size=30)}
    report = run(lambda x: COARSE[coarse](x["a"]), x, {"a": 1.1 * np.cos(x["a"])})
    assert report.verdict == Verdict.FAIL


def test_a_coarse_value_of_a_coarse_point_is_no_turn_between_its_numbers():
    """float() of a float32 is of float64: its noise is more than rounding, and yet f is smooth."""
    x = {"a": np.random.default_rng(1).normal(size=500).astype(np.float32)}
    right = np.cos(x["a"])
    assert run(lambda x: float(np.sum(np.sin(x["a"]))), x, {"a": right}).verdict == Verdict.PASS
    wrong = np.float32(1.1) * right
    assert run(lambda x: float(np.sum(np.sin(x["a"]))), x, {"a": wrong}).verdict == Verdict.FAIL


def test_stairs_are_higher_where_f_is_steeper():
    """Near a minimum they are low, at the coarse steps high: x is what is rounded, not f."""
    for seed in range(12):
        rng = np.random.default_rng([9, seed])
        centre = rng.normal(size=rng.integers(2, 20))
        x = {"a": centre + 1e-4 * rng.normal(size=centre.size)}

        def f(x, centre=centre):
            return float(np.sum((x["a"].astype(np.float32) - centre) ** 2))

        report = run(f, x, {"a": 2 * (x["a"] - centre)})
        assert report.verdict != Verdict.FAIL


def test_a_flat_stretch_is_no_stair():
    """Beyond it f rises little by little: the shorter the way, the less."""
    x = {"a": np.zeros(1)}
    for end in (1e-7, 1e-4, 1e-2):
        report = run(lambda x, end=end: np.maximum(x["a"] - end, 0).sum(), x, {"a": np.zeros(1)})
        assert report.verdict == Verdict.PASS
        assert report.measurement.noise < 1e-12
        assert (
            run(
                lambda x, end=end: np.maximum(x["a"] - end, 0).sum(), x, {"a": np.full(1, 0.5)}
            ).verdict
            != Verdict.PASS
        )


@pytest.mark.parametrize(
    ("dtype", "size"), [("float32", 1e7), ("float32", 1e9), ("float64", 1e16), ("float64", 1e17)]
)
def test_an_x_whose_numbers_lie_too_far_apart_condemns_no_gradient(dtype, size):
    """sin turns between two numbers of x: no difference of its values shows its slope."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        a = (rng.uniform(0.5, 1, rng.integers(1, 6)) * size).astype(dtype)
        right = np.cos(a.astype(float)).astype(dtype)
        report = run(lambda x: np.sum(np.sin(x["a"].astype(float))), {"a": a}, {"a": right})
        assert report.verdict != Verdict.FAIL


def test_an_entry_of_another_size_condemns_no_gradient():
    """Steps that move an entry of 1e6 in float32 turn the sines of entries of 1."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        a = rng.normal(size=rng.integers(3, 20)).astype(np.float32)
        a[0] = rng.choice([1e6, 1e7])
        right = np.cos(a.astype(float)).astype(np.float32)
        right[0] = 1e-6

        def f(x):
            return np.float32(np.sum(np.sin(x["a"][1:])) + np.float32(1e-6) * x["a"][0])

        assert run(f, {"a": a}, {"a": right}).verdict != Verdict.FAIL
