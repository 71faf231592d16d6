"""What libraries compute of a function stays within its bound, wherever its argument is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.arithmetic.balls import BallNumbers, enclose
from oracle.arithmetic.dtypes import ROUNDING, arithmetic
from oracle.arithmetic.float64 import Float64Numbers
from oracle.arithmetic.rounded import RoundedNumbers
from tests.operators.evaluated import Evaluated

DTYPES = ("float64", "float32")

SIGNED = {"exp", "expm1", "tanh", "tanh_slope", "sigmoid", "sigmoid_slope", "softplus", "erf"}
ANGLES = {"sin", "cos"}
POSITIVE = {"log", "sqrt"}

CANCELS = {"expm1", "log1p", "softplus", "sigmoid", "sigmoid_slope", "tanh_slope"} | ANGLES
"""Functions of which a usual form adds 1, takes something from it, or reduces an angle."""

FUNCTIONS = sorted(SIGNED | ANGLES | POSITIVE | {"log1p"})


def exponents(dtype):
    """Return the exponents of 2 of the numbers of a type, from subnormal to largest."""
    return (-1074, 1023) if dtype == "float64" else (-149, 127)


@st.composite
def arguments(draw, name, dtype):
    """Return arguments of all sizes, as far as the function is finite there."""
    lowest, highest = exponents(dtype)
    largest = 700.0 if dtype == "float64" else 85.0
    if name in ANGLES:
        highest = 20
    elif name in {"exp", "expm1"}:
        highest = int(np.log2(largest))
    elif name not in POSITIVE:
        highest = 13
    size = st.integers(lowest, highest - 1)
    one = st.builds(lambda m, e: float(np.ldexp(m, e)), st.floats(1.0, 2.0), size)
    if name == "log1p":
        one = st.one_of(one, st.floats(-0.999, 0.0))
    elif name not in POSITIVE:
        one = st.builds(lambda x, s: x * s, one, st.sampled_from([-1.0, 1.0]))
    near = st.floats(-8.0, 8.0) if name in SIGNED | ANGLES else st.floats(0.5, 2.0)
    numbers = draw(st.lists(st.one_of(one, near), min_size=1, max_size=12))
    held = np.array(numbers).astype(dtype)
    return np.where(held == 0.0, np.finfo(dtype).tiny, held).astype(dtype)


def exactly(of):
    """Return what a formula gives in balls, and by what that may be off."""
    proven, _ = enclose(lambda xp: {"y": of(xp)})
    return proven.tensors["y"], proven.radius["y"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
@given(data=st.data())
def test_a_library_s_function_is_within_its_bound(name, dtype, data):
    """The argument is known exactly: what is left is the function's own rounding."""
    x = data.draw(arguments(name, dtype), label="x")

    def of(xp):
        return getattr(xp, name)(xp.held(x))

    exact, radius = exactly(of)
    bound = of(RoundedNumbers(arithmetic(dtype)))
    with np.errstate(all="ignore"):
        theirs = of(Evaluated(dtype)).astype(np.float64)
    assert np.all(np.abs(theirs - exact) <= bound.budget + radius)
    assert np.all(np.abs(bound.value - exact) <= bound.budget + radius)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
@given(data=st.data())
def test_the_error_of_an_argument_is_followed(name, dtype, data):
    """An argument that was rounded before moves the result as far as the function is steep."""
    x = data.draw(arguments(name, dtype), label="x")
    factor = np.asarray(data.draw(st.floats(0.5, 1.0), label="factor")).astype(dtype)

    def of(xp):
        return getattr(xp, name)(xp.held(x) * xp.held(factor) / xp.held(np.asarray(3.0, dtype)))

    exact, radius = exactly(of)
    with np.errstate(all="ignore"):
        bound = of(RoundedNumbers(arithmetic(dtype)))
        theirs = of(Evaluated(dtype)).astype(np.float64)
    known = np.isfinite(bound.budget)
    assert np.all((np.abs(theirs - exact) <= bound.budget + radius)[known])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
@given(data=st.data())
def test_a_bound_is_no_more_than_a_few_roundings(name, dtype, data):
    """Of an exact argument some ten units in the last place, of 1 where usual forms cancel."""
    x = data.draw(arguments(name, dtype), label="x")
    bound = getattr(RoundedNumbers(arithmetic(dtype)), name)
    got = bound(RoundedNumbers(arithmetic(dtype)).held(x))
    rounding = ROUNDING[dtype]
    size = np.abs(got.value) + (name in CANCELS)
    assert np.all(got.budget <= 30.0 * rounding.u * size + 30.0 * max(rounding.tiny, rounding.lost))


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_a_power_is_within_its_bound(dtype, data):
    """By a positive base, a whole exponent of any base, and errors of both."""
    size = st.integers(-6, 6)
    one = st.builds(lambda m, e: float(np.ldexp(m, e)), st.floats(1.0, 2.0), size)
    x = np.array(data.draw(st.lists(one, min_size=1, max_size=8), label="x")).astype(dtype)
    whole = data.draw(st.booleans(), label="whole exponents")
    exponent = st.integers(-4, 4).map(float) if whole else st.floats(-4.0, 4.0)
    y = np.array(data.draw(exponent, label="y")).astype(dtype)
    third = np.asarray(3.0, dtype)
    rounded_base = data.draw(st.booleans(), label="the base was rounded before")
    rounded_exponent = not whole and data.draw(st.booleans(), label="the exponent was")
    signs = np.where(whole * (np.arange(len(x)) % 2), -1.0, 1.0).astype(dtype)

    def of(xp):
        base, to = xp.held(x * signs), xp.held(y)
        base = base / xp.held(third) if rounded_base else base
        return xp.power(base, to / xp.held(third) if rounded_exponent else to)

    exact, radius = exactly(of)
    bound = of(RoundedNumbers(arithmetic(dtype)))
    with np.errstate(all="ignore"):
        theirs = of(Evaluated(dtype)).astype(np.float64)
    assert np.all(np.abs(theirs - exact) <= bound.budget + radius)
    most = 60.0 * ROUNDING[dtype].u * (1.0 + np.abs(y) * (1.0 + np.abs(np.log(np.abs(x)))))
    assert np.all(bound.budget <= most * np.abs(bound.value) + 10.0 * ROUNDING[dtype].tiny)


