"""Which loss a check means: the document's, the textbook's, or the one that is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from oracle.checking import closed_form, derivatives
from oracle.findings import FindingKind as Kind
from oracle.values import DELTA, TwoLayerNetParameters, Verdict

RNG = np.random.default_rng(5)
N, D, H, K = 7, 11, 6, 4
P = TwoLayerNetParameters(
    2 * RNG.normal(size=(D, H)),
    0.3 * RNG.normal(size=H),
    2 * RNG.normal(size=(H, K)),
    0.3 * RNG.normal(size=K),
)
X, T = RNG.normal(size=(N, D)), RNG.integers(0, K, size=N)
Y = RNG.dirichlet(np.ones(K), size=N)
W = 2 * RNG.normal(size=(D, K))

CHECKS = {
    "two-layer net": (
        lambda d: derivatives.two_layer_net(P, X, T, delta=d).tensors,
        lambda g, **o: closed_form.check_two_layer_net(P, X, T, g, **o),
    ),
    "simple net": (
        lambda d: derivatives.simple_net(W, X, T, delta=d).tensors,
        lambda g, **o: closed_form.check_simple_net(W, X, T, g, **o),
    ),
    "cross-entropy error": (
        lambda d: derivatives.cross_entropy_error(Y, T, delta=d).tensors,
        lambda g, **o: closed_form.check_cross_entropy_error(Y, T, g, **o),
    ),
}
EACH = pytest.mark.parametrize("name", CHECKS)


@EACH
@pytest.mark.parametrize("delta", [0.0, DELTA])
def test_without_a_delta_both_losses_are_meant(name, delta):
    """And the report says in a line which one the gradient has."""
    right, check = CHECKS[name]
    report = check(right(delta))
    assert (report.verdict, report.findings) == (Verdict.PASS, ())
    assert (report.delta, report.matched_delta) == (None, delta)
    loss = "the loss -log(y);" if delta == 0 else "the document's loss, -log(y + 1e-07)"
    assert loss in report.notes[0]


def test_where_rounding_hides_delta_nothing_is_said_of_it():
    """In float32 both fit, unless outputs saturate."""
    small = W / 20
    gradient = np.float32(derivatives.simple_net(small, X, T, delta=0.0).tensors["W"])
    report = closed_form.check_simple_net(small, X, T, {"W": gradient})
    assert (report.verdict, report.notes, report.matched_delta) == (Verdict.PASS, (), None)


@EACH
@pytest.mark.parametrize(
    ("asked", "has", "kind"),
    [
        (DELTA, 0.0, Kind.DELTA_IGNORED),
        (0.0, DELTA, Kind.WRONG_FORWARD),
        (1e-3, DELTA, Kind.WRONG_FORWARD),
        (1e-3, 0.0, Kind.DELTA_IGNORED),
    ],
)
def test_a_delta_that_is_stated_is_held_to(name, asked, has, kind):
    """And a gradient that has the other one is told exactly that."""
    right, check = CHECKS[name]
    report = check(right(has), delta=asked)
    assert report.verdict is Verdict.FAIL
    assert (report.delta, report.matched_delta) == (asked, has)
    (finding,) = report.findings
    assert finding.kind is kind
    losses = [f"-log(y + {d:g})" if d else "-log(y)" for d in (has, asked)]
    said = f"exact for the loss {losses[0]}, but the loss that was asked for is {losses[1]}."
    assert said in finding.message
    assert check(right(asked), delta=asked).verdict is Verdict.PASS


@EACH
def test_a_literal_of_float32_is_recognised(name):
    """`0.001f` in a program that otherwise computes in double."""
    right, check = CHECKS[name]
    report = check(right(float(np.float32(0.001))), delta=0.001)
    (finding,) = report.findings
    assert report.matched_delta == float(np.float32(0.001))
    assert "-log(y + 0.0010000000474974513)" in finding.message
    assert "That constant is float32(0.001)." in finding.message
    assert "0.001, not 0.001f" in finding.remedy


@EACH
@pytest.mark.parametrize("delta", [0.0, DELTA])
def test_a_bug_is_named_whichever_loss_it_is_in(name, delta):
    """Not as one bug and an ignored delta."""
    right, check = CHECKS[name]
    report = check({n: -g for n, g in right(delta).items()})
    assert [finding.kind for finding in report.findings] == [Kind.SIGN_FLIPPED]
    assert report.delta is None


def test_what_was_not_sent_is_said_once():
    """The form is looked at before any loss."""
    report = CHECKS["simple net"][1]({"W": None})
    assert [finding.kind for finding in report.findings] == [Kind.MISSING_TENSOR]
    assert report.notes == ()
