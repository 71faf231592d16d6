"""TLS: what the server shows its clients and asks of them, from files that may change."""

from __future__ import annotations

import ssl
from typing import Any

import grpc

from oracle.service.reloading import Reloaded, WrongFile, read_file
from oracle.service.settings import Settings


def credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """Return the credentials of the files that the settings name, or None if they name none.

    Raises
    ------
    WrongFile
        If a file is missing, or they do not fit together.
    """
    if not settings.tls_certificate:
        lonely = [
            option
            for option, file in (
                ("--tls-key", settings.tls_key),
                ("--tls-client-ca", settings.tls_client_ca),
            )
            if file
        ]
        if lonely:
            raise WrongFile(f"{lonely[0]} needs --tls-certificate")
        return None
    if not settings.tls_key:
        raise WrongFile("--tls-certificate needs --tls-key")
    files = [settings.tls_certificate, settings.tls_key, settings.tls_client_ca]
    loaded = Reloaded([file for file in files if file], lambda: _configuration(settings))
    shown = [loaded.value]

    def changed() -> Any:
        configuration = loaded.get()
        if configuration is shown[0]:
            return None
        shown[0] = configuration
        return configuration

    return grpc.dynamic_ssl_server_credentials(
        loaded.value, changed, require_client_authentication=bool(settings.tls_client_ca)
    )


def _configuration(settings: Settings) -> grpc.ServerCertificateConfiguration:
    """Read the files, and try whether they fit: gRPC would only refuse every client."""
    context(settings)
    certificate = read_file("--tls-certificate", settings.tls_certificate)
    key = read_file("--tls-key", settings.tls_key)
    authority = settings.tls_client_ca
    roots = read_file("--tls-client-ca", authority) if authority else None
    return grpc.ssl_server_certificate_configuration([(key, certificate)], roots)


def context(settings: Settings) -> ssl.SSLContext:
    """Return the same for servers that are not gRPC's.

    Raises
    ------
    WrongFile
        If a file is missing, or they do not fit together.
    """
    certificate, key, authority = settings.tls_certificate, settings.tls_key, settings.tls_client_ca
    for option, file in (("--tls-certificate", certificate), ("--tls-key", key)):
        read_file(option, file)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        made.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, _Encrypted) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise WrongFile(
            f"--tls-certificate {certificate} and --tls-key {key} must be a certificate and its "
            f"key, in PEM and without a password: {reason}"
        ) from None
    if authority:
        made.verify_mode = ssl.CERT_REQUIRED
        try:
            roots = read_file("--tls-client-ca", authority).decode("ascii")
            made.load_verify_locations(cadata=roots)
        except (ssl.SSLError, UnicodeDecodeError) as error:
            reason = getattr(error, "reason", "") or "no PEM"
            raise WrongFile(
                f"--tls-client-ca {authority} must hold certificates in PEM: {reason}"
            ) from None
    return made


class _Encrypted(Exception):
    """A key that has a password, for which nobody can be asked."""


def _no_password() -> str:
    raise _Encrypted("the key has a password")
