"""A message as JSON: the fields of the contract under their names, fixed codes in lower case."""

from __future__ import annotations

import json
import math
from typing import Any

from google.protobuf.message import Message

from oracle.gradcheck.v1 import report_pb2
from oracle.wire import codes
from oracle.wire.descriptors import is_repeated

SCHEMA_VERSION = 1
"""Raised when a field changes its meaning or goes away; new fields do not raise it."""


def of_report(message: report_pb2.Report, *, maps: bool = True) -> dict[str, Any]:
    """Return a report as dictionaries, lists, strings, numbers and None, ready for JSON.

    Without `maps` the field `budget_map` of each tensor, up to 4096 cells, is None.
    """
    document = {"schema_version": SCHEMA_VERSION, **of_message(message)}
    known = document["known"]
    for tensor in known["tensors"] if known and not maps else ():
        tensor["budget_map"] = None
    return document


def of_message(message: Message) -> dict[str, Any]:
    """Return any message: a field that is not set and could be is None.

    JSON has no NaN and no infinities: they become the strings "nan", "inf" and "-inf". A code that
    only a newer contract names is its number, as a string.
    """
    return {field.name: _of_field(message, field) for field in message.DESCRIPTOR.fields}


def _of_field(message: Message, field: Any) -> Any:
    value = getattr(message, field.name)
    if is_repeated(field):
        return [_plain(field, item) for item in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _plain(field, value)


def _plain(field: Any, value: Any) -> Any:
    if field.message_type:
        return of_message(value)
    if field.enum_type:
        return codes.of_descriptor(field.enum_type, value) if value else None
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def dumps(document: Any) -> str:
    """Return JSON that people can read."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
