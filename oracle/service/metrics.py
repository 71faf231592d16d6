"""Metrics: what a server tells Prometheus of its calls, its load and its verdicts."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import grpc
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from oracle.gradcheck.v1 import report_pb2
from oracle.service.calls import Call, Once, is_open
from oracle.service.gate import Gate
from oracle.service.ports import CannotServe, split_address

SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Bounds of the histogram of seconds: two in each power of ten, up to some minutes."""

MOST_SUBJECTS = 100
"""Different subjects of verdicts; further ones are counted together, for callers may name them."""

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""Variable of prometheus-client: where several processes leave what they counted."""


class Metrics:
    """What is counted. In several processes each counts, and one tells the sums.

    Parameters
    ----------
    gate : Gate
        Where calls wait.
    """

    def __init__(self, gate: Gate) -> None:
        self.registry = CollectorRegistry()
        self._subjects: set[str] = set()
        self._lock = threading.Lock()
        self.calls = self._counter("calls", "Calls that have ended.", "method", "code", "token")
        self.received = self._counter("received_bytes", "Bytes of requests.", "method")
        self.sent = self._counter("sent_bytes", "Bytes of responses.", "method")
        self.verdicts = self._counter("verdicts", "Verdicts of checks.", "subject", "verdict")
        self.findings = self._counter("findings", "Findings of checks.", "subject", "finding")
        self.seconds = Histogram(
            "gradient_oracle_call_seconds",
            "Seconds from the begin of a call to its end.",
            ["method"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.under_way = self._gauge("calls_under_way", "Calls that run or wait.", "method")
        self._sampled: list[tuple[Any, Callable[[], float]]] = [
            (self._gauge("waiting_calls", "Calls that wait for a slot."), lambda: gate.waiting),
            (self._gauge("slots", "Calls that may compute at a time."), lambda: gate.slots.count),
            (
                self._gauge("slots_taken", "Slots that are taken."),
                lambda: gate.slots.taken,
            ),
        ]
        if DIRECTORY not in os.environ:
            for gauge, function in self._sampled:
                gauge.set_function(function)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"gradient_oracle_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(
            f"gradient_oracle_{name}",
            text,
            labels,
            registry=self.registry,
            multiprocess_mode="livesum",
        )

    def sample(self) -> None:
        """Note the load of this moment, where several processes count: nobody can ask them."""
        if DIRECTORY in os.environ:
            for gauge, function in self._sampled:
                gauge.set(function())

    def interceptors(self) -> list[grpc.ServerInterceptor]:
        """Return what counts the bytes and the verdicts."""
        return [Counted(self)]

    def began(self, call: Call) -> None:
        """Count a call among those under way."""
        self.under_way.labels(_short(call.method)).inc()

    def ended(self, call: Call, seconds: float) -> None:
        """Count a call that has ended."""
        method = _short(call.method)
        self.under_way.labels(method).dec()
        self.calls.labels(method, call.code, call.token).inc()
        self.seconds.labels(method).observe(seconds)

    def count_report(self, method: str, report: report_pb2.Report) -> None:
        """Count the verdict and the findings of a report."""
        subject = self._subject(method, report.subject)
        verdict = report_pb2.Verdict.DESCRIPTOR.values_by_number.get(report.verdict)
        self.verdicts.labels(subject, _word(verdict, "VERDICT_")).inc()
        for finding in report.findings:
            kind = report_pb2.FindingKind.DESCRIPTOR.values_by_number.get(finding.kind)
            self.findings.labels(subject, _word(kind, "FINDING_KIND_")).inc()

    def _subject(self, method: str, named: str) -> str:
        """Return the subject to count under: a function of a caller's has any name."""
        if "BlackBoxService" in method:
            return "function"
        with self._lock:
            if len(self._subjects) < MOST_SUBJECTS:
                self._subjects.add(named)
            return named if named in self._subjects else "other"


def _short(method: str) -> str:
    """Return a method without its package: LossService/MeanSquaredError."""
    return method.rpartition(".")[2]


def _word(value: Any, prefix: str) -> str:
    return value.name.removeprefix(prefix).lower() if value else "unknown"


class Counted(grpc.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Counts the bytes of requests and responses, and the verdicts in responses."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._changed = Once(self._counted)

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Return the handler of a call."""
        handler = continuation(details)
        if handler is None or is_open(details.method):
            return handler
        return self._changed(details.method, handler)

    def _counted(self, method: str, handler: Any) -> Any:
        name = _short(method)
        received, sent = self._metrics.received.labels(name), self._metrics.sent.labels(name)
        read, write = handler.request_deserializer, handler.response_serializer

        def deserialize(data: bytes) -> Any:
            received.inc(len(data))
            return data if read is None else read(data)

        def serialize(response: Any) -> Any:
            data = response if write is None else write(response)
            sent.inc(len(data))
            report = _report(response)
            if report is not None:
                self._metrics.count_report(method, report)
            return data

        return handler._replace(request_deserializer=deserialize, response_serializer=serialize)


def _report(response: Any) -> report_pb2.Report | None:
    """Return the report in a response: of a check, or at the end of a conversation."""
    fields = getattr(getattr(response, "DESCRIPTOR", None), "fields_by_name", {})
    if "reply" in fields and response.reply.WhichOneof("say") == "result":
        response, fields = response.reply.result, {"report": None}
    if "report" in fields and hasattr(response, "HasField") and response.HasField("report"):
        return response.report
    return None


class Exposition:
    """What Prometheus reads, over HTTP at an address of its own.

    Parameters
    ----------
    address : str
        HOST:PORT; port 0 takes a free one.
    registry : CollectorRegistry
        What is told.

    Raises
    ------
    CannotServe
        If the address is none, or taken.
    """

    def __init__(self, address: str, registry: CollectorRegistry) -> None:
        host, bare, port = split_address(address)
        try:
            self._server, self._thread = start_http_server(port, bare, registry)
        except OSError as error:
            raise CannotServe(f"--metrics-address {address}: {error.strerror or error}") from None
        self.address = f"{host}:{self._server.server_port}"

    def stop(self) -> None:
        """Tell nothing any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Processes:
    """What several processes have counted, told by the one that started them.

    The variable of the directory must be set before this module is loaded.

    Parameters
    ----------
    address : str
        HOST:PORT to tell it at.
    """

    def __init__(self, address: str) -> None:
        self._ended = Counter(
            "gradient_oracle_processes_restarted",
            "Processes that ended by themselves and were replaced.",
            registry=CollectorRegistry(),
        )
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        self.exposition = Exposition(address, registry)

    def replaced(self, process: int) -> None:
        """Count a process that has ended, and forget what was under way in it."""
        self._ended.inc()
        mark_process_dead(process)  # type: ignore[no-untyped-call]
