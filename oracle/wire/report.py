"""Reports and certainties to messages and back, field by field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from oracle import version
from oracle.findings import FindingKind, InconclusiveReason
from oracle.gradcheck.v1 import report_pb2 as pb
from oracle.gradcheck.v1 import tensor_pb2
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
from oracle.wire import codes


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
_REPORT = ("subject", "summary")
_KNOWN = ("budget_used", "detection_limit", "entries")
_MEASURED = ("detection_limit", "entries")


def encode(report: Report) -> pb.Report:
    """Return the message of a report, its rendered text and the version of this server included."""
    message = pb.Report(
        verdict=codes.number(pb.Verdict, report.verdict),
        findings=[_encode_finding(finding) for finding in report.findings],
        notes=report.notes,
        text=text.render(report),
        server_version=version.installed(),
        **_same(report, *_REPORT),
    )
    if report.reason is not None:
        message.reason = codes.number(pb.InconclusiveReason, report.reason)
    if report.measurement is None:
        message.known.CopyFrom(_encode_known(report))
    else:
        message.measured.CopyFrom(_encode_measured(report, report.measurement))
    return message


def _encode_known(report: Report) -> pb.KnownFunction:
    return pb.KnownFunction(
        tensors=[_encode_tensor(item) for item in report.tensors],
        candidate_data_type=_code(tensor_pb2.DataType, report.candidate_dtype),
        accumulation_data_type=_code(tensor_pb2.DataType, report.accumulation_dtype),
        reference_kind=_code(pb.ReferenceKind, report.reference_kind),
        delta=report.delta,
        matched_delta=report.matched_delta,
        sizes=[pb.Size(name=name, value=value) for name, value in report.sizes.items()],
        **_same(report, *_KNOWN),
    )


def _encode_measured(report: Report, measurement: Measurement) -> pb.MeasuredFunction:
    return pb.MeasuredFunction(
        tensors=[_encode_measured_tensor(item) for item in report.tensors],
        error_bars_used=report.budget_used,
        argument_data_type=_code(tensor_pb2.DataType, measurement.argument_dtype),
        candidate_data_type=_code(tensor_pb2.DataType, report.candidate_dtype),
        value_data_type=_code(tensor_pb2.DataType, report.accumulation_dtype),
        directions=[
            pb.Direction(
                verdict=codes.number(pb.Verdict, direction.verdict),
                rungs=[pb.Rung(**_same(rung, *_RUNG)) for rung in direction.rungs],
                **_same(direction, *_DIRECTION),
            )
            for direction in measurement.directions
        ],
        **_same(report, *_MEASURED),
        **_same(measurement, *_MEASUREMENT),
    )


def _code(enum: Any, code: str | None) -> Any:
    return codes.number(enum, code) if code else None


def _encode_entry(entry: Entry) -> pb.Entry:
    return pb.Entry(index=entry.index, **_same(entry, *_ENTRY))


def _encode_finding(finding: Finding) -> pb.Finding:
    return pb.Finding(
        kind=codes.number_if_named(pb.FindingKind, finding.kind),
        code=finding.kind,
        evidence=[pb.Evidence(name=name, value=v) for name, v in finding.evidence.items()],
        entries=[_encode_entry(entry) for entry in finding.entries],
        **_same(finding, *_FINDING),
    )


def _encode_tensor(item: TensorReport) -> pb.TensorReport:
    message = pb.TensorReport(
        shape=item.shape,
        verdict=codes.number(pb.Verdict, item.verdict),
        worst=[_encode_entry(entry) for entry in item.worst],
        histogram=item.histogram,
        **_same(item, *_TENSOR),
    )
    if item.budget_map is not None:
        grid = _same(item.budget_map, "rows", "columns", "cells", "candidate", "reference")
        message.budget_map.CopyFrom(pb.BudgetMap(**grid))
    return message


def _encode_measured_tensor(item: TensorReport) -> pb.MeasuredTensor:
    return pb.MeasuredTensor(
        name=item.name,
        shape=item.shape,
        verdict=codes.number(pb.Verdict, item.verdict),
        error_bars_used=item.budget_used,
        detection_limit=item.detection_limit,
        largest_candidate=item.largest_reference,
        widest_error_bar=item.radius,
        located=[_encode_entry(entry) for entry in item.worst],
    )


def decode(message: pb.Report) -> Report:
    """Return the report of a message.

    Of a basis that only a newer contract knows nothing but the verdict and the findings is left.
    """
    if not message.verdict:
        raise ValueError("a report without a verdict")
    return Report(
        verdict=Verdict(codes.name(pb.Verdict, message.verdict)),
        reason=(
            InconclusiveReason(codes.name(pb.InconclusiveReason, message.reason))
            if message.reason
            else None
        ),
        findings=tuple(_decode_finding(finding) for finding in message.findings),
        notes=tuple(message.notes),
        **_same(message, *_REPORT),
        **_decode_basis(message),
    )


def _decode_basis(message: pb.Report) -> Mapping[str, Any]:
    if message.HasField("known"):
        return _decode_known(message.known)
    if message.HasField("measured"):
        return _decode_measured(message.measured)
    return _UNTOLD


_UNTOLD: Mapping[str, Any] = {
    "tensors": (),
    "budget_used": math.nan,
    "detection_limit": math.nan,
    "candidate_dtype": "",
    "accumulation_dtype": "",
    "reference_kind": None,
    "entries": 0,
}


def _decode_known(message: pb.KnownFunction) -> dict[str, Any]:
    kind = message.reference_kind
    return {
        "tensors": tuple(_decode_tensor(item) for item in message.tensors),
        "candidate_dtype": _dtype(message.candidate_data_type),
        "accumulation_dtype": _dtype(message.accumulation_data_type),
        "reference_kind": ReferenceKind(codes.name(pb.ReferenceKind, kind)) if kind else None,
        "delta": message.delta if message.HasField("delta") else None,
        "matched_delta": message.matched_delta if message.HasField("matched_delta") else None,
        "sizes": {size.name: size.value for size in message.sizes},
        **_same(message, *_KNOWN),
    }


def _decode_measured(message: pb.MeasuredFunction) -> dict[str, Any]:
    return {
        "tensors": tuple(_decode_measured_tensor(item) for item in message.tensors),
        "budget_used": message.error_bars_used,
        "candidate_dtype": _dtype(message.candidate_data_type),
        "accumulation_dtype": _dtype(message.value_data_type),
        "reference_kind": None,
        "measurement": Measurement(
            argument_dtype=_dtype(message.argument_data_type),
            directions=tuple(
                Direction(
                    verdict=Verdict(codes.name(pb.Verdict, direction.verdict)),
                    rungs=tuple(Rung(**_same(rung, *_RUNG)) for rung in direction.rungs),
                    **_same(direction, *_DIRECTION),
                )
                for direction in message.directions
            ),
            **_same(message, *_MEASUREMENT),
        ),
        **_same(message, *_MEASURED),
    }


def _dtype(number: int) -> str:
    return codes.name(tensor_pb2.DataType, number) if number else ""


def _decode_entry(message: pb.Entry) -> Entry:
    return Entry(index=tuple(message.index), **_same(message, *_ENTRY))


def _decode_finding(message: pb.Finding) -> Finding:
    return Finding(
        kind=FindingKind(message.code or codes.name(pb.FindingKind, message.kind)),
        evidence={item.name: item.value for item in message.evidence},
        entries=tuple(_decode_entry(entry) for entry in message.entries),
        **_same(message, *_FINDING),
    )


def _decode_tensor(message: pb.TensorReport) -> TensorReport:
    grid = message.budget_map
    return TensorReport(
        shape=tuple(message.shape),
        verdict=Verdict(codes.name(pb.Verdict, message.verdict)),
        worst=tuple(_decode_entry(entry) for entry in message.worst),
        budget_map=(
            BudgetMap(
                grid.rows,
                grid.columns,
                tuple(grid.cells),
                tuple(grid.candidate),
                tuple(grid.reference),
            )
            if message.HasField("budget_map")
            else None
        ),
        histogram=tuple(message.histogram),
        **_same(message, *_TENSOR),
    )


def _decode_measured_tensor(message: pb.MeasuredTensor) -> TensorReport:
    return TensorReport(
        name=message.name,
        shape=tuple(message.shape),
        verdict=Verdict(codes.name(pb.Verdict, message.verdict)),
        budget_used=message.error_bars_used,
        detection_limit=message.detection_limit,
        largest_reference=message.largest_candidate,
        radius=message.widest_error_bar,
        worst=tuple(_decode_entry(entry) for entry in message.located),
        wrong_entries=len(message.located),
    )


def encode_certainty(gradient: ReferenceGradient) -> dict[str, Any]:
    """Return the fields of a `Certainty`: kind, largest radius, radius before rounding, proof."""
    radius = max(
        (float(value.max()) for value in gradient.radius.values() if value.size), default=0
    )
    return {
        "reference_kind": codes.number(pb.ReferenceKind, gradient.kind),
        "radius": radius if not math.isnan(radius) else math.inf,
        "relative_radius": gradient.exact_radius,
        "correctly_rounded": gradient.correctly_rounded,
    }
