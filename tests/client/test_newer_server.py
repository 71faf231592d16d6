"""A server that knows more than this client, or less, over a real socket."""

from __future__ import annotations

from concurrent import futures

import gradient_oracle
import grpc
import numpy as np
import pytest

from oracle.gradcheck.v1 import loss_pb2, loss_pb2_grpc, report_pb2, self_test_pb2
from oracle.gradcheck.v1 import self_test_pb2_grpc as self_test_grpc
from oracle.wire import document

TEXT = "FAIL  mean squared error: the gradient belongs to another loss\n      Use this one."
TENSOR = report_pb2.TensorReport(name="y", shape=[2], verdict=2, wrong_entries=1)
NEWER = report_pb2.Report(
    verdict=report_pb2.VERDICT_FAIL,
    reason=77,
    subject="mean squared error",
    summary="the gradient belongs to another loss",
    findings=[report_pb2.Finding(kind=99, message="It belongs to another loss.")],
    known=report_pb2.KnownFunction(
        tensors=[TENSOR],
        candidate_data_type=55,
        accumulation_data_type=56,
        reference_kind=44,
        entries=2,
    ),
    text=TEXT,
    server_version="1.7.0",
)


class Newer(loss_pb2_grpc.LossServiceServicer, self_test_grpc.SelfTestServiceServicer):
    """A server without ServerService, whose answers hold codes that nobody here knows."""

    report = NEWER

    def MeanSquaredError(self, _request, _context):
        return loss_pb2.MeanSquaredErrorResponse(error=7)

    def CheckMeanSquaredError(self, _request, _context):
        return loss_pb2.CheckMeanSquaredErrorResponse(report=self.report)

    def RunSelfTest(self, _request, _context):
        row = self_test_pb2.SelfTestRow(name="new", right=[99], verdict=2, found=[99], visible=True)
        return self_test_pb2.RunSelfTestResponse(rows=[row])


@pytest.fixture
def newer():
    """Return the servicer and a client of it."""
    servicer = Newer()
    server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    loss_pb2_grpc.add_LossServiceServicer_to_server(servicer, server)
    self_test_grpc.add_SelfTestServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with gradient_oracle.connect(f"127.0.0.1:{port}") as oracle:
        yield servicer, oracle
    server.stop(0).wait()


def checked(oracle):
    return oracle.check_mean_squared_error([1.0, 2.0], [0.0, 0.0], np.array([1.0, 2.0]))


def test_unknown_codes_show_as_their_numbers_and_the_verdict_stands(newer):
    """With the text of the server, which knows what they mean."""
    report = checked(newer[1])
    assert (report.verdict, report.passed) == ("fail", False)
    assert [(f.kind, f.message) for f in report.findings] == [("99", "It belongs to another loss.")]
    assert report.reason == "77"
    assert str(report) == TEXT
    assert report.server_version == "1.7.0"
    assert repr(report) == "<Report fail of mean squared error: 99>"
    with pytest.raises(AssertionError, match="the gradient belongs to another loss"):
        report.raise_for_failure()
    written = document.of_report(report.message)
    assert written["findings"][0]["kind"] == "99"
    assert written["known"]["candidate_data_type"] == "55"
    assert written["known"]["reference_kind"] == "44"
    assert "It belongs to another loss." in report.to_html()


def test_an_unknown_verdict_is_no_pass(newer):
    """Nobody knows here what it means, so it is not green."""
    servicer, oracle = newer
    servicer.report = report_pb2.Report(verdict=9, text="PARTLY  x")
    report = checked(oracle)
    assert (report.verdict, bool(report), str(report)) == ("9", False, "PARTLY  x")
    with pytest.raises(AssertionError, match="PARTLY"):
        report.raise_for_failure(allow_inconclusive=True)
    assert ">9<" in report.to_html()


def test_a_report_without_a_verdict_is_a_server_failure(newer):
    """It says nothing."""
    servicer, oracle = newer
    servicer.report = report_pb2.Report(text="PASS")
    with pytest.raises(gradient_oracle.ServerFailure, match="without a verdict"):
        checked(oracle)


def test_a_report_on_an_unknown_basis_keeps_what_is_known_of_it(newer):
    """A check of a kind that comes later still has a verdict and findings."""
    servicer, oracle = newer
    servicer.report = report_pb2.Report(verdict=1, text="PASS  a graph: right", subject="a graph")
    report = checked(oracle)
    assert report.passed
    assert report.tensors == ()
    assert np.isnan(report.detection_limit)


def test_a_self_test_may_hold_unknown_codes(newer):
    """Its counts are those of its rows."""
    result = newer[1].self_test()
    assert (result.detected, result.named, result.rows[0].found) == (1, 1, ("99",))


def test_a_server_is_used_for_the_services_that_it_has(newer):
    """Without ServerService too; what it lacks is named."""
    _, oracle = newer
    assert oracle.mean_squared_error([1.0], [0.0]) == 7
    with pytest.raises(gradient_oracle.ServerFailure, match="does not serve this method"):
        oracle.sigmoid([1.0])
