"""The JSON schema of a report, from the descriptors of the contract and its comments.

    report_schema.py IMAGE    print the schema; IMAGE is a FileDescriptorSet with source information

`oracle/wire/document.py` writes the JSON that it describes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = ".oracle.gradcheck.v1.Report"
NUMBER = {"anyOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}]}
INTEGERS = {Field.TYPE_INT32, Field.TYPE_INT64, Field.TYPE_UINT64, Field.TYPE_FIXED64}
MESSAGES, ENUMS, COMMENTS = {}, {}, {}


def read(image: bytes) -> None:
    """Fill the tables of messages, enums and comments by full name."""
    for file in FileDescriptorSet.FromString(image).file:
        said = {
            tuple(at.path): " ".join(at.leading_comments.split())
            for at in file.source_code_info.location
        }
        for n, message in enumerate(file.message_type):
            name = f".{file.package}.{message.name}"
            MESSAGES[name] = message
            COMMENTS[name] = said.get((4, n), "")
            for k, field in enumerate(message.field):
                COMMENTS[f"{name}.{field.name}"] = said.get((4, n, 2, k), "")
        for enum in file.enum_type:
            ENUMS[f".{file.package}.{enum.name}"] = enum


def codes(name: str) -> dict[str, Any]:
    """Return the schema of a fixed code: one that is known, or the number of a newer one."""
    first, *rest = (value.name for value in ENUMS[name].value)
    prefix = first.removesuffix("UNSPECIFIED")
    known = [value.removeprefix(prefix).lower() for value in rest]
    return {"anyOf": [{"enum": known}, {"type": "string", "pattern": "^[0-9]+$"}, {"type": "null"}]}


def of_field(field: Field, owner: str) -> dict[str, Any]:
    """Return the schema of one field."""
    if field.type == Field.TYPE_MESSAGE:
        made = {"$ref": f"#/$defs/{field.type_name.rpartition('.')[2]}"}
    elif field.type == Field.TYPE_ENUM:
        made = codes(field.type_name)
    elif field.type == Field.TYPE_DOUBLE:
        made = NUMBER
    elif field.type in INTEGERS:
        made = {"type": "integer"}
    else:
        made = {"type": {Field.TYPE_STRING: "string", Field.TYPE_BOOL: "boolean"}[field.type]}
    if field.label == Field.LABEL_REPEATED:
        made = {"type": "array", "items": made}
    elif field.type == Field.TYPE_MESSAGE or field.proto3_optional or field.HasField("oneof_index"):
        made = {"anyOf": [made, {"type": "null"}]}
    return {"description": COMMENTS[f"{owner}.{field.name}"], **made}


def of_message(name: str) -> dict[str, Any]:
    """Return the schema of a message; fields may be added, so others than these are allowed."""
    fields = {field.name: of_field(field, name) for field in MESSAGES[name].field}
    return {
        "description": COMMENTS[name],
        "type": "object",
        "required": list(fields),
        "properties": fields,
    }


def below(name: str) -> Iterator[str]:
    """Yield the messages that a message holds, and those that they hold."""
    for field in MESSAGES[name].field:
        if field.type == Field.TYPE_MESSAGE:
            yield field.type_name
            yield from below(field.type_name)


def schema() -> dict[str, Any]:
    """Return the schema of a report."""
    report = of_message(ROOT)
    version = {"description": "Raised when a field changes its meaning or goes away.", "const": 1}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gradient-oracle report",
        **report,
        "required": ["schema_version", *report["required"]],
        "properties": {"schema_version": version, **report["properties"]},
        "$defs": {name.rpartition(".")[2]: of_message(name) for name in sorted(set(below(ROOT)))},
    }


if __name__ == "__main__":
    read(Path(sys.argv[1]).read_bytes())
    sys.stdout.write(json.dumps(schema(), indent=2) + "\n")
