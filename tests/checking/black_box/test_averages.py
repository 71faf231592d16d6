"""Gradients and functions of half precision, and coarse ones: what many directions show."""

import ml_dtypes
import numpy as np
import pytest

from oracle.checking.black_box.averages import Scatter
from oracle.findings import FindingKind, InconclusiveReason
from oracle.values import Verdict
from tests.checking.black_box.caller import run

HALVES = [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]


@pytest.mark.parametrize("dtype", [np.dtype(np.float32), *HALVES])
@pytest.mark.parametrize("n", [5, 300])
def test_the_rounding_of_a_gradient_is_that_of_its_own_type(dtype, n):
    """A kernel in half precision, whose reference is evaluated in float64 at its inputs."""
    x = {"a": np.random.default_rng(n).normal(size=n)}
    right = {"a": np.cos(x["a"]).astype(dtype)}
    report = run(lambda p: np.sum(np.sin(p["a"])), x, right)
    assert report.verdict is Verdict.PASS
    assert report.detection_limit <= 0.5
    assert (report.candidate_dtype, report.measurement.argument_dtype) == (dtype.name, "float64")
    wrong = {"a": (1.3 * np.cos(x["a"])).astype(dtype)}
    assert run(lambda p: np.sum(np.sin(p["a"])), x, wrong).verdict is Verdict.FAIL


def test_the_limit_of_a_mean_square_follows_from_its_tail():
    """exp(-N t^2 / 6) = 0.01 at t = 0.33 for 256 directions: 82 % of an error shows."""
    scatter = Scatter(0.1, np.full(256, 0.5), np.ones(256), 1.0)
    assert scatter.seen(0.01, 256) == pytest.approx(
        1.5 / np.sqrt(1 - np.sqrt(6 * np.log(100) / 256))
    )
    assert scatter.seen(1e-30, 256) == np.inf
    assert (scatter.lost, scatter.uncertainty) == (0.5, 1 / 16)


def rounded(a, bits):
    """Return float32 numbers with so many bits of mantissa: TF32 has 10, bfloat16 7."""
    word = a.astype(np.float32).view(np.uint32)
    half = np.uint32(1 << (22 - bits))
    return ((word + half) & np.uint32(0xFFFFFFFF << (23 - bits) & 0xFFFFFFFF)).view(np.float32)


def product(seed, bits=10):
    """Return a loss whose matrix product rounds its inputs, at a point, and its gradient."""
    rng = np.random.default_rng(seed)
    X, W, c = (rng.normal(size=s).astype(np.float32) for s in ((16, 10), (10, 6), (16, 6)))

    def f(p):
        return np.float32(
            np.sum(np.tanh(rounded(X, bits) @ rounded(p["W"], bits)) * c, dtype=np.float32)
        )

    return f, {"W": W}, (X.T @ ((1 - np.tanh(X @ W) ** 2) * c)).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("factor", "kind"),
    [
        (-1, FindingKind.SIGN_FLIPPED),
        (0, FindingKind.ZERO_TENSOR),
        (3, FindingKind.TENSOR_FACTOR),
    ],
)
def test_sign_zero_and_factor_are_told_where_a_product_rounds_its_inputs(seed, factor, kind):
    f, x, g = product(seed)
    assert run(f, x, {"W": g}).verdict is not Verdict.FAIL
    report = run(f, x, {"W": np.float32(factor) * g})
    assert report.verdict is Verdict.FAIL
    assert report.findings[0].kind is kind


def stairs(seed):
    """Return a sum of rounded entries, a point, and the slopes of what was rounded."""
    rng = np.random.default_rng(seed)
    x, w = 3 * rng.normal(size=20), rng.normal(size=20)
    return (lambda p: float(w @ (np.round(100 * p["a"]) / 100))), {"a": x}, w


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("factor", [0.0, 1.0])
def test_of_stairs_neither_0_nor_what_passes_straight_through_is_condemned_or_passed(seed, factor):
    """On a stair the derivative is 0, over many of them it is w: the stairs are what is said."""
    f, x, w = stairs(seed)
    report = run(f, x, {"a": factor * w}, seed=seed)
    assert (report.verdict, report.reason) == (Verdict.INCONCLUSIVE, InconclusiveReason.NOISE)
    [finding] = report.findings
    assert finding.kind is FindingKind.STAIRS
    assert finding.evidence["width"] < 0.01
    assert 0 < finding.evidence["height"] < 0.03


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("seed", range(2))
def test_a_layer_norm_in_half_precision_is_told_from_one_that_forgets_a_mean(dtype, seed):
    """A pass excludes half of the largest entry; what is smooth has no kink and no jump."""
    rng = np.random.default_rng(seed)
    x, c = (rng.normal(size=(8, 32)).astype(dtype) for _ in range(2))

    def normal(x):
        x = x.astype(np.float64)
        return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)

    def f(p):
        return np.float32(np.sum((normal(p["x"]) * c.astype(float)).astype(dtype).astype(float)))

    h, d = normal(x), c.astype(float)
    r = 1 / np.sqrt(x.astype(float).var(1, keepdims=True) + 1e-5)
    mean = d.mean(1, keepdims=True)
    right = r * (d - mean - h * (d * h).mean(1, keepdims=True))
    told = {}
    for name, g in (("right", right), ("sign", -right), ("twice the mean", right - r * mean)):
        told[name] = run(f, {"x": x}, {"x": g.astype(dtype)})
        shapes = {InconclusiveReason.KINK, InconclusiveReason.JUMP, InconclusiveReason.DOMAIN}
        assert told[name].reason not in shapes
    assert told["right"].verdict is not Verdict.FAIL
    assert told["right"].detection_limit <= 0.5 or told["right"].verdict is not Verdict.PASS
    assert told["sign"].verdict is Verdict.FAIL
    assert told["twice the mean"].verdict is not Verdict.PASS
