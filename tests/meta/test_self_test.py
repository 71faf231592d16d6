"""Wrong gradients on purpose: the oracle sees each that its detection limit lets it see."""

import pytest

from oracle.checking import self_test
from oracle.values import InvalidInput


@pytest.mark.parametrize("dtype", self_test.DTYPES)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_visible_bug_fails_and_no_correct_gradient_does(dtype, seed):
    """A pass is worth as much as the bugs that would not have passed."""
    result = self_test.run(dtype=dtype, seed=seed)
    assert result.wrong > 50
    assert result.detected == result.wrong
    assert result.false_alarms == 0


@pytest.mark.parametrize("dtype", self_test.DTYPES)
def test_on_small_cases_bugs_are_named_rightly(dtype):
    """At least 95 of 100 failures are named rightly, at most 1 wrongly."""
    results = [self_test.run(dtype=dtype, seed=seed) for seed in range(2)]
    detected = sum(result.detected for result in results)
    assert sum(result.named for result in results) >= 0.95 * detected
    assert sum(result.misnamed for result in results) <= 0.01 * detected


def test_a_check_that_always_passes_is_caught():
    """The self-test itself can fail."""
    honest = self_test.run(seed=0)

    def lenient(parameters, x, t, gradient):
        from dataclasses import replace

        from oracle.checking import closed_form
        from oracle.values import Verdict

        report = closed_form.check_two_layer_net(parameters, x, t, gradient)
        return replace(report, verdict=Verdict.PASS, findings=())

    assert self_test.run(seed=0, check=lenient).detected == 0 < honest.detected


def test_sizes_and_types_that_make_no_case_are_refused():
    """A size of zero has no gradient."""
    with pytest.raises(InvalidInput, match="sizes"):
        self_test.run((0, 1, 1, 1))
    with pytest.raises(InvalidInput, match="dtype"):
        self_test.run(dtype="int8")
