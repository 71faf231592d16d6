"""Laws of the contract that a client with options of its own would hide."""

from __future__ import annotations

import gradient_oracle
import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from oracle.gradcheck.v1 import (
    activation_pb2,
    activation_pb2_grpc,
    loss_pb2,
    loss_pb2_grpc,
    mini_batch_pb2,
    mini_batch_pb2_grpc,
    simple_net_pb2,
    simple_net_pb2_grpc,
    tensor_pb2,
    two_layer_net_pb2,
    two_layer_net_pb2_grpc,
)
from oracle.wire import tensor

RNG = np.random.default_rng(1)
LABELS = tensor_pb2.Targets(labels=tensor.encode(np.array([0, 2, 1])))
PROBABILITIES = tensor.encode(np.array([[0.0, 0.4, 0.6], [0.3, 0.3, 0.4], [0.1, 0.9, 0.0]]))
INPUTS = tensor.encode(RNG.normal(size=(3, 2)))
SIMPLE = {
    "weights": tensor.encode(RNG.normal(size=(2, 3))),
    "inputs": INPUTS,
    "targets": LABELS,
}
NET = {
    "parameters": two_layer_net_pb2.TwoLayerNetParameters(
        w1=tensor.encode(RNG.normal(size=(2, 4))),
        b1=tensor.encode(RNG.normal(size=4)),
        w2=tensor.encode(RNG.normal(size=(4, 3))),
        b2=tensor.encode(RNG.normal(size=3)),
    ),
    "inputs": INPUTS,
    "targets": LABELS,
}
SIZES = {"input_size": 2, "hidden_size": 3, "output_size": 4}
LOSS, SIMPLE_NET, TWO_LAYER_NET, MINI_BATCH = (
    loss_pb2_grpc.LossServiceStub,
    simple_net_pb2_grpc.SimpleNetServiceStub,
    two_layer_net_pb2_grpc.TwoLayerNetServiceStub,
    mini_batch_pb2_grpc.MiniBatchServiceStub,
)


@pytest.fixture(scope="module")
def channel(functions):
    with grpc.insecure_channel(functions.address, [("grpc.enable_http_proxy", 0)]) as opened:
        yield opened


@pytest.mark.parametrize(
    ("stub", "method", "request_type", "given", "defaults"),
    [
        (
            LOSS,
            "CrossEntropyError",
            loss_pb2.CrossEntropyErrorRequest,
            {"predictions": PROBABILITIES, "targets": LABELS},
            {"delta": 1e-7},
        ),
        (
            SIMPLE_NET,
            "Loss",
            simple_net_pb2.SimpleNetServiceLossRequest,
            SIMPLE,
            {"delta": 1e-7},
        ),
        (
            SIMPLE_NET,
            "NumericalGradient",
            simple_net_pb2.SimpleNetServiceNumericalGradientRequest,
            SIMPLE,
            {"step": 1e-4, "delta": 1e-7},
        ),
        (
            SIMPLE_NET,
            "Gradient",
            simple_net_pb2.SimpleNetServiceGradientRequest,
            SIMPLE,
            {"delta": 1e-7},
        ),
        (
            TWO_LAYER_NET,
            "Initialize",
            two_layer_net_pb2.InitializeRequest,
            SIZES,
            {"weight_init_std": 0.01, "seed": 0},
        ),
        (
            TWO_LAYER_NET,
            "Loss",
            two_layer_net_pb2.TwoLayerNetServiceLossRequest,
            NET,
            {"delta": 1e-7},
        ),
        (
            TWO_LAYER_NET,
            "NumericalGradient",
            two_layer_net_pb2.TwoLayerNetServiceNumericalGradientRequest,
            NET,
            {"step": 1e-4, "delta": 1e-7},
        ),
        (
            TWO_LAYER_NET,
            "Gradient",
            two_layer_net_pb2.TwoLayerNetServiceGradientRequest,
            NET,
            {"delta": 1e-7},
        ),
        (
            TWO_LAYER_NET,
            "Train",
            two_layer_net_pb2.TrainRequest,
            NET,
            {
                "step_num": 100,
                "batch_size": 100,
                "learning_rate": 0.1,
                "seed": 0,
                "method": two_layer_net_pb2.GRADIENT_METHOD_NUMERICAL,
                "step": 1e-4,
                "delta": 1e-7,
                "report_every": 1,
            },
        ),
        (
            MINI_BATCH,
            "Draw",
            mini_batch_pb2.DrawRequest,
            {"train_size": 10, "batch_size": 3},
            {"seed": 0},
        ),
    ],
)
def test_what_is_unset_is_what_the_contract_says(
    channel, stub, method, request_type, *, given, defaults
):
    """The document's values, in every language."""

    def answer(**fields):
        found = getattr(stub(channel), method)(request_type(**fields), timeout=60)
        return list(found) if method == "Train" else found

    assert answer(**given) == answer(**given, **defaults)


