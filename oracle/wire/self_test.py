"""The rows of a self-test to messages and back."""

from __future__ import annotations

from oracle.findings import FindingKind
from oracle.gradcheck.v1 import report_pb2, self_test_pb2
from oracle.values import SelfTest, SelfTestRow, Verdict
from oracle.wire import codes


def encode(result: SelfTest) -> self_test_pb2.RunSelfTestResponse:
    """Return the message of a self-test, its counts included."""
    return self_test_pb2.RunSelfTestResponse(
        wrong_gradients=result.wrong,
        detected=result.detected,
        named_rightly=result.named,
        named_wrongly=result.misnamed,
        correct_gradients=result.correct,
        false_alarms=result.false_alarms,
        rows=[
            self_test_pb2.SelfTestRow(
                name=row.name,
                right=[codes.number(report_pb2.FindingKind, kind) for kind in row.right],
                verdict=codes.number(report_pb2.Verdict, row.verdict),
                found=[codes.number(report_pb2.FindingKind, kind) for kind in row.found],
                visible=row.visible,
            )
            for row in result.rows
        ],
    )


def decode(message: self_test_pb2.RunSelfTestResponse) -> SelfTest:
    """Return the self-test of a message; the rows give its counts again."""
    return SelfTest(
        tuple(
            SelfTestRow(
                name=row.name,
                right=tuple(FindingKind(codes.name(report_pb2.FindingKind, k)) for k in row.right),
                verdict=Verdict(codes.name(report_pb2.Verdict, row.verdict)),
                found=tuple(FindingKind(codes.name(report_pb2.FindingKind, k)) for k in row.found),
                visible=row.visible,
            )
            for row in message.rows
        )
    )
