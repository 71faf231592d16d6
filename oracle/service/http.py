"""HTTP on an address of its own: uvicorn, in a thread, with the certificates of the server."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from oracle.service.connect import Connect, reply
from oracle.service.direct import Registry
from oracle.service.ports import CannotServe, require_servable, split_address
from oracle.service.reloading import Reloaded
from oracle.service.settings import Settings
from oracle.service.tls import context

FILES = {"/": ("text/html", "page.html"), "/page.js": ("text/javascript", "page.js")}
"""The page that takes files, and what it runs; both are for anybody, and its calls are not."""

SECURED = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
}
"""Whatever a report holds, nothing in it runs, and nothing is sent elsewhere."""

MOST_CONNECTIONS = 256
"""Connections and requests at a time; each may hold a request."""


class Http:
    """The server of HTTP.

    Parameters
    ----------
    settings : Settings
        What it is told: its address, the largest message, the files of certificates.
    registry : Registry
        What runs the calls.

    Raises
    ------
    CannotServe
        If the address is none, is taken, or may not be served.
    """

    def __init__(self, settings: Settings, registry: Registry) -> None:
        host, bare, port = split_address(settings.http_address)
        alone = Settings(
            settings.http_address,
            tls_certificate=settings.tls_certificate,
            tls_client_ca=settings.tls_client_ca,
            token_file=settings.token_file,
            allow_remote=settings.allow_remote,
            shared_port=True,
        )
        require_servable(alone, encrypted=bool(settings.tls_certificate))
        family = socket.AF_INET6 if ":" in bare else socket.AF_INET
        try:
            self._socket = socket.create_server(
                (bare, port), family=family, reuse_port=settings.shared_port
            )
        except OSError as error:
            raise CannotServe(f"--http-address {settings.http_address}: {error.strerror}") from None
        scheme = "https" if settings.tls_certificate else "http"
        self.address = f"{scheme}://{host}:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            Application(registry, settings.max_message_bytes),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=5,
        )
        config.load()
        if settings.tls_certificate:
            config.ssl = _reloaded(settings)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Serve."""
        self._thread.start()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def stop(self) -> None:
        """Let requests under way end, for some seconds at most."""
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()


def _reloaded(settings: Settings) -> ssl.SSLContext:
    """Return a context that shows each connection what the files say at that moment."""
    files = [settings.tls_certificate, settings.tls_key, settings.tls_client_ca]
    loaded = Reloaded([file for file in files if file], partial(context, settings))
    first = context(settings)

    def show(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = loaded.get()

    first.sni_callback = show
    return first


class Application:
    """What uvicorn calls."""

    def __init__(self, registry: Registry, max_message_bytes: int) -> None:
        self._connect = Connect(registry, max_message_bytes)
        self._files = {
            path: (kind, Path(__file__).with_name(name).read_bytes())
            for path, (kind, name) in FILES.items()
        }

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        if scope["path"] in self._files and scope["method"] in ("GET", "HEAD"):
            kind, content = self._files[scope["path"]]
            await reply(send, 200, f"{kind}; charset=utf-8", content, SECURED)
        else:
            await self._connect(scope, receive, send)
