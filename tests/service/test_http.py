"""The Connect protocol over HTTP: every unary method, by the same rules as gRPC."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request

import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2

from oracle.gradcheck.v1 import loss_pb2
from oracle.service import connect
from oracle.service.ports import CannotServe
from oracle.service.server import SERVICES, Server
from oracle.service.settings import Settings
from tests.service.authorities import Authority
from tests.service.test_metrics import read
from tests.service.test_serve import running
from tests.service.test_tokens import FILE, OLD, OTHER

PACKAGE = "oracle.gradcheck.v1"
MSE = f"{PACKAGE}.LossService/MeanSquaredError"
REQUEST = {
    "predictions": {"shape": [2], "values": [0.9, 0.1]},
    "targets": {"shape": [2], "values": [1, 0]},
}


@pytest.fixture(scope="module")
def server():
    """Serve over HTTP too."""
    made = Server(Settings("127.0.0.1:0", http_address="127.0.0.1:0", max_message_bytes=2**16))
    made.start()
    yield made
    made.stop()


def post(address, path, body, kind="application/json", context=None, **headers):
    """Send a request; return the status, the headers and the body of the answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    asked = urllib.request.Request(f"{address}/{path}", data, {"Content-Type": kind, **named})
    try:
        with urllib.request.urlopen(asked, timeout=20, context=context) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def test_a_call_in_json_and_one_as_it_is(server):
    """Both are one message."""
    status, headers, body = post(server.http.address, MSE, REQUEST)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == {"error": pytest.approx(0.01)}
    message = json_format.ParseDict(REQUEST, loss_pb2.MeanSquaredErrorRequest())
    status, headers, body = post(
        server.http.address, MSE, message.SerializeToString(), "application/proto"
    )
    assert (status, headers["Content-Type"]) == (200, "application/proto")
    assert loss_pb2.MeanSquaredErrorResponse.FromString(body).error == pytest.approx(0.01)


def test_every_unary_method_is_served_and_a_stream_says_where_it_is(server):
    """An empty request is an answer or an error of the field, never one of ours."""
    for found in SERVICES:
        for method in found.methods:
            path = f"{found.full_name}/{method.name}"
            request = {"batchSize": -1} if method.name == "RunSelfTest" else {}
            status, _, body = post(server.http.address, path, request)
            if method.client_streaming or method.server_streaming:
                assert (status, json.loads(body)["code"]) == (501, "unimplemented"), path
            else:
                assert status in (200, 400), (path, body)


def test_an_error_has_the_code_the_text_and_the_details_of_grpc(server):
    """In the form of Connect, with the name of the call in the log."""
    wrong = {**REQUEST, "targets": {"shape": [3], "values": [1, 0, 0]}}
    status, _, body = post(server.http.address, MSE, wrong, x_request_id="mine-1")
    error = json.loads(body)
    assert (status, error["code"]) == (400, "invalid_argument")
    details = {
        detail["type"]: base64.b64decode(detail["value"] + "==") for detail in error["details"]
    }
    info = error_details_pb2.ErrorInfo.FromString(details["google.rpc.ErrorInfo"])
    assert info.reason == "INVALID_ARGUMENT"
    bad = error_details_pb2.BadRequest.FromString(details["google.rpc.BadRequest"])
    assert bad.field_violations[0].description == error["message"]
    named = error_details_pb2.RequestInfo.FromString(details["google.rpc.RequestInfo"])
    assert named.request_id == "mine-1"


@pytest.mark.parametrize(
    ("path", "body", "headers", "refusal"),
    [
        (MSE, b"{", {}, (400, "invalid_argument")),
        (MSE, b'{"nothing": 1}', {}, (400, "invalid_argument")),
        (MSE, b"\xff\xfe", {}, (400, "invalid_argument")),
        (MSE, b"[" * 5000, {}, (400, "invalid_argument")),
        (MSE, b"\xff", {"kind": "application/proto"}, (400, "invalid_argument")),
        (MSE, b"{}", {"kind": "text/plain"}, (415, "unknown")),
        (MSE, b"{}", {"content_encoding": "gzip"}, (501, "unimplemented")),
        (MSE, b"{}", {"connect_timeout_ms": "soon"}, (400, "invalid_argument")),
        (MSE, b" " * 2**18, {}, (429, "resource_exhausted")),
        ("nothing/Here", b"{}", {}, (404, "unimplemented")),
        (
            f"{PACKAGE}.SelfTestService/RunSelfTest",
            b"{}",
            {"connect_timeout_ms": "1"},
            (504, "deadline_exceeded"),
        ),
    ],
)
def test_what_is_refused_says_why(server, path, body, headers, refusal):
    """By a status of HTTP and a code of Connect; nothing of it is INTERNAL."""
    found, _, answer = post(server.http.address, path, body, **headers)
    assert (found, json.loads(answer)["code"]) == refusal, answer


