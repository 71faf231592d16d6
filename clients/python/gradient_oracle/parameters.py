"""W1, b1, W2, b2 of a two-layer net, under the document's names or those of PyTorch's layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradient_oracle.arrays import called, decode, encode, to_numpy
from gradient_oracle.errors import invalid
from oracle.gradcheck.v1 import two_layer_net_pb2
from oracle.values import Array
from oracle.wire.names import DOCUMENT, NET, Names, UnknownNames, documented, layers


@dataclass(frozen=True)
class Net:
    """The arrays of a caller by the document's names, and what the caller calls them."""

    arrays: Mapping[str, Array]
    names: Names

    def fields(self, prefix: str = "") -> Any:
        """Return the fields of the message; `prefix` is for errors."""
        return {name.lower(): encode(prefix + name, array) for name, array in self.arrays.items()}

    def like(self, message: two_layer_net_pb2.TwoLayerNetParameters) -> dict[str, Array]:
        """Return the arrays of a message under the caller's names, in the caller's orientation."""
        return self.names.give(decode_parameters(message))


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
    return _net(given, "gradient", "gradient.", net.names)


def decode_parameters(message: two_layer_net_pb2.TwoLayerNetParameters) -> dict[str, Array]:
    """Return the arrays W1, b1, W2, b2 by name."""
    return {name: decode(getattr(message, name.lower())) for name in NET}


def _mapping(params: Any, argument: str) -> dict[str, Any]:
    if not isinstance(params, Mapping):
        was = called(params)
        if hasattr(params, "state_dict"):
            was += "; a module of PyTorch has them in state_dict()"
        raise invalid(argument, "map W1, b1, W2, b2 to arrays", was)
    return {str(name): array for name, array in params.items()}


def _net(given: Mapping[str, Any], argument: str, prefix: str, like: Names | None) -> Net:
    def array(name: str) -> Array:
        return to_numpy(given[name], prefix + name)

    present = [name for name, value in given.items() if value is not None]
    names = documented(given)
    if names is None and like is not None and set(given) <= set(like.theirs.values()):
        names = like
    if names is None and any("." in name for name in given):
        try:
            names = layers({name: array(name).shape for name in present})
        except UnknownNames as problem:
            raise invalid(argument, problem.requirement, problem.was) from None
    names = names or DOCUMENT
    unknown = sorted(set(given) - set(names.theirs.values()))
    if unknown:
        wanted = ", ".join(NET if names == DOCUMENT else names.theirs.values())
        raise invalid(argument, f"hold nothing but {wanted}", ", ".join(unknown))
    return Net(names.take({name: array(name) for name in present}), names)
