"""Messages with large tensors, which are copied once on their way out and not at all on the way in.

Protobuf copies the bytes of a tensor into the message, from there into what is sent, from what
arrived into the message, and once more at every look at the field. For 32 MB each copy costs a
tenth of the whole call. So a message with a large tensor is kept as a `Draft` until it is put
together, straight from the arrays, and as an `Arrived` when it is read, whose tensors are views of
the bytes that came. On the wire, both are what protobuf writes and reads.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, ParamSpec, TypeVar, cast

from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from oracle.gradcheck.v1 import tensor_pb2
from oracle.wire.descriptors import is_repeated

P = ParamSpec("P")
M = TypeVar("M", bound=Message)

LARGE = 2**16
"""Bytes of a field from which on its copies cost more than the detour around them."""

MOST_FIELDS = 512
"""Fields that are looked at one by one, in Python; a message of more is protobuf's to read.

The requests with large tensors have some twenty, a start of many tensors some hundred.
"""

MOST_MESSAGES = 2**19
"""Messages in one, such as the evaluations of an answer: protobuf reads as many in 0.2 s, into
some 40 MB. Of two bytes each, a request of 64 MB would hold 32 million: 8 s and 2 GB.
"""

VARINT, LENGTH_DELIMITED = 0, 2
"""Wire types: numbers of variable length; bytes and messages, after their length."""
_FIXED = {1: 8, 5: 4}
"""Bytes of the wire types of one length."""
_DATA = f"{tensor_pb2.Tensor.DESCRIPTOR.full_name}.data"


class Draft:
    """A message to be: its class and its fields, of which some are views of large arrays."""

    def __init__(self, kind: type[Message], fields: Mapping[str, Any]) -> None:
        self.kind = kind
        self.fields = fields
        self.DESCRIPTOR = kind.DESCRIPTOR

    def SerializeToString(self) -> bytes:  # noqa: N802 - the name that messages have
        """Return the bytes of the message."""
        return b"".join(_written(self.kind, self.fields))


def build(kind: Callable[P, M], *none: P.args, **fields: P.kwargs) -> M:
    """Return the message of these fields: dicts for messages, lists of them for repeated ones.

    Bytes of arrays may be views. What is sent is typed as the message that it becomes, whose stub
    knows the names of its fields.
    """
    if not _holds_view(fields):
        return kind(*none, **fields)
    draft: Any = Draft(cast("type[Message]", kind), fields)
    return cast("M", draft)


def part(_: Callable[P, M], *_none: P.args, **fields: P.kwargs) -> M:
    """Return the fields of a message in another that `build` makes, typed as that message."""
    inner: Any = fields
    return cast("M", inner)


def _holds_view(value: Any) -> bool:
    if type(value) is dict:
        return any(map(_holds_view, value.values()))
    if type(value) is list:
        return any(map(_holds_view, value))
    return type(value) is memoryview


def _written(kind: type[Message], fields: Mapping[str, Any]) -> Iterator[bytes | memoryview]:
    """Yield the pieces of a message; the order of fields means nothing."""
    small = {}
    for name, value in fields.items():
        if not _holds_view(value):
            small[name] = value
            continue
        field: Any = kind.DESCRIPTOR.fields_by_name[name]
        for item in value if type(value) is list else [value]:
            pieces: list[bytes | memoryview] = [item]
            if type(item) is dict:
                pieces = list(_written(GetMessageClass(field.message_type), item))
            yield _varint(field.number << 3 | LENGTH_DELIMITED) + _varint(sum(map(len, pieces)))
            yield from pieces
    yield kind(**small).SerializeToString()


def _varint(value: int) -> bytes:
    """Return the wire form of a number: seven bits a byte, lowest first, the top bit for "more"."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Arrived:
    """A message as it came; `large` has the bytes of tensors that it lacks, as views.

    Those of a repeated field are by the place of the message that lacks them.
    """

    def __init__(self, message: Message, large: Mapping[str, Any]) -> None:
        self._message = message
        self._large = large

    def __getattr__(self, name: str) -> Any:
        found = self._large.get(name)
        if type(found) is not dict:
            return getattr(self._message, name) if found is None else found
        held = getattr(self._message, name)
        if isinstance(held, Message):
            return Arrived(held, found)
        return [Arrived(m, found[k]) if k in found else m for k, m in enumerate(held)]


