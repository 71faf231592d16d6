"""The Connect protocol's unary calls: a method is a POST of a message, in JSON or as it is."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from google.protobuf import descriptor_pool, json_format
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2

from oracle.reporting import html
from oracle.service.decoding import Undecodable
from oracle.service.direct import Context, Ended, Registry
from oracle.service.shares import Overloaded, Shares
from oracle.wire import report

JSON, PROTO, HTML = "application/json", "application/proto", "text/html"
"""Kinds of messages, and that of a report for who reads it."""

JSON_SIZE = 3
"""Bytes of JSON for a byte of a message, about: a float64 in 20 digits, a base64 in 4/3."""

HELD = 4
"""Requests of the largest size that are held at a time, and as many bytes of smaller ones."""

READING_SECONDS = 30.0
"""Seconds in which a request must be there, as for gRPC."""

STATUS = {
    "CANCELLED": ("canceled", 499),
    "INVALID_ARGUMENT": ("invalid_argument", 400),
    "DEADLINE_EXCEEDED": ("deadline_exceeded", 504),
    "NOT_FOUND": ("not_found", 404),
    "PERMISSION_DENIED": ("permission_denied", 403),
    "RESOURCE_EXHAUSTED": ("resource_exhausted", 429),
    "ABORTED": ("aborted", 409),
    "UNIMPLEMENTED": ("unimplemented", 501),
    "INTERNAL": ("internal", 500),
    "UNAVAILABLE": ("unavailable", 503),
    "UNAUTHENTICATED": ("unauthenticated", 401),
}
"""Codes of gRPC, and what Connect makes of them."""

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Refused(Exception):
    """What is no call of the protocol: a status of HTTP, a code of Connect, and what to do."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Connect:
    """Answers one request of HTTP after the other.

    Parameters
    ----------
    registry : Registry
        What runs the calls.
    max_message_bytes : int
        The largest request.
    """

    def __init__(self, registry: Registry, max_message_bytes: int) -> None:
        self._registry = registry
        self._most = max_message_bytes
        self._held = Shares(HELD * JSON_SIZE * max_message_bytes, "bytes of requests over HTTP")

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request to the path of a method."""
        headers = {
            name.decode("latin-1").lower(): v.decode("latin-1") for name, v in scope["headers"]
        }
        path = scope["path"]
        host = str((scope.get("client") or ("",))[0])
        held = 0

        def hold(count: int) -> None:
            nonlocal held
            self._held.take(host, count)
            held += count

        try:
            kind = self._kind(scope, headers)
            self._require_unary(path)
            context = _context(scope, headers)
            handler = self._registry.resolve(path, context)
            # What refuses a call does so as a stream, and reads nothing; nor is anything read here.
            body = b"" if handler.response_streaming else await self._body(receive, hold)
            leaving = asyncio.ensure_future(_left(receive, context))
            try:
                await self._call(path, handler, (kind, body), context, send)
            finally:
                leaving.cancel()
        except Refused as error:
            wrong = {"code": error.code, "message": str(error)}
            await reply(send, error.status, JSON, json.dumps(wrong).encode(), error.headers)
        finally:
            self._held.give(host, held)

    def _require_unary(self, path: str) -> None:
        handler = self._registry.handlers.get(path)
        if handler is None:
            raise Refused(404, "unimplemented", f"there is no method {path}")
        if handler.request_streaming or handler.response_streaming:
            text = "a stream is for gRPC; BlackBoxService/Step is unary"
            raise Refused(501, "unimplemented", text)

    def _kind(self, scope: dict[str, Any], headers: dict[str, str]) -> str:
        if scope["method"] != "POST":
            raise Refused(405, "unimplemented", "call a method by POST", allow="POST")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in (JSON, PROTO):
            accepted = f"{JSON}, {PROTO}"
            raise Refused(
                415, "unknown", f"the content-type must be one of {accepted}", accept_post=accepted
            )
        if headers.get("content-encoding", "identity") != "identity":
            raise Refused(501, "unimplemented", "send it as it is", accept_encoding="identity")
        return HTML if kind == JSON and headers.get("accept") == HTML else kind

    async def _body(self, receive: Receive, hold: Callable[[int], None]) -> bytes:
        """Read a request, which must come soon and find room among the others."""
        body, more = bytearray(), True
        try:
            async with asyncio.timeout(READING_SECONDS):
                while more:
                    event = await receive()
                    if event["type"] == "http.disconnect":
                        raise Refused(499, "canceled", "the caller left")
                    piece = event.get("body", b"")
                    hold(len(piece))
                    body += piece
                    more = event.get("more_body", False)
                    if len(body) > self._most * JSON_SIZE:
                        text = f"larger than max_message_bytes, {self._most}, in JSON"
                        raise Refused(429, "resource_exhausted", text)
        except TimeoutError:
            text = f"the request did not come within {READING_SECONDS:g} s"
            raise Refused(408, "deadline_exceeded", text) from None
        except Overloaded as error:
            raise Refused(429, "resource_exhausted", str(error)) from None
        return bytes(body)

    async def _call(
        self, path: str, handler: Any, said: tuple[str, bytes], context: Context, send: Send
    ) -> None:
        kind, body = said
        known: Any = descriptor_pool.Default()
        method = known.FindMethodByName(path.strip("/").replace("/", "."))

        def requests() -> Iterator[bytes]:
            yield body if kind == PROTO else _of_json(body, method.input_type, self._most)

        future = asyncio.wrap_future(self._registry.submit(path, handler, requests(), context))
        try:
            data = await future
        except Ended:
            code, status = STATUS.get(context.status[0].name, ("unknown", 500))
            await reply(send, status, JSON, _error(code, context), {})
            return
        if kind != PROTO:
            message: Any = GetMessageClass(method.output_type).FromString(data)
            if kind == HTML and "report" in method.output_type.fields_by_name:
                page = await asyncio.to_thread(_page, message.report)
                await reply(send, 200, f"{HTML}; charset=utf-8", page, {})
                return
            kind = JSON
            data = json_format.MessageToJson(
                message, always_print_fields_with_no_presence=True, indent=None
            ).encode()
        await reply(send, 200, kind, data, {})


def _page(message: Any) -> bytes:
    """Return a report as the page that the client makes of it."""
    document = json_format.MessageToJson(message)
    return html.render(report.decode(message), document=document).encode()


async def _left(receive: Receive, context: Context) -> None:
    """Tell the call when its caller is gone."""
    with contextlib.suppress(asyncio.CancelledError):
        while (await receive())["type"] != "http.disconnect":
            pass
        context.cancel()


def _of_json(body: bytes, kind: Any, most: int) -> bytes:
    message = GetMessageClass(kind)()
    try:
        json_format.Parse(body, message)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(f"the request must be a {kind.full_name} in JSON: {error}") from None
    data = message.SerializeToString()
    if len(data) > most:
        raise Undecodable(f"the request must have at most {most} bytes (max_message_bytes)")
    return data


def _context(scope: dict[str, Any], headers: dict[str, str]) -> Context:
    known = ("authorization", "x-request-id")
    metadata = tuple((name, headers[name]) for name in known if name in headers)
    told = headers.get("connect-timeout-ms")
    if told is not None and not (told.isascii() and told.isdigit() and len(told) <= 10):
        raise Refused(400, "invalid_argument", "connect-timeout-ms must be a whole number")
    host, port = scope.get("client") or ("", 0)
    where = f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"
    deadline = None if told is None else time.monotonic() + int(told) / 1000
    return Context(metadata, where, deadline)


def _error(code: str, context: Context) -> bytes:
    """Return an error in JSON, with the details that gRPC sends in a trailer."""
    details = []
    for name, value in context.trailing:
        if name == "grpc-status-details-bin":
            for packed in status_pb2.Status.FromString(value).details:
                encoded = base64.b64encode(packed.value).decode().rstrip("=")
                details.append({"type": packed.type_url.rpartition("/")[2], "value": encoded})
    return json.dumps({"code": code, "message": context.status[1], "details": details}).encode()


async def reply(send: Send, status: int, kind: str, body: bytes, headers: dict[str, str]) -> None:
    """Send a response of HTTP."""
    said = {
        "content-type": kind,
        "content-length": str(len(body)),
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
        **headers,
    }
    named = [(name.encode(), value.encode("latin-1")) for name, value in said.items()]
    await send({"type": "http.response.start", "status": status, "headers": named})
    await send({"type": "http.response.body", "body": body})
