"""Admission: who calls is asked before a request is read, and what he has used before it runs."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from oracle.service.calls import CURRENT, Once, behaviour, described, is_open
from oracle.service.tokens import Holder, PermissionDenied, Unauthenticated, holder_of

MINUTE = 60.0


class TokenLimit(Exception):
    """One call more than its token may make; `seconds` says when to try again."""

    def __init__(self, message: str, seconds: float = 1.0) -> None:
        super().__init__(message)
        self.seconds = seconds


class Usage:
    """What one holder uses: calls under way, conversations, and seconds of computing.

    The seconds are a bucket that holds a minute's worth and fills steadily. What a call takes is
    known when it has been taken, so the bucket may be in debt; it is then waited for.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0
        self._conversations = 0
        self._spent = 0.0
        self._since = time.monotonic()

    @contextmanager
    def call(self, holder: Holder, *, conversation: bool) -> Iterator[None]:
        """Be a call under way."""
        with self._lock:
            self._require(holder, conversation=conversation)
            self._calls += 1
            self._conversations += conversation
        try:
            yield
        finally:
            with self._lock:
                self._calls -= 1
                self._conversations -= conversation

    def _require(self, holder: Holder, *, conversation: bool) -> None:
        named = f"the token `{holder.name}` allows"
        if holder.calls is not None and self._calls >= holder.calls:
            raise TokenLimit(f"{named} {holder.calls} calls at a time, and as many are under way")
        allowed = holder.conversations
        if conversation and allowed is not None and self._conversations >= allowed:
            raise TokenLimit(f"{named} {allowed} conversations at a time, and as many are open")
        rate = holder.cpu_seconds_a_minute
        if rate is None:
            return
        now = time.monotonic()
        self._spent = max(0.0, self._spent - (now - self._since) * rate / MINUTE)
        self._since = now
        if self._spent >= rate:
            seconds = (self._spent - rate) * MINUTE / rate + 1.0
            raise TokenLimit(
                f"{named} {rate:g} CPU seconds a minute, and they are used up; "
                f"try again in {seconds:.0f} s",
                seconds,
            )

    def charge(self, seconds: float) -> None:
        """Take seconds of computing out of the bucket."""
        with self._lock:
            self._spent += seconds


class Admitted(grpc.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Lets those call who show a token, as far as it allows; health is told to anybody.

    A refused call is answered by a handler that reads no request: what a stranger sends costs
    nothing but its bytes.

    Parameters
    ----------
    holders : callable
        Returns those who may call at this moment.
    """

    def __init__(self, holders: Callable[[], tuple[Holder, ...]]) -> None:
        self._holders = holders
        self._usage: dict[str, Usage] = {}
        self._changed = Once(self._admitting)
        self._refusing: dict[tuple[type, str], Any] = {}

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Return the handler of a call, or one that refuses it."""
        handler = continuation(details)
        if handler is None or is_open(details.method):
            return handler
        try:
            self._identify(details.method, details.invocation_metadata)
        except (Unauthenticated, PermissionDenied) as error:
            return self._refusal(error)
        return self._changed(details.method, handler)

    def _refusal(self, error: Exception) -> Any:
        """Return the handler of a refusal; there are as many as sentences of refusal."""
        key = (type(error), str(error))
        if key not in self._refusing:
            refuse = functools.partial(_refuse, type(error), str(error))
            self._refusing[key] = grpc.stream_stream_rpc_method_handler(refuse)
        return self._refusing[key]

    def _identify(self, method: str, metadata: Any) -> Holder:
        holder = holder_of(metadata, self._holders())
        holder.require_allowed(method)
        return holder

    def _admitting(self, method: str, handler: Any) -> Any:
        name, answer = behaviour(handler)
        conversation = described(method).client_streaming

        @contextmanager
        def admitted(context: Any) -> Iterator[Callable[[], None]]:
            holder = self._identify(method, context.invocation_metadata())
            CURRENT.get().token = holder.name
            usage = self._usage.setdefault(holder.name, Usage())
            with usage.call(holder, conversation=conversation):
                charge = _meter(usage)
                try:
                    yield charge
                finally:
                    charge()

        def unary(request: Any, context: Any) -> Any:
            with admitted(context):
                return answer(request, context)

        def streaming(request: Any, context: Any) -> Iterator[Any]:
            with admitted(context) as charge:
                for response in answer(request, context):
                    charge()
                    yield response

        return handler._replace(**{name: streaming if handler.response_streaming else unary})


def _meter(usage: Usage) -> Callable[[], None]:
    """Return what charges the computing of this thread since it was last called."""
    began = time.thread_time()

    def charge() -> None:
        nonlocal began
        now = time.thread_time()
        usage.charge(now - began)
        began = now

    return charge


def _refuse(kind: type[Exception], text: str, _requests: Any, _context: Any) -> Iterator[Any]:
    raise kind(text)
    yield