def test_a_request_that_does_not_come_is_not_waited_for(server, monkeypatch):
    """And holds no thread of the calls meanwhile."""
    monkeypatch.setattr(connect, "READING_SECONDS", 0.3)
    host, _, port = server.http.address.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as silent:
        head = f"POST /{MSE} HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n"
        silent.sendall(f"{head}Content-Type: application/json\r\n\r\n{{".encode())
        assert silent.recv(100).startswith(b"HTTP/1.1 408 ")


def test_a_method_is_called_by_post(server):
    """What has no effect would be cached, or called by a link."""
    asked = urllib.request.Request(f"{server.http.address}/{MSE}")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(asked, timeout=20)
    assert (caught.value.code, caught.value.headers["Allow"]) == (405, "POST")
    caught.value.close()


def test_tokens_and_certificates_are_those_of_grpc(tmp_path):
    """The same files let the same callers in."""
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.issue("server")
    own = authority.issue("client", "client@example.org")
    file = tmp_path / "tokens.toml"
    file.write_text(FILE)
    server = Server(
        Settings(
            "127.0.0.1:0",
            http_address="127.0.0.1:0",
            tls_certificate=certificate,
            tls_key=key,
            tls_client_ca=authority.ca,
            token_file=str(file),
        )
    )
    server.start()
    trusting = ssl.create_default_context(cafile=authority.ca)
    with pytest.raises(OSError, match=r"(?i)certificate|closed|reset|EOF"):
        post(server.http.address, MSE, REQUEST, context=trusting)
    trusting.load_cert_chain(*own)
    told = {"context": trusting}
    status, _, body = post(server.http.address, MSE, REQUEST, **told)
    assert (status, json.loads(body)["code"]) == (401, "unauthenticated")
    status, _, _ = post(server.http.address, MSE, REQUEST, authorization=f"Bearer {OLD}", **told)
    assert status == 200
    # A stranger is refused before his request is there.
    port = int(server.http.address.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        trusting.wrap_socket(plain, server_hostname="127.0.0.1") as begun,
    ):
        head = f"POST /{MSE} HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n"
        begun.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode())
        begun.settimeout(20)
        assert begun.recv(100).startswith(b"HTTP/1.1 401 ")
    draw = f"{PACKAGE}.MiniBatchService/Draw"
    status, _, body = post(server.http.address, draw, {}, authorization=f"Bearer {OTHER}", **told)
    assert (status, json.loads(body)["code"]) == (403, "permission_denied")
    server.stop()


def test_an_address_is_served_by_the_rules_of_the_other():
    """Loopback only without encryption and authentication; a taken one is a sentence."""
    with pytest.raises(CannotServe, match="not a loopback address"):
        Server(Settings("127.0.0.1:0", http_address="0.0.0.0:0"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CannotServe, match=r"--http-address .* in use"):
            Server(Settings("127.0.0.1:0", http_address=address))


def test_calls_are_counted_as_those_of_grpc():
    """Also their bytes, and the verdicts in them."""
    addresses = {"http_address": "127.0.0.1:0", "metrics_address": "127.0.0.1:0"}
    server = Server(Settings("127.0.0.1:0", **addresses))
    server.start()
    y = {"shape": [2], "values": [0.9, 0.1]}
    checked = {"predictions": y, "targets": y, "gradient": {"shape": [2], "values": [0, 0]}}
    path = f"{PACKAGE}.LossService/CheckMeanSquaredError"
    assert post(server.http.address, path, checked)[0] == 200
    told = read(server.exposition.address)
    server.stop()
    method = path.rpartition(".")[2]
    assert told["calls_total", "OK", method, ""] == 1
    assert told["received_bytes_total", method] > 0
    assert told["sent_bytes_total", method] > 0
    assert [value for key, value in told.items() if key[0] == "verdicts_total"] == [1]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_curl_is_enough():
    """As the manual says it, against the command."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with running("--http-address", address) as server:
        done = subprocess.run(
            ["curl", "-sS", "--json", json.dumps(REQUEST), f"http://{address}/{MSE}"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    assert json.loads(done.stdout)["error"] == pytest.approx(0.01)
    (call,) = [line for line in server.log if line["message"] == "call"]
    assert (call["code"], call["peer"][:5]) == ("OK", "ipv4:")
