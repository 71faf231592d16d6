"""Networks of rectifiers: their directions cross kinks at every step that float32 can resolve."""

import numpy as np
import pytest

from oracle.checking.black_box import crowd, kinks
from oracle.checking.black_box.differences import Row
from oracle.findings import InconclusiveReason
from oracle.values import Verdict
from tests.checking.black_box.caller import network, run


def rectifiers(seed):
    """Return a network of rectifiers of random size, its point and its gradient."""
    rng = np.random.default_rng([5, seed])
    sizes = (int(10 ** rng.uniform(1, 2.9)), 50, 10)
    samples = int(10 ** rng.uniform(0, 2))
    return network(seed, sizes=sizes, samples=samples, deviation=0.1, rectified=True)


def test_correct_gradients_pass_with_a_limit_that_excludes_half_or_stay_open():
    """Scatter that second differences explain takes nothing from a pass; what it hides does."""
    reports = [run(*rectifiers(seed)) for seed in range(12)]
    verdicts = [report.verdict for report in reports]
    assert Verdict.FAIL not in verdicts
    assert verdicts.count(Verdict.INCONCLUSIVE) <= 4
    passes = [report for report in reports if report.verdict is Verdict.PASS]
    assert max(report.detection_limit for report in passes) <= 0.5
    assert np.quantile([report.measurement.evaluations for report in passes], 0.5) <= 400


def test_more_evaluations_narrow_a_limit_that_says_little():
    """A direction over fewer entries meets fewer kinks, and many directions know more than one."""
    for seed in (0, 1, 5):
        before = run(*rectifiers(seed), max_evaluations=450).detection_limit
        after = run(*rectifiers(seed), max_evaluations=4_000).detection_limit
        assert before > 1
        assert after < before


def test_an_entry_that_only_a_part_sees_does_not_pass():
    """It is below the limit of directions over all entries, and beyond that of its part."""
    for seed in (1, 5, 10):
        f, x, g = rectifiers(seed)
        first, narrow = (
            next(t.detection_limit for t in run(f, x, g, **effort).tensors if t.name == "W1")
            for effort in ({"max_evaluations": 450}, {"max_evaluations": 4_000})
        )
        g["W1"][3, 7] += (first + narrow) / 2 * np.abs(g["W1"]).max()
        assert narrow < first / 2
        assert run(f, x, g, max_evaluations=4_000).verdict != Verdict.PASS


@pytest.mark.parametrize("name", ["W1", "b1"])
def test_no_grossly_wrong_gradient_passes(name):
    """It scatters by more than the kinks do, and its scatter does not fall with the step."""
    spoil = {
        "sign": np.negative,
        "factor": lambda g: 2 * g,
        "zero": np.zeros_like,
        "order": lambda g: np.ascontiguousarray(g.T[::-1]).reshape(g.shape),
    }
    for seed in range(5):
        f, x, g = rectifiers(seed)
        for wrong in spoil.values():
            report = run(f, x, {**g, name: wrong(g[name])})
            assert report.verdict != Verdict.PASS


def test_an_entry_beyond_the_limit_does_not_pass():
    """One entry shows in every direction, so that all of them lie beyond their common bar."""
    for seed in range(5):
        f, x, g = rectifiers(seed)
        report = run(f, x, g)
        limit = next(t.detection_limit for t in report.tensors if t.name == "W1")
        wrong = g["W1"].copy()
        wrong[3, 7] += 1.05 * limit * np.abs(wrong).max()
        report = run(f, x, {**g, "W1": wrong})
        assert report.verdict != Verdict.PASS


def test_the_best_step_balances_kinks_and_noise():
    """For the mean square a h + 6 s^2 / h^2 of second differences it is the least one."""

    class Known:
        level, stairs, unit, value = 1e-7, 0.0, 0.0, 0.0

    bends, kept = 0.3, crowd.NORMAL_MEDIAN
    table = [Row(h, 0, 0, 0, kept * (bends * h) ** 0.5, 0, 0) for h in (1e-3, 1e-2, 1e-1)]
    step = crowd.best_step(Known(), table)

    def spoiled(h):
        return bends * h + 6 * Known.level**2 / h**2

    assert spoiled(step) < min(spoiled(0.99 * step), spoiled(1.01 * step))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_kinks_at_x_that_cancel_in_every_direction_do_not_condemn(dtype):
    """Rectifiers at 0 whose weights add up to 0: both sides of each direction rise alike."""
    for seed in range(5):
        weights = np.random.default_rng(seed).normal(size=40).astype(dtype)
        weights[-1] -= weights.sum()
        x = {"a": np.zeros(40, dtype)}

        def f(x, weights=weights):
            return np.sum(weights * np.maximum(x["a"], 0))

        assert run(f, x, {"a": np.zeros(40, dtype)}).verdict != Verdict.FAIL
        assert run(f, x, {"a": np.full(40, 9, dtype)}).verdict != Verdict.PASS


def test_two_steps_that_look_smooth_do_not_vouch_for_coarser_ones():
    """The second difference of kinks further away is constant, then falls with them."""
    gaps = [4.2e-1, 4.2e-1, 4e-1, 3.3e-1, 2e-1, 1e-1]
    table = [Row(2.0**-k, 0.04, 0, 1e-3, gap, 0.25, -0.17) for k, gap in enumerate(gaps)]
    assert not kinks.no_kink_explains(table, 1)
    assert kinks.no_kink_explains(table, 5)


@pytest.mark.parametrize("seed", [28, 139, 141])
def test_a_function_that_is_defined_everywhere_is_not_told_to_lack_values(seed):
    """Directions that are looked at together have one step, and are not judged as if by several."""
    f, x, g = network(seed, sizes=(5, 7, 2), samples=4, deviation=0.3, rectified=True)
    g["W1"][1] *= 3
    report = run(f, x, g)
    assert report.verdict != Verdict.PASS
    assert report.reason != InconclusiveReason.DOMAIN
