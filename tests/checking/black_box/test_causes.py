"""What is wrong with a gradient, named without its formula."""

import numpy as np
import pytest

from oracle.findings import FindingKind
from oracle.values import Verdict
from tests.checking.black_box.caller import quadratic, run, smooth

SHAPES = {"a": (8, 8), "b": (40,), "c": (4, 10)}


def found(f, x, g):
    report = run(f, x, g)
    assert report.verdict == Verdict.FAIL
    return [(n.kind, n.tensor) for n in report.findings]


@pytest.mark.parametrize(
    ("factor", "kind"),
    [(2, "TENSOR_FACTOR"), (-1, "SIGN_FLIPPED"), (0, "ZERO_TENSOR"), (0.1, "TENSOR_FACTOR")],
)
def test_a_factor_of_one_tensor_is_named(factor, kind):
    """The ratio of predicted to measured slope is the same in every direction."""
    f, x, g = smooth(1, "float64")
    g["a"] = g["a"] * factor
    assert found(f, x, g) == [(FindingKind[kind], "a")]


@pytest.mark.parametrize(
    ("factor", "kind"), [(100, "CONSTANT_FACTOR"), (0.01, "CONSTANT_FACTOR"), (-1, "SIGN_FLIPPED")]
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_factor_of_all_tensors_is_one_finding(factor, kind, dtype):
    """One cause, one finding."""
    f, x, g = quadratic(SHAPES, dtype)
    g = {name: (factor * v).astype(dtype) for name, v in g.items()}
    assert found(f, x, g) == [(FindingKind[kind], "")]


@pytest.mark.parametrize(
    ("factor", "remedy"),
    [
        (100, "Divide the gradient by 100: "),
        (-2, "Divide the gradient by -2: "),
        (1 / 7, "Multiply the gradient by 7: "),
        (1.37, "Divide the gradient by 1.37: "),
    ],
)
def test_the_remedy_says_what_to_do(factor, remedy):
    """Whole numbers and their reciprocals are called by name, others as they were measured."""
    f, x, g = quadratic(SHAPES)
    (finding,) = run(f, x, {name: factor * v for name, v in g.items()}).findings
    assert finding.remedy.startswith(remedy)
    (finding,) = run(f, x, g | {"a": factor * g["a"]}).findings
    assert "the gradient of a" in finding.remedy


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_swapped_tensors_of_one_size_are_named(dtype):
    """Two tensors of one size are moved along the same signs."""
    f, x, g = quadratic(SHAPES, dtype)
    g["b"], g["c"] = g["c"].reshape(40), g["b"].reshape(4, 10)
    assert found(f, x, g) == [(FindingKind.SWAPPED_TENSORS, "b")]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_transposed_square_matrix_is_named(dtype):
    """Entry (i, j) predicts what is measured at (j, i)."""
    f, x, g = quadratic(SHAPES, dtype)
    g["a"] = g["a"].T.copy()
    assert found(f, x, g) == [(FindingKind.TRANSPOSED, "a")]


def test_the_other_memory_order_is_named():
    """A matrix written row by row and read column by column."""
    f, x, g = quadratic(SHAPES)
    g["c"] = g["c"].T.reshape(4, 10)
    assert found(f, x, g) == [(FindingKind.TRANSPOSED, "c")]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_two_wrong_entries_are_listed(dtype):
    """Halving from both ends meets the first and the last."""
    f, x, g = quadratic(SHAPES, dtype)
    g["a"][1, 2] += 3
    g["a"][6, 5] -= 2
    report = run(f, x, g)
    (finding,) = report.findings
    assert finding.kind == FindingKind.SINGLE_ENTRIES
    assert [e.index for e in finding.entries] == [(1, 2), (6, 5)]
    f, x, right = quadratic(SHAPES, dtype)
    for entry in finding.entries:
        assert entry.reference == pytest.approx(right["a"][entry.index], abs=0.05)


def test_a_wrong_row_is_named():
    """The first and the last wrong entry lie in one row."""
    f, x, g = quadratic(SHAPES)
    g["a"][5] *= 1.5
    (finding,) = run(f, x, g).findings
    assert "row 5" in finding.message


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_f_that_does_not_use_its_argument_is_told_so(dtype):
    """It uses the variable outside, as functions of a module's own parameters do."""
    f, x, g = quadratic(SHAPES, dtype)
    (finding,) = run(lambda _: f(x), x, g).findings
    assert finding.message.startswith("f changes with x by less than ")
    (finding,) = run(lambda p: f(p | {"a": x["a"]}), x, g).findings
    assert finding.tensor == "a"
    assert finding.message.startswith("f changes with a by less than ")


def test_noise_is_unexplained():
    """A gradient that has nothing to do with f fits no cause."""
    f, x, g = quadratic(SHAPES)
    g["a"] = np.random.default_rng(5).normal(size=(8, 8))
    assert found(f, x, g) == [(FindingKind.UNEXPLAINED, "a")]
