"""The contract and the values that mirror it."""

import enum

import pytest

from oracle import findings, values
from oracle.gradcheck.v1 import report_pb2


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
