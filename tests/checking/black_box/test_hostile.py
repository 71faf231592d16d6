"""Whatever a caller answers, its conversation ends with a report and within its budget."""

from __future__ import annotations

import math
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.checking.black_box import judgement
from oracle.checking.black_box.conversation import Answer, CheckTask, Evaluation, TensorSpec

TINY, HUGE = 5e-324, 1.7e308
SIZES = st.sampled_from([0.0, TINY, 1e-160, 1e-30, 1e-3, 1.0, 1e6, 1e160, HUGE])
DTYPES = st.sampled_from(["float64", "float32", "float16", "bfloat16"])


def specs():
    """Return tensors with any finite numbers, also such as no tensor has."""
    return st.builds(
        lambda shape, dtype, *numbers: TensorSpec("a", shape, dtype, math.prod(shape), *numbers),
        st.sampled_from([(), (1,), (5,), (3, 4), (40,), (100, 300)]),
        DTYPES,
        SIZES,
        SIZES,
        SIZES,
        SIZES,
    )


def tasks():
    """Return tasks with any effort."""
    return st.builds(
        CheckTask,
        st.lists(specs(), min_size=1, max_size=3).map(tuple),
        DTYPES,
        resolution=st.sampled_from([None, TINY, 1e-3, 1e300]),
        max_evaluations=st.sampled_from([1, 40, 300, 2_000]),
        miss_probability=st.sampled_from([0.01, 0.999, 1e-9]),
        seed=st.integers(0, 9),
    )


def scattered(probe):
    """Return a number in [-1, 1] that depends on the probe without any regularity."""
    return math.sin(1e6 * math.sin(math.frexp(probe.step)[0] * 7 + probe.begin + probe.seed % 99))


VALUES = {
    "constant": lambda _: 3.0,
    "sine": lambda p: math.sin(p.step % 1e3),
    "bent": lambda p: abs(p.step),
    "bent beside": lambda p: max(0.0, p.step - 1e-3),
    "stairs": lambda p: math.floor(min(1e6, max(-1e6, p.step)) * 1e3),
    "steep": lambda p: math.copysign(abs(p.step) ** (1 / 3), p.step),
    "hostile": lambda p: HUGE * scattered(p),
    "huge on one side": lambda p: HUGE if p.step > 0 else -HUGE,
    "infinite": lambda p: math.inf if p.step > 0 else 1.0,
    "nowhere else": lambda p: math.nan if p.step else 1.0,
    "nowhere": lambda _: math.nan,
    "here and there": lambda p: math.nan if scattered(p) > 0 else p.step,
    "least": lambda p: TINY if p.step > 0 else 0.0,
    "chance": scattered,
}
PREDICTIONS = {
    "none": lambda _: 0.0,
    "straight": lambda p: p.step,
    "huge": lambda p: HUGE * scattered(p),
    "not finite": lambda p: math.inf * p.step,
    "chance": scattered,
}


def converse(task, value, predicted, moved):
    """Answer until there is a report."""
    check, answer, count = judgement.check(task), None, 0
    while True:
        try:
            ask = check.send(answer)
        except StopIteration as stop:
            return stop.value, count
        count += len(ask.probes)
        answers = []
        for probe in ask.probes:
            number = value(probe)
            outside = not math.isfinite(number)
            answers.append(Evaluation(number, predicted(probe), moved(probe), outside))
        answer = Answer(tuple(answers))


@given(
    task=tasks(),
    value=st.sampled_from(sorted(VALUES)),
    predicted=st.sampled_from(sorted(PREDICTIONS)),
    moved=st.sampled_from([lambda p: abs(p.step), lambda _: 0.0, lambda _: math.inf]),
)
def test_every_conversation_ends_with_a_report_and_within_its_budget(task, value, predicted, moved):
    """The answers are the caller's: no number in them may be taken for granted."""
    report, count = converse(task, VALUES[value], PREDICTIONS[predicted], moved)
    assert report.measurement.evaluations == count <= task.max_evaluations


def one(shape=(), dtype="float64", largest=0.0, gradient=0.0):
    """Return a task of one tensor whose entries, and whose gradient's, are all the same."""
    size = math.prod(shape)
    norm = gradient * math.sqrt(size)
    spec = TensorSpec("a", shape, dtype, size, largest, largest**2, gradient, norm)
    return CheckTask((spec,), dtype)


@pytest.mark.parametrize(
    ("task", "value"),
    [
        (one(), lambda p: p.step**2 * math.exp(-((p.step / 0.01) ** 2))),
        (one(), lambda p: p.step**2 * max(0.0, 1 - (p.step / 0.05) ** 2) ** 3),
        (one((40,), "float32"), lambda p: 1e-9 * max(0.0, p.step - 0.1)),
        (one((40,), "float32", largest=1.0), lambda p: HUGE * math.sin(7 * p.step + 1)),
        (one((5,)), lambda p: HUGE / 4 * math.cos(p.step)),
    ],
)
def test_functions_that_vanish_or_overflow_beside_x_are_judged(task, value):
    """A second difference may be 0, or more than a number can be, and a bar as well."""
    report, _ = converse(task, value, lambda _: 0.0, lambda p: abs(p.step))
    assert report.verdict in {"pass", "inconclusive"}


@pytest.mark.parametrize("value", ["sine", "bent", "bent beside", "chance"])
def test_the_memory_of_a_check_does_not_grow_with_the_tensors(value):
    """A direction over a billion entries is one seed."""
    task = one((1_000, 1_000, 1_000), "float32", largest=1.0, gradient=1e-5)
    tracemalloc.start()
    try:
        converse(task, VALUES[value], lambda _: 0.0, lambda p: abs(p.step))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # 2,000 evaluations with their probes and rows take half a kilobyte each.
    assert peak < 2**22
