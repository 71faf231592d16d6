"""Errors add up by how they depend on each other, and keep that wherever numbers are moved."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.arithmetic.dtypes import arithmetic
from oracle.arithmetic.errors import (
    MARGIN,
    ONE_SIGN,
    SAFETY,
    Error,
    independent,
    largest,
    one_sign,
)
from oracle.arithmetic.float64 import Float64Numbers
from oracle.arithmetic.rounded import Rounded, RoundedNumbers

HOW = arithmetic("float64")
XP = RoundedNumbers(HOW)


def uncertain(bound, axes):
    """Return zeros whose entries are off independently of each other along some axes."""
    bound = np.asarray(bound)
    return Rounded(np.zeros(bound.shape), independent(bound, dict.fromkeys(axes, 1)), HOW)


def test_independent_errors_add_by_squares_and_those_of_one_sign_by_size():
    bound = np.array([3.0, 4.0])
    assert np.isclose(XP.sum(uncertain(bound, [0])).off, 5.0)
    assert np.isclose(XP.sum(uncertain(bound, [])).off, 7.0)
    sure = Rounded(np.zeros(2), one_sign(bound), HOW)
    assert np.isclose(XP.sum(sure).off, 7.0)


def test_a_budget_has_its_margins():
    shape = (2,)
    error = one_sign(np.full(2, 2.0)).plus(independent(np.full(2, 3.0), {0: 1}))
    error = error.plus(independent(np.full(2, 4.0), {}))
    assert np.allclose(error.total(shape), 9.0)
    assert np.allclose(error.budget(shape), MARGIN * 2.0 + SAFETY * 5.0)
    assert np.array_equal(Error().budget(shape), [0.0, 0.0])
    assert Error().nothing
    assert not error.nothing


def test_squares_that_underflow_are_added_by_size():
    error = independent(np.full(1, 1e-200), {0: 1}).plus(independent(np.full(1, 1e-200), {}))
    assert np.allclose(error.budget((1,)), SAFETY * 2e-200, rtol=1e-12, atol=0.0)
    many = uncertain(np.full(4, 1e-200), [0])
    assert np.allclose(XP.sum(many).off, 4e-200, rtol=1e-12, atol=0.0)


def test_copies_err_alike_in_groups():
    error = independent(np.full(4, 1.0), {0: 2})
    assert np.isclose(XP.sum(Rounded(np.zeros(4), error, HOW)).off, np.sqrt(8.0))


def test_parts_of_one_key_add_up_and_keep_the_larger_group():
    found = independent(np.ones(3), {0: 2}).plus(independent(np.ones(3), {0: 5}))
    (part,) = found.parts.values()
    assert np.array_equal(part.bound, [2.0, 2.0, 2.0])
    assert part.copies == {0: 5}


def test_the_largest_is_taken_part_by_part():
    a = one_sign(np.array([1.0, 5.0])).plus(independent(np.array([2.0, 2.0]), {0: 1}))
    found = largest([a, one_sign(np.array([3.0, 4.0]))])
    assert np.array_equal(found.parts[ONE_SIGN].bound, [3.0, 5.0])
    assert np.array_equal(found.parts[frozenset({0})].bound, [2.0, 2.0])


def test_an_error_is_scaled_and_bounded_entry_by_entry():
    error = one_sign(np.array([1.0, 4.0]))
    assert np.array_equal(error.times(np.array([2.0, 3.0])).total((2,)), [2.0, 12.0])
    assert np.array_equal(error.at_most(2.0).total((2,)), [1.0, 2.0])


MOVES = {
    "transpose": lambda draw, x: ("transpose", draw(st.permutations(range(x.ndim)))),
    "flip": lambda draw, x: ("flip", [draw(st.integers(0, x.ndim - 1))]),
    "expand_dims": lambda draw, x: ("expand_dims", draw(st.integers(0, x.ndim))),
    "merge": lambda draw, x: ("reshape", merged(draw, x.shape)),
    "split": lambda draw, x: ("reshape", split(draw, x.shape)),
    "repeat": lambda draw, x: ("broadcast_to", (draw(st.integers(2, 3)), *x.shape)),
    "widen": lambda _, x: ("broadcast_to", tuple(3 if n == 1 else n for n in x.shape)),
    "take": lambda draw, x: ("take", *taken(draw, x)),
    "part": lambda draw, x: (
        "part",
        [slice(None, None, draw(st.sampled_from([1, 2, -1])))] * x.ndim,
    ),
    "pad": lambda draw, x: ("pad", [(draw(st.integers(0, 1)), 1)] * x.ndim),
}


def merged(draw, shape):
    if len(shape) < 2:
        return shape
    k = draw(st.integers(0, len(shape) - 2))
    return (*shape[:k], shape[k] * shape[k + 1], *shape[k + 2 :])


def split(draw, shape):
    k = draw(st.integers(0, len(shape) - 1))
    halves = (2, shape[k] // 2) if shape[k] % 2 == 0 else (1, shape[k])
    return (*shape[:k], *halves, *shape[k + 1 :])


def taken(draw, x):
    axis = draw(st.integers(0, x.ndim - 1))
    rows = st.lists(st.integers(0, x.shape[axis] - 1), min_size=1, max_size=4)
    return np.array(draw(rows)), axis


@given(data=st.data())
def test_a_sum_of_moved_numbers_is_as_uncertain_as_it_really_is(data):
    """What errors independently along some axes is perturbed along these: the truth is a matrix.

    If an axis were taken for another one, a sum over copies of one error would count as one over
    different errors, and its bound would be too small.
    """
    shape = data.draw(st.sampled_from([(4,), (2, 3), (4, 1), (2, 1, 3), (3, 2, 2)]), label="shape")
    axes = data.draw(st.sets(st.integers(0, len(shape) - 1)), label="independent along")
    bound = np.random.default_rng(0).uniform(1.0, 2.0, size=shape)
    program = []
    probe = np.zeros(shape)
    plain = Float64Numbers()
    for name in data.draw(st.lists(st.sampled_from(sorted(MOVES)), max_size=4), label="moves"):
        if not probe.ndim or probe.size > 200:
            break
        call, *rest = MOVES[name](data.draw, probe)
        program.append((call, rest))
        probe = np.asarray(getattr(plain, call)(probe, *rest))
    over = data.draw(st.sets(st.integers(0, probe.ndim - 1)), label="summed over")

    def run(xp, x):
        for call, rest in program:
            x = getattr(xp, call)(x, *rest)
        return xp.sum(x, tuple(over)) if over else x

    # One perturbation for each place along the independent axes, the same along the others.
    sources = np.indices(shape).reshape(len(shape), -1)
    keys = [tuple(column[sorted(axes)]) for column in sources.T]
    squares = 0.0
    for key in dict.fromkeys(keys):
        moved = np.array([b if k == key else 0.0 for b, k in zip(bound.ravel(), keys, strict=True)])
        squares = squares + np.asarray(run(plain, moved.reshape(shape))) ** 2
    got = run(XP, uncertain(bound, axes)).off
    assert np.all(got >= np.sqrt(squares) * (1 - 1e-9))


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_independence_survives_a_transpose(order, axis):
    """The bound is no more than the truth, either: n errors count as √n where they stay apart."""
    x = XP.transpose(uncertain(np.ones((2, 3, 5)), [axis]), order)
    place = order.index(axis)
    for k in range(3):
        n = x.shape[k]
        expected = np.sqrt(n) if k == place else n
        assert np.allclose(XP.sum(x, k).off, expected)


def test_independence_survives_a_reshape_that_keeps_the_axis():
    x = uncertain(np.ones((2, 3, 5)), [0])
    assert np.allclose(XP.sum(XP.reshape(x, (2, 15)), 0).off, np.sqrt(2.0))
    assert np.allclose(XP.sum(XP.reshape(x, (2, 15)), 1).off, 15.0)
    assert np.allclose(XP.sum(XP.reshape(x, (1, 2, 3, 5)), 1).off, np.sqrt(2.0))
    assert np.allclose(XP.sum(XP.reshape(x, (6, 5)), 0).off, 6.0)


def test_what_was_broadcast_errs_alike():
    x = XP.broadcast_to(uncertain(np.ones(3), [0]), (4, 3))
    assert np.allclose(XP.sum(x, 0).off, 4.0)
    assert np.allclose(XP.sum(x, 1).off, np.sqrt(3.0))
    assert np.allclose(XP.unbroadcast(x, (3,)).off, 4.0)


def test_entries_that_are_taken_twice_err_alike():
    x = uncertain(np.ones(3), [0])
    assert np.allclose(XP.sum(XP.take(x, np.array([2, 2]), 0)).off, 2.0)
    assert np.allclose(XP.sum(XP.take(x, np.array([2, 0]), 0)).off, np.sqrt(2.0))


def test_errors_of_both_factors_reach_a_product():
    a, b = uncertain(np.ones((2, 4)), [0, 1]), uncertain(np.ones((4, 3)), [])
    left = Rounded(np.full((2, 4), 2.0), a.error, HOW)
    right = Rounded(np.full((4, 3), 3.0), b.error, HOW)
    parts = XP.matmul(left, right).error.parts
    assert np.allclose(parts[frozenset({0})].bound, 3.0 * 2.0)
    assert np.allclose(parts[frozenset()].bound, 2.0 * 4.0)


def test_rows_that_are_added_keep_their_independence():
    x = uncertain(np.ones((4, 3)), [0, 1])
    added = XP.scatter_add(x, np.array([0, 1, 0, 0]), 2)
    assert np.allclose(added.off, np.sqrt([[3.0], [1.0]]))
    alike = XP.scatter_add(uncertain(np.ones((4, 3)), [1]), np.array([0, 1, 0, 0]), 2)
    assert np.allclose(alike.off, [[3.0] * 3, [1.0] * 3])
