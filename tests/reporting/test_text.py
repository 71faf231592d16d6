"""The text that a person reads."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

import oracle.reporting
from oracle.findings import FindingKind, InconclusiveReason
from oracle.reporting import machine, text
from oracle.values import Entry, Finding, ReferenceKind, Report, TensorReport, Verdict

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


def test_a_tensor_that_is_right_has_no_row():
    """One line names those that nobody has to look at."""
    right = [dataclasses.replace(TENSOR, name=n, verdict=Verdict.PASS) for n in ("W2", "b2")]
    shown = text.render(dataclasses.replace(FAILED, tensors=(TENSOR, *right)))
    assert "\n      W2, b2 are right\n" in shown
    assert shown.count("[17, 3]") == 1


@pytest.mark.parametrize("width", [60, 100])
def test_the_longest_report_fits_a_screen(width):
    """At most 25 lines of the asked width, however much there is to say."""
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
        lines = text.render(dataclasses.replace(report, verdict=verdict), width=width).splitlines()
        assert len(lines) <= text.MOST_LINES
        assert max(map(len, lines)) <= width


def test_colour_changes_nothing_but_the_verdict():
    """The rest of the text is the plain one."""
    assert text.render_colour(FAILED) == "\033[1;31mFAIL\033[0m" + text.render(FAILED)[4:]


def test_json_holds_every_field_and_no_bare_nan():
    """Standard JSON has no NaN: the three values that it lacks are strings."""
    report = dataclasses.replace(FAILED, budget_used=math.inf, detection_limit=math.nan)
    read = json.loads(machine.to_json(report), parse_constant=pytest.fail)
    assert (read["budget_used"], read["detection_limit"]) == ("inf", "nan")


def test_the_schema_names_every_field_and_every_code():
    """The schema document and the report are kept in step."""
    schema = json.loads(
        (Path(oracle.reporting.__file__).parent / "report.schema.json").read_text(encoding="utf-8")
    )
    definitions = schema["$defs"]
    assert set(schema["properties"]) == set(machine.to_dict(FAILED))
    assert set(definitions["finding"]["properties"]["kind"]["enum"]) == set(FindingKind)
    for name, kind in (("entry", Entry), ("finding", Finding), ("tensor", TensorReport)):
        fields = {field.name for field in dataclasses.fields(kind)}
        assert set(definitions[name]["properties"]) == fields


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
