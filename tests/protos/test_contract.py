"""The contract and the values that mirror it."""

import enum
import re
from pathlib import Path

import pytest
from google.rpc import error_details_pb2, status_pb2

from oracle import findings, values
from oracle.gradcheck.v1 import report_pb2
from oracle.service import admission, gate, status, tokens
from oracle.wire.tensor import MalformedTensor

SERVER = Path(__file__).parents[2] / "protos/oracle/gradcheck/v1/server.proto"


@pytest.mark.parametrize(
    ("codes", "message", "prefix"),
    [
        (findings.FindingKind, report_pb2.FindingKind, "FINDING_KIND_"),
        (findings.InconclusiveReason, report_pb2.InconclusiveReason, "INCONCLUSIVE_REASON_"),
        (values.Verdict, report_pb2.Verdict, "VERDICT_"),
        (values.ReferenceKind, report_pb2.ReferenceKind, "REFERENCE_KIND_"),
    ],
)
def test_every_code_has_its_twin_in_the_contract(codes: type[enum.StrEnum], message, prefix):
    """A code without a twin could not be sent."""
    named = {prefix + code.value.upper() for code in codes}
    assert named == set(message.keys()) - {prefix + "UNSPECIFIED"}


def details_of(error):
    """The code, the reason and the names of the further details of what an exception becomes."""
    (trailer,) = (v for k, v in status.status_of(error).trailing_metadata if k.endswith("-bin"))
    details = status_pb2.Status.FromString(trailer).details
    info = error_details_pb2.ErrorInfo()
    assert details[0].Unpack(info)
    assert info.domain == "gradient-oracle"
    further = {detail.TypeName().rpartition(".")[2] for detail in details[1:]}
    return status.status_of(error).code.name, info.reason, further


def test_every_error_is_in_the_table_of_the_contract():
    """A client in another language is written from it; the last row is for whatever is left."""
    rows = re.findall(r"^// \| ([A-Z_]+) \| ([A-Z_]+) \|", SERVER.read_text(), re.MULTILINE)
    errors = [
        values.InvalidInput("y", "be", "not"),
        MalformedTensor("y.data", "be", "not"),
        status.Undecodable("none"),
        tokens.Unauthenticated("none"),
        tokens.PermissionDenied("not this"),
        admission.TokenLimit("spent"),
        gate.Overloaded("full"),
        gate.TimeOver(),
        gate.CallerLeft(),
        status.Abandoned("gone"),
        gate.ServerStops(),
        ZeroDivisionError(),
    ]
    found = {details_of(error)[:2]: details_of(error)[2] for error in errors}
    assert list(found) == rows
    assert [reason for (_, reason), further in found.items() if "BadRequest" in further] == [
        "INVALID_ARGUMENT",
        "MALFORMED_TENSOR",
    ]
    assert {code for (code, _), further in found.items() if "RetryInfo" in further} == {
        "RESOURCE_EXHAUSTED",
        "UNAVAILABLE",
    }
