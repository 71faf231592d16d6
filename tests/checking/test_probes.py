"""What a probe case promises holds for every seed, so that any of them can be trusted to tell."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle import splitmix
from oracle.checking import closed_form, derivatives
from oracle.checking.backward import backward, forward
from oracle.checking.probes import SIZES, VARIANTS, probe
from oracle.checking.wrong_gradients import WRONG_GRADIENTS
from oracle.values import DELTA, InvalidInput, Verdict
from tests.checking import budgets as budget
from tests.checking.budgets import arithmetic

seeds = st.integers(0, 2**64 - 1)
variants = st.sampled_from(VARIANTS)

HIDDEN = {"float64": 1e-11, "float32": 1e-2}
"""Share of a tensor's largest entry that rounding hides at most."""


@given(seed=seeds, variant=variants, dtype=st.sampled_from(sorted(HIDDEN)))
def test_on_every_probe_every_bug_that_changes_anything_fails(seed, variant, dtype):
    """Rounding hides little of each tensor, and no known bug is below that."""
    case = probe(variant, dtype, seed)
    exact = derivatives.two_layer_net(*case).tensors
    right = {name: tensor.astype(dtype) for name, tensor in exact.items()}
    report = closed_form.check_two_layer_net(*case, right)
    assert report.verdict is Verdict.PASS
    assert report.detection_limit < HIDDEN[dtype]
    p = forward(*case, delta=DELTA, dtype=dtype)
    allowed = budget.two_layer_net(*case, arithmetic(dtype), delta=DELTA).budget
    passing = [bug.name for bug in WRONG_GRADIENTS if _passes(bug, p, exact, allowed)]
    assert not passing


def _passes(bug, p, exact, allowed):
    """Tell whether a gradient that is wrong is within its budget, which has room for the radius."""
    with np.errstate(all="ignore"):
        wrong = bug.compute(p)
        if wrong is None or all(
            np.allclose(wrong[n], g, rtol=0, atol=2.0**8 * np.finfo(g.dtype).eps * np.abs(g).max())
            for n, g in backward(p).items()
        ):
            return False
        return all(
            np.all(np.abs(wrong[n].astype(np.float64) - g) <= 1.01 * allowed[n])
            for n, g in exact.items()
        )


@given(seed=seeds, variant=variants)
def test_a_probe_holds_what_its_variant_promises(seed, variant):
    """Restated from the contract, with the numbers of the published draw that was taken."""
    parameters, x, labels = probe(variant, seed=seed)
    p = forward(parameters, x, labels, delta=DELTA)
    dY = p.output_error
    dA1 = dY @ p.W2.T * p.z1 * (1 - p.z1)
    for error in (dY, dA1):
        sums = np.abs(error.sum(axis=0))
        assert np.all(sums >= np.abs(error).sum(axis=0) / 16)
        assert np.all(sums >= sums.max() / 32)
    largest = np.abs(dY).max(axis=1)
    assert np.all(largest >= largest.max() / 1024)
    assert all(b.min() < 0 < b.max() for b in (p.b1, p.b2))
    right = p.y.argmax(axis=1) == labels
    assert not right.all()
    y = p.y[np.arange(p.N), labels]
    if variant == "single":
        assert (x.shape, labels.tolist()) == ((1, 11), [2])
    else:
        assert (*x.shape, *parameters.W2.shape) == SIZES
        assert labels.tolist() == [2, 0, 1, 2, 2]
        assert right.any()
    if variant == "saturated":
        assert np.any((y > 1e-9) & (y < 1e-7))
        assert np.any((y > 1e-5) & ~right)
        assert np.any((y > 0.9) & (y < 0.999) & right)
    flat = [a.ravel() for a in (p.W1, p.b1, p.W2 / (16 if variant == "saturated" else 1), p.b2)]
    drawn = np.concatenate([*flat, x.ravel()])
    draws = (splitmix.outputs(seed, 163 * r, 163 * r + len(drawn)) for r in itertools.count())
    steps = ((words >> np.uint64(57)).astype(int) - 64 for words in itertools.islice(draws, 2000))
    assert any(np.array_equal(np.where(m < 0, m, m + 1) / 64, drawn) for m in steps)


@given(seed=seeds, variant=variants)
def test_a_probe_is_the_same_in_every_type(seed, variant):
    """Eight significant bits are held by bfloat16 too; the sizes tell themselves apart."""
    assert len(set(SIZES)) == len(SIZES)
    wide, x, labels = probe(variant, "float64", seed)
    for dtype in ("float32", "float16", "bfloat16"):
        narrow, narrow_x, narrow_labels = probe(variant, dtype, seed)
        for name, tensor in wide.tensors().items():
            assert str(narrow.tensors()[name].dtype) == dtype
            assert np.array_equal(narrow.tensors()[name].astype(np.float64), tensor)
        assert np.array_equal(narrow_x.astype(np.float64), x)
        assert np.array_equal(narrow_labels, labels)


@pytest.mark.parametrize(("variant", "dtype"), [("odd", "float64"), ("single", "int8")])
def test_what_is_no_variant_or_no_type_is_refused(variant, dtype):
    """The message names what there is."""
    with pytest.raises(InvalidInput, match="be one of"):
        probe(variant, dtype)
