"""The verdict on gradients of functions that are known only by their values."""

import math

import numpy as np
import pytest

from oracle.findings import FindingKind, InconclusiveReason
from oracle.values import Verdict
from tests.checking.black_box.caller import network, quadratic, run, smooth


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (1e-5, 0), (1e5, 0)])
def test_no_correct_gradient_fails(dtype, scale, offset):
    """The error bar covers rounding and truncation at every scale of the loss."""
    reports = [run(*smooth(seed, dtype, scale, offset)) for seed in range(10)]
    assert Verdict.FAIL not in [r.verdict for r in reports]
    assert dtype == "float32" or all(r.verdict == Verdict.PASS for r in reports)
    assert all(r.measurement.evaluations <= 400 for r in reports)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_wrong_entry_is_found_and_located(dtype):
    """Every direction of signs sees one wrong entry at its full weight."""
    for seed in range(5):
        f, x, g = smooth(seed, dtype)
        g["a"][2, 3] += 2
        report = run(f, x, g)
        assert report.verdict == Verdict.FAIL
        entries = [e.index for n in report.findings for e in n.entries]
        assert entries == [(2, 3)]


def test_a_float32_network_of_39760_parameters_is_settled():
    """Directions per tensor cost the same for any number of entries; many together know more."""
    report = run(*network(0))
    assert report.verdict == Verdict.PASS
    assert report.detection_limit <= 0.5
    assert report.measurement.evaluations <= 800
    assert report.measurement.miss_probability <= 0.01
    assert "at most 1 %." in report.notes[0]
    few = run(*network(0), max_evaluations=400)
    assert (few.verdict, few.reason) == (Verdict.INCONCLUSIVE, InconclusiveReason.BUDGET_SPENT)


def test_several_steps_narrow_the_limit_of_a_float32_network():
    """The noise of one difference alone would hide an error of the size of the largest entry."""
    report = run(*network(2, deviation=0.0357), max_evaluations=400)
    assert report.verdict == Verdict.PASS
    assert report.detection_limit < 0.2
    assert max(t.detection_limit for t in report.tensors if t.name != "W1") < 0.02


def test_coarser_steps_serve_a_function_that_is_straight_over_them():
    """A central difference of a quadratic has no truncation: the coarsest step has least noise."""
    report = run(*quadratic({"a": (20_000,)}, "float32"))
    assert report.verdict == Verdict.PASS
    assert report.detection_limit < 0.3


@pytest.mark.parametrize(("name", "times"), [("W1", 8.0), ("b2", 1.01)])
def test_one_wrong_entry_of_39760_is_located_in_2000_evaluations(name, times):
    """Halving the range of a direction finds an error beyond the limit that a pass states.

    That of W1 is known from many directions together: one of them shows some eight times as much.
    """
    f, x, g = network(0)
    passed = run(f, x, g)
    limit = next(t.detection_limit for t in passed.tensors if t.name == name)
    index = tuple(int(n) for n in np.random.default_rng(3).integers(0, x[name].shape))
    g[name][index] += times * limit * np.abs(g[name]).max()
    report = run(f, x, g)
    assert report.verdict == Verdict.FAIL
    assert [t.name for t in report.tensors if t.verdict == Verdict.FAIL] == [name]
    assert [e.index for n in report.findings for e in n.entries] == [index]


def test_the_probability_of_a_miss_is_stated_and_a_shortfall_noted():
    """23 directions miss with 0.8125^23; fewer evaluations allow fewer."""
    f, x, g = quadratic({"a": (40,)})
    assert run(f, x, g).measurement.miss_probability == pytest.approx(0.8125**23)
    report = run(f, x, g, max_evaluations=70)
    assert report.verdict == Verdict.PASS
    assert report.measurement.miss_probability > 0.01
    assert "70 evaluations" in report.notes[0]


def test_a_small_tensor_is_measured_entry_by_entry():
    """Entries are certain where directions are only likely to meet an error."""
    report = run(*quadratic({"a": (4, 5)}))
    assert report.verdict == Verdict.PASS
    assert report.measurement.miss_probability == 0


@pytest.mark.parametrize("slope", [-1.0, 0.0, 0.4, 1.0])
def test_a_subgradient_passes_and_is_called_one(slope):
    """At a kink any slope between the one-sided ones is right."""
    x = {"a": np.zeros(1)}
    report = run(lambda x: np.abs(x["a"]).sum(), x, {"a": np.array([slope])})
    assert report.verdict == Verdict.PASS
    assert [n.kind for n in report.findings] == [FindingKind.SUBGRADIENT]


def test_a_slope_beyond_both_sides_of_a_kink_fails():
    """The one-sided slopes of |x| at 0 are -1 and 1."""
    x = {"a": np.zeros(1)}
    report = run(lambda x: np.abs(x["a"]).sum(), x, {"a": np.array([1.5])})
    assert report.verdict == Verdict.FAIL


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_kink_in_one_of_several_entries_is_called_one(dtype):
    """The mean of both sides is what one central difference sees; the ladder of all sees a kink."""
    x = {"a": np.array([0.0, 0.7, -1.2, 0.4], dtype)}

    def f(x):
        return np.sum(np.sin(x["a"])) + x["a"].dtype.type(1.7) * np.maximum(x["a"][0], 0)

    right = np.cos(x["a"])
    right[0] += 0.85
    report = run(f, x, {"a": right.astype(dtype)})
    assert report.verdict == Verdict.PASS
    assert [n.kind for n in report.findings] == [FindingKind.SUBGRADIENT]


