"""W1, b1, W2, b2 of a two-layer net, under the document's names or those of a library's layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradient_oracle.arrays import called, decode, encode, to_numpy
from gradient_oracle.errors import InvalidRequest, invalid
from oracle.gradcheck.v1 import two_layer_net_pb2
from oracle.values import Array
from oracle.wire.names import NET, Names, UnknownNames, recognised


@dataclass(frozen=True)
class Net:
    """The arrays of a caller by the document's names, and what the caller calls them."""

    arrays: Mapping[str, Array]
    names: Names
    rows: frozenset[str] = frozenset()
    """Biases that the caller keeps as (1, H)."""

    @property
    def classes(self) -> int:
        """K, as the last bias has it."""
        return int(self.arrays["b2"].size)

    def fields(self, prefix: str = "") -> Any:
        """Return the fields of the message; `prefix` is for errors."""
        return {name.lower(): encode(prefix + name, array) for name, array in self.arrays.items()}

    def like(self, message: two_layer_net_pb2.TwoLayerNetParameters) -> dict[str, Array]:
        """Return the arrays of a message under the caller's names, in the caller's orientation."""
        arrays = decode_parameters(message)
        return self.names.give({n: a[None] if n in self.rows else a for n, a in arrays.items()})


def parameters(params: Any) -> Net:
    """Read parameters: a map of W1, b1, W2, b2, or of the weight and bias of two layers.

    Raises
    ------
    InvalidRequest
        If something is missing or unknown; the message says what to write.
    """
    given = _mapping(params, "params")
    net = _net(given, "params", "", None)
    if len(net.arrays) < len(NET):
        raise invalid("params", "hold W1, b1, W2, b2", ", ".join(net.arrays))
    return net


def gradient(candidate: Any, net: Net) -> Net:
    """Read a gradient of parameters, of which some may be missing, under either's names."""
    given = _mapping(candidate, "gradient")
    return _net(given, "gradient", "gradient.", net)


def decode_parameters(message: two_layer_net_pb2.TwoLayerNetParameters) -> dict[str, Array]:
    """Return the arrays W1, b1, W2, b2 by name."""
    return {name: decode(getattr(message, name.lower())) for name in NET}


def _mapping(params: Any, argument: str) -> dict[str, Any]:
    if not isinstance(params, Mapping):
        was = called(params)
        if hasattr(params, "state_dict"):
            was += "; a module of PyTorch has them in state_dict()"
        elif isinstance(params, (list, tuple)):
            was += f'; dict(zip(("W1", "b1", "W2", "b2"), {argument})) names them'
        raise invalid(argument, "map W1, b1, W2, b2 to arrays", was)
    return {str(name): array for name, array in params.items()}


def _net(given: Mapping[str, Any], argument: str, prefix: str, like: Net | None) -> Net:
    present = {n: to_numpy(a, prefix + n) for n, a in given.items() if a is not None}
    try:
        names = recognised({n: a.shape for n, a in present.items()}, like.names if like else None)
    except UnknownNames as problem:
        raise InvalidRequest(f"`{argument}` {problem}", argument=argument) from None
    arrays = names.take(present)
    rows = like.rows if like else frozenset(n for n, a in arrays.items() if _is_row(n, a))
    flat = {n: a.reshape(-1) if n in rows and _is_row(n, a) else a for n, a in arrays.items()}
    return Net(flat, names, rows)


def _is_row(name: str, array: Array) -> bool:
    """Tell whether a bias is (1, H), as programs keep it that add it to (N, H)."""
    return name in {"b1", "b2"} and array.ndim == 2 and len(array) == 1
