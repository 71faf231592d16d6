"""The text that a person reads."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from oracle.checking import closed_form, derivatives
from oracle.findings import FindingKind, InconclusiveReason
from oracle.reporting import text
from oracle.values import (
    Entry,
    Finding,
    Measurement,
    ReferenceKind,
    Report,
    TensorReport,
    Verdict,
)

ENTRY = Entry(index=(17, 3), candidate=4.21e-2, reference=4.21e-4, allowed=3.1e-17)
TENSOR = TensorReport("W1", (784, 50), Verdict.FAIL, 1e15, 2e-13, 0.1, 1e-20, (ENTRY,), 39200)
FAILED = Report(
    subject="two-layer net",
    verdict=Verdict.FAIL,
    reason=None,
    summary="the gradient is 100 times too large in every tensor",
    findings=(
        Finding(
            FindingKind.MISSING_BATCH_MEAN,
            "",
            "100 = N, the batch size: the mean over the batch is missing.",
            "Divide by x.shape[0].",
        ),
    ),
    tensors=(TENSOR,),
    budget_used=1e15,
    detection_limit=2e-13,
    candidate_dtype="float64",
    accumulation_dtype="float64",
    reference_kind=ReferenceKind.ENCLOSURE,
    entries=39760,
)
PASSED = dataclasses.replace(
    FAILED, verdict=Verdict.PASS, findings=(), summary="the gradient is right", budget_used=0.02
)


def test_a_failure_reads_as_in_the_house_style():
    """Verdict, name of the bug, where, the numbers, and what would have been seen."""
    assert text.render(FAILED).splitlines() == [
        "FAIL  two-layer net: the gradient is 100 times too large in every tensor",
        "      100 = N, the batch size: the mean over the batch is missing. Divide by x.shape[0].",
        "",
        "      tensor  worst entry  yours   exact     allowed",
        "      W1      [17, 3]      0.0421  0.000421  3.1e-17",
        "      checked 39,760 entries in float64;",
        "      an error above 2e-13 of the largest entry would have been seen",
    ]


def test_a_pass_is_short():
    """Nobody reads a table of what is right."""
    assert len(text.render(PASSED).splitlines()) <= 4


@pytest.mark.parametrize("reason", InconclusiveReason)
def test_every_reason_says_what_to_do(reason):
    """An inconclusive verdict without advice leaves its reader with nothing."""
    report = dataclasses.replace(PASSED, verdict=Verdict.INCONCLUSIVE, reason=reason)
    assert len(text.render(report).splitlines()) >= 2
    assert text.advice(PASSED) == ""


@pytest.mark.parametrize(
    ("reason", "values", "arguments", "said"),
    [
        ("noise", "float32", "float32", "the function in float64, and without"),
        ("noise", "float64", "float32", "Give x in float64."),
        ("noise", "float64", "float64", "the function more accurately, and without"),
        ("resolution", "float32", "float64", "the function and its arguments in float64"),
        ("resolution", "float64", "bfloat16", "Give x in float64."),
        ("resolution", "float64", "float64", "f may have no finite slope there"),
    ],
)
def test_nobody_is_told_to_use_the_types_that_he_uses(reason, values, arguments, said):
    """The type of the values is `accumulation_dtype`, that of x `argument_dtype`."""
    report = dataclasses.replace(
        PASSED,
        verdict=Verdict.INCONCLUSIVE,
        reason=InconclusiveReason(reason),
        reference_kind=None,
        measurement=Measurement(1, 0.0, 0.0, True, 0.01, argument_dtype=arguments),
        accumulation_dtype=values,
    )
    assert said in text.render(report)


def test_a_headline_that_wraps_looks_like_one_that_does_not():
    """Two spaces after the verdict."""
    for verdict in Verdict:
        long = dataclasses.replace(FAILED, verdict=verdict, summary="many words " * 20)
        assert text.render(long).startswith(f"{verdict.upper()}  two-layer net: many words")


def test_a_note_is_shown_whole_where_there_is_room():
    """Its end is often the point; there are 25 lines."""
    notes = tuple(f"In {name} some entry may be off: " + "more words " * 6 + "END" for name in "ab")
    shown = text.render(dataclasses.replace(PASSED, notes=notes))
    assert shown.count("END") == 2
    assert "..." not in shown


def test_a_list_that_goes_on_says_so_in_the_headline():
    """Its three dots are no full stop."""
    labels, other = np.arange(12) % 10, np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8])
    rng = np.random.default_rng(0)
    W, x = rng.normal(size=(20, 10)), rng.normal(size=(12, 20))
    gradient = derivatives.simple_net(W, x, other, delta=0.0).tensors
    report = closed_form.check_simple_net(W, x, labels, gradient, delta=0.0)
    assert report.summary == "the gradient is that of other labels: 3, 1, 4, 1, 5, 9, 2, 6, ..."


def test_the_dots_of_a_list_are_kept_before_a_remedy():
    """They say that the list goes on."""
    finding = dataclasses.replace(FAILED.findings[0], message="Other labels: 0, 7, ....")
    shown = text.render(dataclasses.replace(FAILED, findings=(finding,)))
    assert "Other labels: 0, 7, .... Divide by" in shown


def test_a_tensor_that_is_right_has_no_row():
    """One line names those that nobody has to look at."""
    right = [dataclasses.replace(TENSOR, name=n, verdict=Verdict.PASS) for n in ("W2", "b2")]
    shown = text.render(dataclasses.replace(FAILED, tensors=(TENSOR, *right)))
    assert "\n      W2, b2 are right\n" in shown
    assert shown.count("[17, 3]") == 1


@pytest.mark.parametrize("width", [60, 100])
def test_the_longest_report_fits_a_screen(width):
    """At most 25 lines of 100 columns, fitted to narrower terminals, whatever there is to say."""
    long = "a very long sentence " * 60
    entry = dataclasses.replace(ENTRY, index=tuple(range(1000, 1030)))
    tensor = dataclasses.replace(TENSOR, name="layer." * 20, worst=(entry,) * 5)
    report = dataclasses.replace(
        FAILED,
        summary=long,
        reason=InconclusiveReason.NOISE,
        findings=(dataclasses.replace(FAILED.findings[0], message=long, remedy=long),) * 9,
        tensors=(
            dataclasses.replace(tensor, verdict=Verdict.PASS),
            *(dataclasses.replace(tensor, budget_used=float(n)) for n in range(40)),
        ),
        notes=(long,) * 7,
    )
    for verdict in Verdict:
        shown = text.render(dataclasses.replace(report, verdict=verdict))
        assert len(shown.splitlines()) <= text.MOST_LINES
        narrow = text.fitted(shown, width)
        assert max(map(len, narrow.splitlines())) <= width
        assert "".join(narrow.split()) == "".join(shown.split())


def test_colour_changes_nothing_but_the_verdict():
    """The rest of the text is the plain one."""
    shown = text.render(FAILED)
    assert text.coloured(shown, "fail") == "\033[1;31mFAIL\033[0m" + shown[4:]


def test_a_sentence_is_said_once():
    """A finding whose sentence is the summary adds its remedy and nothing else."""
    finding = dataclasses.replace(FAILED.findings[0], message=f"{FAILED.summary}.")
    lines = text.render(dataclasses.replace(FAILED, findings=(finding,))).splitlines()
    assert lines[1].strip() == "Divide by x.shape[0]."


def test_what_mends_several_findings_is_said_once():
    """After the last of them."""
    two = [dataclasses.replace(FAILED.findings[0], message=f"{name} is off.") for name in "ab"]
    lines = text.render(dataclasses.replace(FAILED, findings=tuple(two))).splitlines()
    assert [line.strip() for line in lines[1:3]] == [
        "a is off.",
        "b is off. Divide by x.shape[0].",
    ]


def test_the_limit_is_that_of_the_tensors_that_are_not_zero():
    """A limit of 3e+206 says nothing; the note about its tensor does."""
    tiny = dataclasses.replace(TENSOR, verdict=Verdict.PASS, detection_limit=3e206)
    seen = dataclasses.replace(TENSOR, name="W2", verdict=Verdict.PASS, detection_limit=4e-14)
    both = dataclasses.replace(PASSED, tensors=(tiny, seen), detection_limit=3e206)
    assert "4e-14 of the largest entry would have been seen in W2" in text.render(both)
    alone = dataclasses.replace(PASSED, tensors=(tiny,), detection_limit=3e206)
    assert "of the largest entry" not in text.render(alone)


@pytest.mark.parametrize(
    ("yours", "exact", "shown"),
    [
        (0.5, 0.25, ["0.5", "0.25"]),
        (0.1234567891, 0.1234567892, ["0.1234567891", "0.1234567892"]),
        (1.0, 1.0 + 2.0**-52, ["1", "1.0000000000000002"]),
        (-0.0, 0.1, ["0", "0.1"]),
    ],
)
def test_numbers_that_differ_look_different(yours, exact, shown):
    """Six digits where they suffice: nobody is told that 0.123457 should have been 0.123457."""
    entry = Entry((0, 0), yours, exact, 1e-17)
    wrong = dataclasses.replace(TENSOR, worst=(entry,))
    lines = text.render(dataclasses.replace(FAILED, tensors=(wrong,))).splitlines()
    row = next(line for line in lines if line.strip().startswith("W1"))
    assert row.split()[3:5] == shown


@pytest.mark.parametrize(
    ("types", "said"),
    [
        (("float32", "float32", "float32"), "in float32\n"),
        (
            ("bfloat16", "float64", "float64"),
            "in bfloat16, at x in float64, by values of f in float64",
        ),
        (
            ("float64", "float32", "float64"),
            "in float64, at x in float32, by values of f in float64",
        ),
    ],
)
def test_the_types_of_gradient_x_and_f_are_each_said(types, said):
    """One type is said once; where they differ nobody has to guess which one is meant."""
    candidate, argument, values = types
    report = dataclasses.replace(
        PASSED,
        reference_kind=None,
        measurement=Measurement(1, 0.0, 0.0, True, 0.01, argument_dtype=argument),
        candidate_dtype=candidate,
        accumulation_dtype=values,
        budget_used=0.0,
        detection_limit=0.0,
    )
    assert said in text.render(report) + "\n"