def test_a_jump_is_told():
    """The second difference over the step grows without bound."""
    x = {"a": np.zeros(1)}
    report = run(lambda x: np.where(x["a"] > 0, 1.0, 0.0).sum(), x, {"a": np.zeros(1)})
    assert report.reason == InconclusiveReason.JUMP


def test_chance_in_the_function_is_told():
    """x itself is evaluated with every ask, the last included."""
    rng = np.random.default_rng(0)
    f, x, g = smooth(0, "float64")
    report = run(lambda x: f(x) + rng.normal(), x, g)
    assert report.reason == InconclusiveReason.NOT_DETERMINISTIC
    assert not report.measurement.deterministic


def test_noise_is_measured_and_told():
    """Noise that a second call repeats is seen by the difference table."""
    f, x, g = smooth(0, "float64")

    def noisy(x):
        return f(x) + 10 * math.sin(1e15 * float(f(x)))

    report = run(noisy, x, g)
    assert report.reason == InconclusiveReason.NOISE
    assert report.measurement.noise > 1


def test_a_resolution_that_the_noise_forbids_is_told():
    """The bar cannot be narrower than the rounding of f."""
    report = run(*smooth(0, "float32"), resolution=1e-9)
    assert report.reason == InconclusiveReason.RESOLUTION


def test_an_undefined_point_is_told():
    """Without f(x) there is no difference to take."""
    report = run(lambda x: x["a"].sum() * np.nan, {"a": np.ones(3)}, {"a": np.ones(3)})
    assert report.reason == InconclusiveReason.DOMAIN


def test_too_few_evaluations_are_told_before_any_is_spent():
    """A ladder in every tensor is the least that a verdict needs."""
    report = run(*smooth(0, "float64"), max_evaluations=20)
    assert report.reason == InconclusiveReason.BUDGET_SPENT
    assert report.measurement.evaluations == 0


def strict(function):
    """Raise FloatingPointError where NumPy would give NaN or infinity."""

    def inside(x):
        with np.errstate(all="raise"):
            return np.sum(function(x["a"]))

    return inside


@pytest.mark.parametrize("distance", [1e-1, 1e-3, 1e-6, 1e-9])
def test_the_edge_of_the_domain_is_respected(distance):
    """Steps that leave the domain of log are left out."""
    x = {"a": np.array([distance, 2 * distance, 1.0])}
    assert run(strict(np.log), x, {"a": 1 / x["a"]}).verdict == Verdict.PASS
    assert run(strict(np.log), x, {"a": 1.1 / x["a"]}).verdict == Verdict.FAIL


def test_one_side_is_enough_at_an_edge():
    """x sqrt(x) has a derivative at 0 although it has values on one side only."""
    f = strict(lambda a: a * np.sqrt(a) + 3 * a)
    x = {"a": np.array([0.0])}
    assert run(f, x, {"a": np.array([3.0])}).verdict == Verdict.PASS
    assert run(f, x, {"a": np.array([3.5])}).verdict == Verdict.FAIL


def test_a_constant_function_has_no_gradient():
    """Zero is right, although there is no slope to compare an error with."""
    x = {"a": np.ones(30)}
    assert run(lambda _: np.float64(5), x, {"a": np.zeros(30)}).verdict == Verdict.PASS
    assert run(lambda _: np.float64(5), x, {"a": np.ones(30)}).verdict == Verdict.FAIL


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_zero_passes_where_the_function_is_stationary(dtype):
    """Slopes further away say how small the measured ones are."""
    x = {"a": np.zeros(30, dtype)}

    def f(x):
        return np.sum(np.cos(x["a"]))

    assert run(f, x, {"a": np.zeros(30, dtype)}).verdict == Verdict.PASS
    assert run(f, x, {"a": np.full(30, 0.5, dtype)}).verdict == Verdict.FAIL


def test_kinks_on_both_sides_do_not_condemn_a_gradient():
    """They move both one-sided slopes alike, at every step that float32 resolves."""
    kind = np.float32

    def f(x):
        a = x["a"][0] * kind(1)
        bends = np.maximum(a - kind(2e-3), 0) - np.maximum(-a - kind(2e-3), 0)
        return kind(1) + kind(0.01) * (a + kind(3) * bends)

    report = run(f, {"a": np.zeros(1, kind)}, {"a": np.full(1, 0.01, kind)})
    assert report.verdict != Verdict.FAIL


@pytest.mark.parametrize("most", [60, 90, 150, 400])
def test_no_budget_is_exceeded_or_fails_a_right_gradient(most):
    """The caller of these tests counts every evaluation."""
    for dtype in ("float64", "float32"):
        report = run(*smooth(3, dtype), max_evaluations=most)
        assert report.verdict != Verdict.FAIL
        f, x, g = smooth(3, dtype)
        g["a"] = -g["a"]
        assert run(f, x, g, max_evaluations=most).verdict != Verdict.PASS


@pytest.mark.parametrize("slope", [0.0, 1.0, 1e6])
@pytest.mark.parametrize("function", [np.cbrt, lambda a: np.sqrt(np.abs(a))])
@pytest.mark.parametrize("n", [1, 5])
def test_no_slope_passes_where_the_slopes_grow_without_bound(slope, function, n):
    """Steep differences beside x tell no size that an error could be small against."""
    x = {"a": np.zeros(n)}
    for more in (0, 1):
        report = run(
            lambda x, more=more: np.sum(function(x["a"]) + more * x["a"]),
            x,
            {"a": np.full(n, slope)},
        )
        assert report.verdict != Verdict.PASS
