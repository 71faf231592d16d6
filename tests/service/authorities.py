"""Certificates for tests: of an authority, of a foreign one, expired, and signed by themselves."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path

import trustme

PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


class Authority:
    """One that signs, and the files of what it signed, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.authority = trustme.CA()
        self.ca = str(folder / "ca.pem")
        self.authority.cert_pem.write_to_path(self.ca)

    def issue(self, name: str, *identities: str, expired: bool = False) -> tuple[str, str]:
        """Write a certificate and its key; return the two files."""
        until = {"not_before": PAST, "not_after": PAST.replace(month=2)} if expired else {}
        issued = self.authority.issue_cert(*(identities or ("127.0.0.1", "localhost")), **until)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return str(certificate), str(key)


def signed_by_itself(folder: Path) -> tuple[str, str]:
    """Write a certificate that nobody else signed, and its key."""
    certificate, key = str(folder / "alone.pem"), str(folder / "alone.key")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    files = ["-keyout", key, "-out", certificate]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    return certificate, key
