"""A report as JSON, with a schema that is documented in `report.schema.json` and versioned."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections.abc import Mapping
from typing import Any

from oracle.values import Report

SCHEMA_VERSION = 1
"""Raised when a field changes its meaning or goes away; new fields do not raise it."""


def to_dict(report: Report) -> dict[str, Any]:
    """Return the report as dictionaries, lists, strings, numbers and None, ready for JSON.

    JSON has no NaN and no infinities: they become the strings "nan", "inf" and "-inf".
    """
    return {"schema_version": SCHEMA_VERSION, **_plain(report)}


def to_json(report: Report, *, indent: int | None = 2, maps: bool = True) -> str:
    """Return the report as JSON, in the form of `report.schema.json`.

    Without `maps` the field `budget_map` of each tensor, up to 4096 cells, is null.
    """
    document = to_dict(report)
    if not maps:
        for tensor in document["tensors"]:
            tensor["budget_map"] = None
    return json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    return value
