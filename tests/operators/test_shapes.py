"""Operators that move numbers do to an array what NumPy does, and take back what they gave."""

from __future__ import annotations

import numpy as np
import pytest

from oracle.arithmetic.float64 import Float64Numbers
from oracle.graphs.evaluation import forward, reverse
from oracle.graphs.graph import Graph, Node, plan
from oracle.operators.table import OPERATORS
from oracle.values import InvalidInput

XP = Float64Numbers()


def value(name, *inputs, **attributes):
    operator = OPERATORS[name]
    return operator.value(XP, inputs, operator.complete(attributes))[0]


def ints(*numbers):
    return np.array(numbers, dtype=np.int64)


def taken_back(name, *inputs, **attributes):
    """Return the output, which is linear in each input; its derivatives are those of its value."""
    operator = OPERATORS[name]
    complete = operator.complete(attributes)
    out = value(name, *inputs, **attributes)
    c = np.random.default_rng(3).normal(size=out.shape)
    derivatives = []
    for gradient in operator.vjp(XP, [c], inputs, complete).values():
        derivatives += gradient if isinstance(gradient, list) else [gradient]
    for k, gradient in enumerate(derivatives):
        basis = np.eye(inputs[k].size).reshape(-1, *inputs[k].shape)
        outputs = (value(name, *inputs[:k], one, *inputs[k + 1 :], **attributes) for one in basis)
        assert np.allclose(np.ravel(gradient), [np.sum(c * one) for one in outputs])
    return out


EQUATIONS = [
    ("ij,jk->ik", (4, 5), (5, 3)),
    ("ij,kj->ik", (4, 5), (3, 5)),
    ("i,i", (4,), (4,)),
    ("i,j->ji", (4,), (5,)),
    ("ij->", (4, 5)),
    ("ij->ji", (4, 5)),
    ("ii", (4, 4)),
    ("iij->ji", (3, 3, 4)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    ("...i,...i->...", (2, 3, 4), (3, 4)),
    ("...ij,...jk", (2, 1, 3, 4), (5, 4, 2)),
    ("a...,b...->ba...", (2, 4), (3, 1)),
    ("ba,ac", (4, 5), (5, 3)),
    ("i,i,i->i", (4,), (4,), (4,)),
]


@pytest.mark.parametrize("case", EQUATIONS, ids=[case[0] for case in EQUATIONS])
def test_einsum_is_numpys(case):
    equation, *sizes = case
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=size) for size in sizes]
    out = taken_back("Einsum", *inputs, equation=equation)
    assert np.allclose(out, np.einsum(equation, *inputs))


@pytest.mark.parametrize(
    ("equation", "sizes", "argument"),
    [
        ("ij,jk->ik", [(4, 5)], "equation"),
        ("ij->ijk", [(4, 5)], "equation"),
        ("ij->ii", [(4, 5)], "equation"),
        ("i!->i", [(4,)], "equation"),
        ("ij,jk->ik", [(4, 5), (4, 3)], "Inputs"),
        ("ijk->i", [(4, 5)], "Inputs"),
        ("i->i", [(4, 5)], "Inputs"),
        (7, [(4,)], "equation"),
    ],
)
def test_an_equation_that_does_not_fit_is_refused(equation, sizes, argument):
    with pytest.raises(InvalidInput) as refused:
        OPERATORS["Einsum"].shapes(*sizes, equation=equation)
    assert refused.value.argument == argument


@pytest.mark.parametrize(
    ("shape", "allowzero", "expected"),
    [
        ([2, -1], 0, (2, 30)),
        ([0, -1], 0, (3, 20)),
        ([0, 0, 0], 0, (3, 4, 5)),
        ([-1], 0, (60,)),
        ([60, 1, 1], 1, (60, 1, 1)),
    ],
)
def test_a_shape_may_hold_what_is_left_over_or_kept(shape, allowzero, expected):
    x = np.arange(60.0).reshape(3, 4, 5)
    out = taken_back("Reshape", x, ints(*shape), allowzero=allowzero)
    assert np.array_equal(out, x.reshape(expected))


@pytest.mark.parametrize(
    ("shape", "allowzero"),
    [([7, -1], 0), ([-1, -1], 0), ([3, 4, 5, 0], 0), ([-2, 30], 0), ([0, -1], 1), ([59], 0)],
)
def test_a_shape_that_holds_other_numbers_is_refused(shape, allowzero):
    with pytest.raises(InvalidInput) as refused:
        OPERATORS["Reshape"].shapes((3, 4, 5), ints(*shape), allowzero=allowzero)
    assert refused.value.argument == "shape"


