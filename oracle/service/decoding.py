"""Reading requests: in the thread of the call, soon, within bounds, and with errors of ours.

To gRPC, a request of every method is a stream, whose one message is read here. What gRPC reads by
itself it reads on the one thread that serves, and it waits for a message that never comes as long
as the caller likes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from operator import methodcaller
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from oracle.service.calls import CURRENT, Once, behaviour, described, is_unblocking
from oracle.service.gate import CallerLeft
from oracle.service.pools import Pools
from oracle.service.shares import Shares, caller_of
from oracle.wire.message import TooManyMessages, reader

# NumPy's remarks on overflow are no errors, also where a program makes errors of warnings.

SHORT = 2**16
"""Bytes of a request that counts as none: of those there are no more than threads."""


class Undecodable(Exception):
    """A request that is no message of its class, or holds more than is read."""


class NoMessage(Exception):
    """A call whose caller said that there is no request."""


class Decoded(grpc.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Reads the requests of all methods by `oracle.wire.message`, and writes their responses.

    Parameters
    ----------
    pools : Pools
        Where the calls run: one caller has a share of each pool.
    held : Shares
        The bytes of all requests under way.
    """

    def __init__(self, pools: Pools, held: Shares) -> None:
        self._changed = Once(functools.partial(_decoded, pools, held))

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Return the handler of a call."""
        handler = continuation(details)
        return handler and self._changed(details.method, handler)


def _decoded(pools: Pools, held: Shares, method: str, handler: Any) -> Any:
    name, answer = behaviour(handler)
    pool = pools.of(method)
    kind = described(method).input_type
    read = reader(GetMessageClass(kind))

    def decode(data: bytes) -> Any:
        try:
            return read(data)
        except TooManyMessages as error:
            raise Undecodable(f"the request must {error}") from None
        except DecodeError:
            problem = f"is not a valid {kind.full_name} message ({len(data)} bytes)"
            raise Undecodable(f"the request {problem}") from None

    def first(requests: Iterator[bytes], context: Any) -> bytes:
        with pool.silence(context):
            try:
                return next(requests)
            except StopIteration:
                raise NoMessage("the call has no request") from None
            except grpc.RpcError:
                raise CallerLeft from None

    def rest(first: list[bytes], requests: Iterator[bytes]) -> Iterator[Any]:
        # Nothing of it is kept while the caller thinks about the answer.
        yield decode(first.pop())
        yield from map(decode, requests)

    def argument(data: bytes, requests: Iterator[bytes]) -> Any:
        if handler.request_streaming:
            return rest([data], requests)
        request = decode(data)
        if call := CURRENT.get(None):
            call.request = request
        return request

    @functools.wraps(answer)
    def unary(requests: Iterator[bytes], context: Any, *send: Any) -> Any:
        caller = caller_of(context)
        with pool.shares.held(caller):
            data = first(requests, context)
            with (
                held.held(caller, len(data) if len(data) > SHORT else 0),
                np.errstate(all="ignore"),
            ):
                return answer(argument(data, requests), context, *send)

    @functools.wraps(answer)
    def streaming(requests: Iterator[bytes], context: Any) -> Iterator[Any]:
        caller = caller_of(context)
        with pool.shares.held(caller):
            data = first(requests, context)
            with (
                held.held(caller, len(data) if len(data) > SHORT else 0),
                np.errstate(all="ignore"),
            ):
                request = argument(data, requests)
                del data
                yield from answer(request, context)

    blocking = handler.response_streaming and not is_unblocking(answer)
    served = f"stream_{'stream' if handler.response_streaming else 'unary'}"
    return handler._replace(
        request_streaming=True,
        request_deserializer=None,
        response_serializer=methodcaller("SerializeToString"),
        **{name: None} | {served: streaming if blocking else unary},
    )
