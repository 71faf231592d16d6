"""The functions of the package itself: the methods of one client, whose server all share."""

from __future__ import annotations

import atexit
import functools
import inspect
import os
import threading
from typing import Any

from gradient_oracle.client import Oracle, embedded

_LOCK = threading.Lock()
_STARTED: dict[int, Oracle] = {}
"""The client of this process; one of a parent that forked is of no use."""


def oracle() -> Oracle:
    """Return the client of the embedded server that starts now, or has, and ends with the process.

    Raises
    ------
    OracleError
        If the process was forked from one that has such a server.
    """
    with _LOCK:
        process = os.getpid()
        if process not in _STARTED:
            _STARTED[process] = embedded()
            atexit.register(_STARTED[process].close)
        return _STARTED[process]


class Group:
    """Methods that a client groups under a name, `two_layer_net` for one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, method: str) -> Any:
        return getattr(getattr(oracle(), self._name), method)

    def __repr__(self) -> str:
        return f"gradient_oracle.{self._name}"


def function(name: str) -> Any:
    """Return a method of the shared client as a function, or a group of them."""
    method = getattr(Oracle, name, None)
    if method is None:
        return Group(name)

    @functools.wraps(method)
    def call(*args: Any, **options: Any) -> Any:
        return getattr(oracle(), name)(*args, **options)

    signature = inspect.signature(method)
    parameters = [p for p in signature.parameters.values() if p.name != "self"]
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return call