def test_numbers_written_by_hand_are_those_of_the_bytes(channel):
    """A request in JSON has `values`, a program's has `data`; the answer is one."""
    stub = activation_pb2_grpc.ActivationServiceStub(channel)
    by_hand = tensor_pb2.Tensor(
        data_type=tensor_pb2.DATA_TYPE_FLOAT64, shape=[2, 2], values=[0.5, -1.0, 2.0, 1e300]
    )
    in_bytes = tensor.encode(np.array([[0.5, -1.0], [2.0, 1e300]]))
    answers = [
        stub.Softmax(activation_pb2.SoftmaxRequest(scores=scores), timeout=60)
        for scores in (by_hand, in_bytes)
    ]
    assert answers[0] == answers[1]


def test_labels_written_by_hand_need_no_type(channel):
    """They can be nothing but whole numbers."""
    by_hand = tensor_pb2.Targets(labels=tensor_pb2.Tensor(shape=[3], values=[0, 2, 1]))
    answers = [
        LOSS(channel).CrossEntropyError(
            loss_pb2.CrossEntropyErrorRequest(predictions=PROBABILITIES, targets=targets),
            timeout=60,
        )
        for targets in (by_hand, LABELS)
    ]
    assert answers[0] == answers[1]


def test_the_last_event_of_a_training_is_its_result(channel):
    """Progress first, one for every `report_every` steps; then the parameters, once."""
    request = two_layer_net_pb2.TrainRequest(**NET, step_num=10, batch_size=2, report_every=3)
    *progress, last = TWO_LAYER_NET(channel).Train(request, timeout=60)
    steps = [event.progress.steps_done for event in progress]
    assert steps == [3, 6, 9, 10]
    assert all(event.progress.step_num == 10 for event in progress)
    assert last.result.steps_done == 10


FLOAT64, INT64, INT32, BOOL = 1, 5, 6, 7


@pytest.mark.parametrize(
    ("part", "malformed"),
    [
        ("shape", {"data_type": FLOAT64, "shape": [1] * 33, "data": bytes(8)}),
        ("shape", {"data_type": FLOAT64, "shape": [-1], "data": bytes(8)}),
        ("data", {"data_type": FLOAT64, "shape": [1], "data": bytes(9)}),
        ("data", {"data_type": FLOAT64, "shape": [1], "data": bytes(16)}),
        ("data", {"data_type": FLOAT64, "shape": [2], "data": bytes(8)}),
        ("data", {"data_type": BOOL, "shape": [1], "data": bytes([2])}),
        ("data_type", {"shape": [1], "data": bytes(8)}),
        ("values", {"shape": [2], "values": [1.0]}),
        ("values", {"data_type": INT64, "shape": [1], "values": [0.5]}),
        ("values", {"data_type": INT32, "shape": [1], "values": [2.0**31]}),
        ("values", {"data_type": BOOL, "shape": [1], "values": [2.0]}),
    ],
)
def test_a_malformed_tensor_is_refused_by_its_part(channel, part, malformed):
    """Nothing is cut off, filled in or rounded to make a tensor of what is none."""
    request = loss_pb2.MeanSquaredErrorRequest(
        predictions=PROBABILITIES, targets=tensor_pb2.Tensor(**malformed)
    )
    with pytest.raises(grpc.RpcError) as refusal:
        LOSS(channel).MeanSquaredError(request, timeout=60)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = rpc_status.from_call(refusal.value)
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    assert [violation.field for violation in bad.field_violations] == [f"targets.{part}"]


def test_32_dimensions_are_taken(channel):
    """The most that a tensor may have."""
    request = activation_pb2.SigmoidRequest(scores=tensor.encode(np.zeros([1] * 32)))
    answer = activation_pb2_grpc.ActivationServiceStub(channel).Sigmoid(request, timeout=60)
    assert list(answer.activations.shape) == [1] * 32


def test_a_difference_is_correctly_rounded_and_says_so(channel):
    """y - t is rounded once, which the contract promises; so the answer proves it."""
    request = loss_pb2.MeanSquaredErrorGradientRequest(
        predictions=PROBABILITIES, targets=tensor.encode(RNG.normal(size=(3, 3)))
    )
    certainty = LOSS(channel).MeanSquaredErrorGradient(request, timeout=60).certainty
    assert certainty.correctly_rounded
    assert 0 <= certainty.radius < 1e-15


def test_limits_are_those_that_hold(functions):
    """What is told is what a client plans with: no message above it, and an answer neither."""
    limits = functions.info().limits
    assert limits.max_rank == 32
    assert 0 < limits.max_message_bytes < 2**31
    with pytest.raises(gradient_oracle.InvalidRequest) as refusal:
        functions.mini_batch(2, limits.max_message_bytes // 8 + 1)
    assert refusal.value.argument == "batch_size"
    samples = limits.max_numbers // 2**13 + 1
    wide = (np.zeros((1, 2**13), np.float16), np.zeros((samples, 1), np.float16))
    with pytest.raises(gradient_oracle.InvalidRequest) as refusal:
        functions.simple_net.predict(*wide)
    assert refusal.value.argument == "x"
