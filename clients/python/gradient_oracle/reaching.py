"""Why no connection came about: a port that refuses, a proxy, encryption; and what to do."""

from __future__ import annotations

import os
import re
import socket
import ssl

from gradient_oracle.access import Access

PATIENCE = 1.0
"""Seconds for a look at a server that has not answered; it is looked at once, after the failure."""

_OWN = (
    "credentials=gradient_oracle.TLS(certificate=, key=), or GRADIENT_ORACLE_CERTIFICATE and _KEY"
)
_AUTHORITY = "credentials=gradient_oracle.TLS(ca=), or GRADIENT_ORACLE_CA"

_UNTRUSTED = (
    f"its certificate is signed by an authority unknown here; name that one by {_AUTHORITY}"
)
_OTHER_NAME = "its certificate has other names than the one in the address; use one of those"
_VERIFICATION = {
    9: "its certificate is not valid yet; compare the clocks",
    10: "its certificate has expired; the server needs a new one",
    18: f"its certificate is signed by nobody but itself; if it is the right one, name it by "
    f"{_AUTHORITY}",
    19: _UNTRUSTED,
    20: _UNTRUSTED,
    21: _UNTRUSTED,
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}
"""By the codes that OpenSSL gives the results of a verification, X509_V_ERR_..."""

_UNSHOWN = f"it asks for a certificate; name yours by {_OWN}"
_UNACCEPTED = (
    "it does not accept the certificate of this client; use one that is valid now and that an "
    "authority of its --tls-client-ca has signed"
)
_ALERTS = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _UNSHOWN,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _UNACCEPTED,
    "TLSV1_ALERT_UNKNOWN_CA": _UNACCEPTED,
    "WRONG_VERSION_NUMBER": "it does not speak TLS; connect without credentials=",
}
"""By the names that OpenSSL gives to the reasons of a failed handshake."""


_PLACE = re.compile(r"(?:dns:/*)?(\[[^\]]+\]|[^:/\[\]]+):(\d+)")

_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
"""Variables that gRPC reads, in this order."""

_AROUND = ("no_grpc_proxy", "no_proxy")
"""Those that name the hosts that are reached without."""


def is_refused(address: str) -> bool:
    """Tell whether a port refuses connections: nobody listens there."""
    place = _PLACE.fullmatch(address)
    if place is None:
        return False
    try:
        socket.create_connection((place[1].strip("[]"), int(place[2])), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def proxy(address: str) -> str:
    """Return that the environment sends the connection to a proxy, or "" if it does not."""
    place = _PLACE.fullmatch(address)
    name = next((name for name in _PROXIES if os.environ.get(name)), "")
    host = place[1] if place else ""
    around = next((os.environ[name] for name in _AROUND if os.environ.get(name)), "")
    around_hosts = [one.strip() for one in around.split(",") if one.strip()]
    if not name or not host or any(host.endswith(one) for one in around_hosts):
        return ""
    return (
        f"the environment variable {name} sends it through a proxy; if that does not lead there, "
        f"set no_proxy={host}"
    )


def explain(address: str, access: Access) -> str:
    """Return why a server cannot be talked to with this access, or "" if that is not the reason.

    A connection of its own tries, with OpenSSL, which tells the reason by a code; gRPC has a text.
    """
    place = _PLACE.fullmatch(address)
    if place is None or (access.credentials is not None and access.tls is None):
        return ""
    try:
        return _of_handshake(place[1].strip("[]"), int(place[2]), access)
    except ssl.SSLCertVerificationError as error:
        return _VERIFICATION.get(error.verify_code, f"its certificate is not accepted ({error})")
    except ssl.SSLError as error:
        if access.tls is None:
            return ""
        reason = str(error.reason)
        return _ALERTS.get(reason, f"the encryption of the connection fails ({reason})")
    except OSError:
        return ""


def _of_handshake(host: str, port: int, access: Access) -> str:
    with (
        socket.create_connection((host, port), timeout=PATIENCE) as plain,
        _context(access).wrap_socket(plain, server_hostname=host) as secured,
    ):
        # TLS 1.3 refuses a client after its handshake; HTTP/2 begins with a word of the server.
        answered = secured.recv(1)
    if access.tls is None:
        return f"it speaks TLS; name its authority by {_AUTHORITY}"
    if answered:
        return ""
    return _UNSHOWN if access.tls.certificate is None else _UNACCEPTED


def _context(access: Access) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    tls = access.tls
    if tls is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if tls.authorities is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(tls.authorities)
    if tls.certificate is not None and tls.key is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    return context