def test_a_square_costs_one_rounding_and_a_power_those_of_a_function():
    how = arithmetic("float64")
    xp = RoundedNumbers(how)
    x = xp.held(np.array([1.5]))
    square, cube = xp.power(x, 2.0), xp.power(x, 3.0)
    assert square.off <= 1.01 * how.u * square.value
    assert cube.off >= how.f * how.u * cube.value


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_softmax_and_its_logarithm_are_within_their_bounds(dtype, data):
    """In each of the ways in which people evaluate them."""
    numbers = st.floats(-60.0, 60.0)
    rows = data.draw(st.lists(st.lists(numbers, min_size=5, max_size=5), min_size=1, max_size=4))
    x = np.array(rows).astype(dtype)

    def both(xp):
        held = xp.held(x)
        return {"y": xp.softmax(held), "lse": xp.logsumexp(held, keepdims=True)}

    proven, _ = enclose(both)
    bound = both(RoundedNumbers(arithmetic(dtype)))
    shifted = x - x.max(axis=1, keepdims=True)
    with np.errstate(under="ignore"):
        powers = np.exp(shifted)
        total = powers.sum(axis=1, keepdims=True)
        lse = np.log(total) + x.max(axis=1, keepdims=True)
        ways = {"y": [powers / total, np.exp(x - lse)], "lse": [lse]}
    for name, candidates in ways.items():
        for candidate in candidates:
            assert candidate.dtype == dtype
            gap = np.abs(candidate.astype(np.float64) - proven.tensors[name])
            assert np.all(gap <= bound[name].budget + proven.radius[name])


KINDS = (Float64Numbers, lambda kink: RoundedNumbers(arithmetic("float64"), kink), BallNumbers)


def plain(x):
    value = getattr(x, "value", x)
    return np.array([float(one) for one in np.ravel(value)]).reshape(value.shape)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kink", [0.0, 0.5, 1.0])
def test_of_several_largest_the_first_the_last_or_all_win(kind, kink):
    xp = kind(kink)
    x = np.array([[1.0, 3.0, 2.0, 3.0], [4.0, 0.0, -1.0, 2.0]])
    won = plain(xp.winners(xp.exact(x), 1))
    tied = {0.0: [0, 0, 0, 1], 0.5: [0, 0.5, 0, 0.5], 1.0: [0, 1, 0, 0]}[kink]
    assert np.array_equal(won, [tied, [1, 0, 0, 0]])
    assert xp.kinks == 1
    assert np.array_equal(plain(xp.winners(xp.exact(x.T), 0)), won.T)


def test_whom_rounding_may_have_made_the_largest_may_win():
    xp = RoundedNumbers(arithmetic("float32"))
    third = xp.exact(np.array([[1.0, 1.0 + 2.0**-23, 0.5]])) / 3.0
    won = xp.winners(third, 1)
    assert np.array_equal(won.budget > 0.5, [[True, True, False]])
    exact = xp.winners(xp.exact(np.array([[1.0, 1.0 + 2.0**-23, 0.5]])), 1)
    assert not exact.budget.any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kink", [0.0, 0.5, 1.0])
def test_zero_has_no_sign_whatever_a_kink_is(kind, kink):
    xp = kind(kink)
    x = xp.exact(np.array([-2.0, 0.0, 3.0]))
    assert np.array_equal(plain(xp.signum(x)), [-1, 0, 1])
    assert np.array_equal(xp.is_zero(x), [False, True, False])
    assert not xp.kinks


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_is_put_where_it_was_taken_from(kind):
    xp = kind(0.5)
    x = np.arange(1.0, 25.0).reshape(4, 6)
    slices = [slice(3, 0, -2), slice(1, None, 3)]
    taken = xp.part(xp.exact(x), slices)
    back = plain(xp.placed(taken, x.shape, slices))
    expected = np.zeros(x.shape)
    expected[tuple(slices)] = x[tuple(slices)]
    assert np.array_equal(back, expected)
    padded = plain(xp.pad(xp.exact(x), [(1, 0), (0, 2)]))
    assert np.array_equal(padded, np.pad(x, [(1, 0), (0, 2)]))


def test_pi_is_known_to_a_rounding():
    how = arithmetic("float32")
    pi = RoundedNumbers(how).pi
    assert abs(float(np.float32(np.pi)) - np.pi) <= pi.off <= 2.0 * how.u * np.pi
    assert exactly(lambda xp: xp.pi)[0] == np.pi
