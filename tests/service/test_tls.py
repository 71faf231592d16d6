"""Encrypted connections: whom a client trusts, whom the server lets in, and files that change."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from contextlib import contextmanager

import gradient_oracle
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from oracle.service import reloading
from oracle.service.ports import CannotServe
from oracle.service.server import Server
from oracle.service.settings import Settings
from tests.service.authorities import Authority, signed_by_itself
from tests.service.test_serve import run, running

openssl = shutil.which("openssl")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Return one that this test trusts."""
    return Authority(tmp_path_factory.mktemp("tls") / "trusted")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """Return one that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("tls") / "foreign")


@contextmanager
def serving(pair, client_ca="", **settings):
    """Serve with a certificate and its key."""
    told = {"tls_certificate": pair[0], "tls_key": pair[1], "tls_client_ca": client_ca}
    server = Server(Settings("127.0.0.1:0", **told, **settings))
    server.start()
    try:
        yield server
    finally:
        server.stop()


def ask(address, **arguments):
    """Ask a server about itself."""
    with gradient_oracle.connect(address, connect_timeout=5, **arguments) as oracle:
        return oracle.info().version


def why_not(address, **arguments):
    """Return what a client says that does not get in."""
    with (
        gradient_oracle.connect(address, connect_timeout=0.7, **arguments) as oracle,
        pytest.raises(gradient_oracle.OracleUnavailable) as caught,
    ):
        oracle.info()
    return str(caught.value)


def test_an_encrypted_connection_serves_both_clients_and_conversations(authority):
    """By files, by credentials of gRPC, blocking and asyncio."""
    tls = gradient_oracle.TLS(ca=authority.ca)
    with serving(authority.issue("server")) as server:
        assert ask(server.address, credentials=tls)
        with open(authority.ca, "rb") as file:
            assert ask(server.address, credentials=grpc.ssl_channel_credentials(file.read()))
        with gradient_oracle.connect(server.address, credentials=tls) as oracle:
            assert oracle.check_gradient(lambda x: (x**2).sum(), [1.0, 2.0], [2.0, 4.0])

        async def main():
            async with gradient_oracle.aio.connect(server.address, credentials=tls) as oracle:
                assert await oracle.check_gradient(lambda x: x @ x, [1.0, 2.0], [2.0, 4.0])
                return await oracle.mean_squared_error([1.0], [3.0])

        assert asyncio.run(main()) == 2


def test_a_client_says_what_is_wrong_with_the_certificate_of_a_server(authority, foreign, tmp_path):
    """Expired, foreign, signed by itself, for another name, and none at all."""
    tls = gradient_oracle.TLS(ca=authority.ca)
    for pair, said in (
        (authority.issue("old", expired=True), "has expired"),
        (foreign.issue("server"), "signed by an authority unknown here"),
        (signed_by_itself(tmp_path), "signed by nobody but itself"),
        (authority.issue("elsewhere", "example.org"), "other names than the one in the address"),
    ):
        with serving(pair) as server:
            assert said in why_not(server.address, credentials=tls)
    with serving(authority.issue("server")) as server:
        assert "it speaks TLS; name its authority by credentials=" in why_not(server.address)
    plain = Server(Settings("127.0.0.1:0"))
    plain.start()
    assert "it does not speak TLS" in why_not(plain.address, credentials=tls)
    plain.stop()


def test_a_certificate_that_signs_itself_is_trusted_where_it_is_named(tmp_path):
    """As the authority that it is."""
    certificate, key = signed_by_itself(tmp_path)
    with serving((certificate, key)) as server:
        assert ask(server.address, credentials=gradient_oracle.TLS(ca=certificate))


def test_a_server_lets_those_in_whose_certificate_its_authority_signed(authority, foreign):
    """Not those without one, not with an expired one, not with one of somebody else."""

    def shown(pair):
        return {"credentials": gradient_oracle.TLS(authority.ca, *pair)}

    with serving(authority.issue("server"), authority.ca) as server:
        assert ask(server.address, **shown(authority.issue("client", "client@example.org")))
        assert "it asks for a certificate" in why_not(server.address, **shown(()))
        old = authority.issue("old", "client@example.org", expired=True)
        stranger = foreign.issue("client", "client@example.org")
        for pair in (old, stranger):
            assert "does not accept the certificate" in why_not(server.address, **shown(pair))


def test_files_that_change_are_read_again_and_broken_ones_change_nothing(
    authority, foreign, tmp_path, monkeypatch, caplog
):
    """A renewed certificate is shown to the next client; a half-written one to nobody."""
    monkeypatch.setattr(reloading, "PAUSE", 0.0)
    pair = tuple(str(tmp_path / name) for name in ("now.pem", "now.key"))

    def use(issued):
        for source, target in zip(issued, pair, strict=True):
            shutil.copyfile(source, target)

    use(authority.issue("first"))
    own = {"options": {"grpc.use_local_subchannel_pool": 1}}
    trusted, other = (gradient_oracle.TLS(ca=one.ca) for one in (authority, foreign))
    with serving(pair) as server:
        assert ask(server.address, credentials=trusted, **own)
        shutil.copyfile(foreign.issue("second")[0], pair[0])
        assert ask(server.address, credentials=trusted, **own)
        assert "changed files are not used" in caplog.text
        use(foreign.issue("third"))
        assert ask(server.address, credentials=other, **own)
        assert "unknown here" in why_not(server.address, credentials=trusted, **own)


def test_health_is_told_to_probes_without_certificates(authority):
    """On an address of its own, where nothing else is served."""
    with (
        serving(authority.issue("server"), authority.ca, health_address="127.0.0.1:0") as server,
        grpc.insecure_channel(server.health_address) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        asked = health_pb2.HealthCheckRequest()
        assert health.Check(asked, timeout=10).status == health_pb2.HealthCheckResponse.SERVING
        other = channel.unary_unary("/oracle.gradcheck.v1.ServerService/GetServerInfo")
        with pytest.raises(grpc.RpcError) as caught:
            other(b"", timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        server.health.end()
        assert health.Check(asked, timeout=10).status == health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tls_certificate": "here.pem"}, "--tls-certificate needs --tls-key"),
        ({"tls_client_ca": "ca.pem"}, "--tls-client-ca needs --tls-certificate"),
        ({"tls_certificate": "no.pem", "tls_key": "no.key"}, "no.pem: No such file"),
    ],
)
def test_files_that_are_missing_are_named(settings, said):
    """Before anything is served."""
    with pytest.raises(CannotServe, match=said):
        Server(Settings("127.0.0.1:0", **settings))


def test_a_key_of_another_certificate_is_refused(authority):
    """gRPC would start, and refuse every client."""
    (certificate, _), (_, key) = authority.issue("one"), authority.issue("other")
    with pytest.raises(CannotServe, match=r"must be a certificate and its key.*MISMATCH"):
        Server(Settings("127.0.0.1:0", tls_certificate=certificate, tls_key=key))


@pytest.mark.skipif(openssl is None, reason="there is no openssl")
def test_the_client_of_openssl_verifies_the_server_and_is_verified(authority):
    """A second implementation of TLS: the protocol is HTTP/2, and a client without is refused."""
    own = authority.issue("client", "client@example.org")
    with serving(authority.issue("server"), authority.ca) as server:
        client = [openssl, "s_client", "-connect", server.address, "-CAfile", authority.ca]
        client += ["-alpn", "h2", "-verify_return_error", "-brief"]
        for certificate, accepted in ((["-cert", own[0], "-key", own[1]], True), ([], False)):
            process = subprocess.Popen(
                [*client, *certificate],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            time.sleep(0.5)
            output, _ = process.communicate(timeout=20)
            assert b"Verification: OK" in output
            # What refuses a client closes the connection after its handshake.
            assert (b"unexpected eof" not in output) == accepted, output


def test_the_command_serves_and_asks_with_files_and_variables(authority):
    """`serve` and `info`, by options and by the environment."""
    certificate, key = authority.issue("server")
    own = authority.issue("client", "client@example.org")
    options = ["--tls-certificate", certificate, "--tls-key", key, "--tls-client-ca", authority.ca]
    with running(*options, "--workers", "2") as server:
        told = ["--ca", authority.ca, "--certificate", own[0], "--key", own[1]]
        assert run("info", "--address", server.address, *told).returncode == 0
        variables = {
            "GRADIENT_ORACLE_CA": authority.ca,
            "GRADIENT_ORACLE_CERTIFICATE": own[0],
            "GRADIENT_ORACLE_KEY": own[1],
        }
        assert run("info", GRADIENT_ORACLE_ADDRESS=server.address, **variables).returncode == 0
        found = run("info", "--address", server.address, "--ca", authority.ca, "--timeout", "1")
        assert found.returncode == 3
        assert "it asks for a certificate" in found.stderr
    assert server.returncode == 0