class TooManyMessages(DecodeError):
    """A message that holds more messages than are read: each takes far more memory than bytes."""

    def __init__(self) -> None:
        super().__init__(f"hold at most {MOST_MESSAGES:,} messages")


class _Unusual(Exception):
    """Bytes that protobuf should look at as a whole: cut off, of many fields, or with one twice."""


def reader(kind: type[Message]) -> Callable[[bytes], Message | Arrived]:
    """Return what reads messages of a class, with the error of protobuf for what is none."""
    return partial(_read, kind)


def _read(kind: type[Message], data: bytes) -> Message | Arrived:
    if len(data) >= LARGE:
        try:
            small, large = _split(kind.DESCRIPTOR, memoryview(data), iter(range(MOST_FIELDS)))
        except _Unusual:
            small, large = data, {}
        _require_few_messages(kind.DESCRIPTOR, small)
        message = kind.FromString(small)
        return Arrived(message, large) if large else message
    return kind.FromString(data)


@functools.cache
def _beginnings(kind: Any, *outer: Any) -> frozenset[bytes]:
    """Return what fields with several messages begin with, in messages of a class and in theirs."""
    found: frozenset[bytes] = frozenset()
    for field in kind.fields:
        if field.message_type and field.message_type not in outer:
            found |= _beginnings(field.message_type, kind, *outer)
            if is_repeated(field):
                found |= {_varint(field.number << 3 | LENGTH_DELIMITED)}
    return found


def _require_few_messages(kind: Any, data: bytes) -> None:
    """Raise if there are too many; only where there may be as many, they are counted in Python."""
    if any(data.count(beginning) > MOST_MESSAGES for beginning in _beginnings(kind)):
        _count_messages(kind, memoryview(data), iter(range(MOST_MESSAGES)))


def _count_messages(kind: Any, data: memoryview, places: Iterator[int]) -> None:
    """Raise if the fields of a message and of those that hold several are more than the places."""
    at = 0
    while at < len(data):
        if next(places, None) is None:
            raise TooManyMessages
        try:
            number, wire_type, begin, end = _field(data, at)
        except _Unusual:  # Protobuf refuses it, or leaves what there is out.
            return
        field = kind.fields_by_number.get(number)
        inner = field.message_type if wire_type == LENGTH_DELIMITED and field else None
        if inner and _beginnings(inner):
            _count_messages(inner, data[begin:end], places)
        at = end


def _field(data: memoryview, at: int) -> tuple[int, int, int, int]:
    """Return number, wire type, begin and end of the content of the field at a place."""
    key, at = _number(data, at)
    wire_type = key & 7
    size = _FIXED.get(wire_type, 0)
    begin = at
    if wire_type == VARINT:
        _, at = _number(data, at)
    elif wire_type == LENGTH_DELIMITED:
        size, begin = _number(data, at)
        at = begin
    elif not size:
        raise _Unusual
    if at + size > len(data):
        raise _Unusual
    return key >> 3, wire_type, begin, at + size


def _split(kind: Any, data: memoryview, places: Iterator[int]) -> tuple[bytes, dict[str, Any]]:
    """Return a message without the bytes of its large tensors, and views of those.

    Every field, of inner messages too, takes one of the `places`.
    """
    small, at = bytearray(), 0
    large: dict[str, Any] = {}
    seen: Counter[int] = Counter()
    while at < len(data):
        if next(places, None) is None:
            raise _Unusual
        number, wire_type, begin, end = _field(data, at)
        seen[number] += 1
        field = kind.fields_by_number.get(number)
        if wire_type == LENGTH_DELIMITED and end - begin >= LARGE and field:
            if field.full_name == _DATA:
                large[field.name] = data[begin:end]
                at = end
                continue
            if field.message_type:
                inner, found = _split(field.message_type, data[begin:end], places)
                if found:
                    if is_repeated(field):
                        large.setdefault(field.name, {})[seen[number] - 1] = found
                    else:
                        large[field.name] = found
                    small += _varint(number << 3 | LENGTH_DELIMITED) + _varint(len(inner)) + inner
                    at = end
                    continue
        small += data[at:end]
        at = end
    once = (kind.fields_by_name[name] for name in large)
    if any(seen[field.number] > 1 and not is_repeated(field) for field in once):
        raise _Unusual
    return bytes(small), large


def _number(data: memoryview, at: int) -> tuple[int, int]:
    """Return the number of variable length that begins at a place, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at == len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _Unusual
