"""How a client gets in: what it shows to the server, and what it asks of it."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import grpc

from gradient_oracle.errors import invalid

Options: TypeAlias = Mapping[str, Any] | Iterable[tuple[str, Any]]

Metadata: TypeAlias = tuple[tuple[str, str], ...]

PUBLIC = "public"
"""In place of a file: the public authorities that gRPC knows."""

_SENDABLE = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class TLS:
    """The files of an encrypted connection, in PEM.

    Parameters
    ----------
    ca : path, optional
        Certificates of the authorities that may have signed the server's; by default the public
        ones that gRPC knows.
    certificate, key : path, optional
        What this client shows to a server that asks for it.
    """

    ca: str | Path | None = None
    certificate: str | Path | None = None
    key: str | Path | None = field(default=None, repr=False)

    @classmethod
    def of_environment(cls) -> TLS | None:
        """Return the files that GRADIENT_ORACLE_CA, _CERTIFICATE and _KEY name, if any."""
        names = ("CA", "CERTIFICATE", "KEY")
        ca, certificate, key = (os.environ.get(f"GRADIENT_ORACLE_{name}") for name in names)
        return cls(ca, certificate, key) if ca or certificate or key else None

    @property
    def authorities(self) -> Path | None:
        """The file of the authorities, or None for the public ones."""
        return None if self.ca is None or self.ca == PUBLIC else Path(self.ca)

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files.

        Raises
        ------
        InvalidRequest
            If one cannot be read, or of certificate and key only one is named.
        """
        if (self.certificate is None) != (self.key is None):
            one = "a certificate" if self.key is None else "a key"
            raise invalid("credentials", "name a certificate and its key", f"{one} alone")
        return grpc.ssl_channel_credentials(
            *(_read(file) for file in (self.authorities, self.key, self.certificate))
        )


def _read(file: str | Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        content = Path(file).read_bytes()
    except OSError as error:
        reason = f"{file}: {error.strerror or error}"
        raise invalid("credentials", "name files that can be read", reason) from None
    if b"-----BEGIN " not in content:
        raise invalid("credentials", "name files in PEM", f"{file}, which is not")
    return content


@dataclass(frozen=True)
class Access:
    """What `connect` was told of getting in, with what the environment adds.

    Parameters
    ----------
    credentials : grpc.ChannelCredentials or None
        None for a plain connection.
    tls : TLS or None
        The files of the credentials, if they are known.
    token : str
        What is sent with every call, or "".
    interceptors, options : tuple
        What is put around every call, and into the channel.
    """

    credentials: grpc.ChannelCredentials | None = None
    tls: TLS | None = None
    token: str = field(default="", repr=False)
    interceptors: tuple[Any, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    def metadata(self) -> Metadata:
        """Return what is sent with a call: a new name for it first, and the token."""
        name = ("x-request-id", secrets.token_hex(8))
        return (name, ("authorization", f"Bearer {self.token}")) if self.token else (name,)


def resolve(
    credentials: Any = None,
    token: str | None = None,
    interceptors: Iterable[Any] = (),
    options: Options = (),
) -> Access:
    """Return the access that the arguments of `connect` describe.

    What is left out is taken from the environment: GRADIENT_ORACLE_TOKEN, and the files of `TLS`.

    Raises
    ------
    InvalidRequest
        If an argument is none of its kind, or a file cannot be read.
    """
    if credentials is None:
        credentials = TLS.of_environment()
    tls = credentials if isinstance(credentials, TLS) else None
    if tls is not None:
        credentials = tls.credentials()
    if not isinstance(credentials, grpc.ChannelCredentials | None):
        kind = type(credentials).__name__
        raise invalid("credentials", "be a gradient_oracle.TLS or grpc.ChannelCredentials", kind)
    told = os.environ.get("GRADIENT_ORACLE_TOKEN", "") if token is None else token
    if not isinstance(told, str) or (told and not _SENDABLE.fullmatch(told)):
        # Whatever it is, it may be the secret with a slip in it.
        raise invalid("token", "be a text of printable ASCII without spaces", "another value")
    pairs = options.items() if isinstance(options, Mapping) else options
    try:
        named = tuple((str(name), value) for name, value in pairs)
    except (TypeError, ValueError):
        raise invalid("options", "be pairs of name and value", repr(options)) from None
    return Access(credentials, tls, told, tuple(interceptors), named)
