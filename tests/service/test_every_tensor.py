"""Each tensor of each request is refused by its own path when it is malformed, before any work."""

from __future__ import annotations

import math

import grpc
import numpy as np
import pytest

from oracle.gradcheck.v1 import tensor_pb2
from oracle.wire import tensor
from tests.service.conftest import METHODS, describe, request_of, serving
from tests.service.test_invalid_calls import LABELS, Y, cee, labels, mse, net, simple, soft

GRADIENT = {"gradient": tensor.encode(Y)}
NET_GRADIENT = {"gradient": net()["parameters"]}
SIMPLE_GRADIENT = {"gradient": simple()["weights"]}
ONE_HOT = soft(np.eye(4)[LABELS])
REQUESTS = [
    ("ActivationService/Sigmoid", {"scores": tensor.encode(Y)}),
    ("ActivationService/Softmax", {"scores": tensor.encode(Y)}),
    ("LossService/MeanSquaredError", mse()),
    ("LossService/MeanSquaredErrorGradient", mse()),
    ("LossService/CheckMeanSquaredError", mse(**GRADIENT)),
    ("SimpleNetService/Predict", {name: simple()[name] for name in ("weights", "inputs")}),
    ("TwoLayerNetService/Predict", {name: net()[name] for name in ("parameters", "inputs")}),
    *(
        (method, make(t=targets, **more))
        for targets in (labels(LABELS), ONE_HOT)
        for method, make, more in (
            ("LossService/CrossEntropyError", cee, {}),
            ("LossService/CrossEntropyErrorGradient", cee, {}),
            ("LossService/CheckCrossEntropyError", cee, GRADIENT),
            ("SimpleNetService/Loss", simple, {}),
            ("SimpleNetService/NumericalGradient", simple, {}),
            ("SimpleNetService/Gradient", simple, {}),
            ("SimpleNetService/CheckGradient", simple, SIMPLE_GRADIENT),
            ("TwoLayerNetService/Loss", net, {}),
            ("TwoLayerNetService/Accuracy", net, {}),
            ("TwoLayerNetService/NumericalGradient", net, {}),
            ("TwoLayerNetService/Gradient", net, {}),
            ("TwoLayerNetService/CheckGradient", net, NET_GRADIENT),
            ("TwoLayerNetService/Train", net, {"step_num": 1}),
        )
    ),
]


def raw(t, **changed):
    fields = {"data_type": t.data_type, "shape": t.shape, "data": t.data}
    return tensor_pb2.Tensor(**fields | changed)


MALFORMED = {
    "data and values": lambda t: raw(t, values=[1.0] * math.prod(t.shape)),
    "a byte too few": lambda t: raw(t, data=t.data[:-1]),
    "a number too many": lambda t: raw(t, data=t.data + bytes(8)),
    "no bytes": lambda t: raw(t, data=b""),
    "a negative length": lambda t: raw(t, shape=[-1, *t.shape[1:]]),
    "two negative lengths": lambda t: raw(t, shape=[-1, -len(t.data) // 8]),
    "a product above 2^64": lambda t: raw(t, shape=[2**62, 2**62, 4]),
    "a product that wraps to 0": lambda t: raw(t, data=b"", shape=[2**32, 2**32]),
    "terabytes": lambda t: raw(t, shape=[2**20, 2**20]),
    "33 dimensions": lambda t: raw(t, shape=[*t.shape] + [1] * 32),
    "no type": lambda t: raw(t, data_type=0),
    "an unknown type": lambda t: raw(t, data_type=99),
    "a type below zero": lambda t: raw(t, data_type=-1),
}


def tensors(message, path=()):
    """Yield the path and the parent of each tensor of a message."""
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.name == "Tensor":
            yield (*path, field.name), message
        elif field.message_type is not None:
            yield from tensors(value, (*path, field.name))


@pytest.fixture(scope="module")
def busy():
    """Return a caller of a server on which no call finds a place to compute."""
    with serving(compute_slots=1, max_waiting_calls=0, max_streams=1) as call:
        with call.server.gate.places, call.server.gate.streams:
            yield call
        assert call("LossService/MeanSquaredErrorGradient", **mse()).gradient.data


@pytest.mark.parametrize("form", MALFORMED)
def test_a_malformed_tensor_is_refused_before_its_call_waits(busy, form):
    """By the path of the tensor, whatever the method, even where no call can compute."""
    seen = 0
    for method, fields in REQUESTS:
        for path, _ in tensors(request_of(method, **fields)):
            request = request_of(method, **fields)
            parent = next(parent for found, parent in tensors(request) if found == path)
            getattr(parent, path[-1]).CopyFrom(MALFORMED[form](getattr(parent, path[-1])))
            with pytest.raises(grpc.RpcError) as caught:
                next(iter(busy.method(method)(request, timeout=20)))
            found = describe(caught.value)
            where = found.field.removeprefix(".".join(path)).removeprefix(".")
            assert (found.code, found.reason) == ("INVALID_ARGUMENT", "MALFORMED_TENSOR"), method
            assert where in {"", "data", "shape", "data_type"}, (method, path, found)
            seen += 1
    assert seen > 100


def test_every_method_with_a_tensor_is_among_the_requests():
    """A method that is added has to be added here; black boxes have tests of their own."""
    asked = {method for method, _ in REQUESTS}
    names = {
        name
        for name, method in METHODS.items()
        if any(
            field.message_type is not None
            and field.message_type.name in {"Tensor", "TwoLayerNetParameters"}
            for field in method.input_type.fields
        )
    }
    assert names == asked
