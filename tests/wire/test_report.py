"""A report that travelled is the report that was sent."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle import values, wire
from oracle.findings import FindingKind, InconclusiveReason
from oracle.gradcheck.v1 import report_pb2
from oracle.reporting import text
from oracle.values import ReferenceGradient, ReferenceKind, Report, Verdict
from oracle.wire import document, report

COUNTS = st.integers(0, 2**31 - 1)
FLOATING = st.sampled_from(["float64", "float32", "float16", "bfloat16"])
INDICES = st.lists(COUNTS, max_size=3).map(tuple)


def built(kind):
    """Draw a dataclass of `oracle.values`, field by field from its annotations."""
    return st.deferred(lambda: st.builds(kind, **{f.name: of(f.type) for f in fields(kind)}))


def of(annotation):
    """Draw a value of a field's type, which is a string in `oracle.values`."""
    simple = {
        "str": st.text(max_size=5),
        "int": COUNTS,
        "float": st.floats(allow_nan=True),
        "float | None": st.none() | st.floats(allow_nan=False),
        "bool": st.booleans(),
        "tuple[int, ...]": INDICES,
        "tuple[float, ...]": st.lists(st.floats(), max_size=3).map(tuple),
        "tuple[str, ...]": st.lists(st.text(max_size=5), max_size=2).map(tuple),
        "Mapping[str, float]": st.dictionaries(st.text(max_size=5), st.floats(), max_size=2),
        "Mapping[str, int]": st.dictionaries(st.text(max_size=5), COUNTS, max_size=2),
        "Verdict": st.sampled_from(Verdict),
        "ReferenceKind | None": st.sampled_from(ReferenceKind),
        "FindingKind": st.sampled_from([*FindingKind, FindingKind("mean_term_missing")]),
        "InconclusiveReason | None": st.none() | st.sampled_from(InconclusiveReason),
    }
    if annotation in simple:
        return simple[annotation]
    if annotation.startswith("tuple["):
        item = built(getattr(values, annotation.removeprefix("tuple[").removesuffix(", ...]")))
        return st.lists(item, max_size=2).map(tuple)
    return st.none() | built(getattr(values, annotation.removesuffix(" | None")))


COMMON = {"candidate_dtype": FLOATING, "accumulation_dtype": FLOATING}


def measured_tensor(item):
    """Leave out what a measured tensor has not."""
    return replace(item, wrong_entries=len(item.worst), budget_map=None, histogram=())


@st.composite
def reports(draw):
    """Draw a report of one basis, with what that has."""
    plain = {f.name: of(f.type) for f in fields(Report)} | COMMON
    value = draw(st.builds(Report, **plain))
    if value.measurement is None:
        return value
    nothing = {"reference_kind": None, "delta": None, "matched_delta": None, "sizes": {}}
    nothing["measurement"] = replace(value.measurement, argument_dtype=draw(FLOATING))
    return replace(value, tensors=tuple(map(measured_tensor, value.tensors)), **nothing)


def identical(one, other):
    """Whether two values agree in every field and every bit that can be seen."""
    if is_dataclass(one):
        return type(one) is type(other) and all(
            identical(getattr(one, f.name), getattr(other, f.name)) for f in fields(one)
        )
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(identical(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(identical, one, other))
    return type(one) is type(other) and one == other


@given(value=reports())
def test_a_round_trip_keeps_every_field(value):
    """The client's report is built from the message alone, so nothing may be missing from it."""
    with mock.patch.object(text, "render", return_value="the text"):
        message = report.encode(value)
    assert message.text == "the text"
    back = report.decode(report_pb2.Report.FromString(message.SerializeToString()))
    assert identical(back, value)


@pytest.mark.parametrize("kind", [Verdict, ReferenceKind, FindingKind, InconclusiveReason])
def test_every_name_has_a_number_and_every_number_a_name(kind):
    """A kind that is added on one side only would be an internal error on the day it is found."""
    enum = getattr(report_pb2, kind.__name__)
    prefix = enum.keys()[0].removesuffix("UNSPECIFIED")
    on_the_wire = {name.removeprefix(prefix).lower() for name in enum.keys()[1:]}
    assert on_the_wire == {member.value for member in kind}


def test_a_report_names_the_version_of_its_server():
    """A text of an older or a newer server can be told apart."""
    message = report.encode(BLANK)
    assert message.server_version == version("gradient-oracle")


BLANK = Report(
    subject="two-layer net",
    verdict=Verdict.FAIL,
    reason=None,
    summary="the gradient is wrong",
    findings=(values.Finding(FindingKind.UNEXPLAINED, "W1", "so", "do", {"factor": math.inf}),),
    tensors=(),
    budget_used=math.inf,
    detection_limit=math.nan,
    candidate_dtype="float64",
    accumulation_dtype="float64",
    reference_kind=ReferenceKind.ENCLOSURE,
    entries=2**40,
)
SCHEMA = json.loads(Path(wire.__file__).with_name("report.schema.json").read_text("utf-8"))


@given(value=reports())
def test_the_json_of_any_report_fits_its_schema(value):
    """Both come from the contract: its fields under their names, its comments as descriptions."""
    with mock.patch.object(text, "render", return_value="the text"):
        written = document.dumps(document.of_report(report.encode(value)))
    jsonschema.validate(json.loads(written, parse_constant=pytest.fail), SCHEMA)


def test_json_has_plain_codes_and_no_bare_nan():
    """Standard JSON has no NaN and no infinity: they are strings; what is not set is null."""
    read = json.loads(
        document.dumps(document.of_report(report.encode(BLANK))), parse_constant=pytest.fail
    )
    assert (read["verdict"], read["findings"][0]["kind"]) == ("fail", "unexplained")
    assert (read["known"]["budget_used"], read["known"]["detection_limit"]) == ("inf", "nan")
    assert read["findings"][0]["evidence"] == [{"name": "factor", "value": "inf"}]
    assert (read["reason"], read["measured"], read["known"]["delta"]) == (None, None, None)
    assert read["known"]["entries"] == 2**40


def test_a_certainty_is_the_largest_radius():
    """One number for all tensors; NaN would claim nothing and is sent as infinity."""
    tensors = {"W": np.ones(2), "b": np.ones(0)}
    radius = {"W": np.array([1e-9, 2e-9]), "b": np.ones(0)}
    exact = ReferenceGradient(tensors, radius, ReferenceKind.ENCLOSURE, 1e-12, True)
    sent = report.encode_certainty(exact)
    assert (sent["radius"], sent["relative_radius"]) == (2e-9, 1e-12)
    radius["W"] = np.array(np.nan)
    assert report.encode_certainty(exact)["radius"] == math.inf
