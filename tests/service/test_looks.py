"""Every computation looks at its caller: all the time, or between stages if it is of a graph."""

from __future__ import annotations

import numpy as np
import pytest

from oracle.gradcheck.v1 import graph_pb2, tensor_pb2, two_layer_net_pb2
from oracle.service.server import FUNCTIONS
from oracle.wire import tensor
from tests.service.conftest import LONGEST

M = 2**20


def array(*shape, dtype="float64", scale=1.0):
    """Positive numbers, which are probabilities too."""
    numbers = np.random.default_rng(0).uniform(0.01, scale, size=shape)
    return tensor.encode(numbers.astype(dtype))


def labels(samples, classes):
    return tensor_pb2.Targets(
        labels=tensor.encode(np.random.default_rng(0).integers(0, classes, samples))
    )


def net(samples, inputs, hidden, classes):
    shapes = {
        "w1": (inputs, hidden),
        "b1": (hidden,),
        "w2": (hidden, classes),
        "b2": (classes,),
    }
    return {
        "parameters": two_layer_net_pb2.TwoLayerNetParameters(
            **{name: array(*shape, scale=0.1) for name, shape in shapes.items()}
        ),
        "inputs": array(samples, inputs),
        "targets": labels(samples, classes),
    }


def checked_net(*sizes):
    fields = net(*sizes)
    return {**fields, "gradient": fields["parameters"]}


def simple_net(samples, inputs, classes):
    return {
        "weights": array(inputs, classes, scale=0.1),
        "inputs": array(samples, inputs),
        "targets": labels(samples, classes),
    }


def without_targets(fields):
    return {name: value for name, value in fields.items() if name != "targets"}


def pair(*shape, dtype="float64", soft=False):
    targets = array(*shape, dtype=dtype)
    return {
        "predictions": array(*shape, dtype=dtype),
        "targets": tensor_pb2.Targets(probabilities=targets) if soft else targets,
    }


def graph(*shape):
    """The sigmoid of many numbers."""
    node = graph_pb2.Node(op_type="Sigmoid", inputs=["X"], outputs=["Y"])
    inputs = [tensor_pb2.NamedTensor(name="X", tensor=array(*shape))]
    return {"graph": graph_pb2.Graph(nodes=[node]), "inputs": inputs}


ANALYTIC = two_layer_net_pb2.GRADIENT_METHOD_ANALYTIC
LARGE = {
    "ActivationService/Sigmoid": lambda: {"scores": array(3 * M, dtype="float16")},
    "ActivationService/Softmax": lambda: {"scores": array(2, M)},
    "LossService/MeanSquaredError": lambda: pair(4 * M, dtype="float16"),
    "LossService/CrossEntropyError": lambda: pair(M // 4, 8, dtype="float16", soft=True),
    "SimpleNetService/Predict": lambda: without_targets(simple_net(1500, 1000, 2000)),
    "SimpleNetService/Loss": lambda: simple_net(2000, 10, 3000),
    "SimpleNetService/NumericalGradient": lambda: simple_net(1, 8, 200_000),
    "TwoLayerNetService/Initialize": lambda: {
        "input_size": 1000,
        "hidden_size": 4000,
        "output_size": 10,
    },
    "TwoLayerNetService/Predict": lambda: without_targets(net(2000, 3, 300, 2000)),
    "TwoLayerNetService/Loss": lambda: net(2000, 700, 1500, 10),
    "TwoLayerNetService/Accuracy": lambda: net(2000, 700, 1500, 10),
    "TwoLayerNetService/NumericalGradient": lambda: net(1, 1000, 2000, 10),
    "TwoLayerNetService/Probe": dict,
    "TwoLayerNetService/Train": lambda: {
        **net(2000, 784, 800, 10),
        "method": ANALYTIC,
        "batch_size": 2000,
        "step_num": 1,
    },
    "MiniBatchService/Draw": lambda: {"train_size": 60_000, "batch_size": M // 2},
    "ServerService/GetServerInfo": dict,
}
"""A call of every method that looks all the time, as large as leaves it short enough for a test."""

OF_GRAPHS = {
    "LossService/MeanSquaredErrorGradient": lambda: pair(2 * M, dtype="float16"),
    "LossService/CrossEntropyErrorGradient": lambda: pair(M // 8, 8, soft=True),
    "LossService/CheckMeanSquaredError": lambda: {
        **pair(M // 2, dtype="float16"),
        "gradient": tensor.encode(np.zeros(M // 2, np.float16)),
    },
    "LossService/CheckCrossEntropyError": lambda: {
        **pair(M // 8, 8, soft=True),
        "gradient": tensor.encode(np.zeros((M // 8, 8))),
    },
    "SimpleNetService/Gradient": lambda: simple_net(1500, 30, 400),
    "SimpleNetService/CheckGradient": lambda: {
        **simple_net(300, 600, 600),
        "gradient": tensor.encode(np.zeros((600, 600))),
    },
    "TwoLayerNetService/Gradient": lambda: net(60_000, 3, 8, 12),
    "TwoLayerNetService/CheckGradient": lambda: checked_net(50, 200, 300, 10),
    "SelfTestService/RunSelfTest": lambda: {
        "batch_size": 300,
        "input_size": 500,
        "hidden_size": 200,
    },
    "GraphService/Differentiate": lambda: graph(2000, 300),
    "GraphService/Check": lambda: {**graph(2000, 300), "gradient": graph(2000, 300)["inputs"]},
}
"""A call of every method that differentiates graphs: the arithmetic of them knows no caller, so
looks are at the beginning and between stages.
"""

ONE_STAGE = {"GraphService/Evaluate", "GraphService/Probe"}
"""A graph is evaluated once there: looks are at the beginning."""

CONVERSATIONS = {"BlackBoxService/Converse", "BlackBoxService/Step"}
"""The caller computes there."""


def test_every_method_is_measured():
    """A new method comes with a large call of it."""
    names = {name.removeprefix("oracle.gradcheck.v1.") for name in FUNCTIONS}
    assert names == {*LARGE, *OF_GRAPHS, *ONE_STAGE, *CONVERSATIONS}


@pytest.mark.parametrize("method", LARGE)
def test_no_stretch_without_a_look_is_long(serve, looks, method):
    """From the request to the answer, the thread looks at least every 100 ms of its own time."""
    with serve() as call:
        call(method, 60, **LARGE[method]())
    assert looks.longest() < LONGEST


@pytest.mark.parametrize(
    "method",
    [
        "ActivationService/Sigmoid",
        "SimpleNetService/Loss",
        "TwoLayerNetService/Loss",
        "MiniBatchService/Draw",
        *OF_GRAPHS,
    ],
)
def test_time_ends_a_call_that_is_long_by_its_size_only(serve, method):
    """What is usually short is stopped too where it is not: each takes tens of milliseconds."""
    with serve(max_call_seconds=0.001) as call:
        found = call.failure(method, **{**LARGE, **OF_GRAPHS}[method]())
    assert (found.code, found.reason) == ("DEADLINE_EXCEEDED", "TIME_OVER")
