"""Replicas behind nginx and HAProxy: calls are spread, and a check survives a death."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import gradient_oracle
import pytest

from tests.client.test_replicas import GRADIENT, Restarts, X

NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr warn;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  upstream oracle {{ {servers} }}
  server {{
    listen 127.0.0.1:{port} http2;
    client_max_body_size 0;                      # a conversation is one request of any size
    grpc_read_timeout 1h; grpc_send_timeout 1h; client_body_timeout 1h;
    location / {{
      grpc_pass grpc://oracle;
      grpc_next_upstream error timeout http_502 http_503 non_idempotent;
    }}
  }}
}}
"""

HAPROXY = """
global
  log stderr format raw local0 warning
defaults
  mode http
  timeout connect 2s
  timeout client 1h
  timeout server 1h
  retry-on conn-failure empty-response
  option redispatch 1
frontend grpc
  bind 127.0.0.1:{port} proto h2
  default_backend oracle
backend oracle
  balance roundrobin
  default-server proto h2 check inter 100ms on-marked-down shutdown-sessions
{servers}
"""


def programs(folder, port, addresses):
    """Return the command of each proxy, with its configuration written."""
    nginx, haproxy = Path(folder, "nginx.conf"), Path(folder, "haproxy.cfg")
    servers = " ".join(f"server {address} max_fails=1 fail_timeout=1s;" for address in addresses)
    nginx.write_text(NGINX.format(folder=folder, port=port, servers=servers))
    servers = "\n".join(f"  server s{n} {address}" for n, address in enumerate(addresses))
    haproxy.write_text(HAPROXY.format(port=port, servers=servers))
    return {
        "nginx": ["-e", "stderr", "-c", str(nginx)],
        "haproxy": ["-f", str(haproxy)],
    }


@contextmanager
def proxy(name, folder, addresses):
    """Run a proxy in front of servers; yield its address."""
    program = shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if program is None:
        pytest.skip(f"{name} is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([program, *programs(folder, port, addresses)[name]])
    try:
        end = time.monotonic() + 20
        while True:
            assert process.poll() is None
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_calls_go_to_all_servers_behind_a_proxy(name, replicas, tmp_path):
    """On one connection of the client: the proxy spreads calls, not connections."""
    servers, _, stack = replicas
    with (
        proxy(name, tmp_path, [server.address for server in servers]) as address,
        gradient_oracle.connect(address) as oracle,
    ):
        for _ in range(20):
            assert oracle.mean_squared_error([1.0], [3.0]) == 2
    stack.close()
    for server in servers:
        assert len([line for line in server.log if line["message"] == "call"]) >= 5


@pytest.mark.parametrize("transport", ["auto", "unary"])
@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_a_check_behind_a_proxy_survives_that_each_server_dies(
    name,
    transport,
    replicas,
    tmp_path,
):
    """What a proxy makes of the death of a server ends neither a stream's check nor a unary one."""
    servers, start, _ = replicas
    undisturbed = Restarts()
    with gradient_oracle.embedded() as oracle:
        oracle.check_gradient(undisturbed, X, GRADIENT)
    f = Restarts(servers, start)
    with (
        proxy(name, tmp_path, [server.address for server in servers]) as address,
        gradient_oracle.connect(address) as oracle,
    ):
        report = oracle.check_gradient(f, X, GRADIENT, transport=transport)
    assert report.passed
    assert f.points == undisturbed.points