def test_an_empty_tensor_keeps_a_zero_that_is_meant():
    shapes = OPERATORS["Reshape"].shapes
    assert shapes((0, 4), ints(4, 0), allowzero=1) == ((4, 0),)
    assert shapes((0, 4), ints(0, 2, 2), allowzero=0) == ((0, 2, 2),)


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps", "index"),
    [
        ([1], [4], None, None, np.s_[1:4]),
        ([-3], [2**63 - 1], [1], None, np.s_[:, -3:]),
        ([7], [-(2**63)], [1], [-2], np.s_[:, 7::-2]),
        ([5, 0], [0, 9], [0, -1], [-1, 3], np.s_[5:0:-1, 0:9:3]),
        ([4], [2], [0], None, np.s_[4:2]),
        ([100], [-100], [0], [-1], np.s_[100:-100:-1]),
    ],
)
def test_a_slice_is_that_of_numpy(starts, ends, axes, steps, index):
    x = np.arange(54.0).reshape(6, 9)
    optional = [None if one is None else ints(*one) for one in (axes, steps)]
    out = taken_back("Slice", x, ints(*starts), ints(*ends), *optional)
    assert np.array_equal(out, x[index])


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
@pytest.mark.parametrize("pads", [(1, 2, 3, 1), (0, 4, 0, 4), (-1, 2, 1, -2), (-1, -1, -1, -1)])
def test_a_border_is_that_of_numpy(mode, pads):
    x = np.arange(20.0).reshape(4, 5)
    out = taken_back("Pad", x, ints(*pads), mode=mode)
    top, left, bottom, right = pads
    cut = x[max(-top, 0) : 4 - max(-bottom, 0), max(-left, 0) : 5 - max(-right, 0)]
    widths = [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))]
    assert np.array_equal(out, np.pad(cut, widths, mode=mode))


def test_a_number_without_an_axis_to_add_to_is_refused():
    shapes = OPERATORS["Pad"].shapes
    for pads, mode in (([1, 1, 1], "constant"), ([-3, -3], "constant"), ([1, 0], "reflect")):
        with pytest.raises(InvalidInput) as refused:
            shapes((1,), ints(*pads), mode=mode)
        assert refused.value.argument == "pads"


@pytest.mark.parametrize("name", ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceL2"])
def test_axes_that_are_not_named_are_all_or_none(name):
    x = np.abs(np.random.default_rng(1).normal(size=(3, 4)))
    assert value(name, x, None).shape == (1, 1)
    assert value(name, x, ints()).shape == (1, 1)
    assert value(name, x, None, keepdims=0).shape == ()
    assert np.allclose(value(name, x, ints(), noop_with_empty_axes=1), x)
    assert value(name, x, ints(1, -2), keepdims=0).shape == ()


def test_a_vector_is_a_row_on_the_left_and_a_column_on_the_right():
    rng = np.random.default_rng(2)
    for a, b in (
        ((5,), (5,)),
        ((5,), (5, 3)),
        ((4, 5), (5,)),
        ((2, 4, 5), (5,)),
        ((5,), (2, 5, 3)),
    ):
        A, B = rng.normal(size=a), rng.normal(size=b)
        assert np.allclose(taken_back("MatMul", A, B), A @ B)


def test_axes_are_whole_numbers_that_exist_and_come_once():
    shapes = OPERATORS["ReduceSum"].shapes
    plain = {"keepdims": 1, "noop_with_empty_axes": 0}
    for axes in (ints(2), ints(0, -2), np.array([0.5]), np.array([[0]])):
        with pytest.raises(InvalidInput) as refused:
            shapes((3, 4), axes, **plain)
        assert refused.value.argument == "axes"
    with pytest.raises(InvalidInput, match="be 0 or 1"):
        shapes((3, 4), None, keepdims=2, noop_with_empty_axes=0)


def parts(names, **attributes):
    """Return a graph that splits x along its columns and multiplies the first two parts."""
    nodes = (
        Node("Split", ("x",), names, {"axis": 1, **attributes}),
        Node("Mul", names[:2], ("y",)),
    )
    return Graph(nodes, ("x",), ("y",))


def test_a_part_that_leads_nowhere_has_no_gradient():
    x = np.random.default_rng(4).normal(size=(4, 6))
    planned = plan(parts(("a", "b", "c"), num_outputs=3), {"x": x})
    values = forward(XP, planned)
    gradient = reverse(XP, planned, values, {"y": np.ones((4, 2))})["x"]
    a, b, c = np.split(x, 3, axis=1)
    assert np.array_equal(gradient, np.concatenate([b, a, np.zeros_like(c)], axis=1))


def test_as_many_parts_are_named_as_there_are():
    x = np.zeros((4, 6))
    with pytest.raises(InvalidInput, match="hold 3 names") as refused:
        plan(parts(("a", "b"), num_outputs=3), {"x": x})
    assert refused.value.argument == "nodes[0].outputs"
    shapes = OPERATORS["Split"].shapes
    assert [s[1] for s in shapes((4, 7), None, axis=1, num_outputs=3)] == [3, 3, 1]
    assert [s[1] for s in shapes((4, 7), ints(0, 7), axis=1, num_outputs=None)] == [0, 7]
    for split, num_outputs, argument in (
        (None, None, "num_outputs"),
        (None, 0, "num_outputs"),
        (None, 9, "num_outputs"),
        (None, 2.5, "num_outputs"),
        (ints(3, 4), 2, "num_outputs"),
        (ints(3, 3), None, "split"),
        (ints(-1, 8), None, "split"),
    ):
        with pytest.raises(InvalidInput) as refused:
            shapes((4, 7), split, axis=1, num_outputs=num_outputs)
        assert refused.value.argument == argument
