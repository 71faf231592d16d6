"""Reports and certainties to messages and back, field by field."""

from __future__ import annotations

import math
from typing import Any

from oracle.findings import FindingKind, InconclusiveReason
from oracle.gradcheck.v1 import report_pb2 as pb
from oracle.reporting import text
from oracle.values import (
    BudgetMap,
    Direction,
    Entry,
    Finding,
    Measurement,
    ReferenceGradient,
    ReferenceKind,
    Report,
    Rung,
    TensorReport,
    Verdict,
)
from oracle.wire import tensor


def _number(enum: Any, value: Any) -> Any:
    prefix = enum.keys()[0].removesuffix("UNSPECIFIED")
    return enum.Value(prefix + str(value.value).upper())


def _name(enum: Any, number: int) -> str:
    prefix = enum.keys()[0].removesuffix("UNSPECIFIED")
    return str(enum.Name(number)).removeprefix(prefix).lower()


def _same(value: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


_ENTRY = ("candidate", "reference", "allowed")
_FINDING = ("tensor", "message", "remedy")
_TENSOR = (
    "name",
    "budget_used",
    "detection_limit",
    "largest_reference",
    "radius",
    "wrong_entries",
)
_RUNG = ("step", "difference", "extrapolated", "noise")
_DIRECTION = ("tensor", "begin", "end", "predicted", "measured", "error")
_MEASUREMENT = ("evaluations", "value", "noise", "deterministic", "miss_probability")
_REPORT = ("subject", "summary", "budget_used", "detection_limit", "entries")


def encode(report: Report) -> pb.Report:
    """Return the message of a report, its rendered text included."""
    message = pb.Report(
        verdict=_number(pb.Verdict, report.verdict),
        findings=[_encode_finding(finding) for finding in report.findings],
        tensors=[_encode_tensor(item) for item in report.tensors],
        reference_kind=_number(pb.ReferenceKind, report.reference_kind),
        delta=report.delta,
        matched_delta=report.matched_delta,
        sizes=[pb.Size(name=name, value=value) for name, value in report.sizes.items()],
        notes=report.notes,
        text=text.render(report),
        **_same(report, *_REPORT),
    )
    if report.candidate_dtype in tensor.NAMES:
        message.candidate_data_type = tensor.encode_data_type(report.candidate_dtype)
    if report.accumulation_dtype in tensor.NAMES:
        message.accumulation_data_type = tensor.encode_data_type(report.accumulation_dtype)
    if report.reason is not None:
        message.reason = _number(pb.InconclusiveReason, report.reason)
    if report.measurement is not None:
        message.measurement.CopyFrom(_encode_measurement(report.measurement))
    return message


def _encode_entry(entry: Entry) -> pb.Entry:
    return pb.Entry(index=entry.index, **_same(entry, *_ENTRY))


def _encode_finding(finding: Finding) -> pb.Finding:
    return pb.Finding(
        kind=_number(pb.FindingKind, finding.kind),
        evidence=[pb.Evidence(name=name, value=v) for name, v in finding.evidence.items()],
        entries=[_encode_entry(entry) for entry in finding.entries],
        **_same(finding, *_FINDING),
    )


def _encode_tensor(item: TensorReport) -> pb.TensorReport:
    message = pb.TensorReport(
        shape=item.shape,
        verdict=_number(pb.Verdict, item.verdict),
        worst=[_encode_entry(entry) for entry in item.worst],
        histogram=item.histogram,
        **_same(item, *_TENSOR),
    )
    if item.budget_map is not None:
        grid = _same(item.budget_map, "rows", "columns", "cells")
        message.budget_map.CopyFrom(pb.BudgetMap(**grid))
    return message


def _encode_measurement(measurement: Measurement) -> pb.Measurement:
    return pb.Measurement(
        directions=[
            pb.Direction(
                verdict=_number(pb.Verdict, direction.verdict),
                rungs=[pb.Rung(**_same(rung, *_RUNG)) for rung in direction.rungs],
                **_same(direction, *_DIRECTION),
            )
            for direction in measurement.directions
        ],
        **_same(measurement, *_MEASUREMENT),
    )


def decode(message: pb.Report) -> Report:
    """Return the report of a message."""
    return Report(
        verdict=Verdict(_name(pb.Verdict, message.verdict)),
        reason=(
            InconclusiveReason(_name(pb.InconclusiveReason, message.reason))
            if message.reason
            else None
        ),
        findings=tuple(_decode_finding(finding) for finding in message.findings),
        tensors=tuple(_decode_tensor(item) for item in message.tensors),
        candidate_dtype=_dtype(message.candidate_data_type),
        accumulation_dtype=_dtype(message.accumulation_data_type),
        reference_kind=ReferenceKind(_name(pb.ReferenceKind, message.reference_kind)),
        delta=message.delta if message.HasField("delta") else None,
        matched_delta=message.matched_delta if message.HasField("matched_delta") else None,
        sizes={size.name: size.value for size in message.sizes},
        measurement=(
            _decode_measurement(message.measurement) if message.HasField("measurement") else None
        ),
        notes=tuple(message.notes),
        **_same(message, *_REPORT),
    )


def _dtype(number: int) -> str:
    return tensor.decode_data_type(number) if number else ""


def _decode_entry(message: pb.Entry) -> Entry:
    return Entry(index=tuple(message.index), **_same(message, *_ENTRY))


def _decode_finding(message: pb.Finding) -> Finding:
    return Finding(
        kind=FindingKind(_name(pb.FindingKind, message.kind)),
        evidence={item.name: item.value for item in message.evidence},
        entries=tuple(_decode_entry(entry) for entry in message.entries),
        **_same(message, *_FINDING),
    )


def _decode_tensor(message: pb.TensorReport) -> TensorReport:
    grid = message.budget_map
    return TensorReport(
        shape=tuple(message.shape),
        verdict=Verdict(_name(pb.Verdict, message.verdict)),
        worst=tuple(_decode_entry(entry) for entry in message.worst),
        budget_map=(
            BudgetMap(grid.rows, grid.columns, tuple(grid.cells))
            if message.HasField("budget_map")
            else None
        ),
        histogram=tuple(message.histogram),
        **_same(message, *_TENSOR),
    )


def _decode_measurement(message: pb.Measurement) -> Measurement:
    return Measurement(
        directions=tuple(
            Direction(
                verdict=Verdict(_name(pb.Verdict, direction.verdict)),
                rungs=tuple(Rung(**_same(rung, *_RUNG)) for rung in direction.rungs),
                **_same(direction, *_DIRECTION),
            )
            for direction in message.directions
        ),
        **_same(message, *_MEASUREMENT),
    )


def encode_certainty(gradient: ReferenceGradient) -> dict[str, Any]:
    """Return the fields of a `Certainty`: kind, largest radius, radius before rounding, proof."""
    radius = max(
        (float(value.max()) for value in gradient.radius.values() if value.size), default=0
    )
    return {
        "reference_kind": _number(pb.ReferenceKind, gradient.kind),
        "radius": radius if not math.isnan(radius) else math.inf,
        "relative_radius": gradient.exact_radius,
        "correctly_rounded": gradient.correctly_rounded,
    }
