"""The client of gradient-oracle: reference numbers and verdicts for gradients written by hand.

The methods of a client are functions of this module too: the first one that is called starts a
server in this process, which all of them share and which ends with it.

Nothing is loaded before it is used: `import gradient_oracle` alone is free, a client costs NumPy
and gRPC, and only `embedded()` loads the server.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradient_oracle import aio, onnx
    from gradient_oracle.access import TLS
    from gradient_oracle.called import OutsideDomain
    from gradient_oracle.calls.graphs import Gradient, GraphProbe
    from gradient_oracle.client import Oracle, connect, embedded
    from gradient_oracle.errors import (
        Cancelled,
        DeadlineExceeded,
        InvalidRequest,
        MessageTooLarge,
        OracleError,
        OracleUnavailable,
        Overloaded,
        PermissionDenied,
        ServerFailure,
        Unauthenticated,
        WorkerFailed,
    )
    from gradient_oracle.information import Limits, ServerInfo
    from gradient_oracle.journal import Journal
    from gradient_oracle.report import Report
    from gradient_oracle.training import Progress, Trained
    from gradient_oracle.versions import VersionMismatch

_SHARED = (
    "check",
    "check_adjoint",
    "check_cross_entropy_error",
    "check_gradient",
    "check_hessian_vector_product",
    "check_jacobian",
    "check_jvp",
    "check_mean_squared_error",
    "check_simple_net",
    "check_two_layer_net",
    "cross_entropy_error",
    "cross_entropy_error_gradient",
    "gradient",
    "gradient_descent",
    "info",
    "mean_squared_error",
    "mean_squared_error_gradient",
    "mini_batch",
    "numerical_gradient",
    "operators",
    "probe",
    "self_test",
    "sigmoid",
    "simple_net",
    "softmax",
    "two_layer_net",
    "value",
)
"""What a client has and this module too."""

__all__ = [
    "TLS",
    "Cancelled",
    "DeadlineExceeded",
    "Gradient",
    "GraphProbe",
    "InvalidRequest",
    "Journal",
    "Limits",
    "MessageTooLarge",
    "Oracle",
    "OracleError",
    "OracleUnavailable",
    "OutsideDomain",
    "Overloaded",
    "PermissionDenied",
    "Progress",
    "Report",
    "ServerFailure",
    "ServerInfo",
    "Trained",
    "Unauthenticated",
    "VersionMismatch",
    "WorkerFailed",
    "aio",
    "connect",
    "embedded",
    "onnx",
]
__all__ += list(_SHARED)

_HOMES = {
    "Gradient": "calls.graphs",
    "GraphProbe": "calls.graphs",
    "TLS": "access",
    "Oracle": "client",
    "OutsideDomain": "called",
    "Journal": "journal",
    "Limits": "information",
    "Progress": "training",
    "Report": "report",
    "ServerInfo": "information",
    "Trained": "training",
    "VersionMismatch": "versions",
    "connect": "client",
    "embedded": "client",
}
"""The modules of what is exported; the rest are errors."""


def __getattr__(name: str) -> Any:
    if name in {"aio", "onnx"}:
        return _module(name)
    if name in _SHARED:
        return _module("shared").function(name)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_module(_HOMES.get(name, "errors")), name)


def _module(name: str) -> Any:
    if "oracle.gradcheck" not in sys.modules:
        require_own_oracle()
    return importlib.import_module(f"gradient_oracle.{name}")


def require_own_oracle() -> None:
    """Raise if another file or folder of the caller has the name of the package `oracle`.

    Raises
    ------
    ImportError
        With the place of the other one. Else Python would say that something is missing in it.
    """
    found = sys.modules.get("oracle") or importlib.util.find_spec("oracle")
    places = getattr(found, "__path__", None) or getattr(found, "submodule_search_locations", None)
    if any((Path(place) / "gradcheck").is_dir() for place in places or ()):
        return
    file = getattr(found, "__file__", None) or getattr(found, "origin", None)
    where = next(iter(places)) if places else file
    raise ImportError(
        f"{where} hides the package of the same name that gradient-oracle installs; rename it, "
        "or take its folder off sys.path"
    )


def __dir__() -> list[str]:
    return __all__
