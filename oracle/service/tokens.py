"""Tokens: who may call, by which secret, how much, and which services."""

from __future__ import annotations

import hashlib
import hmac
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from oracle.service.reloading import WrongFile, read_file

SHORTEST = 16
"""Characters of a token: as many random ones are out of reach of guessing."""

_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)
_SECRET = re.compile(rf"[!-~]{{{SHORTEST},}}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Unauthenticated(Exception):
    """A call that shows no token, or one of nobody."""


class PermissionDenied(Exception):
    """A call of what its token is not for."""


@dataclass(frozen=True)
class Holder:
    """Somebody who may call; None is no limit.

    Parameters
    ----------
    name : str
        What the log and the metrics call him.
    digests : tuple of bytes
        The SHA-256 of each of his tokens: two, while one takes the place of the other.
    calls, conversations : int, optional
        Calls and black-box conversations under way at a time.
    cpu_seconds_a_minute : float, optional
        Seconds of computing, in each minute on the average.
    services : tuple of str, optional
        The services that he may call, without their package.
    """

    name: str
    digests: tuple[bytes, ...]
    calls: int | None = None
    conversations: int | None = None
    cpu_seconds_a_minute: float | None = None
    services: tuple[str, ...] | None = None

    def require_allowed(self, method: str) -> None:
        """Raise unless he may call a method."""
        service = method.strip("/").partition("/")[0].rpartition(".")[2]
        if self.services is not None and service not in self.services:
            allowed = ", ".join(self.services)
            raise PermissionDenied(
                f"the token `{self.name}` is for {allowed}, and not for {service}"
            )


def holder_of(metadata: Iterable[tuple[str, Any]], holders: Iterable[Holder]) -> Holder:
    """Return whose token a call shows; how long that takes tells nothing about any token.

    Raises
    ------
    Unauthenticated
        If it shows none, or one of nobody.
    """
    shown = next((str(value) for key, value in metadata if key == "authorization"), "")
    scheme, _, token = shown.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("this server asks for a token: send `authorization: Bearer TOKEN`")
    digest, found = hashlib.sha256(token.strip().encode()).digest(), None
    for holder in holders:
        for known in holder.digests:
            if hmac.compare_digest(digest, known):
                found = holder
    if found is None:
        raise Unauthenticated("this server does not know the token; it may have been replaced")
    return found


def read(file: str) -> tuple[Holder, ...]:
    """Return the holders that a file of tokens names.

    Raises
    ------
    WrongFile
        If the file cannot be read, or breaks a rule; no message holds a token.
    """
    content = read_file("--token-file", file)
    try:
        tables = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        # The text of the error may hold a part of a token.
        raise WrongFile(
            f"--token-file {file} must be TOML in UTF-8; see docs/operating.md"
        ) from None
    holders = tuple(_holder(file, name, table) for name, table in tables.items())
    digests = [digest for holder in holders for digest in holder.digests]
    _require(bool(digests), file, "hold at least one token", "none")
    _require(len({*digests}) == len(digests), file, "hold each token once", "one twice")
    return holders


def _require(condition: bool, file: str, requirement: str, was: str) -> None:
    if not condition:
        raise WrongFile(f"--token-file {file} must {requirement}, got {was}")


def _holder(file: str, name: str, table: Any) -> Holder:
    place = f"[{name}]"
    named = _NAME.fullmatch(name) and isinstance(table, dict)
    _require(bool(named), file, "have a table for each name of letters, digits, `.`, `-`", place)
    known = ("tokens", "sha256", "calls", "conversations", "cpu_seconds_a_minute", "services")
    odd = [key for key in table if key not in known]
    _require(not odd, file, f"have only {', '.join(known)} in {place}", ", ".join(odd))
    digests = [
        *(
            hashlib.sha256(token.encode()).digest()
            for token in _texts(file, place, table, "tokens")
        ),
        *(bytes.fromhex(text) for text in _texts(file, place, table, "sha256")),
    ]
    _require(bool(digests), file, f"have `tokens` or `sha256` in {place}", "neither")
    services = _texts(file, place, table, "services") if "services" in table else None
    return Holder(
        name,
        tuple(digests),
        calls=_number(file, place, table, "calls", int),
        conversations=_number(file, place, table, "conversations", int),
        cpu_seconds_a_minute=_number(file, place, table, "cpu_seconds_a_minute", float),
        services=services,
    )


_TEXTS = {
    "tokens": (_SECRET, f"tokens of at least {SHORTEST} printable characters without spaces"),
    "sha256": (_DIGEST, "SHA-256 in 64 hexadecimal digits"),
    "services": (re.compile(r"\w+"), "names of services"),
}


def _texts(file: str, place: str, table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    form, what = _TEXTS[key]
    texts = table.get(key, [])
    fits = isinstance(texts, list) and all(
        isinstance(text, str) and form.fullmatch(text) for text in texts
    )
    _require(fits, file, f"have a list of {what} in `{key}` of {place}", "another value")
    return tuple(texts)


def _number(file: str, place: str, table: Mapping[str, Any], key: str, kind: type) -> Any:
    value: Any = table.get(key)
    if value is None:
        return None
    fits = type(value) in (int, kind) and value > 0
    what = "a positive whole number" if kind is int else "a positive number"
    _require(fits, file, f"have {what} in `{key}` of {place}", repr(value))
    return value
