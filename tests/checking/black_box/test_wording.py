"""A report on a product speaks of it: which sentence stands where, for every claim."""

from __future__ import annotations

import dataclasses

import pytest

from oracle.checking.black_box import wording
from oracle.checking.black_box.conversation import CheckTask, TensorSpec
from oracle.checking.black_box.outcome import report
from oracle.checking.black_box.session import Session
from oracle.checking.black_box.wording import Claim
from oracle.findings import FindingKind, InconclusiveReason
from oracle.values import Entry, Finding, TensorReport, Verdict

SPEC = TensorSpec("W", (3,), "float64", 3, 1.0, 1.0, 1.0, 1.0)


def judged(verdict, *findings):
    """Return a report of a check, with a tensor of that verdict."""
    made = report(Session(CheckTask((SPEC,), "float64")), [], (), InconclusiveReason.NOISE)
    tensor = TensorReport("W", (3,), verdict, 2.0, 0.1, 0, 1.0, (), 1)
    return dataclasses.replace(made, verdict=verdict, tensors=(tensor,), findings=findings)


ZERO = Finding(FindingKind.ZERO_TENSOR, "W", "W is all zeros", "compute it")
FACTOR = Finding(FindingKind.CONSTANT_FACTOR, "", "3 times", "divide", {"factor": 3.0})
STILL = Finding(FindingKind.UNEXPLAINED, "", "f changes by less", "use x", {"share": 2e-9})
SOME = Finding(
    FindingKind.SIGN_FLIPPED, "W", "Some of W", "negate these", entries=(Entry((0,), 1, -1, 0),)
)
OTHER = Finding(FindingKind.SHAPE_MISMATCH, "W", "the shape", "")


@pytest.mark.parametrize("claim", list(Claim)[1:])
def test_a_claim_has_its_own_sentences(claim):
    found = wording.of(claim, judged(Verdict.FAIL, ZERO, STILL))
    assert "zero" in found.findings[0].message
    assert "2e-09" in found.findings[1].message
    assert all("gradient of s" not in f.message + f.remedy for f in found.findings)
    assert found.summary != judged(Verdict.FAIL).summary
    assert wording.of(claim, judged(Verdict.PASS)).summary not in {found.summary, ""}


def test_numbers_of_a_finding_stand_in_its_sentence():
    found = wording.of(Claim.JACOBIAN, judged(Verdict.FAIL, FACTOR))
    assert found.findings[0].message == "The Jacobian is 3 times what was measured."


@pytest.mark.parametrize("finding", [SOME, OTHER])
def test_what_is_said_of_entries_stays(finding):
    assert wording.of(Claim.ADJOINT, judged(Verdict.FAIL, finding)).findings == (finding,)


def test_a_gradient_and_what_is_not_decided_keep_their_words():
    failed, left = judged(Verdict.FAIL, ZERO), judged(Verdict.INCONCLUSIVE)
    assert wording.of(Claim.GRADIENT, failed) == failed
    assert wording.of(Claim.JVP, left) == left
